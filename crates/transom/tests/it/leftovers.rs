//! However a run ends, it leaves no mount, process or scratch behind.

use rustix::process::{Signal, kill_process_group};
use serde_json::json;
use transom_test::HostState;

use crate::action::Action;
use crate::world::{World, over_both_engines};

over_both_engines!(
    an_end_by_a_signal_leaves_nothing,
    any_other_end_leaves_nothing,
    another_runs_scratch_is_not_swept,
);

/// By which the processes of a test are known: a time to sleep that nobody
/// else does.
fn marker(world: &World) -> String {
    use std::os::unix::fs::MetadataExt;
    let directory = std::fs::metadata(world.path()).unwrap();
    format!("9{}", directory.ino())
}

/// Has processes that do not want to end, and scratch that is hard to remove.
fn stubborn<'w>(world: &'w World, end: &str) -> Action<'w> {
    let input = world.file("input", "input\n");
    let sleep = marker(world);
    let script = format!(
        "trap '' TERM HUP; cd out; mkdir locked; touch locked/file; chmod 0 locked
         i=0; while [ $i -lt 50 ]; do mkdir d; cd d; i=$((i+1)); done; cd /w; touch /tmp/file
         (trap '' INT; setsid sleep {sleep}) & (sleep {sleep} &)
         echo ready; {end}"
    );
    world
        .action()
        .file("w/out/mixed/input", input)
        .output("directory", "w/out", "host/made")
        .set("writable", json!(["w/out/mixed"]))
        .args(["--tmp", "scratch"])
        .own_group()
        .sh(&script)
}

/// The machine, and the directory that outputs and scratch belong to.
fn state(world: &World) -> HostState {
    let directory = world.directory("host");
    HostState::capture(&marker(world), &[&directory]).unwrap()
}

fn an_end_by_a_signal_leaves_nothing(world: &World) {
    // Also brings the program here.
    world.action().sh("true").run().succeeded();
    let sleep = format!("sleep {}", marker(world));
    for signal in [Signal::KILL, Signal::INT, Signal::QUIT, Signal::TERM] {
        let state = state(world);
        let end = format!("trap 'exit 9' TERM; ulimit -c 0; {sleep} & wait; exit 9");
        let mut live = stubborn(world, &end).start();
        live.says("ready");
        assert!(
            !state.added().unwrap().is_empty(),
            "the processes can be found"
        );
        if signal == Signal::KILL {
            live.signal(signal);
        } else {
            // As the terminal does it.
            kill_process_group(live.pid(), signal).unwrap();
        }
        let run = live.finish();
        assert_ne!(run.code(), Some(0));
        state.assert_restored();
    }
}

fn any_other_end_leaves_nothing(world: &World) {
    world.action().sh("true").run().succeeded();
    let state = state(world);
    for (arguments, end, code) in [
        (&[][..], "exit 4", 4),
        (&["--timeout", "0.3"], "sleep 60", 124),
        // An input beside it cannot be an output's.
        (&[], "chmod 700 out/locked; mkfifo out/pipe; exit 0", 123),
        (&["--env", "x"], "exit 0", 125),
        (&["-C", "no/such/../x"], "exit 0", 125),
    ] {
        stubborn(world, end).args(arguments).run().exited(code);
        state.assert_restored();
    }
    for command in ["no-such-command", "/usr"] {
        let run = stubborn(world, "").command([command]).run();
        assert!(run.code() >= Some(126));
        state.assert_restored();
    }
}

fn another_runs_scratch_is_not_swept(world: &World) {
    let mut first = world
        .action()
        .output("file", "w/out/made", "first")
        .sh("echo ready; read line; echo made > out/made")
        .start();
    first.says("ready");
    world
        .action()
        .output("file", "w/out/made", "second")
        .sh("echo made > out/made")
        .run()
        .succeeded();
    first.tell("go");
    first.finish().succeeded();
    assert_eq!(world.read("first"), "made\n");
    assert!(!world.exists(".transom"));
}
