//! Bad input gives an error that names the entry and the line, before anything
//! ran, and leaves nothing behind.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;

use serde_json::{Value, json};
use transom_test::is_root;

use crate::action::Run;
use crate::world::{World, over_both_engines};

over_both_engines!(
    malformed,
    truncated,
    misspelt,
    duplicates,
    conflicts,
    names_that_leave_the_view,
    names_no_kernel_takes,
    looping_links,
    missing_host_files,
    host_files_of_another_kind,
    unreadable_host_files,
    pipes_sockets_and_devices,
    broken_lists,
    bad_outputs,
    bad_flags,
    a_manifest_that_cannot_be_read,
    several_mistakes,
);

/// Runs a manifest that has to be refused.
#[track_caller]
fn refused(world: &World, manifest: impl AsRef<[u8]>) -> Run {
    world.file("bad.json", manifest);
    refused_with(world, &["--manifest", "bad.json"])
}

/// Runs with arguments that have to be refused. The command would leave a mark.
#[track_caller]
fn refused_with(world: &World, arguments: &[&str]) -> Run {
    let before = names(world);
    let mut transom = world.transom();
    transom.args([
        "run",
        "--engine",
        world.engine.name(),
        "--out-file",
        "/made/mark=mark",
    ]);
    transom.args([
        "--ro",
        "/usr",
        "--symlink",
        "/bin=usr/bin",
        "--symlink",
        "/lib=usr/lib",
        "--symlink",
        "/lib64=usr/lib64",
    ]);
    let output = transom
        .args(arguments)
        .args(["--", "sh", "-c", "echo it began; echo > /made/mark"])
        .output()
        .unwrap();
    let run = Run::of(output).exited(125);
    assert_eq!(run.stdout(), "", "something ran");
    assert!(run.stderr().starts_with("transom: "), "{}", run.stderr());
    assert_eq!(names(world), before);
    run
}

fn names(world: &World) -> Vec<String> {
    let entries = fs::read_dir(world.path()).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    // The program, and where it would be steered.
    names.retain(|name| !["transom", "run"].contains(&&**name));
    names.sort();
    names
}

/// A manifest with one input on each line, the first on line 4.
fn with_inputs(inputs: &[Value]) -> String {
    let lines: Vec<_> = inputs.iter().map(ToString::to_string).collect();
    format!(
        "{{\n\"version\": 1,\n\"inputs\": [\n{}\n]}}",
        lines.join(",\n")
    )
}

fn malformed(world: &World) {
    refused(world, "{\n \"version\": 1,\n nonsense }")
        .says("bad.json:3")
        .says("not valid JSON");
    refused(world, "{ \"version\": 1 } more").says("bad.json:1");
    refused(world, "[]").says("bad.json:1").says("object");
    refused(world, "{ \"version\": 2 }")
        .says("bad.json:1")
        .says("`version` must be 1");
    refused(world, "{ \"inputs\": [] }").says("`version` is missing");
    refused(world, b"{ \"version\": 1,\n\"command\": [\"\xff\"] }")
        .says("bad.json:2")
        .says("UTF-8");
    refused(world, with_inputs(&[json!({ "name": 7, "file": "x" })]))
        .says("bad.json:4")
        .says("input 1");
    refused(
        world,
        with_inputs(&[json!({ "name": { "base64": "?" }, "file": "x" })]),
    )
    .says("bad.json:4")
    .says("base64");
    refused(world, with_inputs(&[json!("w/x")]))
        .says("bad.json:4")
        .says("must be");
    refused(world, "{ \"version\": 1,\n\"inputs\": {} }")
        .says("bad.json:2")
        .says("array");
    let deep = format!("{{ \"version\": 1,\n\"inputs\": {} ", "[".repeat(100_000));
    refused(world, deep).says("bad.json:2");
}

fn truncated(world: &World) {
    let whole = with_inputs(&[json!({ "name": "w/x", "empty_directory": true })]);
    for length in [0, 1, 20, 40, whole.len() - 1] {
        let run = refused(world, &whole[..length]);
        run.says("bad.json:").says("was the file cut short?");
    }
}

fn misspelt(world: &World) {
    refused(world, "{ \"version\": 1,\n\"ouputs\": [] }")
        .says("bad.json:2")
        .says("did you mean `outputs`?");
    let input = json!({ "name": "w/x", "symlnk": "x" });
    refused(world, with_inputs(&[input]))
        .says("bad.json:4")
        .says("did you mean `symlink`?");
    let two = json!({ "name": "w/x", "file": "x", "symlink": "y" });
    refused(world, with_inputs(&[two]))
        .says("bad.json:4")
        .says("input \"w/x\"")
        .says("exactly one of");
    let none = json!({ "name": "w/x" });
    refused(world, with_inputs(&[none]))
        .says("input \"w/x\"")
        .says("exactly one of");
    refused(
        world,
        "{ \"version\": 1,\n\"command\": [],\n\"command\": [] }",
    )
    .says("bad.json:3")
    .says("given twice");
    refused(world, "{ \"version\": 1,\n\"root\": \"veiw\" }")
        .says("bad.json:2")
        .says("known: `view`, `host-ro`");
}

fn duplicates(world: &World) {
    let file = world.file("file", "");
    let input = json!({ "name": "w/x", "file": file });
    let run = refused(
        world,
        with_inputs(&[input.clone(), json!({ "name": "w/y", "file": file }), input]),
    );
    run.says("bad.json:6")
        .says("`w/x` is declared already at bad.json:4")
        .says("remove one of the two");
    // By a flag, too.
    let input = json!({ "name": "work/file", "file": file });
    world.file("bad.json", with_inputs(&[input]));
    let run = refused_with(
        world,
        &["--manifest", "bad.json", "-C", "work", "--ro", "file"],
    );
    run.says("--ro: `work/file` is declared already at bad.json:4");
}

fn conflicts(world: &World) {
    let file = world.file("file", "");
    let file_input = json!({ "name": "w/x", "file": file });
    let below = json!({ "name": "w/x/y", "file": file });
    for inputs in [
        [file_input.clone(), below.clone()],
        [below.clone(), file_input],
    ] {
        let run = refused(world, with_inputs(&inputs));
        run.says("bad.json:5").says("bad.json:4").says("`w/x");
    }
    let whole = json!({ "name": "w/x", "directory": world.path() });
    for inputs in [[whole.clone(), below.clone()], [below.clone(), whole]] {
        let run = refused(world, with_inputs(&inputs));
        run.says("bad.json:5").says("bad.json:4").says("`w/x");
    }
    let link = json!({ "name": "w/x", "symlink": "elsewhere" });
    let run = refused(world, with_inputs(&[link, below]));
    run.says("bad.json:5")
        .says("`w/x/y` needs `w/x` to be a directory, but bad.json:4 declares a symbolic link");
    // What the action needs.
    let run = refused(
        world,
        with_inputs(&[json!({ "name": "made", "file": file })]),
    );
    run.says("bad.json:4").says("`made`");
    refused(
        world,
        with_inputs(&[json!({ "name": "tmp", "file": file })]),
    )
    .says("bad.json:4")
    .says("`tmp`");
}

fn names_that_leave_the_view(world: &World) {
    let file = world.file("file", "");
    for name in [
        "../x",
        "w/../../x",
        "w/..",
        ".",
        "./x",
        "w/./x",
        "/w/x",
        "/",
        "",
        "w//x",
    ] {
        let run = refused(world, with_inputs(&[json!({ "name": name, "file": file })]));
        run.says("bad.json:4")
            .says(&format!("input {name:?}"))
            .says("relative to the root of the view");
    }
    world.file("list", "file\n../../../../../../../etc/passwd\n");
    refused(world, with_inputs(&[json!({ "file_list": "list" })]))
        .says("list:2")
        .says("above the root of the view");
    refused_with(world, &["--ro", "../../../../../../../../x"])
        .says("--ro")
        .says("above the root of the view");
}

fn names_no_kernel_takes(world: &World) {
    let file = world.file("file", "");
    let long = "x".repeat(300);
    let run = refused(
        world,
        with_inputs(&[json!({ "name": format!("w/{long}"), "file": file })]),
    );
    run.says("bad.json:4").says("300 bytes");
    let longer = "x/".repeat(2100);
    refused(
        world,
        with_inputs(&[json!({ "name": format!("{longer}x"), "file": file })]),
    )
    .says("bad.json:4")
    .says("4095");
    refused(
        world,
        with_inputs(&[json!({ "name": "w/a\u{0}b", "file": file })]),
    )
    .says("bad.json:4")
    .says("NUL");
    refused(
        world,
        with_inputs(&[json!({ "name": "w/x", "file": "a\u{0}b" })]),
    )
    .says("bad.json:4")
    .says("NUL");
    refused(
        world,
        with_inputs(&[json!({ "name": "w/x", "symlink": "a\u{0}b" })]),
    )
    .says("bad.json:4")
    .says("NUL");
    refused(
        world,
        with_inputs(&[json!({ "name": "w/x", "symlink": "" })]),
    )
    .says("bad.json:4")
    .says("empty");
    refused(
        world,
        with_inputs(&[json!({ "name": "w/x", "symlink": "x/".repeat(2100) })]),
    )
    .says("bad.json:4")
    .says("4095");
    let run = refused(
        world,
        with_inputs(&[json!({ "name": "w/x", "file": format!("/tmp/{long}") })]),
    );
    run.says("bad.json:4").says("`w/x`");
}

fn looping_links(world: &World) {
    let link = |name: &str, target: &str| json!({ "name": name, "symlink": target });
    refused(world, with_inputs(&[link("w/a", "a")]))
        .says("bad.json:4")
        .says("`w/a` leads nowhere but round");
    let run = refused(
        world,
        with_inputs(&[link("w/a", "b"), link("w/b", "/w/c"), link("w/c", "../w/a")]),
    );
    run.says("bad.json:")
        .says("leads nowhere but round")
        .says("`w/b` -> `/w/c`");
    // On the host.
    std::os::unix::fs::symlink("loop", world.path().join("loop")).unwrap();
    let run = refused(
        world,
        with_inputs(&[json!({ "name": "w/x", "file": "loop" })]),
    );
    run.says("bad.json:4").says("`w/x`").says("loop");
}

fn missing_host_files(world: &World) {
    let file = world.file("file", "");
    let inputs = [
        json!({ "name": "w/there", "file": file }),
        json!({ "name": "w/x", "file": "no/such" }),
    ];
    let missing = world.path().join("no/such");
    let run = refused(world, with_inputs(&inputs));
    run.says("bad.json:5")
        .says("`w/x`")
        .says(missing.to_str().unwrap());
    let run = refused(
        world,
        with_inputs(&[json!({ "name": "w/x", "directory": "no/such" })]),
    );
    run.says("bad.json:4").says("`w/x`");
    std::os::unix::fs::symlink("nowhere", world.path().join("dangling")).unwrap();
    let run = refused(
        world,
        with_inputs(&[json!({ "name": "w/x", "file": "dangling" })]),
    );
    run.says("bad.json:4").says("`w/x`");
    let below = json!({ "name": "w/x", "file": "file/below" });
    refused(world, with_inputs(&[below]))
        .says("bad.json:4")
        .says("`w/x`");
    refused_with(world, &["--ro", "no/such"])
        .says("--ro")
        .says("no/such");
}

fn host_files_of_another_kind(world: &World) {
    let file = world.file("file", "");
    world.directory("tree");
    let run = refused(
        world,
        with_inputs(&[json!({ "name": "w/x", "file": "tree" })]),
    );
    run.says("bad.json:4").says("`w/x`").says("directory");
    let run = refused(
        world,
        with_inputs(&[json!({ "name": "w/x", "directory": file })]),
    );
    run.says("bad.json:4")
        .says("`w/x`")
        .says("a directory was declared");
}

fn unreadable_host_files(world: &World) {
    let closed = |path: &Path| fs::set_permissions(path, Permissions::from_mode(0o000)).unwrap();
    let file = world.file("secret", "secret\n");
    let tree = world.directory("tree");
    closed(&file);
    closed(&tree);
    if world.is_root() {
        // Root may read it, and so may what root runs.
        let printed = world.action().file("w/x", &file).prints("cat x");
        assert_eq!(printed, "secret\n");
        return;
    }
    let mut inputs = vec![
        json!({ "name": "w/x", "file": "secret" }),
        json!({ "name": "w/x", "directory": "tree" }),
    ];
    if is_root() {
        // Those of somebody else, and what lies below.
        let directory = world.path().join("roots");
        fs::create_dir(&directory).unwrap();
        fs::write(directory.join("file"), "").unwrap();
        closed(&directory);
        inputs.push(json!({ "name": "w/x", "directory": "roots" }));
        inputs.push(json!({ "name": "w/x", "file": "roots/file" }));
    }
    for input in inputs {
        let run = refused(world, with_inputs(&[input]));
        run.says("bad.json:4").says("`w/x`");
    }
}

fn pipes_sockets_and_devices(world: &World) {
    assert!(
        world
            .command("mkfifo")
            .arg("pipe")
            .status()
            .unwrap()
            .success()
    );
    let _listener = UnixListener::bind(world.path().join("socket")).unwrap();
    for (path, kind) in [
        ("pipe", "named pipe"),
        ("socket", "socket"),
        ("/dev/null", "device"),
        ("/dev/full", "device"),
    ] {
        let run = refused(
            world,
            with_inputs(&[json!({ "name": "w/x", "file": path })]),
        );
        run.says("bad.json:4").says("`w/x`").says(kind);
        refused_with(world, &["--ro", &format!("x={path}")])
            .says("--ro")
            .says(kind);
    }
}

fn broken_lists(world: &World) {
    world.file("file", "");
    world.file("list", "file\nno/such\n");
    refused(world, with_inputs(&[json!({ "file_list": "list" })]))
        .says("list:2")
        .says("`no/such`");
    world.file("list", format!("file\nfile\n{}\n", "x".repeat(300)));
    refused(world, with_inputs(&[json!({ "file_list": "list" })]))
        .says("list:3")
        .says("300 bytes");
    world.file("list", "file\n\nfile\n");
    refused(world, with_inputs(&[json!({ "file_list": "list" })]))
        .says("list:3")
        .says("list:1")
        .says("`file`");
    refused(world, with_inputs(&[json!({ "file_list": "nope" })]))
        .says("bad.json:4")
        .says("nope");
    world.file("deps", "main.o: file \\\n  no/such.h\n");
    refused(world, with_inputs(&[json!({ "depfile": "deps" })]))
        .says("deps:2")
        .says("`no/such.h`");
    world.file("deps", "main.o: file \\");
    refused(world, with_inputs(&[json!({ "depfile": "deps" })]))
        .says("deps:1")
        .says("cut short");
    refused_with(world, &["--file-list", "nope"]).says("nope");
    refused_with(world, &["--depfile", "nope"]).says("nope");
    world.file("list", "file\nno/such\n");
    refused_with(world, &["--file-list", "list"])
        .says("list:2")
        .says("no/such");
}

fn bad_outputs(world: &World) {
    let with_output = |output: Value| json!({ "version": 1, "outputs": [output] }).to_string();
    let output = |name: &str, kind: &str| json!({ "name": name, "kind": kind, "destination": "x" });
    refused(world, with_output(output("../x", "file"))).says("\"../x\"");
    refused(world, with_output(output("w/x", "pipe")))
        .says("\"w/x\"")
        .says("pipe");
    refused(world, with_output(json!({ "name": "w/x", "kind": "file" })))
        .says("`destination` is missing");
    refused_with(world, &["--out-file", "a=x", "--out-file", "b=x"])
        .says("have the same destination");
    refused_with(world, &["--out-file", "a=x", "--out-file", "a=y"])
        .says("`work/a` is declared twice");
    refused_with(world, &["--writable", "../x"]).says("--writable");
}

fn bad_flags(world: &World) {
    for (arguments, complaint) in [
        (&["--symlink", "x"][..], "--symlink"),
        (&["--symlink", "=x"], "--symlink"),
        (&["--empty-directory", "../x"], "--empty-directory"),
        (&["-C", "a/../b"], "--workdir"),
        (&["--env", "x"], "--env"),
        (&["--timeout=-1"], "--timeout"),
        (&["--timeout=nan"], "--timeout"),
        (&["--control-fd", "0"], "0"),
        (&["--scratch", "/no/such"], "/no/such"),
    ] {
        if arguments[0] == "--control-fd" && world.engine == crate::world::Engine::Mounts {
            continue;
        }
        refused_with(world, arguments).says(complaint);
    }
    let unknown = world.run_transom(["run", "--no-such-option"]);
    assert_eq!(unknown.status.code(), Some(125), "{unknown:?}");
}

fn a_manifest_that_cannot_be_read(world: &World) {
    refused_with(world, &["--manifest", "no/such"]).says("no/such");
    refused_with(world, &["--manifest", "/"]).says("/");
    if !world.is_root() {
        let manifest = world.file("bad.json", "{}");
        fs::set_permissions(manifest, Permissions::from_mode(0o000)).unwrap();
        refused_with(world, &["--manifest", "bad.json"])
            .says("bad.json")
            .says("Permission denied");
    }
}

/// All that is wrong with the host's files is told at once.
fn several_mistakes(world: &World) {
    world.directory("tree");
    let run = refused(
        world,
        with_inputs(&[
            json!({ "name": "w/x", "file": "no/such" }),
            json!({ "name": "w/y", "file": "tree" }),
            json!({ "name": "w/z", "file": "nope" }),
        ]),
    );
    run.says("bad.json:4").says("bad.json:5").says("bad.json:6");
}

#[test]
fn a_current_directory_that_is_gone() {
    let world = World::here();
    world.directory("gone");
    let script = "cd gone && rmdir ../gone && exec \"$@\"";
    let mut shell = world.command("sh");
    shell
        .args(["-c", script, "sh"])
        .arg(world.transom().get_program());
    let output = shell.args(["run", "--", "true"]).output().unwrap();
    let run = Run::of(output).exited(125);
    run.says("the current directory cannot be used; if it was deleted");
}
