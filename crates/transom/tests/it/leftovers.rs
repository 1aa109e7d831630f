//! However a run ends, it leaves no mount, process or scratch behind.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Signal, kill_process_group};
use serde_json::json;
use tempfile::TempDir;
use transom_test::HostState;

use crate::action::Action;
use crate::world::{World, over_both_engines};

over_both_engines!(
    an_end_by_a_signal_leaves_nothing,
    any_other_end_leaves_nothing,
    another_runs_scratch_is_not_swept,
    a_kill_while_outputs_are_published_leaves_nothing,
    a_kill_at_any_time_leaves_no_scratch,
);

/// By which the processes of a test are known: a time to sleep that nobody
/// else does.
fn marker(world: &World) -> String {
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

/// A directory on another volume than the usual one for temporary files, that
/// everybody may write to.
fn elsewhere() -> Option<TempDir> {
    let directory = tempfile::tempdir_in("/dev/shm").ok()?;
    let device = |path: &Path| fs::metadata(path).unwrap().dev();
    fs::set_permissions(directory.path(), Permissions::from_mode(0o777)).unwrap();
    (device(directory.path()) != device(&std::env::temp_dir())).then_some(directory)
}

fn is_scratch(entry: &fs::DirEntry) -> bool {
    entry
        .file_name()
        .as_encoded_bytes()
        .starts_with(b".transom")
}

fn has_scratch(directory: &Path) -> bool {
    let mut entries = fs::read_dir(directory).unwrap();
    entries.any(|entry| is_scratch(&entry.unwrap()))
}

/// Waits for it: whoever removes it lives a little longer than its run.
#[track_caller]
fn assert_scratch_goes(directory: &Path) {
    let begin = Instant::now();
    while has_scratch(directory) {
        assert!(begin.elapsed() < Duration::from_secs(10), "scratch is left");
        thread::sleep(Duration::from_millis(10));
    }
}

fn a_kill_while_outputs_are_published_leaves_nothing(world: &World) {
    const BYTES: usize = 12 << 20;
    const FILES: usize = 300;
    const KILLS: u64 = 5;
    let Some(elsewhere) = elsewhere() else {
        transom_test::skip!("/dev/shm is not another volume");
    };
    let run = |generation: &str| {
        let script = format!(
            "head -c {BYTES} /dev/zero | tr '\\0' {generation} > file
             for i in $(seq {FILES}); do echo {generation} > tree/$i; done"
        );
        let action = world.action();
        let action = action.output("file", "w/here", "here/made");
        let action = action.output("file", "w/file", elsewhere.path().join("file"));
        let action = action.output("directory", "w/tree", elsewhere.path().join("tree"));
        action.sh(&format!("{script}; echo {generation} > here"))
    };
    world.directory("here");
    run("a").run().succeeded();
    for round in 0..KILLS {
        let live = run("b").start();
        while !has_scratch(elsewhere.path()) {
            thread::yield_now();
        }
        thread::sleep(Duration::from_millis(round * 4));
        live.signal(Signal::KILL);
        live.finish();
        assert_scratch_goes(elsewhere.path());
        assert_scratch_goes(&world.path().join("here"));

        let file = fs::read(elsewhere.path().join("file")).unwrap();
        assert_eq!(file.len(), BYTES);
        assert!(file.iter().all(|byte| *byte == file[0]));
        let tree = elsewhere.path().join("tree");
        let entries = fs::read_dir(tree).unwrap().map(Result::unwrap);
        let contents: Vec<_> = entries
            .map(|entry| fs::read(entry.path()).unwrap())
            .collect();
        assert_eq!(contents.len(), FILES);
        assert!(contents.iter().all(|content| *content == contents[0]));
    }
    run("c").run().succeeded();
    assert!(!has_scratch(elsewhere.path()));
}

fn a_kill_at_any_time_leaves_no_scratch(world: &World) {
    const KILLS: u32 = 8;
    let action = || {
        let action = world.action().output("directory", "w/out", "here/out");
        action.sh("for i in $(seq 30); do echo x > out/$i; done")
    };
    world.directory("here");
    let begin = Instant::now();
    action().run().succeeded();
    let whole = begin.elapsed();
    for kill in 0..KILLS {
        let live = action().start();
        thread::sleep(whole * kill / KILLS);
        live.signal(Signal::KILL);
        live.finish();
        assert_scratch_goes(&world.path().join("here"));
    }
}
