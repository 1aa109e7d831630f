//! Mounting a directory: by `transom mount`, by mount(8), from a table of file
//! systems; and what becomes of the server.
//!
//! Each test is a script. As root it runs in a mount namespace of its own, with
//! helpers for mount(8) in a `/sbin` of its own. A server keeps the namespace,
//! and so its own mount: a script unmounts what it has mounted, however it ends.

use std::process::Command;

use transom_test::{HostState, privileged};

use crate::world::{Engine, World, unprivileged_case};

/// `src` and `dst`, with something in `src`, in the directory of the test.
/// `ended` waits for the servers to end.
const PRELUDE: &str = r#"
    set -eu
    here=$(pwd -P); src=$here/src; dst=$here/dst
    mkdir -p src/sub dst; echo content > src/file
    servers() { pgrep -f "transom mount .* $here/" || true; }
    ended() {
        i=0
        while [ -n "$(servers)" ]; do
            [ $i -lt 500 ] || { echo "still there: $(servers)"; exit 1; }
            i=$((i+1)); sleep 0.01
        done
    }
    refused() { # exit code, then the command
        code=0; expected=$1; shift; "$@" 2>&1 || code=$?
        [ $code = $expected ] || { echo "exit code $code"; exit 1; }
    }
    trap 'umount -l "$dst" 2> /dev/null || true; ended' EXIT
"#;

/// Puts helpers where mount(8) looks for them, in this namespace alone.
const HELPERS: &str = r#"
    mkdir sbin; mount -t tmpfs sbin sbin; mkdir sbin/new sbin/work
    mount -t overlay -o "lowerdir=/usr/sbin,upperdir=$here/sbin/new,workdir=$here/sbin/work" \
        overlay /usr/sbin
    transom install-helper
"#;

/// Runs a script as root, and returns what it printed.
#[track_caller]
fn run(script: &str) -> String {
    let world = World::root(Engine::Fuse);
    let mut command = world.command("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-c"]);
    command.arg(format!("{PRELUDE}{HELPERS}{script}"));
    said(&mut command)
}

#[track_caller]
fn said(command: &mut Command) -> String {
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_transom"));
    let directory = program.parent().unwrap().display();
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{directory}:{path}:/usr/sbin"));
    let output = command.output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let complaint = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}{complaint}");
    assert_eq!(complaint, "", "{said}");
    said
}

/// What can be seen of a mount, and that a server ends with it.
const LOOK: &str = r#"
    ls "$dst"; cat "$dst/file"; echo more > "$dst/sub/new"; cat "$src/sub/new"
    findmnt -no SOURCE,FSTYPE "$dst" | sed "s,$here/,,"
    [ -n "$(servers)" ]; umount "$dst"; ended; ls "$dst"
"#;
const SEEN: &str = "file\nsub\ncontent\nmore\nsrc fuse.transom-passthrough\n";

#[test]
fn privileged_mounting_by_every_way() {
    privileged!("mount");
    for mount in [
        "transom mount passthrough src dst",
        "transom mount passthrough $src $dst",
        "mount -t fuse.transom src dst -o module=passthrough",
        "mount -t fuse.transom $src $dst -o module=passthrough,rw,noatime",
        "mount -t fuse.transom-passthrough src dst",
        "mount -t fuse.transom-passthrough src dst -o module=passthrough,cache=none",
        "echo $src $dst fuse.transom module=passthrough,nofail,x-systemd.automount > tab
         mount -T tab $dst",
        "echo $src $dst fuse.transom-passthrough defaults,_netdev,comment=a > tab
         mount -T tab -a; mount -T tab -a; [ $(findmnt -n $dst | wc -l) = 1 ]",
        "echo $src $dst fuse.transom module=passthrough > tab
         mount -T tab -a; mount -T tab -a; [ $(findmnt -n $dst | wc -l) = 1 ]",
        "mount.fuse.transom-passthrough $src $dst -s -n -v -o rw,bogus",
        "mount.fuse.transom $src $dst -t fuse.transom-passthrough",
        "ln -s dst link; ln -s src from; transom mount passthrough from link",
        "cd sub 2> /dev/null || mkdir sub && cd sub; transom mount passthrough ../src ../dst; cd ..",
    ] {
        assert_eq!(run(&format!("{mount}\n{LOOK}")), SEEN, "{mount}");
    }
}

#[test]
fn privileged_options_are_those_of_the_mount() {
    privileged!("mount");
    for (options, shown) in [
        ("rw", "rw,relatime"),
        ("ro", "ro,relatime"),
        ("nosuid,nodev,noexec", "rw,nosuid,nodev,noexec,relatime"),
        ("user", "rw,nosuid,nodev,noexec,relatime"),
        ("user,exec,suid,dev", "rw,relatime"),
        ("noatime,nodiratime", "rw,noatime,nodiratime"),
        ("strictatime", "rw"),
        ("nosymfollow", "rw,relatime,nosymfollow"),
        ("allow_other,default_permissions,auto", "rw,relatime"),
        ("silent", "rw,relatime"),
        ("async,nolazytime,nomand,noiversion,loud", "rw,relatime"),
    ] {
        for mount in [
            "mount -t fuse.transom-passthrough src dst",
            "transom mount passthrough src dst",
        ] {
            // What mount(8) makes of it.
            if options.contains("user") && mount.starts_with("transom") {
                continue;
            }
            let seen = run(&format!(
                "{mount} -o {options}
                 findmnt -no OPTIONS dst | sed 's/,user_id=0[^ ]*allow_other//'; umount dst"
            ));
            assert_eq!(seen.trim_end(), shown, "{mount} -o {options}");
        }
    }
}

#[test]
fn privileged_attributes_of_the_mount_hold() {
    privileged!("mount");
    let seen = run(r#"
        ln -s file src/link; mknod src/null c 1 3; cp /bin/true src/true
        refusals() {
            transom mount passthrough src dst -o "$1"
            (: > dst/written) 2> /dev/null || echo "$1: not written"
            dst/true 2> /dev/null || echo "$1: not run"
            (: < dst/null) 2> /dev/null || echo "$1: no device"
            (: < dst/link) 2> /dev/null || echo "$1: not followed"
            umount dst
        }
        for options in rw ro nodev noexec nosymfollow; do refusals $options; done
    "#);
    let expected =
        "ro: not written\nnodev: no device\nnoexec: not run\nnosymfollow: not followed\n";
    assert_eq!(seen, expected);
}

#[test]
fn privileged_remounting() {
    privileged!("mount");
    let seen = run(r#"
        options() { findmnt -no OPTIONS dst | sed 's/,user_id=0.*//'; }
        mount -t fuse.transom-passthrough src dst -o noatime
        mount -o remount,ro dst; options
        (: > dst/new) 2> /dev/null || echo not written
        mount -o remount,rw,noexec dst; options; : > dst/new
        refused 1 mount -o remount,bogus dst
        options; umount dst
        transom mount passthrough src dst -o cache=none
        mount -o remount,ro,cache=none dst; options; umount dst
        mount -t fuse.transom-passthrough src dst -o ro
        refused 1 mount -o remount,rw dst | grep -o 'was mounted read-only'
        options; umount dst
    "#);
    let expected = "ro,noatime\nnot written\nrw,noexec,noatime\n\
                    transom: unknown mount option `bogus`; docs/modules.md lists them all\n\
                    rw,noexec,noatime\nro,relatime\nwas mounted read-only\nro,relatime\n";
    assert_eq!(seen, expected);
}

#[test]
fn privileged_what_is_refused_is_named() {
    privileged!("mount");
    for (command, code, words) in [
        (
            "mount -t fuse.transom-passthrough src dst -o sync",
            1,
            "`sync`",
        ),
        (
            "transom mount passthrough src dst -o ro,log=\\\"log",
            125,
            "mount option `log=\"log`",
        ),
        (
            "mount -t fuse.transom-passthrough src dst -o allow_root",
            1,
            "`allow_root`",
        ),
        (
            "mount -t fuse.transom src dst -o module=passthrough,bogus=1",
            1,
            "unknown mount option `bogus`; docs/modules.md lists them all",
        ),
        ("mount -t fuse.transom src dst", 1, "module=NAME"),
        (
            "mount -t fuse.transom src dst -o module=other",
            1,
            "`other`",
        ),
        (
            "mount -t fuse.transom-passthrough src dst -o module=other",
            1,
            "contradicts",
        ),
        (
            "mount -t fuse.transom-passthrough src dst -o passthrough=yes",
            1,
            "passthrough=yes",
        ),
        (
            "mount -t fuse.transom-passthrough src dst -o cache=soon",
            32,
            "cache=soon",
        ),
        (
            "mount -t fuse.transom-passthrough src/file dst",
            32,
            "is a file",
        ),
        (
            "mount -t fuse.transom-passthrough missing dst",
            32,
            "missing",
        ),
        ("mount.fuse.transom-passthrough", 1, "SOURCE"),
        (
            "transom mount passthrough src dst -o bogus=1",
            125,
            "unknown mount option `bogus`; docs/modules.md lists them all",
        ),
        (
            "transom mount passthrough src dst -o remount,ro",
            125,
            "mount(8)",
        ),
        (
            "transom mount passthrough src dst -o module=other",
            125,
            "module=other",
        ),
        ("transom mount other src dst", 125, "`other`"),
        (
            "transom mount --force passthrough src dst",
            125,
            "cannot format",
        ),
        ("transom mount passthrough src/file dst", 125, "is a file"),
        ("transom mount passthrough src src/file", 125, "src/file"),
        ("transom mount passthrough src missing", 125, "missing"),
        (
            "transom mount passthrough src dst --log missing/log",
            125,
            "missing/log",
        ),
        ("mount -f -t fuse.transom-passthrough src dst", 0, ""),
        (
            "export TRANSOM_MODULES=$here/m; transom modules disable passthrough
          refused 125 transom mount passthrough src dst",
            0,
            "`passthrough` is disabled",
        ),
    ] {
        let command = match command.starts_with("export") {
            true => command.to_owned(),
            false => format!("refused {code} {command}"),
        };
        let said = run(&format!("{command}\nended; ! mountpoint -q dst"));
        assert!(said.contains(words), "{command}: {said}");
    }
}

#[test]
fn privileged_the_server_keeps_nothing_of_its_caller() {
    privileged!("mount");
    // Neither a lock nor the other end of a pipe, whoever calls.
    for mount in [
        "transom mount passthrough src dst",
        "mount -t fuse.transom-passthrough src dst",
    ] {
        let seen = run(&format!(
            r#"
            exec 8> lock 9> other; flock 8; {mount}; exec 8>&- 9>&-
            flock --nonblock lock echo unlocked
            find /proc/$(servers)/fd -lname "$here/*" | wc -l; umount dst; ended
            x=$({{ {mount}; }} 3>&1); echo "${{x}}mounted"; umount dst
            "#
        ));
        assert_eq!(seen, "unlocked\n0\nmounted\n", "{mount}");
    }
}

#[test]
fn privileged_with_nofail_only_a_missing_source_is_no_error() {
    privileged!("mount");
    let seen = run(r#"
        echo $here/later $dst fuse.transom-passthrough nofail > tab
        mount -T tab -a; mount -T tab $dst; transom mount passthrough later dst -o nofail
        ! mountpoint -q dst
        mkdir later; mount -T tab -a; mountpoint -q dst && echo mounted; umount dst
        echo $here/src/file $dst fuse.transom-passthrough nofail > tab
        refused 32 mount -T tab $dst | grep -o 'is a file'
        refused 125 transom mount passthrough later missing -o nofail | grep -o 'cannot mount on'
        refused 125 transom mount passthrough missing dst | grep -o 'No such file'
    "#);
    assert_eq!(seen, "mounted\nis a file\ncannot mount on\nNo such file\n");
}

#[test]
fn privileged_the_usual_table_of_modules_is_that_of_the_machine() {
    privileged!("mount");
    // Also if the variable is there and names nothing.
    let seen = run(r#"
        mkdir sbin/etc sbin/etc-work
        mount -t overlay -o "lowerdir=/etc,upperdir=$here/sbin/etc,workdir=$here/sbin/etc-work" \
            overlay /etc
        rm -rf /etc/transom
        TRANSOM_MODULES= transom modules disable passthrough
        grep passthrough /etc/transom/modules.json
        refused 125 transom mount passthrough src dst | grep -o 'is disabled'
        umount /etc
    "#);
    assert_eq!(seen, "    \"passthrough\"\nis disabled\n");
}

#[test]
fn privileged_a_source_that_is_mounted_read_only() {
    privileged!("mount");
    let seen = run(r#"
        options() { findmnt -no OPTIONS dst | sed 's/,user_id=0.*//'; }
        mount --bind src src; mount -o remount,bind,ro src
        transom mount passthrough src dst; options
        (: > dst/new) 2> /dev/null || echo not written
        mount -o remount,bind,rw src; mount -o remount,rw dst
        options; umount dst; umount src
    "#);
    assert_eq!(seen, "ro,relatime\nnot written\nrw,relatime\n");
}

#[test]
fn privileged_nothing_is_mounted_for_who_is_gone() {
    privileged!("mount");
    // As when `transom mount` is killed while its server starts.
    let seen = run(r#"
        mkfifo pipe; exec 7<> pipe 8> pipe 7<&-
        refused 125 timeout 60 transom mount --background-server passthrough $src $dst >&8
        ended; ! mountpoint -q dst
    "#);
    assert_eq!(seen, "");
}

#[test]
fn privileged_a_killed_server() {
    privileged!("mount");
    let seen = run(r#"
        transom mount passthrough src dst
        exec 3< dst/file
        kill -KILL $(servers); ended
        ls dst 2>&1 | grep -o 'not connected'
        refused 32 umount dst | grep -o 'busy'
        umount -l dst; ls dst
        exec 3<&-
        transom mount passthrough src dst; kill -KILL $(servers); ended
        umount dst; transom mount passthrough src dst; ls dst; umount dst
    "#);
    assert_eq!(seen, "not connected\nbusy\nfile\nsub\n");
}

#[test]
fn privileged_a_server_in_the_foreground() {
    privileged!("mount");
    for signal in ["INT", "TERM", "HUP"] {
        let seen = run(&format!(
            r#"
            transom mount passthrough src dst --foreground &
            until mountpoint -q dst; do sleep 0.01; done
            cat dst/file; kill -{signal} $!; wait $!
            ! mountpoint -q dst
            "#
        ));
        assert_eq!(seen, "content\n");
    }
    // In use, it is out of sight at once, and ends with the last use.
    let seen = run(r#"
        transom mount passthrough src dst --foreground &
        until mountpoint -q dst; do sleep 0.01; done
        exec 3< dst/file; kill -INT $!
        while mountpoint -q dst; do sleep 0.01; done
        cat <&3; exec 3<&-; wait $!; echo $?
    "#);
    assert_eq!(seen, "content\n0\n");
}

#[test]
fn privileged_who_moves_the_bytes() {
    privileged!("mount");
    for (choice, by_kernel, by_transom) in
        [("auto", 2, 0), ("rw", 2, 0), ("ro", 1, 1), ("off", 0, 2)]
    {
        let seen = run(&format!(
            r#"
            TRANSOM_LOG=info transom mount passthrough src dst --passthrough {choice} --log log
            cat dst/file; echo written >> dst/other; cat src/other; umount dst; ended
            grep -o 'opens_by.*' log
            "#
        ));
        let expected = format!(
            "content\nwritten\nopens_by_kernel={by_kernel} opens_by_transom={by_transom}\n"
        );
        assert_eq!(seen, expected, "{choice}");
    }
}

#[test]
fn privileged_another_namespace() {
    privileged!("mount");
    let seen = run(r#"
        unshare --mount --propagation private sleep 60 > /dev/null 2>&1 &
        until [ "$(readlink /proc/$!/ns/mnt)" != "$(readlink /proc/$$/ns/mnt)" ]; do sleep 0.01; done
        transom mount passthrough src dst -N /proc/$!/ns/mnt
        mountpoint -q dst || echo not here
        nsenter --mount=/proc/$!/ns/mnt cat $dst/file
        nsenter --mount=/proc/$!/ns/mnt umount $dst
        kill $!
    "#);
    assert_eq!(seen, "not here\ncontent\n");
}

#[test]
fn privileged_volumes_are_synchronized_and_named() {
    privileged!("mount");
    let seen = run(r#"
        transom mount passthrough src dst
        transom sync dst dst/file src
        transom label dst; transom label dst data; transom label dst/sub
        umount dst; transom mount passthrough src dst; transom label dst; umount dst
        refused 125 transom sync missing
    "#);
    let missing = "transom: cannot sync missing: cannot open missing: \
                   No such file or directory (os error 2)\n";
    assert_eq!(seen, format!("\ndata\ndata\n{missing}"));
}

#[test]
fn privileged_mounting_leaves_nothing() {
    privileged!("mount");
    let world = World::root(Engine::Fuse);
    world.directory("src");
    let target = world.directory("dst");
    let state = HostState::capture(target.to_str().unwrap(), &[world.path()]).unwrap();
    for end in [
        "umount dst",
        "kill $server",
        "kill -KILL $server; umount dst",
    ] {
        for options in ["rw", "ro", "passthrough=off"] {
            let script = format!(
                r#"set -e; transom mount passthrough src dst -o {options}
                server=$(pgrep -f "transom mount .* $PWD/src $PWD/dst"); ls dst; {end}"#
            );
            said(world.command("sh").args(["-c", &script]));
            state.assert_restored();
        }
    }
    assert!(
        !world
            .run_transom(["mount", "passthrough", "src", "missing"])
            .status
            .success()
    );
    state.assert_restored();
}

#[test]
fn without_privilege_it_is_said_what_is_needed() {
    unprivileged_case(Engine::Fuse, |world| {
        world.directory("dst");
        let output = world.run_transom(["mount", "passthrough", ".", "dst"]);
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(complaint.contains("CAP_SYS_ADMIN"), "{complaint}");
        assert!(complaint.contains("unshare"), "{complaint}");
        assert_eq!(output.status.code(), Some(125));
    });
}

#[test]
fn without_privilege_it_works_in_a_user_namespace() {
    unprivileged_case(Engine::Fuse, |world| {
        // Also brings the program to where it can be run.
        world.transom();
        let script = format!(
            "{PRELUDE}
             PATH=$here:$PATH
             transom mount passthrough src dst; {LOOK}
             refused 125 transom mount passthrough src dst --passthrough rw | grep -o refuses"
        );
        let mut command = world.command("unshare");
        command.args(["-Urm", "sh", "-c", &script]);
        let seen = said(&mut world.with_fuse(command));
        assert_eq!(seen, format!("{SEEN}refuses\n"));
    });
}
