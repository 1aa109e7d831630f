//! Runs that are killed at any moment of their lives, by a signal that nobody
//! can prepare for.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::thread;
use std::time::Instant;

use serde_json::json;
use transom_test::HostState;

use crate::action::Action;
use crate::world::{Engine, World, over_both_engines};

over_both_engines!(killed_at_any_moment_leaves_nothing);

const KILLS: u32 = 50;

/// What the outputs hold. Large enough for a half to be noticed.
const OUTPUT_BYTES: usize = 1 << 20;

fn killed_at_any_moment_leaves_nothing(world: &World) {
    let input = world.file("input", vec![b'x'; OUTPUT_BYTES]);
    world.directory("tree");
    // Makes what the first run makes for all; the next tell how long one is.
    action(world, &input).run().succeeded();
    let one_run = |_| {
        let begin = Instant::now();
        action(world, &input).run().succeeded();
        begin.elapsed()
    };
    let whole_run = (0..5).map(one_run).min().unwrap();

    let state = HostState::capture(&marker(), &[]).unwrap();
    let mut killed = 0;
    for kill in 0..KILLS {
        world.file("file", "old");
        let (mut transom, _) = action(world, &input).prepare();
        let (stdout, stderr) = (Stdio::null(), Stdio::null());
        let mut child = transom.stdout(stdout).stderr(stderr).spawn().unwrap();
        thread::sleep(whole_run * 6 / 5 * kill / KILLS);
        child.kill().unwrap();
        let status = child.wait().unwrap();
        killed += u32::from(!status.success());

        state.assert_restored();
        // Old or new, nothing between.
        let file = fs::read(world.path().join("file")).unwrap();
        assert!(file == b"old" || file == [b'x'; OUTPUT_BYTES]);
        let tree = fs::read_dir(world.path().join("tree")).unwrap().count();
        assert!([0, TREE_FILES].contains(&tree), "{tree} files in the tree");
        fs::remove_dir_all(world.path().join("tree")).unwrap();
        world.directory("tree");
    }
    println!("{killed} of {KILLS} runs were killed in the {whole_run:?} that one takes");
    assert!(killed > KILLS / 4, "only {killed} were killed");

    // By the same name, and it sweeps.
    let run = action(world, &input).run().succeeded();
    assert_eq!(run.report()["undeclared_writes"], json!([]));
    assert_eq!(world.read("file").len(), OUTPUT_BYTES);
    assert!(!world.exists(".transom"), "scratch was not swept");
    let sockets = fs::read_dir(world.path().join(SOCKETS).join("transom"));
    assert_eq!(sockets.into_iter().flatten().count(), 0, "sockets are left");
    state.assert_restored();
}

/// The directory for sockets of running views.
const SOCKETS: &str = "run";

const TREE_FILES: usize = 50;

/// By which the processes of this test are known: a time to sleep that nobody
/// else does.
fn marker() -> String {
    format!("86400.{}", std::process::id())
}

/// Has processes in the background, and fills everything that can be written.
fn action<'w>(world: &'w World, input: &Path) -> Action<'w> {
    let script = format!(
        "sleep {} & cat input > out/file; cp input /tmp/copy
         i=0; while [ $i -lt {TREE_FILES} ]; do echo > tree/$i; i=$((i+1)); done",
        marker()
    );
    // Only one engine can be steered, by name.
    let name: &[&str] = match world.engine {
        Engine::Fuse => &["--name", "killed"],
        Engine::Mounts => &[],
    };
    world
        .action()
        .args(name)
        .env("XDG_RUNTIME_DIR", world.directory(SOCKETS))
        .file("w/input", input)
        .output("file", "w/out/file", "file")
        .output("directory", "w/tree", "tree")
        .args(["--tmp", "scratch"])
        .sh(&script)
}
