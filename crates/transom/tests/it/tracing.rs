//! What is told about the use of inputs, exactly.

use serde_json::{Value, json};

use crate::world::{World, over_fuse_and_daemon};

over_fuse_and_daemon!(a_small_action, a_trace_that_cannot_be_written);

/// Does what its arguments say. Linked statically, so that nobody else uses
/// the view.
const PROBE: &str = r#"
    #include <dirent.h>
    #include <fcntl.h>
    #include <stdio.h>
    #include <string.h>
    #include <sys/stat.h>
    #include <unistd.h>
    int main(int argc, char **argv) {
        for (char **word = argv + 1; *word; word += 2) {
            char buffer[100];
            struct stat stat;
            if (!strcmp(*word, "read")) { int file = open(word[1], O_RDONLY); read(file, buffer, 100); close(file); }
            if (!strcmp(*word, "look")) lstat(word[1], &stat);
            if (!strcmp(*word, "list")) { DIR *directory = opendir(word[1]); while (readdir(directory)); closedir(directory); }
        }
        return argc > 1 && !strcmp(argv[argc - 2], "fail") ? 3 : 0;
    }
"#;

fn a_small_action(world: &World) {
    let source = world.file("probe.c", PROBE);
    let probe = world.path().join("probe");
    let mut gcc = world.command("gcc");
    gcc.args(["-w", "-static", "-o"]).args([&probe, &source]);
    assert!(gcc.status().unwrap().success());
    let file = world.file("file", "content\n");
    world.file("tree/deep/leaf", "leaf\n");
    world.file("tree/unused", "unused\n");

    let action = |last: &'static str| {
        let mut action = world
            .bare_action()
            .args(["--no-dev", "--no-proc", "--tmp", "none"]);
        for name in [
            "read me",
            "looked-at",
            "listed/one",
            "behind-link",
            "untouched",
            "new\nline",
        ] {
            action = action.file(&format!("w/{name}"), &file);
        }
        action
            .file("probe", &probe)
            .directory("tree", world.path().join("tree"))
            .directory("other", world.path().join("tree"))
            .symlink("w/followed", "behind-link")
            .symlink("w/link", "untouched")
            .args([
                "--trace",
                "trace.json",
                "--unused-inputs-list",
                "unused",
                "--trace-depfile",
                "deps",
            ])
            .command([
                "/probe",
                "read",
                "read me",
                "look",
                "looked-at",
                "list",
                "listed",
            ])
            .more([
                "read",
                "followed",
                "look",
                "link",
                "read",
                "/tree/deep/leaf",
            ])
            .more([
                "look",
                "absent",
                "look",
                "absent",
                "look",
                "gen/config.h",
                last,
                "x",
            ])
    };
    let used =
        |path: &str, kind: &str, usage: &str| json!({ "path": path, "kind": kind, "use": usage });
    let expected = json!({
            "format": 1,
            "inputs": [
                used("other", "whole-directory", "untouched"),
                used("probe", "file", "read"),
                used("tree", "whole-directory", "read"),
                used("w/behind-link", "file", "read"),
                used("w/followed", "symlink", "read"),
                used("w/link", "symlink", "looked-up"),
                used("w/listed/one", "file", "untouched"),
                used("w/looked-at", "file", "looked-up"),
                used("w/new\nline", "file", "untouched"),
                used("w/read me", "file", "read"),
                used("w/untouched", "file", "untouched"),
            ],
            "found": [used("tree/deep/leaf", "file", "read")],
            "listed": ["w/listed"],
            "absent": [
    // The C library asks where the program is.
    { "path": "proc", "requests": 1 }, { "path": "w/absent", "requests": 1 }, { "path": "w/gen", "requests": 1 }],
            "absent_dropped": 0,
        });
    for (last, code) in [("done", 0), ("fail", 3)] {
        action(last).run().exited(code);
        let trace: Value = serde_json::from_str(&world.read("trace.json")).unwrap();
        assert_eq!(trace, expected, "{trace:#}");
        assert_eq!(world.read("unused"), "other\nw/listed/one\nw/untouched\n");
        assert_eq!(
            world.read("deps"),
            "action: \\\n  probe \\\n  w/behind-link \\\n  w/looked-at \\\n  w/read\\ me \\\n  tree/deep/leaf\n"
        );
        // Make and ninja, and our own manifests, read it.
        let again = world
            .bare_action()
            .args(["--depfile", "deps", "--dry-run"])
            .command(["x"])
            .run();
        again.exited(125).says("deps:3").says("w/behind-link");
    }
}

fn a_trace_that_cannot_be_written(world: &World) {
    world.directory("directory");
    let mut cases = vec![
        ("--trace", "no/such/file", "no/such is no directory"),
        ("--unused-inputs-list", "directory", "it is a directory"),
        ("--trace-depfile", "no/such", "/no is no directory"),
    ];
    if !world.is_root() {
        cases.push(("--report", "/etc/report", "/etc: Permission denied"));
        cases.push(("--report", "/etc/passwd", "/etc/passwd: Permission denied"));
    }
    for (flag, path, why) in cases {
        let action = world.action().unreported().args([flag, path]);
        let run = action.sh("echo ran").run().exited(125);
        assert_eq!(run.stdout(), "");
        run.says(&format!("{flag}: cannot write {path}")).says(why);
    }
    // A directory that the action makes.
    let action = world.action().output("directory", "w/out", "out");
    let action = action.args(["--trace", "out/trace"]);
    action.sh("true").run().succeeded();
    assert!(world.exists("out/trace"));
}
