//! Views as programs use them. As root, or as anybody who may make user
//! namespaces: then each test is a process of its own that enters one.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;

use transom_sandbox::privilege::Privilege;
use transom_test::{privileged, temp_dir};
use transom_view::{Engine, Error, Exit, View, ViewBuilder};

/// With what every dynamically linked program needs.
fn with_programs() -> ViewBuilder {
    ["bin", "lib", "lib64"]
        .into_iter()
        .fold(View::builder().directory("usr", "/usr"), |view, name| {
            view.symlink(name, format!("usr/{name}"))
        })
}

fn shell(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]).env("PATH", "/bin");
    command
}

const ENGINES: [Engine; 2] = [Engine::Mounts, Engine::Fuse];

#[test]
fn privileged_a_command_sees_its_inputs_and_nothing_else() {
    privileged!("make views");
    let host = temp_dir().unwrap();
    fs::write(host.path().join("declared"), "bytes").unwrap();
    fs::write(host.path().join("undeclared"), "").unwrap();
    for engine in ENGINES {
        let view = with_programs()
            .file("work/input", host.path().join("declared"))
            .engine(engine)
            .build()
            .unwrap();
        let mut command = shell("cat input; ls; echo $SET; echo wrong >&2; exit 3");
        command.current_dir("/work").env("SET", "yes");
        let (finished, output) = view.output(&command).unwrap();
        assert_eq!(finished.exit, Exit::Exited(3), "{engine:?}");
        assert!(!finished.is_success());
        assert_eq!(output.status.code(), Some(3));
        assert_eq!(String::from_utf8_lossy(&output.stdout), "bytesinput\nyes\n");
        assert_eq!(output.stderr, b"wrong\n");
    }
}

#[test]
fn privileged_outputs_of_success_are_moved_and_of_failure_are_not() {
    privileged!("make views");
    let host = temp_dir().unwrap();
    for engine in ENGINES {
        let destination = host.path().join("made/here");
        let view = with_programs()
            .output("out/file", &destination)
            .engine(engine)
            .build()
            .unwrap();
        let fails = view.spawn(&shell("echo 1 > out/file; exit 1")).unwrap();
        assert!(fails.wait().unwrap().collected.is_none());
        assert!(!destination.exists());
        let succeeds = view.spawn(&shell("echo 2 > out/file")).unwrap();
        let finished = succeeds.wait().unwrap();
        assert!(finished.is_success(), "{finished:?}");
        assert_eq!(fs::read(&destination).unwrap(), b"2\n");
        let makes_nothing = view.spawn(&shell("true")).unwrap().wait();
        let error = makes_nothing.unwrap_err().to_string();
        assert!(error.contains("`out/file` is missing"), "{error}");
        fs::remove_file(&destination).unwrap();
    }
}

#[test]
fn privileged_commands_run_side_by_side_in_one_view() {
    privileged!("make views");
    let host = temp_dir().unwrap();
    for engine in ENGINES {
        let view = with_programs()
            .writable("scratch")
            .scratch(host.path())
            .engine(engine)
            .build()
            .unwrap();
        thread::scope(|scope| {
            for number in 0..4 {
                let view = &view;
                scope.spawn(move || {
                    let script = format!("echo {number} > scratch/own; cat scratch/*");
                    let (finished, output) = view.output(&shell(&script)).unwrap();
                    assert!(finished.is_success(), "{finished:?}");
                    assert_eq!(output.stdout, format!("{number}\n").into_bytes());
                });
            }
        });
    }
    let left: Vec<_> = fs::read_dir(host.path()).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn privileged_inputs_that_change_in_place_are_reported() {
    privileged!("make views");
    let host = temp_dir().unwrap();
    let input = host.path().join("input");
    fs::write(&input, "old").unwrap();
    let view = with_programs()
        .file("input", &input)
        .output("out/file", host.path().join("output"))
        .build()
        .unwrap();
    fs::write(&input, "new bytes").unwrap();
    let running = view.spawn(&shell("echo > out/file")).unwrap();
    let finished = running.wait().unwrap();
    assert_eq!(finished.exit, Exit::Exited(0));
    assert_eq!(finished.changed.len(), 1);
    assert!(!finished.is_success());
    assert!(!host.path().join("output").exists());
}

#[test]
fn privileged_a_dropped_command_is_killed() {
    privileged!("make views");
    let host = temp_dir().unwrap();
    let view = with_programs()
        .output("out/file", host.path().join("output"))
        .build()
        .unwrap();
    drop(view.spawn(&shell("sleep 1000")).unwrap());
    let left: Vec<_> = fs::read_dir(host.path()).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn what_is_wrong_is_said_when_the_view_is_built() {
    let privilege = transom_sandbox::privilege::detect().unwrap();
    let built = with_programs().file("input", "/does/not/exist").build();
    match built.unwrap_err() {
        Error::NoPrivilege => assert_eq!(privilege, Privilege::None),
        error => assert!(error.to_string().contains("/does/not/exist"), "{error}"),
    }
    assert!(!Path::new("/does").exists());
}
