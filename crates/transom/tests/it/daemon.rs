//! The daemon by its commands: containers from their members to their end, what
//! a kill leaves, and what users may not.
//!
//! Each test is a script, as root, in a mount namespace of its own, with a daemon
//! of its own in it.

use transom_test::privileged;

use crate::world::{Engine, World};

/// `serve` starts the daemon, `stop` and `crash` end it. In the directory of the
/// test are three members `a`, `b` and `c`, and directories `one` and `two`.
const PRELUDE: &str = r#"
    set -eu
    here=$(pwd -P)
    export TRANSOM_SOCKET=$here/run/control
    mkdir one two
    truncate -s 16M a b c
    serve() {
        transom serve --state "$here/state" "$@" 2> "$here/log" &
        daemon=$!
        i=0
        while [ ! -S run/control ]; do
            [ $i -lt 500 ] || { cat log; exit 1; }
            i=$((i+1)); sleep 0.01
        done
    }
    stop() { kill "$daemon"; wait "$daemon"; cat log; }
    crash() { kill -9 "$daemon"; wait "$daemon" 2> /dev/null || true; rm -f run/control; }
    refused() { # words, then the command
        words=$1; shift
        if "$@" > refusal 2>&1; then echo "not refused: $*"; exit 1; fi
        grep -q -- "$words" refusal || { cat refusal; exit 1; }
    }
    not() { if "$@"; then echo "it should have failed: $*"; exit 1; fi; }
    as_nobody() { setpriv --reuid 65534 --regid 65534 --clear-groups -- "$@"; }
    trap 'kill -9 "$daemon" 2> /dev/null || true' EXIT
"#;

#[track_caller]
pub(crate) fn run(script: &str) -> String {
    let world = World::root(Engine::Fuse);
    let mut command = world.command("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-c"]);
    command.arg(format!("{PRELUDE}{script}"));
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_transom"));
    let directory = program.parent().unwrap().display();
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{directory}:{path}:/usr/sbin:/sbin"));
    let output = command.output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let complaint = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}{complaint}");
    said
}

#[test]
fn privileged_a_container_from_its_members_to_its_end() {
    privileged!("mount");
    run(r#"
        serve
        transom format concat a b c -o name=pool,layout=stripe > /dev/null
        transom probe a b | grep "member 1 of 3" | grep -q " 2 *$"
        transom load auto a b > id 2> told
        grep -q "waits for its members 2" told
        refused "waits for members" transom volume create pool x --size 4M
        [ "$(transom offer c)" = "$(cat id)" ]

        transom volume create pool one --size 8M > /dev/null
        transom volume create pool two --size 4M > /dev/null
        refused "one" transom volume create pool one --size 4M
        # Whatever a name says to a terminal, it is only shown.
        transom volume create pool "$(printf 'a\033[2Jb')" --size 64K > /dev/null || true
        [ -z "$(transom status | tr -d '[:print:][:space:]')" ]
        refused "pool" transom load auto a b c
        transom volume mount pool/one one
        transom volume mount pool/two two
        [ "$(stat -c %d one)" != "$(stat -c %d two)" ]
        [ "$(stat -c %s one/content)" = $((8 << 20)) ]
        head -c 1M /dev/urandom > written
        dd if=written of=one/content conv=notrunc,fsync status=none
        transom volume rename pool/two other
        refused "mounted" transom volume remove pool/other
        transom volume unmount pool/other
        [ -z "$(ls two)" ]
        transom volume remove pool/other

        disk=$(transom block publish pool/one --read-only)
        cmp -n 1048576 written "$disk"
        refused "mounted" transom unload pool
        umount one
        refused "disk" transom unload pool
        transom block withdraw "$disk"
        transom unload pool
        transom load auto a b c > /dev/null
        transom volume mount pool/one one -o ro
        cmp -n 1048576 written one/content
        not dd if=written of=one/content conv=notrunc status=none 2> /dev/null
        transom unload pool --force
        [ -z "$(ls one)" ]
        [ "$(stop)" = "" ]
        "#);
}

#[test]
fn privileged_what_a_killed_daemon_leaves_is_removed_by_the_next() {
    privileged!("mount");
    run(r#"
        serve
        transom format concat a b c -o name=pool > /dev/null
        transom load auto a b c > /dev/null
        transom volume create pool one --size 8M > /dev/null
        transom volume create pool two --size 8M > /dev/null
        transom volume mount pool/one one
        disk=$(transom block publish pool/two)
        head -c 1M /dev/urandom > written
        dd if=written of=one/content conv=notrunc,fsync status=none
        crash
        refused "not connected" ls one
        refused "rror" dd if="$disk" of=/dev/null count=1 iflag=direct

        serve
        stop > told
        grep -q "removed the mount at .$here/one" told
        grep -q "removed the loop device .$disk" told
        [ -z "$(ls one)" ]
        [ -z "$(losetup -n -O BACK-FILE "$disk" 2> /dev/null)" ]
        serve
        transom load auto a b c > /dev/null
        transom volume mount pool/one one
        cmp -n 1048576 written one/content
        # Without a daemon the same by hand.
        crash
        transom cleanup --state "$here/state" > told
        grep -q "removed the mount" told
        [ -z "$(ls one)" ]
        [ -z "$(transom cleanup --state "$here/state")" ]
        "#);
}

#[test]
fn privileged_killed_while_it_unmounts_nothing_that_was_acknowledged_is_lost() {
    privileged!("mount");
    run(r#"
        serve
        transom format concat a b c -o name=pool,layout=stripe > /dev/null
        transom load auto a b c > /dev/null
        transom volume create pool one --size 8M > /dev/null
        for delay in 0 0.001 0.002 0.005 0.01 0.02 0.05; do
            transom volume mount pool/one one
            head -c 1M /dev/urandom > written
            dd if=written of=one/content conv=notrunc,fsync status=none
            head -c 2M /dev/urandom | dd of=one/content seek=4 bs=1M conv=notrunc status=none
            (transom volume unmount pool/one; transom unload pool) > /dev/null 2>&1 &
            client=$!
            sleep $delay
            crash
            wait $client || true
            serve
            [ -z "$(ls one)" ]
            transom load auto a b c > /dev/null
            transom volume mount pool/one one
            cmp -n 1048576 written one/content
            transom volume unmount pool/one
        done
        stop
        "#);
}

#[test]
fn privileged_an_orderly_end_gives_everything_back() {
    privileged!("mount");
    let said = run(r#"
        mkdir src; echo content > src/file
        serve
        transom load passthrough src > /dev/null
        transom volume mount src one
        transom volume mount src two -o ro
        [ "$(cat one/file two/file | wc -l)" = 2 ]
        not touch two/new 2> /dev/null
        echo more > one/new
        stop
        [ -z "$(ls one two | grep -v :)" ]
        cat src/new
        ls state/ledger/leftovers run
        "#);
    assert_eq!(said, "more\nrun:\n\nstate/ledger/leftovers:\n");
}

#[test]
fn privileged_users_do_what_the_policy_says_and_with_their_own_rights() {
    privileged!("mount");
    run(r#"
        chmod 755 "$here"
        mkdir theirs secret at; echo content > theirs/file
        chown 65534 theirs at; chmod 700 secret
        serve
        refused "allow.load" as_nobody transom load passthrough theirs
        stop
        printf '[allow]\nload = ["everyone"]\nmount = ["user:65534"]\n' > policy
        serve --policy policy
        as_nobody transom load passthrough theirs > id
        transom load passthrough secret > /dev/null
        refused "secret" as_nobody transom load passthrough secret
        refused "no container" as_nobody transom unload secret
        [ "$(as_nobody transom status --json | grep -c '"owner": 0')" = 0 ]
        refused "own mount point" as_nobody transom volume mount theirs one
        refused "own mount point" as_nobody sh -c 'cd /proc/$$ && transom volume mount "$0" task' "$here/theirs"
        as_nobody transom volume mount theirs at
        [ "$(cat at/file)" = content ]
        findmnt -no OPTIONS at | grep nosuid | grep -q nodev
        refused "suid" as_nobody transom volume mount theirs at -o suid
        refused "allow.block" as_nobody transom block publish theirs
        as_nobody transom volume unmount theirs
        as_nobody transom unload theirs
        # A file of the policy that says nothing sensible.
        stop > /dev/null
        printf '[allow]\nlaod = ["everyone"]\n' > policy
        refused "policy:2" transom serve --state "$here/state" --policy policy
        "#);
}

#[test]
fn privileged_work_goes_on_after_a_restart() {
    privileged!("load");
    run(r#"
        serve
        transom format concat a b c -o name=pool > /dev/null
        transom load auto a b c > /dev/null
        [ "$(transom task start pool patrol | wc -l)" = 1 ]
        refused "no work .polish." transom task start pool polish
        transom events pool --since 0 --json > seen &
        sleep 0.2; kill $!
        grep -q '"kind":"taskEnded"' seen
        last=$(tail -1 seen | sed 's/.*"stream":"\([0-9a-f]*\)","sequence":\([0-9]*\).*/\1:\2/')
        transom volume create pool one --size 1M > /dev/null
        transom events pool --since "$last" > seen &
        sleep 0.2; kill $!
        [ "$(wc -l < seen)" = 1 ]
        grep -q volumeCreated seen
        stop
        "#);
}

#[test]
fn privileged_work_of_a_killed_daemon_goes_on_where_it_was() {
    privileged!("load");
    run(r#"
        serve
        truncate -s 20G a b c
        transom format concat a b c -o name=pool > /dev/null
        transom load auto a b c > /dev/null
        task=$(transom task start pool patrol --detach)
        sleep 0.5
        transom task pause "$task"
        refused "not be resumed\|task" transom task resume nonsense
        crash
        serve
        transom task list --json | grep -q '"state": "suspended"'
        transom load auto a b c > /dev/null
        transom task list --json > tasks
        grep -q "\"id\": \"$task\"" tasks
        not grep -q '"state": "suspended"' tasks
        transom task cancel "$task"
        refused "cancelled" transom task watch "$task"
        transom unload pool
        stop
        "#);
}

#[test]
fn privileged_a_socket_is_taken_over_from_a_service_manager() {
    privileged!("serve views");
    run(r#"
        cat > activate.py <<'END'
import os, socket, subprocess, sys
os.mkdir("run")
listener = socket.socket(socket.AF_UNIX)
listener.bind(os.environ["TRANSOM_SOCKET"])
listener.listen()
os.dup2(listener.fileno(), 3)
os.set_inheritable(3, True)
os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
os.execvp("transom", ["transom", "serve", "--state", sys.argv[1]])
END
        python3 activate.py "$here/state" & daemon=$!
        i=0
        # Who connects before it is ready waits for it.
        until transom status > told 2> /dev/null; do
            [ $i -lt 200 ] || exit 1
            i=$((i+1)); sleep 0.01
        done
        grep -q "process $daemon" told
        kill "$daemon"; wait "$daemon"
        # It is the service manager's to remove.
        [ -S run/control ]
        "#);
}

#[test]
fn privileged_a_volume_of_several_is_mounted_without_a_daemon() {
    privileged!("mount");
    run(r#"
        serve
        truncate -s 64M a
        transom format concat a -o name=pool > /dev/null
        transom load auto a > /dev/null
        transom volume create pool first --size 8M > /dev/null
        transom volume create pool other --size 4M > /dev/null
        stop > /dev/null
        refused "volume=NAME" transom mount concat a one
        refused "no volume .third" transom mount concat a one -o volume=third
        transom mount concat a one -o volume=other
        [ "$(stat -c %s one/content)" = $((4 << 20)) ]
        umount one
        "#);
}
