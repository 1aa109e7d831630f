//! The command behaves as if it had been run directly: its files, its end, the
//! signals it gets.

use std::fs::File;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Signal, kill_process_group};
use serde_json::json;

use crate::world::{World, over_both_engines};

over_both_engines!(
    exit_codes,
    a_command_ended_by_a_signal,
    signals_are_passed_on,
    a_signal_that_is_not_handled,
    a_signal_to_the_whole_group,
    ignored_signals_stay_ignored,
    standard_files_are_passed_byte_for_byte,
    closed_and_broken_standard_files,
    the_command_is_found_in_the_view,
    a_command_that_cannot_be_run,
    out_of_time,
    what_is_left_running_ends_with_the_command,
    arguments_are_passed_byte_for_byte,
    the_user_stays_the_same,
);

fn exit_codes(world: &World) {
    for code in [0, 1, 7, 123, 125, 255] {
        let run = world
            .action()
            .sh(&format!("exit {code}"))
            .run()
            .exited(code);
        assert_eq!(
            run.report()["exit"],
            json!({ "kind": "exited", "code": code })
        );
        assert_eq!(run.report()["exit_code"], code);
        assert_eq!(run.stderr(), "");
    }
}

fn a_command_ended_by_a_signal(world: &World) {
    for (name, signal) in [
        ("SEGV", 11),
        ("KILL", 9),
        ("TERM", 15),
        ("INT", 2),
        ("ABRT", 6),
        ("USR1", 10),
    ] {
        let run = world.action().sh(&format!("kill -{name} $$")).run();
        // As the shell that started transom sees it.
        assert_eq!(
            run.status.signal(),
            Some(signal),
            "{name}: {:?}",
            run.status
        );
        assert_eq!(
            run.report()["exit"],
            json!({ "kind": "signalled", "signal": signal })
        );
        assert_eq!(run.report()["exit_code"], 128 + signal);
    }
}

fn signals_are_passed_on(world: &World) {
    let script =
        "for signal in TERM INT HUP QUIT USR1 USR2; do trap \"echo $signal; exit 9\" $signal; done
        echo ready; while :; do sleep 0.02; done";
    for (name, signal) in [
        ("TERM", Signal::TERM),
        ("INT", Signal::INT),
        ("HUP", Signal::HUP),
        ("QUIT", Signal::QUIT),
        ("USR1", Signal::USR1),
        ("USR2", Signal::USR2),
    ] {
        let mut live = world.action().sh(script).start();
        live.says("ready").signal(signal);
        assert_eq!(live.finish().exited(9).stdout(), format!("{name}\n"));
    }
}

fn a_signal_that_is_not_handled(world: &World) {
    let mut live = world.action().sh("echo ready; exec sleep 60").start();
    live.says("ready").signal(Signal::TERM);
    assert_eq!(live.finish().status.signal(), Some(15));
}

/// As `timeout(1)` sends it, and a build tool that runs its actions in groups.
fn a_signal_to_the_whole_group(world: &World) {
    let script =
        "trap 'sleep 0.2; echo ended; exit 9' TERM; echo ready; while :; do sleep 0.02; done";
    let mut live = world.action().own_group().sh(script).start();
    live.says("ready");
    kill_process_group(live.pid(), Signal::TERM).unwrap();
    let run = live.finish().exited(9);
    assert!(run.stdout().starts_with("ended\n"), "{}", run.stdout());
}

fn ignored_signals_stay_ignored(world: &World) {
    // As `nohup` leaves it, and with SIGPIPE as a shell has it.
    let (transom, _) = world
        .action()
        .sh("kill -HUP $$; echo alive; sh -c 'kill -PIPE $$'; echo $?")
        .prepare();
    let mut shell = Command::new("sh");
    shell.args(["-c", "trap '' HUP; \"$@\"", "sh"]);
    shell.arg(transom.get_program()).args(transom.get_args());
    for (name, value) in transom.get_envs() {
        shell.env(name, value.unwrap_or_default());
    }
    let output = shell.current_dir(world.path()).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "alive\n141\n");
}

fn standard_files_are_passed_byte_for_byte(world: &World) {
    let bytes: Vec<u8> = (0..3_000_000u32)
        .map(|index| (index.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    let input = world.file("input", &bytes);
    let action = || world.action().stdin(File::open(&input).unwrap());
    let out = action().command(["cat"]).run().succeeded();
    assert!(out.stdout == bytes && out.stderr.is_empty());
    let err = action().sh("cat >&2").run().succeeded();
    assert!(err.stderr == bytes && err.stdout.is_empty());
    // Both to one file, in the order written.
    let together = File::create(world.path().join("together")).unwrap();
    let (mut transom, _) = world
        .action()
        .sh("echo out; echo err >&2; echo out")
        .prepare();
    transom
        .stdout(together.try_clone().unwrap())
        .stderr(together);
    assert!(transom.status().unwrap().success());
    assert_eq!(world.read("together"), "out\nerr\nout\n");
}

fn closed_and_broken_standard_files(world: &World) {
    let run = |redirection: &str, script: &str| {
        let (transom, _) = world.action().sh(script).prepare();
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("\"$@\" {redirection}"), "sh"]);
        shell.arg(transom.get_program()).args(transom.get_args());
        for (name, value) in transom.get_envs() {
            shell.env(name, value.unwrap_or_default());
        }
        shell
            .current_dir(world.path())
            .stdin(Stdio::null())
            .output()
            .unwrap()
    };
    assert_eq!(run("<&-", "cat; echo ran").stdout, b"ran\n");
    assert_eq!(run("2>&-", "echo ran").stdout, b"ran\n");
    // `yes` dies of SIGPIPE, in the view as outside.
    let broken = run("| head -1", "yes; echo $? >&2");
    assert_eq!(broken.stdout, b"y\n");
    assert_eq!(String::from_utf8_lossy(&broken.stderr), "141\n");
}

fn the_command_is_found_in_the_view(world: &World) {
    let tool = world.file("tool", "#!/bin/sh\necho \"the tool, $1\"\n");
    let plain = world.file("plain", "echo \"no first line, $1\"\n");
    let action = || {
        world
            .action()
            .input(serde_json::json!({ "name": "opt/bin/tool", "file": tool, "executable": true }))
            .input(
                serde_json::json!({ "name": "opt/bin/plain", "file": plain, "executable": true }),
            )
            .args(["--env", "PATH=/nowhere:/opt/bin:/usr/bin"])
    };
    assert_eq!(
        action().command(["tool", "a"]).run().succeeded().stdout(),
        "the tool, a\n"
    );
    assert_eq!(
        action().command(["plain", "b"]).run().succeeded().stdout(),
        "no first line, b\n"
    );
    assert_eq!(
        action()
            .command(["/opt/bin/tool", "c"])
            .run()
            .succeeded()
            .stdout(),
        "the tool, c\n"
    );
    assert_eq!(
        action()
            .command(["../opt/bin/tool", "d"])
            .run()
            .succeeded()
            .stdout(),
        "the tool, d\n"
    );
}

fn a_command_that_cannot_be_run(world: &World) {
    let plain = world.file("plain", "no program\n");
    let orphan = world.file("orphan", "#!/no/such/interpreter\n");
    let try_command = |command: &str| {
        let orphan = serde_json::json!({ "name": "w/orphan", "file": orphan, "executable": true });
        let action = world.action().file("w/plain", &plain).input(orphan);
        let run = action
            .output("file", "w/out/made", "made")
            .command([command])
            .run();
        assert!(!world.exists("made") && !world.exists(".transom"));
        run
    };
    // On the host, but not in the view.
    let present = world.file("undeclared", "#!/bin/sh\n");
    try_command(present.to_str().unwrap())
        .exited(127)
        .says("command not found in the view");
    try_command("no-such-command")
        .exited(127)
        .says("command not found in the view: no-such-command");
    try_command("").exited(127);
    try_command("./plain")
        .exited(126)
        .says("cannot execute ./plain");
    try_command("/usr").exited(126).says("cannot execute /usr");
    try_command("./orphan")
        .exited(126)
        .says("the interpreter its first line names");
    // Not a view without its loader either.
    let program = world
        .bare_action()
        .file("true", "/usr/bin/true")
        .command(["/true"]);
    program.run().exited(126).says("declare that too");
    // And no command at all.
    let none: [&str; 0] = [];
    world
        .action()
        .command(none)
        .run()
        .exited(125)
        .says("no command to run");
}

fn out_of_time(world: &World) {
    let begin = Instant::now();
    let run = world
        .action()
        .args(["--timeout", "0.2"])
        .sh("exec sleep 60")
        .run()
        .exited(124);
    assert_eq!(run.report()["exit"], json!({ "kind": "timed-out" }));
    assert_eq!(run.report()["exit_code"], 124);
    run.says("longer than 200ms");
    // Told to end before it is killed; a child that does not want to is killed.
    let script = "(trap '' TERM; sleep 60) & trap 'echo told; exit 0' TERM; wait";
    let told = world
        .action()
        .set("timeout_seconds", 0.2)
        .sh(script)
        .run()
        .exited(124);
    assert_eq!(told.stdout(), "told\n");
    let stubborn = world
        .action()
        .args(["--timeout", "0.1"])
        .sh("trap '' TERM; sleep 60; sleep 60");
    stubborn.run().exited(124);
    assert!(begin.elapsed() < Duration::from_secs(20));
    let nonsense = world.action().args(["--timeout", "0"]).sh("true").run();
    nonsense.exited(125).says("--timeout: 0 is no time");
}

fn what_is_left_running_ends_with_the_command(world: &World) {
    let begin = Instant::now();
    // The pipe is at its end only when the last process has closed it.
    world
        .action()
        .sh("setsid sleep 60 & (sleep 60 &) ; exit 3")
        .run()
        .exited(3);
    assert!(begin.elapsed() < Duration::from_secs(20));
}

fn arguments_are_passed_byte_for_byte(world: &World) {
    use std::os::unix::ffi::OsStrExt;
    let odd = std::ffi::OsStr::from_bytes(b"\xff \n\t'\"$x`");
    let words: [&std::ffi::OsStr; 6] = [
        "printf".as_ref(),
        "[%s]".as_ref(),
        "".as_ref(),
        "--".as_ref(),
        "-x".as_ref(),
        odd,
    ];
    let run = world.action().command(words).run().succeeded();
    assert_eq!(run.stdout, b"[][--][-x][\xff \n\t'\"$x`]");
}

fn the_user_stays_the_same(world: &World) {
    let script = "id -u; id -g; umask; ulimit -n -H > /dev/null; echo $?";
    let inside = world.action().prints(script);
    let outside = world.command("sh").args(["-c", script]).output().unwrap();
    assert_eq!(inside, String::from_utf8_lossy(&outside.stdout));
}
