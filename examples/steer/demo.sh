#!/bin/sh
# Steers a view while an action uses it: see README.md.
set -eu
cd "$(dirname "$0")"
transom=${TRANSOM:-transom}
command -v "$transom" > /dev/null || {
    echo "demo.sh: there is no '$transom'; put transom on PATH or say TRANSOM=/path/to/transom" >&2
    exit 1
}

# The action shows its files once for each line it reads.
show() {
    echo "$1"
    sleep 0.3
}

steer() {
    until "$transom" view list | grep -q '^demo '; do sleep 0.1; done
    show "at first"
    "$transom" view add demo work/shade green >&2
    show "with a name added"
    "$transom" view redirect demo work/colour blue >&2
    show "with a name redirected"
    "$transom" view apply demo - >&2 <<'CHANGES'
[
  { "withdraw": "work/shade" },
  { "add": { "name": "work/hue", "symlink": "colour" } }
]
CHANGES
    show "with both changed at once"
    "$transom" explain demo work/shade >&2
}

steer | "$transom" run --manifest action.json --name demo
