//! The world around the view: root, working directory, environment, `/dev`,
//! `/proc`, `/tmp`.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use serde_json::json;
use tempfile::TempDir;

use crate::world::{World, over_both_engines};

over_both_engines!(
    the_environment_does_not_leak,
    the_environment_is_taken_over_when_asked,
    the_environment_of_a_manifest,
    the_working_directory,
    a_working_directory_of_the_host,
    a_working_directory_that_is_missing,
    devices,
    no_devices,
    processes,
    temporary_files,
    temporary_files_on_disk,
    temporary_files_as_declared,
    inputs_are_not_hidden,
    the_host_read_only,
    the_host_read_only_by_manifest,
    a_hidden_place_in_the_host,
);

fn the_environment_does_not_leak(world: &World) {
    let action = world.action().env("SECRET", "leaked").env("LANG", "xx");
    let printed = action.command(["/usr/bin/env"]).run().succeeded().stdout();
    assert_eq!(printed, "HOME=/tmp\nPATH=/usr/local/bin:/usr/bin:/bin\n");
}

fn the_environment_is_taken_over_when_asked(world: &World) {
    let action = || {
        world
            .action()
            .env("ONE", "1")
            .env("TWO", "2\n2")
            .env("PATH_", "x")
    };
    let some = action()
        .args([
            "--inherit-env",
            "TWO",
            "--inherit-env",
            "NO_SUCH",
            "--env",
            "THREE=a=b",
            "--env",
            "EMPTY=",
        ])
        .command(["/usr/bin/env"]);
    assert_eq!(
        some.run().succeeded().stdout(),
        "EMPTY=\nHOME=/tmp\nPATH=/usr/local/bin:/usr/bin:/bin\nTHREE=a=b\nTWO=2\n2\n"
    );
    let all = action()
        .args(["--inherit-env", "all", "--env", "ONE=changed"])
        .command(["/usr/bin/env"]);
    let all = all.run().succeeded().stdout();
    assert!(
        all.contains("\nONE=changed\n") && all.contains("\nTWO=2\n2\n"),
        "{all}"
    );
    let broken = action().args(["--env", "=x"]).sh("true").run();
    broken
        .exited(125)
        .says("--env: \"=x\" is not of the form NAME=VALUE");
}

fn the_environment_of_a_manifest(world: &World) {
    let environment = json!({ "inherit": ["ONE"], "set": { "HOME": "/w", "GREETING": "hello" } });
    let action = world.action().set("environment", environment);
    let action = action
        .env("ONE", "1")
        .env("TWO", "2")
        .args(["--env", "GREETING=goodbye"]);
    assert_eq!(
        action.command(["/usr/bin/env"]).run().succeeded().stdout(),
        "GREETING=goodbye\nHOME=/w\nONE=1\nPATH=/usr/local/bin:/usr/bin:/bin\n"
    );
}

fn the_working_directory(world: &World) {
    let file = world.file("file", "content\n");
    // Nothing is declared below it.
    let manifest = world.action().set("working_directory", "deep/er");
    assert_eq!(manifest.prints("pwd; ls -A"), "/deep/er\n");
    let flag = world.action().file("x/y/file", file).args(["-C", "/x/y"]);
    assert_eq!(flag.prints("pwd; cat file"), "/x/y\ncontent\n");
    let root = world.action().args(["-C", "/"]);
    assert_eq!(root.prints("pwd"), "/\n");
}

fn a_working_directory_of_the_host(world: &World) {
    world.file("project/src/main.c", "main\n");
    let action = || {
        world
            .action()
            .directory("work", world.path().join("project"))
    };
    assert_eq!(
        action().args(["-C", "work"]).prints("pwd; cat src/main.c"),
        "/work\nmain\n"
    );
    assert_eq!(
        action().args(["-C", "work/src"]).prints("pwd; cat main.c"),
        "/work/src\nmain\n"
    );
}

fn a_working_directory_that_is_missing(world: &World) {
    let action = world
        .action()
        .args(["-C", "usr/no-such-directory"])
        .sh("echo ran");
    let run = action.run().exited(125);
    assert_eq!(run.stdout(), "");
    run.says("the working directory: `usr/no-such-directory` is needed")
        .says("make it: mkdir -p /usr/no-such-directory");
    let file = world.file("file", "");
    let action = world
        .action()
        .file("file", file)
        .args(["-C", "file"])
        .sh("echo ran");
    let run = action.run().exited(125).says("`file`");
    assert_eq!(run.stdout(), "");
}

fn devices(world: &World) {
    let printed = world.action().prints(
        "ls /dev | tr '\n' ' '; echo x > /dev/null; head -c3 /dev/zero | wc -c; head -c3 /dev/urandom | wc -c
         echo x 2> /dev/null > /dev/full || echo full; (echo via > /dev/stdout) | cat; echo shared > /dev/shm/x; cat /dev/shm/x
         echo in | cat /dev/stdin; touch /dev/x 2> /dev/null || echo closed; ls /dev/pts",
    );
    assert_eq!(
        printed,
        "console fd full null ptmx pts random shm stderr stdin stdout tty urandom zero 3\n3\n\
         full\nvia\nshared\nin\nclosed\nptmx\n"
    );
}

fn no_devices(world: &World) {
    let printed = world
        .action()
        .args(["--no-dev", "--no-proc", "--tmp", "none"])
        .prints("echo /*");
    assert_eq!(printed, "/bin /lib /lib64 /usr /w\n");
}

fn processes(world: &World) {
    let printed = world.action().prints(
        "cat /proc/sys/kernel/ostype; cat /proc/self/comm; cat /proc/1/comm
         echo x 2> /dev/null > /proc/sys/kernel/domainname || echo protected; test -e /proc/self/fd/1 && echo fds",
    );
    assert_eq!(printed, "Linux\ncat\ntransom-init\nprotected\nfds\n");
}

fn temporary_files(world: &World) {
    let printed = world.action().prints(
        "ls -A /tmp; stat -c %a /tmp; echo x > /tmp/file; mktemp > /dev/null && ls /tmp | wc -l",
    );
    assert_eq!(printed, "1777\n2\n");
    // Gone with the action.
    assert_eq!(world.action().prints("ls -A /tmp"), "");
}

fn temporary_files_on_disk(world: &World) {
    let source = world
        .command("df")
        .args(["--output=source", "."])
        .output()
        .unwrap();
    let source = String::from_utf8(source.stdout).unwrap();
    let printed = world
        .action()
        .args(["--tmp", "scratch", "--scratch"])
        .args([world.path()])
        .prints("df --output=source /tmp; stat -c %a /tmp; ls -A /tmp; echo x > /tmp/file");
    assert_eq!(printed, format!("{source}1777\n"));
    assert!(!world.exists(".transom"));
}

fn temporary_files_as_declared(world: &World) {
    let file = world.file("file", "content\n");
    let action = || world.action().set("tmp", "none").file("tmp/file", &file);
    assert_eq!(
        action().prints("cat /tmp/file; touch /tmp/x 2> /dev/null || echo closed"),
        "content\nclosed\n"
    );
    let writable = action().args(["--writable", "/tmp"]);
    assert_eq!(
        writable.prints("cat /tmp/file; touch /tmp/x; ls /tmp"),
        "content\nfile\nx\n"
    );
}

/// What the action's own `/tmp`, `/dev` or `/proc` would hide is refused.
fn inputs_are_not_hidden(world: &World) {
    let file = world.file("file", "");
    for (name, remedy) in [
        ("tmp/x", "--tmp none"),
        ("dev/x", "--no-dev"),
        ("proc/x", "--no-proc"),
    ] {
        let run = world
            .action()
            .file(name, &file)
            .sh("echo ran")
            .run()
            .exited(125);
        assert_eq!(run.stdout(), "");
        let run = run.says(&format!("`{name}` would be hidden by the action's own"));
        run.says("action-").says(remedy);
    }
    let output = world
        .action()
        .output("file", "tmp/x", "x")
        .sh("echo ran > /tmp/x")
        .run();
    output
        .exited(125)
        .says("`tmp/x`, which the action is to write, would be hidden");
    assert!(!world.exists("x"));
}

/// A directory of the host that none of the action's own would hide.
fn mount_point() -> TempDir {
    let everybody = Permissions::from_mode(0o755);
    let directory = tempfile::Builder::new()
        .prefix("transom-test-")
        .permissions(everybody)
        .tempdir_in("/var/tmp")
        .unwrap();
    fs::write(directory.path().join("hidden"), "hidden\n").unwrap();
    directory
}

fn the_host_read_only(world: &World) {
    let at = mount_point();
    let input = world.file("input", "input\n");
    let action = world
        .bare_action()
        .file("w/input", input)
        .output("file", "w/out/made", "made")
        .args(["--root", "host-ro", "--mount-at"])
        .args([at.path()]);
    let printed = action.prints(
        "pwd; cat input; ls .. ; test -e /etc/passwd && echo host
         touch /var/tmp/stray /usr/stray ../stray 2> /dev/null || echo read-only
         echo x 2> /dev/null > input || echo protected; cat input > out/made
         ls /tmp; echo x > /tmp/private; echo /proc/[0-9]*",
    );
    let at = at.path().display();
    assert_eq!(
        printed,
        format!("{at}/w\ninput\nw\nhost\nread-only\nprotected\n/proc/1 /proc/2\n")
    );
    assert_eq!(world.read("made"), "input\n");
}

fn the_host_read_only_by_manifest(world: &World) {
    let at = mount_point();
    let input = world.file("input", "input\n");
    let path = at.path().to_str().unwrap();
    let action = world.bare_action().file("input", input);
    let action = action
        .set("root", "host-ro")
        .set("mount_at", path)
        .set("working_directory", json!("deep"));
    assert_eq!(
        action.prints("pwd; cat ../input"),
        format!("{path}/deep\ninput\n")
    );
}

fn a_hidden_place_in_the_host(world: &World) {
    // Where the tests' directories are.
    let action = world
        .bare_action()
        .args(["--root", "host-ro"])
        .sh("echo ran");
    let run = action
        .run()
        .exited(125)
        .says("would be hidden by the action's own /tmp");
    assert_eq!(run.stdout(), "");
    let action = world
        .bare_action()
        .args(["--root", "host-ro", "--mount-at", "/no/such"]);
    action
        .sh("true")
        .run()
        .exited(125)
        .says("cannot be mounted at `/no/such`");
    let action = world.bare_action().args(["--mount-at", "/srv"]).sh("true");
    action.run().exited(125).says("it needs --root host-ro");
}
