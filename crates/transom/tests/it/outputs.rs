//! What the action writes, and what becomes of it.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use serde_json::json;
use transom_test::{Tmpfs, privileged};

use crate::world::{Engine, World, over_both_engines};

over_both_engines!(
    files_and_directories,
    nested_outputs,
    inputs_and_outputs_in_one_directory,
    optional_outputs,
    missing_outputs_are_named,
    outputs_of_another_kind,
    existing_destinations_are_replaced,
    destinations_are_never_missing_or_half,
    existing_destinations_of_another_kind,
    a_failing_command_publishes_nothing,
    failed_outputs_are_kept_when_asked,
    undeclared_writes_are_reported,
    odd_names_cannot_deceive,
    writable_directories_are_thrown_away,
    nothing_else_can_be_written,
    atomic_writers,
    hard_links,
    symbolic_links_do_not_lead_out,
    symbolic_links_are_kept_if_asked,
    special_files_are_no_outputs,
    the_kernel_writes,
    an_output_of_the_last_run,
    scratch_is_not_seen_in_whole_directories,
    outputs_given_by_flags,
    the_summary_names_outputs,
    outputs_that_hide_each_other,
    outputs_in_each_other,
    directories_of_the_user_are_not_replaced,
    what_is_needed_is_not_replaced,
    inputs_are_not_replaced,
    unusable_destinations_are_found_first,
    modes_and_times,
);

fn files_and_directories(world: &World) {
    let action = world
        .action()
        .output("file", "w/out/main.o", "obj/main.o")
        .output("directory", "w/doc", "doc");
    let run = action
        .sh("ls -A . out doc; echo object > out/main.o; mkdir doc/deep; echo page > doc/deep/page")
        .run()
        .succeeded();
    // The directories exist before the command runs, and are empty.
    assert_eq!(run.stdout(), ".:\ndoc\nout\n\ndoc:\n\nout:\n");
    assert_eq!(
        (world.read("obj/main.o"), world.read("doc/deep/page")),
        ("object\n".into(), "page\n".into())
    );
    assert!(!world.exists(".transom") && !world.exists("obj/.transom"));
}

fn nested_outputs(world: &World) {
    let action = world
        .action()
        .output("directory", "w/out", "all")
        .output("file", "w/out/obj/main.o", "main.o")
        .output("directory", "w/out/log", "log");
    action
        .sh("echo o > out/obj/main.o; echo l > out/log/l; echo rest > out/rest")
        .run()
        .succeeded();
    assert_eq!(
        (
            world.read("main.o"),
            world.read("log/l"),
            world.read("all/rest")
        ),
        ("o\n".into(), "l\n".into(), "rest\n".into())
    );
}

fn inputs_and_outputs_in_one_directory(world: &World) {
    let source = world.file("src/main.c", "main\n");
    let tree = world.file("tree/leaf", "leaf\n");
    let action = world
        .action()
        .file("w/main.c", source)
        .directory("w/tree", tree.parent().unwrap())
        .symlink("w/link", "main.c")
        .output("file", "w/main.o", "main.o")
        .output("directory", "w/tree-out", "tree-out");
    let run = action.sh(
        "cat main.c tree/leaf link > main.o; echo new > tree-out/new
         (echo x > main.c) 2> /dev/null || echo protected; (echo x > tree/leaf) 2> /dev/null || echo protected
         rm -rf main.c tree 2> /dev/null || echo protected; mv main.c moved 2> /dev/null || echo protected
         mv main.o main.c 2> /dev/null || echo protected; touch tree/new 2> /dev/null || echo protected; ls",
    );
    assert_eq!(
        run.run().succeeded().stdout(),
        format!(
            "{}link\nmain.c\nmain.o\ntree\ntree-out\n",
            "protected\n".repeat(6)
        )
    );
    assert_eq!(
        (world.read("main.o"), world.read("src/main.c")),
        ("main\nleaf\nmain\n".into(), "main\n".into())
    );
    assert_eq!(
        (world.read("tree/leaf"), world.read("tree-out/new")),
        ("leaf\n".into(), "new\n".into())
    );
}

fn optional_outputs(world: &World) {
    let output = |name: &str| json!({ "name": format!("w/{name}"), "kind": "file", "destination": name, "optional": true });
    let action = world
        .action()
        .output_as(output("made"))
        .output_as(output("absent"));
    let run = action.sh("echo made > made").run().succeeded();
    assert_eq!(world.read("made"), "made\n");
    assert!(!world.exists("absent"));
    assert_eq!(run.report()["outputs"][0]["state"], "published");
    assert_eq!(run.report()["outputs"][1]["state"], "missing");
}

fn missing_outputs_are_named(world: &World) {
    let action = world
        .action()
        .output("file", "w/out/main.o", "main.o")
        .output("file", "w/out/other.o", "other.o");
    let run = action
        .sh("echo x > out/main.0; echo x > out/other.o")
        .run()
        .exited(123);
    let run = run.says("the declared output `w/out/main.o` is missing");
    run.says("`main.0`");
    // All or none.
    assert!(!world.exists("main.o") && !world.exists("other.o") && !world.exists(".transom"));
}

fn outputs_of_another_kind(world: &World) {
    for (kind, script, found) in [
        (
            "file",
            "mkdir made",
            "should be a file, but the action made a directory",
        ),
        (
            "file",
            "ln -s /usr/bin/true made",
            "should be a file, but the action made a symbolic link",
        ),
        (
            "file",
            "mkfifo made",
            "should be a file, but the action made a FIFO",
        ),
        (
            "directory",
            "rmdir made 2> /dev/null; rm -rf made/*; exit 0",
            "",
        ),
    ] {
        let run = world
            .action()
            .output(kind, "w/made", "made")
            .sh(script)
            .run();
        if found.is_empty() {
            run.succeeded();
            continue;
        }
        run.exited(123).says("`w/made`").says(found);
        assert!(!world.exists("made"));
    }
}

fn existing_destinations_are_replaced(world: &World) {
    let file = world.file("file", "old\n");
    world.file("tree/old", "old\n");
    world.directory("empty");
    let held = fs::File::open(&file).unwrap();
    let old = held.metadata().unwrap().ino();
    let action = world
        .action()
        .output("file", "w/file", "file")
        .output("directory", "w/tree", "tree")
        .output("directory", "w/empty", "empty")
        .args(["--replace"]);
    action
        .sh("echo new > file; echo new > tree/new; echo new > empty/new")
        .run()
        .succeeded();
    assert_eq!(
        (
            world.read("file"),
            world.read("tree/new"),
            world.read("empty/new")
        ),
        ("new\n".into(), "new\n".into(), "new\n".into())
    );
    assert!(!world.exists("tree/old"));
    // By renaming: whoever has the old file open goes on reading it.
    assert_ne!(fs::metadata(&file).unwrap().ino(), old);
    assert_eq!(std::io::read_to_string(held).unwrap(), "old\n");
}

fn destinations_are_never_missing_or_half(world: &World) {
    const BYTES: usize = 1 << 20;
    let path = world.file("made", "x".repeat(BYTES));
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut reads = 0;
            while !done.load(Ordering::Relaxed) {
                let content = fs::read(&path).unwrap();
                assert_eq!(content.len(), BYTES);
                assert!(content.iter().all(|byte| *byte == content[0]));
                reads += 1;
            }
            reads
        });
        for letter in ["a", "b", "c"] {
            let script = format!("head -c {BYTES} /dev/zero | tr '\\0' {letter} > made");
            let action = world.action().output("file", "w/made", "made");
            action.sh(&script).run().succeeded();
            assert!(world.read("made").starts_with(letter));
        }
        done.store(true, Ordering::Relaxed);
        assert!(reader.join().unwrap() > 3);
    });
}

fn existing_destinations_of_another_kind(world: &World) {
    world.file("tree/precious", "precious\n");
    world.file("file", "precious\n");
    let run = world
        .action()
        .output("file", "w/made", "tree/../tree")
        .sh("echo x > made")
        .run();
    let tree = world.path().join("tree");
    run.exited(125).says(&format!(
        "the destination `{}` of the output `w/made` is a directory; remove it first",
        tree.display()
    ));
    let run = world
        .action()
        .output("directory", "w/made", "file")
        .sh("true")
        .run();
    run.exited(125).says("is a file; remove it first");
    assert_eq!(
        (world.read("tree/precious"), world.read("file")),
        ("precious\n".into(), "precious\n".into())
    );
    // A link there is replaced, not followed.
    symlink("file", world.path().join("link")).unwrap();
    world
        .action()
        .output("file", "w/made", "link")
        .sh("echo new > made")
        .run()
        .succeeded();
    assert_eq!(
        (world.read("link"), world.read("file")),
        ("new\n".into(), "precious\n".into())
    );
}

fn a_failing_command_publishes_nothing(world: &World) {
    world.file("made", "old\n");
    for script in ["echo new > made; exit 1", "echo new > made; kill -9 $$"] {
        let run = world
            .action()
            .output("file", "w/made", "made")
            .sh(script)
            .run();
        assert_ne!(run.code(), Some(0));
        assert_eq!(run.report()["outputs"][0]["state"], "discarded");
        assert_eq!(run.report()["kept"], json!(null));
    }
    let late = world
        .action()
        .output("file", "w/made", "made")
        .args(["--timeout", "0.2"]);
    late.sh("echo new > made; exec sleep 60").run().exited(124);
    assert_eq!(world.read("made"), "old\n");
    assert!(!world.exists(".transom"));
}

fn failed_outputs_are_kept_when_asked(world: &World) {
    let failing = |script: &str| {
        let action = world.action().output("file", "w/out/made", "made").output(
            "file",
            "w/out/other",
            "other",
        );
        action.args(["--keep-failed"]).sh(script).run()
    };
    for (script, code) in [
        ("echo half > out/made; exit 3", 3),
        ("echo half > out/made", 123),
    ] {
        let run = failing(script).exited(code).says("was kept in");
        let kept = run.report()["kept"].as_str().unwrap();
        assert_eq!(world.read(format!("{kept}/w/out/made")), "half\n");
    }
    // The next run does not take them for leftovers.
    let kept = fs::read_dir(world.path().join(".transom")).unwrap().count();
    failing("echo made | tee out/made > out/other").succeeded();
    assert_eq!(
        fs::read_dir(world.path().join(".transom")).unwrap().count(),
        kept
    );
    assert_eq!(world.read("made"), "made\n");
}

fn undeclared_writes_are_reported(world: &World) {
    let action = || {
        world
            .action()
            .output("file", "w/out/made", "made")
            .args(["--writable", "cache"])
    };
    let script = "echo made > out/made; echo x > out/stray; mkdir -p out/deep/er; echo x > out/deep/er/file; mkdir out/empty; echo x > cache/x";
    let run = action().sh(script).run().succeeded();
    assert_eq!(
        run.report()["undeclared_writes"],
        json!(["w/out/deep/er/file", "w/out/empty", "w/out/stray"])
    );
    let run = run
        .says("undeclared write: w/out/stray")
        .says("undeclared write: w/out/empty");
    assert!(!run.stderr().contains("cache"));
    assert!(!world.exists("stray") && !world.exists("x"));
    // Also if the command fails.
    let failed = action().sh("echo x > out/stray; exit 4").run().exited(4);
    failed.says("undeclared write: w/out/stray");
}

fn odd_names_cannot_deceive(world: &World) {
    let with = |end: &str| {
        let script = format!(r#"name=$(printf 'x\n\033[2Jy'); echo x > "out/$name"; {end}"#);
        let action = world.action().output("file", "w/out/made", "made");
        action.sh(&script).run()
    };
    with("true")
        .exited(123)
        .says("in `w/out` the action left `x\\n\\u{1b}[2Jy`\n");
    with("echo made > out/made")
        .succeeded()
        .says("undeclared write: w/out/x\\n\\u{1b}[2Jy\n");
}

fn writable_directories_are_thrown_away(world: &World) {
    let input = world.file("input", "input\n");
    let action = world
        .action()
        .file("w/cache/input", &input)
        .set("writable", json!(["w/cache"]))
        .args(["--writable", "/var/tmp", "--writable", "build"]);
    let printed = action.prints(
        "cat cache/input; echo x > cache/x; echo x > /var/tmp/x; mkdir build/d; cat cache/x /var/tmp/x; ls -d /*/tmp build/d",
    );
    assert_eq!(printed, "input\nx\nx\n/var/tmp\nbuild/d\n");
    assert_eq!(world.read("input"), "input\n");
    assert!(!world.exists("cache") && !world.exists("build") && !world.exists("x"));
}

fn nothing_else_can_be_written(world: &World) {
    let file = world.file("file", "content\n");
    let action = world
        .action()
        .file("w/src/file", file)
        .output("file", "w/out/made", "made");
    let printed = action.prints(
        "for name in x src/x /x /usr/x /usr/bin/x /dev/x /proc/x /lib/x out/../x; do
            (echo x > $name) 2> /dev/null && echo wrote $name; mkdir $name 2> /dev/null && echo made $name
            ln -s x $name 2> /dev/null && echo linked $name
        done; echo made > out/made; echo done",
    );
    assert_eq!(printed, "done\n");
}

fn atomic_writers(world: &World) {
    // Compilers, linkers and `sed -i` write beside and rename over.
    let action = world.action().output("file", "w/out/made", "made");
    let printed = action.prints(
        "echo one > out/made; echo two > out/made.tmp; mv out/made.tmp out/made; sed -i s/two/three/ out/made
         mktemp -p out > /dev/null; rm out/tmp*; install -m 640 out/made out/copy; mv -f out/copy out/made; ls out",
    );
    assert_eq!(printed, "made\n");
    assert_eq!(world.read("made"), "three\n");
}

fn hard_links(world: &World) {
    let action = world.action().output("directory", "w/out", "out");
    action
        .sh("echo x > out/one; ln out/one out/two; mkdir out/d; ln out/one out/d/three")
        .run()
        .succeeded();
    let inode = |name| fs::metadata(world.path().join(name)).unwrap().ino();
    assert_eq!(inode("out/one"), inode("out/two"));
    assert_eq!(inode("out/one"), inode("out/d/three"));
}

fn symbolic_links_do_not_lead_out(world: &World) {
    world.file("precious", "precious\n");
    let action = || world.action().output("directory", "w/out", "out");
    let inside = "mkdir out/d; echo x > out/x; ln -s x out/link; ln -s ../x out/d/up; ln -s nowhere out/dangling";
    action().sh(inside).run().succeeded();
    assert_eq!(
        (world.read("out/link"), world.read("out/d/up")),
        ("x\n".into(), "x\n".into())
    );
    for (script, target) in [
        ("ln -s /etc/passwd out/link", "/etc/passwd"),
        ("ln -s ../../precious out/link", "../../precious"),
        ("mkdir out/d; ln -s ../../x out/d/link", "../../x"),
    ] {
        let run = action().sh(script).run().exited(123);
        run.says("symbolic link")
            .says("leads to")
            .says(target)
            .says("outside of the output");
    }
    // A link in place of a directory of the path is not followed either.
    let file =
        world
            .action()
            .output("file", "w/out/made", "made")
            .output("directory", "w/other", "other");
    let run = file
        .sh("echo x > other/made; rmdir out 2> /dev/null; rm -rf out; ln -s other out")
        .run();
    assert_ne!(run.code(), Some(0));
    assert!(!world.exists("made"));
}

fn symbolic_links_are_kept_if_asked(world: &World) {
    let make = |arguments: &[&str]| {
        let action = world
            .action()
            .output("file", "w/lib/libx.so", "libx.so")
            .output("file", "w/lib/libx.so.1", "libx.so.1")
            .output("directory", "w/venv", "venv")
            .args(arguments);
        action
            .sh("cd lib; echo x > libx.so.1; ln -s libx.so.1 libx.so; ln -s /usr/bin/env ../venv/python")
            .run()
    };
    make(&[])
        .exited(123)
        .says("`w/lib/libx.so` should be a file")
        .says("`--keep-links`");
    for _ in 0..2 {
        make(&["--keep-links"]).succeeded();
        let target = |name| fs::read_link(world.path().join(name)).unwrap();
        assert_eq!(target("libx.so").to_str(), Some("libx.so.1"));
        assert_eq!(target("venv/python").to_str(), Some("/usr/bin/env"));
        assert_eq!(world.read("libx.so"), "x\n");
    }
}

fn special_files_are_no_outputs(world: &World) {
    let action = world.action().output("directory", "w/out", "out");
    let run = action.sh("mkfifo out/pipe").run().exited(123);
    run.says("`w/out/pipe` in the output `w/out` is a FIFO");
    assert!(!world.exists("out"));
}

/// Writes go to the host's file system, and not through transom.
fn the_kernel_writes(world: &World) {
    let action = world.action().output("file", "w/made", "made");
    let run = action
        .sh("stat -f -c %T . ; dd if=/dev/zero of=made bs=64k count=100 2> /dev/null; cat made > /dev/null")
        .run()
        .succeeded();
    let host = world
        .command("stat")
        .args(["-f", "-c", "%T", "."])
        .output()
        .unwrap();
    assert_eq!(run.stdout().into_bytes(), host.stdout);
    assert_eq!(run.report()["requests"]["by_opcode"].get("WRITE"), None);
    assert_eq!(
        fs::metadata(world.path().join("made")).unwrap().len(),
        6_553_600
    );
}

/// The whole project is declared, and what the last run made lies in it.
fn an_output_of_the_last_run(world: &World) {
    world.file("project/src", "1\n");
    world.file("project/out/result", "old\n");
    let action = || {
        let action = world
            .action()
            .directory("project", world.path().join("project"));
        action
            .output("file", "project/out/result", "project/out/result")
            .args(["-C", "project"])
    };
    assert_eq!(action().prints("ls out; cat src > out/result"), "");
    assert_eq!(world.read("project/out/result"), "1\n");
    // A host directory cannot get a new name, though.
    let run = world
        .action()
        .directory("project", world.path().join("project"))
        .output("file", "project/new/result", "x")
        .sh("echo ran")
        .run()
        .exited(125);
    assert_eq!(run.stdout(), "");
    let make = format!("make it: mkdir -p {}/project/new", world.path().display());
    run.says("json:")
        .says("`project/new` is needed")
        .says(&make);
}

/// Neither an action's own nor that of another one.
fn scratch_is_not_seen_in_whole_directories(world: &World) {
    let project = world.directory("project");
    world.file("project/src/main.c", "main\n");
    world.directory("project/out");
    let action = || {
        let action = world.action().directory("project", &project);
        let action = action.output("file", "project/out/result", "project/out/result");
        action.args(["-C", "project"])
    };
    let mut other = action()
        .sh("echo ready; read line; echo > out/result")
        .start();
    other.says("ready");
    let listing = "find . | sort > /tmp/listing; tee out/result < /tmp/listing";
    let first = action().prints(listing);
    assert_eq!(first, ".\n./out\n./src\n./src/main.c\n");
    fs::remove_file(project.join("out/result")).unwrap();
    assert_eq!(action().prints(listing), first);
    other.finish().succeeded();
    assert!(!world.exists(".transom") && !world.exists("project/.transom"));
}

fn outputs_given_by_flags(world: &World) {
    let file = format!("b={}", world.path().join("result/b").display());
    let action = world.action().args([
        "--out",
        "made",
        "--out-file",
        "obj/a.o",
        "--out-file",
        &file,
    ]);
    action
        .sh("echo m > made/m; echo a > obj/a.o; echo b > b")
        .run()
        .succeeded();
    assert_eq!(
        (
            world.read("made/m"),
            world.read("obj/a.o"),
            world.read("result/b")
        ),
        ("m\n".into(), "a\n".into(), "b\n".into())
    );
}

fn the_summary_names_outputs(world: &World) {
    let action = world
        .action()
        .output("file", "w/a", "a")
        .output("directory", "w/b", "b");
    let run = action.sh("touch a").run().succeeded();
    let here = world.path();
    assert_eq!(
        run.report()["outputs"],
        json!([
            { "name": "w/a", "destination": here.join("a"), "state": "published" },
            { "name": "w/b", "destination": here.join("b"), "state": "published" },
        ])
    );
    assert_eq!(run.report()["undeclared_writes"], json!([]));
}

fn outputs_that_hide_each_other(world: &World) {
    world.directory("real");
    symlink("real", world.path().join("link")).unwrap();
    for (one, other) in [
        ("same", "same"),
        ("real/f", "link/f"),
        ("real/f", "./real/../real/f"),
        ("real/f", "link/new/../f"),
    ] {
        let action = world
            .action()
            .output("file", "w/a", one)
            .output("file", "w/b", other);
        let run = action
            .sh("echo ran; echo a > a; echo b > b")
            .run()
            .exited(125);
        assert_eq!(run.stdout(), "");
        run.says("json:")
            .says("`w/a` and `w/b` have the same destination");
        assert!(!world.exists("same") && !world.exists("real/f"));
    }
}

fn outputs_in_each_other(world: &World) {
    symlink(".", world.path().join("here")).unwrap();
    let refused = |outputs: [(&str, &str, &str); 2]| {
        let mut action = world.action().args(["--replace"]);
        for (kind, name, destination) in outputs {
            action = action.output(kind, name, destination);
        }
        let run = action
            .sh("echo ran; echo in > d/f; mkdir -p p; echo y > p/y")
            .run()
            .exited(125);
        assert_eq!(run.stdout(), "");
        run.says("lies in").says("replaces as a whole");
    };
    // Whether or not there is something.
    for _ in 0..2 {
        refused([("directory", "w/d", "xx"), ("file", "w/p/y", "xx/y")]);
        refused([("file", "w/p/y", "here/xx/y"), ("directory", "w/d", "xx")]);
        refused([
            ("directory", "w/d", "xx"),
            ("directory", "w/p", "xx/deep/sub"),
        ]);
        world.file("xx/f", "");
    }
    // The directory that holds another is not replaced by one that is a file.
    refused([("file", "w/p/y", "new"), ("directory", "w/d", "new/d")]);
}

fn directories_of_the_user_are_not_replaced(world: &World) {
    world.file("made-by-hand/precious", "precious\n");
    let make = |destination: &str, arguments: &[&str]| {
        let action = world.action().output("directory", "w/out", destination);
        let action = action.args(arguments);
        action.sh("echo ran; echo $RANDOM > out/new").run()
    };
    let refused = make("made-by-hand", &[]).exited(125);
    assert_eq!(refused.stdout(), "");
    refused
        .says("json:")
        .says("made-by-hand` of the output `w/out` is a directory that no action has made")
        .says("`--replace`");
    assert_eq!(world.read("made-by-hand/precious"), "precious\n");
    make("made-by-hand", &["--replace"]).succeeded();
    assert!(!world.exists("made-by-hand/precious"));
    // What was made by a run is replaced by the next, whatever is in it.
    for _ in 0..2 {
        make("made-by-hand", &[]).succeeded();
        world.file("made-by-hand/more", "");
    }
    // And what holds nothing.
    world.directory("empty");
    make("empty", &[]).succeeded();
    make("empty", &[]).succeeded();
    make("new", &[]).succeeded();
    make("new", &[]).succeeded();
    // A directory that is there by the end of the run only.
    let path = world.path().join("late");
    let action = world.action().output("directory", "w/out", "late");
    let mut live = action.command(["sh", "-c", crate::action::LISTEN]).start();
    live.says("ready");
    fs::create_dir(&path).unwrap();
    world.file("late/precious", "precious\n");
    live.finish().exited(123).says("that no action has made");
    assert_eq!(world.read("late/precious"), "precious\n");
}

fn what_is_needed_is_not_replaced(world: &World) {
    let here = world.path().to_owned();
    let parent = here.parent().unwrap().to_owned();
    symlink(&here, here.join("link")).unwrap();
    world.file("project/.git/HEAD", "ref\n");
    let source = world.file("project/src/main.c", "main\n");
    let refused_with = |more: &[&str], destination: &str, what: &str| {
        let action = world.action().file("w/main.c", &source);
        let action = action
            .directory("tree", here.join("project/.git"))
            .output("directory", "w/out", destination)
            .env("HOME", here.join("home/me"));
        let action = action.args(more);
        let run = action.sh("echo ran").run().exited(125);
        assert_eq!(run.stdout(), "");
        run.says("is or holds").says(what).says("would be lost");
    };
    let refused = |destination: &str, what: &str| {
        refused_with(&[], destination, what);
        refused_with(&["--replace"], destination, what);
    };
    world.directory("home/me");
    refused(".", "the current directory");
    refused("project/..", "the current directory");
    if world.is_root() {
        refused(parent.to_str().unwrap(), "the current directory");
    }
    refused("link/project/..", "the current directory");
    refused("home", "the home directory");
    refused("home/me", "the home directory");
    refused("project/src", "the input `w/main.c`");
    refused("project", "the input `w/main.c`");
    refused("link/project/.git", "the input `tree`");
    assert_eq!(world.read("project/.git/HEAD"), "ref\n");

    let manifest = world.file("actions/one.json", r#"{ "version": 1 }"#);
    let root = world.run_transom(["run", "--out", "o=/", "--", "true"]);
    let root = crate::action::Run::of(root).exited(125);
    root.says("cannot be made: it is the root of the host");
    let with_manifest = |destination: &str, what: &str| {
        let arguments = ["run", "--out", destination, "--replace", "--scratch", "s"];
        let mut transom = world.transom();
        transom.args(arguments).arg("--manifest").arg(&manifest);
        let run = transom.args(["--", "true"]).output().unwrap();
        crate::action::Run::of(run).exited(125).says(what);
    };
    world.directory("s");
    with_manifest("actions", "is or holds the manifest");
    with_manifest("s", "is or holds the directory for scratch");
}

fn inputs_are_not_replaced(world: &World) {
    let input = world.file("src/parser.c", "old\n");
    let action = || {
        let action = world.action().file("w/parser.c", &input);
        let action = action.output("file", "w/out/parser.c", "src/parser.c");
        action.sh("echo new | tee out/parser.c")
    };
    let run = action().run().exited(125);
    assert_eq!(run.stdout(), "");
    run.says("is the input `w/parser.c`").says("`--replace`");
    assert_eq!(world.read("src/parser.c"), "old\n");
    action().args(["--replace"]).run().succeeded();
    assert_eq!(world.read("src/parser.c"), "new\n");
}

fn unusable_destinations_are_found_first(world: &World) {
    world.file("file", "");
    symlink("nothing", world.path().join("dangling")).unwrap();
    let mut cases = vec![
        ("file/x", "file` is not a directory"),
        ("file/deep/x", "file` is not a directory"),
        ("dangling/x", "dangling` is a symbolic link to nothing"),
    ];
    if !world.is_root() {
        cases.push(("/etc/x", "`/etc`: Permission denied"));
    }
    for (destination, why) in cases {
        let action = world.action().output("file", "w/made", destination);
        let run = action.sh("echo ran").run().exited(125);
        assert_eq!(run.stdout(), "");
        run.says("json:").says("of the output `w/made`").says(why);
    }
}

fn modes_and_times(world: &World) {
    let action = world
        .action()
        .output("file", "w/a", "a")
        .output("directory", "w/d", "d");
    let script = "echo x > a; chmod 751 a; touch -d '2001-02-03 UTC' a; chmod 700 d";
    action.sh(script).run().succeeded();
    let file = fs::metadata(world.path().join("a")).unwrap();
    assert_eq!((file.mode() & 0o7777, file.mtime()), (0o751, 981_158_400));
    let directory = fs::metadata(world.path().join("d")).unwrap();
    assert_eq!(directory.mode() & 0o7777, 0o700);
    let owner = fs::metadata(world.path()).unwrap();
    assert_eq!((file.uid(), directory.uid()), (owner.uid(), owner.uid()));
}

fn across_volumes(engine: Engine) {
    let world = World::root(engine);
    let volume = Tmpfs::new(16 << 20).unwrap();
    let on = |name: &str| volume.path().join(name);
    fs::write(on("file"), "old\n").unwrap();
    fs::create_dir(on("tree")).unwrap();
    fs::write(on("tree/old"), "old\n").unwrap();
    let action = || {
        world
            .action()
            .output("file", "w/file", on("file"))
            .output("directory", "w/tree", on("tree"))
            .output("file", "w/here", "here")
            .args(["--replace"])
            // Not on the volume of the first destination.
            .args(["--scratch"])
            .args([world.path()])
    };
    let script = "echo new > file; chmod 751 file; mkdir tree/d; echo x > tree/d/one; ln tree/d/one tree/two; ln -s d/one tree/link; echo here > here";
    action().sh(script).run().succeeded();
    let read = |name| fs::read_to_string(on(name)).unwrap();
    assert_eq!(
        (read("file"), read("tree/d/one"), read("tree/link")),
        ("new\n".into(), "x\n".into(), "x\n".into())
    );
    let stat = |name| fs::symlink_metadata(on(name)).unwrap();
    assert_eq!(
        (stat("file").mode() & 0o777, stat("tree/two").ino()),
        (0o751, stat("tree/d/one").ino())
    );
    assert!(!on("tree/old").exists());
    // Nothing is left beside them, also when another output is missing.
    let before = listing(volume.path());
    action().sh("echo newer > file").run().exited(123);
    assert_eq!(listing(volume.path()), before);
    assert_eq!(read("file"), "new\n");
    // A volume that is full.
    let run = action()
        .sh("head -c 20000000 /dev/zero > file; echo > here")
        .run();
    assert_ne!(run.code(), Some(0));
    run.says("No space left");
    assert_eq!(listing(volume.path()), before);
    assert_eq!(
        fs::metadata(on("file")).unwrap().permissions(),
        Permissions::from_mode(0o100_751)
    );
}

fn listing(directory: &std::path::Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn privileged_outputs_across_volumes_with_fuse() {
    privileged!("mount another volume");
    across_volumes(Engine::Fuse);
}

#[test]
fn privileged_outputs_across_volumes_with_mounts() {
    privileged!("mount another volume");
    across_volumes(Engine::Mounts);
}
