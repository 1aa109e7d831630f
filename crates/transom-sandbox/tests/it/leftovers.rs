//! Whatever ends a run, it leaves no mount, process or scratch behind.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::process::{Pid, Signal, kill_process};
use transom_test::{HostState, privileged};

use crate::world::World;

/// A number of seconds to sleep that no other test uses: how the processes of
/// this one are known.
fn unique_sleep() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(1000);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("9{number}{}", std::process::id())
}

/// Starts an action and waits until it says that it runs.
fn start(mut command: Command) -> Child {
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    output.read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    child
}

/// An action with scratch that is hard to remove and processes that do not
/// want to end.
fn stubborn(world: &World, sleep: &str) -> Command {
    world.write("in", "input\n");
    let mut runner = world.runner(&[
        "--out-dir",
        "out=@/out",
        "--file",
        "out/mixed/in=@/in",
        "--writable",
        "out/mixed",
        "--tmp",
        "scratch",
    ]);
    let script = format!(
        "trap '' TERM INT HUP
         cd /out; i=0; while [ $i -lt 100 ]; do mkdir d; touch d/file; cd d; i=$((i+1)); done
         cd /out; mkdir locked; touch locked/file; chmod 0 locked; touch /tmp/file
         (trap '' TERM; setsid sleep {sleep}) & (setsid sleep {sleep} &) & echo ready; sleep {sleep}"
    );
    runner.args(["sh", "-c", &script]);
    runner
}

fn leave_nothing_when_killed(world: &World) {
    for signal in [Signal::KILL, Signal::TERM, Signal::INT, Signal::HUP] {
        let sleep = unique_sleep();
        // Makes the input first, which is not left behind by the run.
        let command = stubborn(world, &sleep);
        let state = HostState::capture(&sleep, &[world.path()]).unwrap();
        let mut child = start(command);
        assert!(!state.added().unwrap().is_empty());
        kill_process(Pid::from_child(&child), signal).unwrap();
        child.wait().unwrap();
        state.assert_restored();
    }
}

#[test]
fn privileged_kill_leaves_nothing() {
    privileged!("run an action as root");
    leave_nothing_when_killed(&World::root());
}

#[test]
fn kill_leaves_nothing() {
    if let Some(world) = World::unprivileged() {
        leave_nothing_when_killed(&world);
    }
}

fn leave_nothing_when_failed(world: &World) {
    // Also copies the runner, which is not what this is about.
    world.run(&[], "true").succeeded();
    let state = HostState::capture("transom-no-such-process", &[world.path()]).unwrap();
    let failing: [(&[&str], &[&str]); 4] = [
        (
            &["--out", "out/a=@/a"],
            &["sh", "-c", "echo > out/b; exit 1"],
        ),
        (&["--out", "out/a=@/a"], &["sh", "-c", "echo > out/b"]),
        (&["--out", "out/a=@/a"], &["no-such-command"]),
        (&["--out", "out/a=@/a", "--at", "/no/such"], &["true"]),
    ];
    for (options, command) in failing {
        let status = world.runner(options).args(command).status().unwrap();
        assert!(!status.success());
        state.assert_restored();
    }
}

#[test]
fn privileged_failure_leaves_nothing() {
    privileged!("run an action as root");
    leave_nothing_when_failed(&World::root());
}

#[test]
fn failure_leaves_nothing() {
    if let Some(world) = World::unprivileged() {
        leave_nothing_when_failed(&world);
    }
}

#[test]
fn privileged_failed_scratch_is_kept_when_asked() {
    privileged!("run an action as root");
    let world = World::root();
    let options = ["--keep", "yes", "--out", "out/a=@/a"];
    let run = world.run(&options, "echo half > out/a; exit 1");
    assert_eq!(run.code(), Some(1));
    let stderr = run.stderr();
    let kept = stderr.trim().strip_prefix("run_in_view: kept ").unwrap();
    assert_eq!(world.read(&format!("{kept}/out/a")), "half\n");
    // The next run sweeps, and spares it.
    world.run(&options, "echo whole > out/a").succeeded();
    assert_eq!(world.read(&format!("{kept}/out/a")), "half\n");
}
