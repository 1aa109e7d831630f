//! Many actions at once, from one process with many threads.

use std::fs::{self, File};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::Mode;
use transom_sandbox::{Exit, Sandbox, Scratch};
use transom_test::{privileged, temp_dir};

use crate::views::{captured, name, run, shell, view_for};

#[test]
fn privileged_a_hundred_actions_do_not_wait_for_each_other() {
    privileged!("mount views");
    let directory = temp_dir().unwrap();
    let script = &directory.path().join("script");
    fs::write(script, "#!/shell\nexit $1\n").unwrap();
    let long = shell("sleep 60");
    let view = view_for(&long, |_| {});
    let slow: Vec<_> = (0..100)
        .map(|_| {
            let (stdio, output) = captured();
            let tree = view.clone_tree().unwrap();
            let running = Sandbox::new(tree, &long, None)
                .unwrap()
                .spawn(stdio)
                .unwrap();
            (running, output)
        })
        .collect();
    let begin = Instant::now();
    thread::scope(|scope| {
        for thread in 0..4_u8 {
            // Children of one thread begin with what another has open.
            scope.spawn(move || {
                for round in 0..5 {
                    let code = thread * 5 + round;
                    let action = shell(&format!("/copy {code}"));
                    let view = view_for(&action, |view| {
                        let (shell, mode) = (File::open("/bin/sh").unwrap(), Mode::RWXU);
                        view.copied_file(&name("shell"), &shell, mode).unwrap();
                        let script = File::open(script).unwrap();
                        view.copied_file(&name("copy"), &script, mode).unwrap();
                    });
                    let (finished, _) = run(view.into_tree(), &action).unwrap();
                    assert_eq!(finished.exit, Exit::Exited(code));
                }
            });
        }
    });
    assert!(begin.elapsed() < Duration::from_secs(30));
    drop(slow);
}

#[test]
fn privileged_the_death_of_one_does_not_depend_on_the_others() {
    privileged!("mount views");
    // Every child of this process begins with a copy of all its descriptors.
    // One that kept another's lifeline would keep that one alive.
    let long = shell("sleep 60");
    let view = view_for(&long, |_| {});
    let start = || {
        let (stdio, output) = captured();
        let tree = view.clone_tree().unwrap();
        (
            Sandbox::new(tree, &long, None)
                .unwrap()
                .spawn(stdio)
                .unwrap(),
            output,
        )
    };
    let (first, mut first_output) = start();
    let (_second, _second_output) = start();
    drop(first);
    let mut rest = Vec::new();
    // End-of-file only if every process of the first is gone.
    std::io::Read::read_to_end(&mut first_output, &mut rest).unwrap();
}

#[test]
fn scratch_directories_are_made_at_once() {
    let base = temp_dir().unwrap();
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..20 {
                    let scratch = Scratch::new(base.path(), &[]).unwrap();
                    assert!(scratch.path().exists());
                    Scratch::sweep(base.path()).unwrap();
                    assert!(scratch.path().exists());
                }
            });
        }
    });
    assert_eq!(std::fs::read_dir(base.path()).unwrap().count(), 0);
}
