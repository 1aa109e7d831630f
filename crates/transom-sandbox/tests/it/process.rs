//! An action behaves as if its command had been run directly.

use std::fs::File;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use transom_sandbox::{Error, Exit, PassedFile, Sandbox, Skeleton};
use transom_test::{privileged, temp_dir};

use crate::views::{captured, name, run, shell, view_for};
use crate::world::World;

/// For both privileges: `case(&world)`.
fn unprivileged(case: impl FnOnce(&World)) {
    if let Some(world) = World::unprivileged() {
        case(&world);
    }
}

fn reports_how_the_command_ended(world: &World) {
    for code in [0, 1, 2, 77, 128, 255] {
        assert_eq!(world.run(&[], &format!("exit {code}")).code(), Some(code));
    }
    for (signal, number) in [
        ("HUP", 1),
        ("ABRT", 6),
        ("KILL", 9),
        ("SEGV", 11),
        ("TERM", 15),
    ] {
        let run = world.run(&[], &format!("kill -{signal} $$"));
        assert_eq!(run.code(), Some(128 + number), "{signal}");
    }
    let missing = world.runner(&[]).arg("no-such-command").output().unwrap();
    assert_eq!(missing.status.code(), Some(127));
    assert_eq!(
        String::from_utf8_lossy(&missing.stderr),
        "run_in_view: command not found in the view: no-such-command\n"
    );
    let directory = world.runner(&[]).arg("/usr").output().unwrap();
    assert_eq!(directory.status.code(), Some(126));
}

#[test]
fn privileged_endings() {
    privileged!("run an action as root");
    reports_how_the_command_ended(&World::root());
}

#[test]
fn endings() {
    unprivileged(reports_how_the_command_ended);
}

#[test]
fn privileged_all_exit_codes() {
    privileged!("mount a view");
    let action = shell("");
    let view = view_for(&action, |_| {});
    for code in 0..=u8::MAX {
        let action = shell(&format!("exit {code}"));
        let (finished, _) = run(view.clone_tree().unwrap(), &action).unwrap();
        assert_eq!(finished.exit, Exit::Exited(code));
    }
}

fn has_the_callers_files_and_environment(world: &World) {
    let mut runner = world.runner(&["--cwd", "/usr/bin"]);
    runner.args([
        "sh",
        "-c",
        "cat; echo out; echo err >&2; pwd; echo $VARIABLE",
    ]);
    runner.env("VARIABLE", "value").stdin(Stdio::piped());
    runner.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = runner.spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"in\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.stdout, b"in\nout\n/usr/bin\nvalue\n");
    assert_eq!(output.stderr, b"err\n");
}

#[test]
fn privileged_files_and_environment() {
    privileged!("run an action as root");
    has_the_callers_files_and_environment(&World::root());
}

#[test]
fn files_and_environment() {
    unprivileged(has_the_callers_files_and_environment);
}

fn searches_the_path_inside(world: &World) {
    world.write("tools/greet", "#!/bin/sh\necho \"greetings $1\"\n");
    world.write("tools/script", "echo \"no first line, $1\"\n");
    world.write("tools/orphan", "#!/no/interpreter\n");
    world.write("tools/plain", "text\n");
    let modes = "chmod 755 tools/greet tools/script tools/orphan; chmod 644 tools/plain";
    assert!(
        world
            .command("sh")
            .args(["-c", modes])
            .status()
            .unwrap()
            .success()
    );
    let command = |name: &str| {
        let mut runner = world.runner(&["--dir", "opt/tools=@/tools"]);
        runner.env("PATH", "/nowhere:/opt/tools:/usr/bin");
        runner.args([name, "you"]).output().unwrap()
    };
    assert_eq!(command("greet").stdout, b"greetings you\n");
    assert_eq!(command("script").stdout, b"no first line, you\n");
    let orphan = command("orphan");
    assert_eq!(orphan.status.code(), Some(126));
    let said = String::from_utf8_lossy(&orphan.stderr).into_owned();
    assert!(
        said.contains("the interpreter its first line names"),
        "{said}"
    );
    let plain = command("plain");
    assert_eq!(plain.status.code(), Some(126));
}

#[test]
fn privileged_path_search() {
    privileged!("run an action as root");
    searches_the_path_inside(&World::root());
}

#[test]
fn path_search() {
    unprivileged(searches_the_path_inside);
}

fn refuses_a_directory_as_standard_file(world: &World) {
    let mut runner = world.runner(&[]);
    runner.arg("true").stdin(File::open("/").unwrap());
    let output = runner.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("open file 0 is a directory"), "{said}");
    assert_eq!(output.status.code(), Some(125));
}

#[test]
fn privileged_directory_as_standard_file() {
    privileged!("run an action as root");
    refuses_a_directory_as_standard_file(&World::root());
}

#[test]
fn directory_as_standard_file() {
    unprivileged(refuses_a_directory_as_standard_file);
}

fn ends_what_is_out_of_time(world: &World) {
    let begin = Instant::now();
    assert_eq!(
        world.run(&["--timeout", "200"], "sleep 60").code(),
        Some(124)
    );
    // Told to end before it is killed.
    let script = "trap 'echo ending; exit 0' TERM; sleep 60 & wait";
    let polite = world.run(&["--timeout", "200"], script);
    assert_eq!(
        (polite.code(), polite.stdout().as_str()),
        (Some(124), "ending\n")
    );
    assert!(begin.elapsed() < Duration::from_secs(20));
    let stubborn = world.run(&["--timeout", "100"], "trap '' TERM; sleep 60 & sleep 60");
    assert_eq!(stubborn.code(), Some(124));
    assert!(begin.elapsed() < Duration::from_secs(30));
}

#[test]
fn privileged_timeout() {
    privileged!("run an action as root");
    ends_what_is_out_of_time(&World::root());
}

#[test]
fn timeout() {
    unprivileged(ends_what_is_out_of_time);
}

fn dies_quietly_of_a_broken_pipe(world: &World) {
    // Rust programs ignore SIGPIPE; what they start must not.
    let script = "{ yes; echo $? >&2; } | head -1";
    let run = world.run(&[], script).succeeded();
    assert_eq!(
        (run.stdout().as_str(), run.stderr().as_str()),
        ("y\n", "141\n")
    );
}

#[test]
fn privileged_broken_pipe() {
    privileged!("run an action as root");
    dies_quietly_of_a_broken_pipe(&World::root());
}

#[test]
fn broken_pipe() {
    unprivileged(dies_quietly_of_a_broken_pipe);
}

#[test]
fn privileged_signals_are_delivered() {
    privileged!("mount a view");
    let action = shell("trap 'exit 7' USR1; echo ready; while :; do sleep 0.05; done");
    let view = view_for(&action, |_| {}).into_tree();
    let (stdio, mut output) = captured();
    let running = Sandbox::new(view, &action, None)
        .unwrap()
        .spawn(stdio)
        .unwrap();
    let remote = running.remote();
    let mut ready = [0; 6];
    std::io::Read::read_exact(&mut output, &mut ready).unwrap();
    let sender = std::thread::spawn(move || remote.signal(Signal::USR1).unwrap());
    assert_eq!(running.wait().unwrap().exit, Exit::Exited(7));
    sender.join().unwrap();
}

#[test]
fn privileged_a_killed_sandbox_is_an_error_that_says_so() {
    privileged!("mount a view");
    let action = shell("sleep 60");
    let view = view_for(&action, |_| {}).into_tree();
    let (stdio, _output) = captured();
    let running = Sandbox::new(view, &action, None)
        .unwrap()
        .spawn(stdio)
        .unwrap();
    running.kill().unwrap();
    assert!(matches!(running.wait(), Err(Error::Killed { .. })));
}

#[test]
fn privileged_only_the_files_passed_are_open() {
    privileged!("mount a view");
    // Not close-on-exec, as a careless library may leave it.
    let careless = File::open("/etc").unwrap();
    rustix::io::fcntl_setfd(&careless, rustix::io::FdFlags::empty()).unwrap();
    let action = shell("cat <&9; ls /proc/self/fd | tr '\\n' ' '");
    let view = view_for(&action, |_| {}).into_tree();
    let (mut stdio, mut output) = captured();
    let (read, mut write) = std::io::pipe().unwrap();
    std::io::Write::write_all(&mut write, b"passed\n").unwrap();
    drop(write);
    stdio.passed.push(PassedFile {
        file: read.into(),
        number: 9,
    });
    let running = Sandbox::new(view, &action, None)
        .unwrap()
        .spawn(stdio)
        .unwrap();
    let mut printed = String::new();
    std::io::Read::read_to_string(&mut output, &mut printed).unwrap();
    assert!(running.wait().unwrap().exit.is_success());
    // 3 is the directory that `ls` itself lists.
    assert_eq!(printed, "passed\n0 1 2 3 9 ");
}

#[test]
fn privileged_what_an_action_leaves_running_ends_with_it() {
    privileged!("mount a view");
    let action = shell("setsid sleep 12345 & exit 3");
    let view = view_for(&action, |_| {}).into_tree();
    let begin = Instant::now();
    // The pipe is at its end only when the last process has closed it.
    let (finished, _) = run(view, &action).unwrap();
    assert_eq!(finished.exit, Exit::Exited(3));
    assert!(begin.elapsed() < Duration::from_secs(10));
}

#[test]
fn privileged_the_environment_and_arguments_are_checked() {
    privileged!("mount a view");
    let attempt = |change: &dyn Fn(&mut transom_sandbox::Action)| {
        let mut action = shell("true");
        change(&mut action);
        let view = view_for(&action, |_| {}).into_tree();
        run(view, &action).unwrap_err().to_string()
    };
    assert_eq!(
        attempt(&|action| action.command.clear()),
        "the command is empty"
    );
    assert_eq!(
        attempt(&|action| action.command.push("a\0b".into())),
        "an argument contains a NUL byte: \"a\\0b\""
    );
    assert_eq!(
        attempt(&|action| action.environment.push(("A=B".into(), "c".into()))),
        "\"A=B\" cannot be the name of an environment variable"
    );
}

#[test]
fn privileged_a_working_directory_that_is_not_there_is_named() {
    privileged!("mount a view");
    let mut action = shell("true");
    // A directory of the view would have been made; this one is the host's.
    let view = view_for(&action, |_| {}).into_tree();
    action.working_directory = "/usr/no-such-directory".into();
    assert_eq!(
        run(view, &action).unwrap_err().to_string(),
        "cannot enter the working directory `/usr/no-such-directory` of the action: No such file \
         or directory (os error 2); it is not in the view"
    );
}

#[test]
fn privileged_nothing_is_made_in_a_host_directory() {
    privileged!("mount a view");
    let host = temp_dir().unwrap();
    std::fs::create_dir(host.path().join("there")).unwrap();
    let mut view = Skeleton::new().unwrap();
    view.host_directory(&name("whole"), File::open(host.path()).unwrap())
        .unwrap();
    // Another entry in between, so that the directory is looked up again.
    view.directory(&name("other")).unwrap();
    view.directory(&name("whole/there")).unwrap();
    assert!(view.directory(&name("whole/not-there")).is_err());
    assert!(view.symlink(&name("whole/link"), "x".as_ref()).is_err());
    assert!(
        view.file(
            &name("whole/there/file"),
            File::open("/etc/passwd").unwrap()
        )
        .is_err()
    );
    assert_eq!(std::fs::read_dir(host.path()).unwrap().count(), 1);
}

fn outlives_signals_to_init(world: &World) {
    let script = "kill -TERM 1; kill -KILL 1; kill -INT 1; kill -STOP 1; sleep 0.1; exit 9";
    assert_eq!(world.run(&["--writable", "w"], script).code(), Some(9));
}

#[test]
fn privileged_signals_to_init() {
    privileged!("run an action as root");
    outlives_signals_to_init(&World::root());
}

#[test]
fn signals_to_init() {
    unprivileged(outlives_signals_to_init);
}

#[test]
fn privileged_the_limit_on_open_files_is_the_actions_own() {
    privileged!("mount a view");
    let mut action = shell("ulimit -Sn");
    action.open_files_limit = Some(123);
    let view = view_for(&action, |_| {}).into_tree();
    let (_, printed) = run(view, &action).unwrap();
    assert_eq!(printed, "123\n");
}
