//! `transom explain`: why a name is there, or is not.

use serde_json::{Value, json};

use crate::action::LISTEN;
use crate::world::{Engine, World, privileged_case, unprivileged_case};

/// Asks why, and returns the sentence and the object.
fn explain(world: &World, view: &str, path: &str) -> (String, Value) {
    let ask = |arguments: &[&str]| {
        let output = world.run_transom(arguments);
        let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{complaint}");
        String::from_utf8(output.stdout).unwrap()
    };
    let text = ask(&["explain", view, path]);
    let object = ask(&["explain", "--json", view, path]);
    (text, serde_json::from_str(&object).unwrap())
}

/// What a path is, as the object says it.
fn answer(world: &World, view: &str, path: &str) -> Value {
    explain(world, view, path).1["answer"].clone()
}

fn manifest(world: &World) -> String {
    world.file("src/main.c", "main\n");
    world.file("tree/leaf", "leaf\n");
    let manifest = json!({
        "version": 1,
        "inputs": [
            { "name": "w/src/main.c", "file": "src/main.c", "executable": true },
            { "name": "w/src/config.h", "file": "/no/such/file" },
            { "name": "w/tree", "directory": "tree" },
            { "name": "w/link", "symlink": "src" },
            { "name": "w/dangling", "symlink": "nowhere" },
            { "name": "w/empty", "empty_directory": true },
            { "name": { "base64": "dy/p" }, "empty_directory": true },
        ],
    });
    let text = serde_json::to_string_pretty(&manifest).unwrap();
    world.file("action.json", text);
    "action.json".into()
}

/// No view is made, and no host file looked at.
#[test]
fn names_of_a_manifest() {
    let world = World::here();
    let world = &world;
    let manifest = &manifest(world);
    let (text, object) = explain(world, manifest, "w/src/main.c");
    let host_path = world.path().join("src/main.c");
    assert_eq!(
        text,
        format!(
            "`w/src/main.c` is the host file `{}`, shown as executable, declared at action.json:3\n",
            host_path.display()
        )
    );
    assert_eq!(
        object,
        json!({
            "path": "w/src/main.c",
            "answer": { "is": "file", "declared_at": "action.json:3", "host_path": host_path, "executable": true }
        })
    );
    assert_eq!(
        answer(world, manifest, "/w/src/config.h")["host_path"],
        "/no/such/file"
    );
    assert_eq!(answer(world, manifest, "w/src")["is"], "directory");
    assert_eq!(answer(world, manifest, "w/src")["implied"], true);
    assert_eq!(answer(world, manifest, "w/empty")["implied"], false);
    assert_eq!(answer(world, manifest, "w/tree")["is"], "whole-directory");
    let inside = answer(world, manifest, "w/tree/leaf");
    assert_eq!(
        (&inside["is"], &inside["whole"]),
        (&json!("inside-whole-directory"), &json!("w/tree"))
    );
    let link = answer(world, manifest, "w/link");
    assert_eq!(
        (&link["is"], &link["leads_to"]),
        (&json!("symlink"), &json!("w/src"))
    );
    assert_eq!(
        answer(world, manifest, "w/dangling")["leads_to"],
        json!(null)
    );
    let through = explain(world, manifest, "w/link/main.c").1;
    assert_eq!(
        (&through["followed"], &through["answer"]["is"]),
        (&json!(["w/link"]), &json!("file"))
    );
}

/// On a terminal or not.
#[test]
fn odd_names_are_shown_with_escapes() {
    let world = World::here();
    let world = &world;
    manifest(world);
    let (text, object) = explain(world, "action.json", "a\x1b[31mb\nc");
    assert_eq!(
        text,
        "`a\\u{1b}[31mb\\nc` does not exist: `a\\u{1b}[31mb\\nc` is not declared\n"
    );
    assert_eq!(object["path"], "a\x1b[31mb\nc");
    let missing = world.path().join("a\x1b[31mb");
    let run = world.bare_action().file("f", &missing).sh("true").run();
    let shown = missing.to_str().unwrap().replace('\x1b', "\\u{1b}");
    run.exited(125).says(&format!("the host has no `{shown}`"));
}

/// What an action has of its own is no input, and exists.
#[test]
fn names_of_the_action_itself() {
    let world = World::here();
    let world = &world;
    let manifest = json!({
        "version": 1,
        "inputs": [
            { "name": "w/in", "file": "in" },
            { "name": "w/link", "symlink": "/tmp" },
            { "name": "w/cache/in", "file": "in" },
        ],
        "outputs": [
            { "name": "w/made/file", "kind": "file", "destination": "/dest/file" },
            { "name": "w/tree", "kind": "directory", "destination": "/dest/tree" },
        ],
        "writable": ["w/cache"],
    });
    world.file("action.json", manifest.to_string());
    let view = "action.json";
    for (path, at, what) in [
        ("/proc/self/maps", "proc", "own-proc"),
        ("dev/null", "dev", "own-dev"),
        ("/tmp", "tmp", "own-tmp"),
        ("tmp/a/b", "tmp", "own-tmp"),
        ("w/link/a", "tmp", "own-tmp"),
        ("w/made/file", "w/made/file", "output"),
        ("w/made", "w/made", "writable"),
        ("w/made/other", "w/made", "writable"),
        ("w/tree/deep/file", "w/tree", "output"),
        ("w/cache/x", "w/cache", "writable"),
    ] {
        let answer = answer(world, view, path);
        assert_eq!(
            (&answer["is"], &answer["at"], &answer["what"]),
            (&json!("covered"), &json!(at), &json!(what)),
            "{path}"
        );
    }
    assert_eq!(answer(world, view, "w/cache/in")["is"], "file");
    assert_eq!(answer(world, view, "w/other")["is"], "absent");
    let (text, _) = explain(world, view, "w/made/file");
    assert_eq!(
        text,
        "`w/made/file` belongs to the output `w/made/file`, which is moved to `/dest/file` when \
         the command has succeeded\n"
    );
}

#[test]
fn names_a_manifest_lacks() {
    let world = World::here();
    let world = &world;
    let manifest = &manifest(world);
    let nearest = answer(world, manifest, "w/src/confg.h");
    assert_eq!(
        nearest,
        json!({ "is": "absent", "because": "undeclared", "missing": "w/src/confg.h", "nearest": ["w/src/config.h"] })
    );
    let (text, _) = explain(world, manifest, "w/src/confg.h");
    assert_eq!(
        text,
        "`w/src/confg.h` does not exist: `w/src/confg.h` is not declared; similar names are `w/src/config.h`\n"
    );
    let case = answer(world, manifest, "w/SRC/main.c");
    assert_eq!(
        (&case["because"], &case["missing"], &case["declared"]),
        (&json!("case-differs"), &json!("w/SRC"), &json!("w/src"))
    );
    // The first name on the way that is not there.
    assert_eq!(answer(world, manifest, "gen/deep/x")["missing"], "gen");
    assert_eq!(
        answer(world, manifest, "entirely-different")["nearest"],
        json!([])
    );
    let blocked = answer(world, manifest, "w/src/main.c/x");
    assert_eq!(
        (&blocked["because"], &blocked["ancestor"]),
        (&json!("not-a-directory"), &json!("w/src/main.c"))
    );
    // A name as long as none can be, and one that is no path.
    let long = world.run_transom(["explain", manifest, &"x".repeat(300)]);
    assert_eq!(long.status.code(), Some(125));
    let up = world.run_transom(["explain", manifest, "w/../x"]);
    assert_eq!(up.status.code(), Some(125));
    assert!(String::from_utf8_lossy(&up.stderr).contains("`.` and `..`"));
}

#[test]
fn what_is_neither_a_view_nor_a_manifest() {
    let world = World::here();
    let output = world.run_transom(["explain", "nothing", "x"]);
    assert_eq!(output.status.code(), Some(125));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no view \"nothing\" is running"));
    world.file("broken.json", "{");
    let output = world.run_transom(["explain", "broken.json", "x"]);
    assert_eq!(output.status.code(), Some(125));
    assert!(String::from_utf8_lossy(&output.stderr).contains("broken.json:1"));
}

fn a_running_view(world: &World) {
    let file = world.file("file", "content\n");
    let other = world.file("tree/leaf", "leaf\n");
    let action = world
        .action()
        .file("w/file", &file)
        .file("w/gone", &file)
        .directory("w/tree", other.parent().unwrap());
    let mut live = action.args(["--name", "demo"]).sh(LISTEN).start();
    live.says("ready");
    live.ask("cat file");
    let pinned = answer(world, "demo", "w/file");
    assert_eq!(pinned["host_path"], json!(file));
    assert_eq!(
        (
            &pinned["pinned"]["state"],
            &pinned["pinned"]["stamp"]["size"]
        ),
        (&json!("unchanged"), &json!(8))
    );
    // What became of the host file since.
    std::fs::write(world.path().join("new"), "new\n").unwrap();
    std::fs::rename(world.path().join("new"), &file).unwrap();
    let replaced = answer(world, "demo", "w/file");
    assert_eq!(
        (
            &replaced["pinned"]["state"],
            &replaced["pinned"]["now"]["size"]
        ),
        (&json!("replaced"), &json!(4))
    );
    let (text, _) = explain(world, "demo", "w/file");
    assert!(
        text.contains("was replaced by another file after it was pinned"),
        "{text}"
    );
    std::fs::remove_file(&file).unwrap();
    assert_eq!(
        answer(world, "demo", "/w/file")["pinned"]["state"],
        "deleted"
    );
    // Withdrawn.
    assert!(
        world
            .run_transom(["view", "withdraw", "demo", "w/gone"])
            .status
            .success()
    );
    assert_eq!(
        answer(world, "demo", "w/gone"),
        json!({ "is": "absent", "because": "withdrawn", "withdrawn": "w/gone", "epoch": 1 })
    );
    assert_eq!(
        answer(world, "demo", "w/gone/below")["because"],
        "withdrawn"
    );
    // Below a whole directory the host is asked.
    let leaf = answer(world, "demo", "w/tree/leaf");
    assert_eq!(
        (&leaf["is"], &leaf["found"]),
        (&json!("inside-whole-directory"), &json!("a file"))
    );
    assert_eq!(
        answer(world, "demo", "w/tree/nope")["because"],
        "not-on-host"
    );
    // Libraries are found through a declared link.
    let program = answer(world, "demo", "/bin/sh");
    assert_eq!(
        (&program["is"], &program["whole"]),
        (&json!("inside-whole-directory"), &json!("usr"))
    );
    assert_eq!(answer(world, "demo", "w/File")["because"], "case-differs");
    live.finish();
}

#[test]
fn privileged_a_running_view() {
    privileged_case(Engine::Fuse, a_running_view);
}

#[test]
fn a_running_view_without_privilege() {
    unprivileged_case(Engine::Fuse, a_running_view);
}
