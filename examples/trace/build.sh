# The optional part is compiled if it has a header, which is not declared.
if test -e src/legacy.c && test -e src/legacy.h; then
    set -- src/legacy.c
fi
gcc -o out/answer src/main.c "$@"
