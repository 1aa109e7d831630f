# Run by an action: what can it see that it did not declare? Prints one line for
# each probe, `good` if a hermetic sandbox would answer so.
top=$1 below=$2 elsewhere=$3 link=$4
here=$(pwd -P)
say() { printf '%s\t%s\n' "$1" "$2"; }
good() { if "$@" > /dev/null 2>&1; then echo good; else echo BAD; fi; }
inside() { case $(realpath "$1") in "$here"/*) true;; *) false;; esac; }
absent() { ! [ -e "$1" ]; }

say 'undeclared open'          "$(good absent probes/undeclared.txt)"
say 'undeclared in readdir'    "$(good test "$(ls probes)" = "$(basename "$below")
$(basename "$elsewhere")
probes.sh")"
say 'realpath stays inside'    "$(good inside "$top")"
say 'neighbour by realpath'    "$(good absent "$(dirname "$(realpath "$top")")/undeclared-top.txt")"
say 'linked output is a file'  "$(good test ! -L "$link")"
say 'links counted'            "$(good test "$(stat -Lc %h "$below")" = 1)"
say 'other volume'             "$(good cat "$elsewhere")"
say 'scratch beside inputs'    "$(good sh -c 'echo x > probes/temporary')"

# The driver replaces the input between the two marks.
before=$(cat "$below")
touch "$(cat "$elsewhere")/first"
i=0
while absent "$(cat "$elsewhere")/second" && [ $i -lt 1000 ]; do sleep 0.01; i=$((i+1)); done
say 'replaced input stays'     "$(good test "$(cat "$below")" = "$before")"
