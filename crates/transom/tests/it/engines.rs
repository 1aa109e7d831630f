//! Which engine serves a view, and why.

use serde_json::{Value, json};

use crate::action::Action;
use crate::world::{Engine, World, over_both_engines, privileged_case, unprivileged_case};

over_both_engines!(
    the_engine_asked_for,
    what_reads_the_files,
    the_figures_of_a_run,
    a_dry_run,
);

fn the_engine_asked_for(world: &World) {
    let run = world.action().sh("true").run().succeeded();
    assert_eq!(run.report()["engine"], world.engine.name());
    assert_eq!(run.report()["engine_reason"], "as asked");
}

fn what_reads_the_files(world: &World) {
    let file = world.file("file", "content\n");
    let run = world
        .action()
        .file("w/file", file)
        .sh("cat file")
        .run()
        .succeeded();
    let by_the_kernel = world.engine == Engine::Mounts || world.is_root();
    assert_eq!(run.report()["passthrough"], by_the_kernel);
    let requests = &run.report()["requests"];
    let served = requests["served_opens"].as_u64().unwrap();
    assert_eq!(
        (requests["read"] == 0, served == 0),
        (by_the_kernel, by_the_kernel),
        "{requests}"
    );
}

/// Requests, opens, bytes and times, for people and as JSON.
fn the_figures_of_a_run(world: &World) {
    let file = world.file("file", "x".repeat(5000));
    let action = || {
        world
            .action()
            .file("w/file", &file)
            .sh("cat file > /dev/null; sleep 0.1; test -e absent")
    };
    let run = action().run().exited(1);
    let report = run.report();
    assert_eq!(report["format"], 1);
    assert_eq!(report["declared"]["files"], 1);
    assert_eq!(report["declared"]["file_bytes"], 5000);
    assert_eq!(report["declared"]["whole_directories"], 1);
    assert_eq!(report["declared"]["symlinks"], 3);
    assert_eq!(report["exit"], json!({ "kind": "exited", "code": 1 }));
    let time = |name: &str| report["times"][name].as_u64().unwrap();
    assert!(
        time("run_us") >= 100_000 && time("set_up_us") > 0 && time("tear_down_us") > 0,
        "{report}"
    );
    let requests = &report["requests"];
    let by_opcode = requests["by_opcode"].as_object().unwrap();
    let sum: u64 = by_opcode
        .values()
        .map(|count| count.as_u64().unwrap())
        .sum();
    assert_eq!(requests["total"], sum);
    match world.engine {
        Engine::Mounts => assert_eq!((sum, &requests["passthrough_opens"]), (0, &json!(0))),
        Engine::Fuse => assert!(
            by_opcode["LOOKUP"].as_u64().unwrap() > 0 && by_opcode["OPEN"].as_u64().unwrap() > 0
        ),
    }
    let told = action().unreported().args(["--stats"]).run().exited(1);
    let told = told
        .says("exit 1")
        .says("declared  1 file (4.9 KiB), 1 whole directory")
        .says("set-up");
    assert_eq!(
        told.stderr().contains("LOOKUP"),
        world.engine == Engine::Fuse
    );
    // JSON without a file goes to standard error.
    let json = action().unreported().args(["--json"]).run().exited(1);
    let value: Value = serde_json::from_slice(&json.stderr).unwrap();
    assert_eq!(value["declared"]["files"], 1);
}

fn a_dry_run(world: &World) {
    let file = world.file("file", "content\n");
    let action = world
        .bare_action()
        .file("w/file", &file)
        .directory("usr", "/usr")
        .symlink("bin", "usr/bin");
    let run = action
        .output("file", "w/out/made", "made")
        .args(["--dry-run"])
        .command(["/usr/bin/touch", "out/made"]);
    let printed = run.run().succeeded().stdout();
    let expected = format!(
        "bin -> usr/bin\ndev/\nproc/\ntmp/\nusr/ = /usr/ (whole)\nw/\nw/file = {}\nw/out/\nengine {} (as asked)\n",
        file.display(),
        world.engine.name()
    );
    assert_eq!(printed, expected);
    assert!(!world.exists("made") && !world.exists(".transom"));
}

/// The same action, without an engine asked for.
fn chosen(action: Action<'_>) -> (String, String) {
    let run = action.engine("auto").sh("true").run().succeeded();
    let text = |field: &str| run.report()[field].as_str().unwrap().to_owned();
    (text("engine"), text("engine_reason"))
}

fn choice(engine: &str, reason: &str) -> (String, String) {
    (engine.into(), reason.into())
}

#[test]
fn privileged_auto() {
    privileged_case(Engine::Fuse, |world| {
        let few = choice("mounts", "few enough inputs to bind each of them");
        assert_eq!(chosen(world.action()), few);
        for options in [
            ["--trace", "trace"],
            ["--unused-inputs-list", "unused"],
            ["--trace-depfile", "depfile"],
            ["--control-fd", "9"],
            ["--name", "view"],
        ] {
            let needed = choice("fuse", &format!("{} needs it", options[0]));
            assert_eq!(chosen(world.action().args(options)), needed);
        }
        let file = world.file("file", "");
        let mut action = world.action();
        for number in 0..1001 {
            action = action.file(&format!("w/{number}"), &file);
        }
        assert_eq!(
            chosen(action),
            choice("fuse", "too many inputs to bind each of them")
        );
    });
}

#[test]
fn auto_without_privilege() {
    unprivileged_case(Engine::Mounts, |world| {
        let file = world.file("file", "");
        let mut action = world.action();
        for number in 0..1001 {
            action = action.file(&format!("w/{number}"), &file);
        }
        let kernel = "without privilege the kernel still reads bind mounts by itself";
        assert_eq!(chosen(action), choice("mounts", kernel));
    });
}

#[test]
fn what_mounts_cannot_do_is_refused() {
    unprivileged_case(Engine::Mounts, |world| {
        for option in [
            "--trace",
            "--unused-inputs-list",
            "--trace-depfile",
            "--name",
        ] {
            let action = world
                .action()
                .args([option, "file"])
                .sh("echo it began >&2");
            let run = action.run().exited(125);
            let run = run.says(&format!("{option} needs `--engine fuse`"));
            assert!(!run.stderr().contains("it began"));
            assert!(!world.exists("file"));
        }
    });
}

#[test]
fn fuse_without_privilege_says_that_reads_pass_through() {
    unprivileged_case(Engine::Fuse, |world| {
        let run = world
            .action()
            .unreported()
            .args(["--stats"])
            .sh("true")
            .run()
            .succeeded();
        run.says("reads pass through transom: passthrough needs CAP_SYS_ADMIN");
    });
}

#[test]
fn fuse_that_cannot_be_opened_says_what_else_to_do() {
    unprivileged_case(Engine::Mounts, |world| {
        let mut shell = world.command("sh");
        let opened = shell.args(["-c", "exec 3<> /dev/fuse"]).output().unwrap();
        if opened.status.success() {
            transom_test::skip!("/dev/fuse can be opened by everybody here");
        }
        let run = world
            .action()
            .engine("fuse")
            .sh("echo ran")
            .run()
            .exited(125);
        assert_eq!(run.stdout(), "");
        run.says("/dev/fuse")
            .says("the engine `mounts` does without");
    });
}
