//! Runs of users whose views a daemon of root's serves.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use rustix::process::Signal;
use transom_test::{privileged, temp_dir};

use crate::world::World;

#[test]
fn privileged_a_user_gets_passthrough_through_the_daemon() {
    privileged!("run a daemon for others");
    let Some(world) = World::through_daemon() else {
        return;
    };
    let input = world.file("input", "text\n");
    let action = || {
        world
            .action()
            .file("w/input", &input)
            .output("directory", "w/out", world.path().join("out"))
            .sh("cat input > out/copy; cat input")
    };
    let run = action().run().succeeded();
    assert_eq!(run.stdout(), "text\n");
    assert_eq!(world.read("out/copy"), "text\n");
    let report = run.report();
    assert_eq!(report["passthrough"], true);
    assert_eq!(report["engine_reason"], "as asked; served by the daemon");
    assert!(report["requests"].is_null());
    assert_eq!(report["declared"]["files"], 1);
    assert_eq!(report["declared"]["file_bytes"], 5);
    let told = action().unreported().args(["--stats"]).run().succeeded();
    told.says("reads     by the kernel, through the daemon");
}

#[test]
fn privileged_what_the_daemon_refuses_is_told_with_its_rule() {
    privileged!("run a daemon for others");
    let Some(world) = World::through_daemon() else {
        return;
    };
    let secrets = temp_dir().unwrap();
    let secret = secrets.path().join("secret");
    fs::write(&secret, "secret").unwrap();
    fs::set_permissions(&secret, Permissions::from_mode(0o600)).unwrap();
    let run = world
        .action()
        .file("w/secret", &secret)
        .sh("cat secret")
        .run();
    let run = run.exited(125).says("the daemon does not serve the view");
    run.says(&format!(
        "`{}` cannot be read by this user",
        secret.display()
    ))
    .says("a client maps what he can open himself");
}

#[test]
fn privileged_a_run_that_is_killed_leaves_no_view() {
    privileged!("run a daemon for others");
    let Some(world) = World::through_daemon() else {
        return;
    };
    let views = || {
        let listed = Command::new(env!("CARGO_BIN_EXE_transom"))
            .args(["status", "--json"])
            .env("TRANSOM_SOCKET", world.daemon_socket())
            .output()
            .unwrap();
        assert!(listed.status.success(), "{listed:?}");
        let status: serde_json::Value = serde_json::from_slice(&listed.stdout).unwrap();
        status["daemon"]["views"].as_u64().unwrap()
    };
    let mut live = world.action().sh("echo ready; cat").start();
    live.says("ready");
    assert_eq!(views(), 1);
    live.signal(Signal::KILL);
    live.finish();
    while views() > 0 {
        std::thread::yield_now();
    }
}

#[test]
fn without_a_daemon_a_run_serves_its_view_itself() {
    let Some(world) = World::unprivileged(crate::world::Engine::Fuse) else {
        return;
    };
    let run = world.action().sh("true").run().succeeded();
    assert_eq!(run.report()["engine_reason"], "as asked");
    let required = world.action().args(["--daemon", "require"]);
    required
        .sh("true")
        .run()
        .exited(125)
        .says("cannot reach the daemon")
        .says("transom serve");
}
