//! Bazel's sandbox backend protocol, with the program as the backend and a
//! driver that does what Bazel does.

use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use transom_bazel::backend::wire;
use transom_test::bazel::{Action, Bazel, Input, MerkleTree};
use transom_test::{HostState, temp_dir};

use crate::world::{World, over_fuse};

over_fuse!(
    an_action_sees_its_inputs_and_its_outputs_come_out,
    nothing_undeclared_is_there,
    what_was_captured_is_served_whatever_becomes_of_its_name,
    a_file_changed_in_place_fails_by_name,
    what_is_missing_is_asked_for,
    a_second_action_reuses_what_the_first_has_made,
    many_actions_at_a_time_get_their_own_answers,
    what_is_writable_and_hidden_on_the_host_is_so,
    a_broken_handshake_and_a_broken_stream_are_told,
    a_killed_backend_leaves_nothing,
    bazel_gone_in_the_middle_of_an_action_leaves_nothing,
    an_action_ends_with_what_started_it_and_leaves_nothing,
);

#[test]
fn the_program_of_this_name_tells_its_version_and_its_use() {
    let directory = temp_dir().unwrap();
    let program = directory.path().join("transom-bazel-sandbox");
    symlink(env!("CARGO_BIN_EXE_transom"), &program).unwrap();
    let said = |argument: &str| {
        let output = Command::new(&program).arg(argument).output().unwrap();
        assert!(output.status.success(), "{argument}");
        String::from_utf8(output.stdout).unwrap()
    };
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(
        said("--version"),
        format!("transom-bazel-sandbox {version}\n")
    );
    let lines = said("--help");
    let mut lines = lines.lines().map(str::trim_start);
    let is_line = |line: &str| line.starts_with("ln -s ") && !line.contains("bazel build");
    assert!(lines.any(is_line));
    assert_eq!(lines.next(), Some("bazel build --strategy=transom \\"),);
}

/// The exec root of the workspace.
const WORKSPACE: &str = "base/execroot/_main";

fn source(world: &World, path: &str, content: &str) -> PathBuf {
    world.file(Path::new(WORKSPACE).join(path), content)
}

fn backend(world: &World) -> Command {
    let mut command = world.transom();
    command.arg("bazel-sandbox");
    command
}

fn start(world: &World) -> Bazel {
    start_with(world, &[]).unwrap()
}

fn start_with(world: &World, options: &[&str]) -> Result<Bazel, String> {
    let workspace = world.directory(WORKSPACE);
    let bazel = Bazel::start(backend(world), &workspace, options)?;
    Ok(bazel.starting_by(world.starter()))
}

fn shell(script: &str, inputs: &[&str], outputs: &[&str]) -> Action {
    Action {
        mnemonic: "Genrule".into(),
        command: ["/bin/sh", "-c", script].map(String::from).into(),
        inputs: inputs
            .iter()
            .map(|path| Input::File((*path).into()))
            .collect(),
        outputs: outputs.iter().map(ToString::to_string).collect(),
        ..Action::default()
    }
}

/// Runs an action that has to succeed; what it printed.
#[track_caller]
fn printed(bazel: &Bazel, id: &str, action: &Action) -> String {
    let output = bazel.execute(id, action).unwrap();
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {complaints}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

/// Ends the backend, which has to leave nothing and to have nothing to say.
#[track_caller]
fn shut_down(world: &World, bazel: Bazel) {
    let (status, said) = bazel.shut_down().unwrap();
    assert!(status.success(), "{status}: {said}");
    assert_eq!(said, "");
    assert_nothing_left(world);
}

#[track_caller]
fn assert_nothing_left(world: &World) {
    let scratch = world.path().join("base/.transom");
    let left = fs::read_dir(scratch).into_iter().flatten().count();
    assert_eq!(left, 0, "scratch is left");
}

fn an_action_sees_its_inputs_and_its_outputs_come_out(world: &World) {
    source(world, "pkg/a.txt", "a\n");
    source(world, "bazel-out/bin/gen.txt", "generated\n");
    let bazel = start(world);
    let script = "pwd; cat pkg/a.txt bazel-out/bin/gen.txt tool.runfiles/b p.params pkg/link; \
                  cat pkg/a.txt > bazel-out/bin/out.txt; mkdir bazel-out/bin/tree/d; \
                  echo deep > bazel-out/bin/tree/d/e; ls pkg";
    source(world, "pkg/b.txt", "b\n");
    let mut action = shell(
        script,
        &["pkg/a.txt", "bazel-out/bin/gen.txt"],
        &["bazel-out/bin/out.txt"],
    );
    action.output_directories = vec!["bazel-out/bin/tree".into()];
    action.inputs.extend([
        Input::Displaced {
            path: "tool.runfiles/b".into(),
            exec_path: "pkg/b.txt".into(),
        },
        Input::Virtual {
            path: "p.params".into(),
            bytes: b"--param\n".into(),
        },
        Input::Symlink {
            path: "pkg/link".into(),
            target: "a.txt".into(),
        },
    ]);
    let workspace = world.path().join(WORKSPACE);
    let expected = format!(
        "{}\na\ngenerated\nb\n--param\na\na.txt\nlink\n",
        workspace.display()
    );
    // Twice: what is there may be replaced.
    for id in ["transom-1", "transom-2"] {
        assert_eq!(printed(&bazel, id, &action), expected);
        let out = |name: &str| world.read(Path::new(WORKSPACE).join("bazel-out/bin").join(name));
        assert_eq!(out("out.txt"), "a\n");
        assert_eq!(out("tree/d/e"), "deep\n");
    }
    // What an action exits with is what Bazel sees, and nothing is collected.
    let failing = shell(
        "echo no > bazel-out/bin/no; exit 3",
        &[],
        &["bazel-out/bin/no"],
    );
    assert_eq!(
        bazel.execute("transom-3", &failing).unwrap().status.code(),
        Some(3)
    );
    assert!(!world.exists(Path::new(WORKSPACE).join("bazel-out/bin/no")));
    shut_down(world, bazel);
}

fn nothing_undeclared_is_there(world: &World) {
    source(world, "pkg/a.txt", "a");
    source(world, "pkg/undeclared.txt", "u");
    let bazel = start(world);
    let absolute = world.path().join(WORKSPACE).join("pkg/undeclared.txt");
    let script = format!(
        "cat pkg/undeclared.txt; cat {}; echo w > pkg/a.txt; echo w > pkg/new; rm pkg/a.txt; ls pkg",
        absolute.display()
    );
    let output = bazel
        .execute("1", &shell(&script, &["pkg/a.txt"], &["out/o"]))
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "a.txt\n");
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert_eq!(
        complaints.matches("No such file").count(),
        2,
        "{complaints}"
    );
    assert_eq!(
        complaints.matches("Read-only file system").count(),
        3,
        "{complaints}"
    );
    shut_down(world, bazel);
}

fn what_was_captured_is_served_whatever_becomes_of_its_name(world: &World) {
    let replaced = source(world, "pkg/replaced", "first");
    let deleted = source(world, "pkg/deleted", "kept");
    let bazel = start(world);
    let action = shell(
        "cat pkg/replaced pkg/deleted",
        &["pkg/replaced", "pkg/deleted"],
        &[],
    );
    let place = bazel.create("1", &action).unwrap();
    fs::rename(world.file("other", "second"), &replaced).unwrap();
    fs::remove_file(&deleted).unwrap();
    let output = bazel.command(&place, &action).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "firstkept");
    bazel.collect("1").unwrap();
    bazel.destroy("1").unwrap();

    // Another digest is another file.
    let action = shell("cat pkg/replaced", &["pkg/replaced"], &[]);
    assert_eq!(printed(&bazel, "2", &action), "second");
    shut_down(world, bazel);
}

fn a_file_changed_in_place_fails_by_name(world: &World) {
    let path = source(world, "pkg/a.txt", "before");
    let bazel = start(world);
    let action = shell(
        "cat pkg/a.txt; echo done > out/o",
        &["pkg/a.txt"],
        &["out/o"],
    );
    let place = bazel.create("1", &action).unwrap();
    fs::write(&path, "after!").unwrap();
    let output = bazel.command(&place, &action).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "");
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(complaints.contains("Stale file handle"), "{complaints}");
    // The shell went on, and nobody else knows.
    assert!(output.status.success());
    let error = bazel.collect("1").unwrap_err();
    let expected = format!("`{}` was changed in place", path.display());
    assert!(error.starts_with(&expected), "{error}");
    assert!(!world.exists(Path::new(WORKSPACE).join("out/o")));
    bazel.destroy("1").unwrap();

    // The next build finds what is there now.
    assert_eq!(printed(&bazel, "2", &action), "after!");
    // What was undone is what its digest says, though it was written to.
    let place = bazel.create("3", &action).unwrap();
    fs::write(&path, "other?").unwrap();
    fs::write(&path, "after!").unwrap();
    let output = bazel.command(&place, &action).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "after!");
    bazel.collect("3").unwrap();
    bazel.destroy("3").unwrap();

    let (status, said) = bazel.shut_down().unwrap();
    assert!(status.success());
    assert!(said.contains(&expected), "{said}");
    assert_eq!(said.matches("was changed in place").count(), 1, "{said}");
}

fn what_is_missing_is_asked_for(world: &World) {
    source(world, "a", "a");
    let bazel = start(world);
    let mut action = shell("cat a p", &["a"], &[]);
    action.inputs.push(Input::Virtual {
        path: "p".into(),
        bytes: b"param".into(),
    });
    let exec_root = world.path().join(WORKSPACE);
    let tree = MerkleTree::build(exec_root.parent().unwrap(), "_main", &action.inputs).unwrap();
    // Nothing was pushed: first the root, then what is in it, is missing.
    let error = bazel.create_from("1", &action, &tree).unwrap_err();
    assert_eq!(error, "still missing content after 3 attempts");
    let place = bazel.create_from("1", &action, &tree).unwrap();
    let output = bazel.command(&place, &action).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "aparam");
    assert_eq!(bazel.times_missed(), 3);
    bazel.destroy("1").unwrap();
    // To forget what is not there is no error.
    bazel.destroy("1").unwrap();
    let error = bazel.collect("1").unwrap_err();
    assert_eq!(error, "there is no sandbox \"1\"");

    // What nobody can push is named.
    let gone = source(world, "gone", "g");
    let tree = MerkleTree::build(
        exec_root.parent().unwrap(),
        "_main",
        &[Input::File("gone".into())],
    );
    let tree = tree.unwrap();
    fs::write(&gone, "longer").unwrap();
    let push = wire::Push {
        blobs: tree.blobs.clone(),
        ..wire::Push::default()
    };
    bazel.push(push).unwrap();
    let error = bazel.create_from("2", &action, &tree).unwrap_err();
    assert!(error.contains("the file `_main/gone`: `"), "{error}");
    assert!(error.contains("has 6 bytes, its digest says 1"), "{error}");
    shut_down(world, bazel);
}

fn a_second_action_reuses_what_the_first_has_made(world: &World) {
    for number in 0..20 {
        source(world, &format!("lib/d{}/f{number}", number % 5), "x");
    }
    let inputs: Vec<String> = (0..20)
        .map(|number| format!("lib/d{}/f{number}", number % 5))
        .collect();
    let mut names: Vec<&str> = inputs.iter().map(|name| &**name).collect();
    source(world, "one", "1");
    source(world, "two", "2");
    let mut program = backend(world);
    program.env("TRANSOM_LOG", "transom=info");
    let bazel = Bazel::start(program, &world.directory(WORKSPACE), &[]).unwrap();
    for own in ["one", "two"] {
        names.push(own);
        bazel.create(own, &shell("true", &names, &[])).unwrap();
        names.pop();
        bazel.destroy(own).unwrap();
    }
    let (_, said) = bazel.shut_down().unwrap();
    // The first: the root, _main, lib and five in it. The second: the root and
    // _main, of new digests; lib is found. Every file has other bytes but
    // those in lib, which are all the same.
    for expected in [
        "directories_made: 10",
        "directories_found: 1",
        "files_opened: 3",
    ] {
        assert!(said.contains(expected), "{said}");
    }
}

fn many_actions_at_a_time_get_their_own_answers(world: &World) {
    for number in 0..12 {
        source(
            world,
            &format!("in{number}"),
            &format!("content {number}\n"),
        );
    }
    let bazel = start(world);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let bazel = &bazel;
            scope.spawn(move || {
                for number in (thread..12).step_by(4) {
                    let (input, output) = (format!("in{number}"), format!("out/o{number}"));
                    let script = format!("cp {input} {output}; ls");
                    let action = shell(&script, &[&input], &[&output]);
                    let listed = printed(bazel, &format!("transom-{number}"), &action);
                    assert_eq!(listed, format!("{input}\nout\n"));
                }
            });
        }
    });
    for number in 0..12 {
        let output = world.read(Path::new(WORKSPACE).join(format!("out/o{number}")));
        assert_eq!(output, format!("content {number}\n"));
    }
    shut_down(world, bazel);
}

fn what_is_writable_and_hidden_on_the_host_is_so(world: &World) {
    let writable = world.directory("base/sandbox/1");
    let secret = world.file("secret/s", "secret");
    let beside = world.path().join("beside");
    let bazel = start(world);
    let script = format!(
        "echo stats > {}/stats; cat {}; echo w > {}; ls /dev/null",
        writable.display(),
        secret.display(),
        beside.display()
    );
    let mut action = shell(&script, &[], &[]);
    action.writable_paths = vec![
        writable.display().to_string(),
        "/dev".into(),
        "/no/such/directory".into(),
    ];
    action.inaccessible_paths = vec![
        secret.parent().unwrap().display().to_string(),
        "/no/such/file".into(),
    ];
    let output = bazel.execute("1", &action).unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "/dev/null\n");
    let complaints = String::from_utf8_lossy(&output.stderr);
    // Root may look, and finds nothing.
    let hidden = match world.is_root() {
        true => "s: No such file or directory",
        false => "s: Permission denied",
    };
    assert!(complaints.contains(hidden), "{complaints}");
    assert!(
        complaints.contains("beside: Read-only file system"),
        "{complaints}"
    );
    assert_eq!(world.read("base/sandbox/1/stats"), "stats\n");
    shut_down(world, bazel);
}

fn a_broken_handshake_and_a_broken_stream_are_told(world: &World) {
    let error = start_with(world, &["--fast"]).unwrap_err();
    assert_eq!(
        error,
        "the option \"--fast\" is not known; there is `--scratch=DIR`"
    );

    let workspace = world.directory(WORKSPACE);
    let silent = Bazel::start_silently(backend(world), &workspace).unwrap();
    let error = silent.destroy("1").unwrap_err();
    assert!(error.starts_with("there was no handshake"), "{error}");
    let strange = wire::Operation::Negotiate(wire::Negotiate {
        options: Vec::new(),
        versions: vec![7],
    });
    let answer = format!("{:?}", silent.request("", strange).unwrap());
    assert!(answer.contains("Bazel speaks the versions [7]"), "{answer}");
    drop(silent);

    for wrong in [world.path().join("no/such"), world.file("file", "")] {
        let output = backend(world)
            .args(["serve", "--workspace"])
            .arg(&wrong)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(125), "{said}");
        assert!(said.contains("is no exec root"), "{said}");
    }

    let mut child = backend(world)
        .args(["serve", "--workspace"])
        .arg(&workspace)
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(&[0xff; 64]).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(125));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("Bazel cannot be understood: the stream holds no messages"),
        "{said}"
    );
}

/// What must not be left: what is removed after a kill takes a moment.
fn state(world: &World) -> HostState {
    let scratch = world.path().join("base/.transom");
    HostState::capture(FOREVER, &[&scratch]).unwrap()
}

/// An action that waits for its end, and says when it has begun.
fn waiting(world: &World) -> Action {
    let begun = world.directory("begun");
    let script = format!(
        "echo > {}/begun; echo > out/o; exec sleep {FOREVER}",
        begun.display()
    );
    let mut action = shell(&script, &[], &["out/o"]);
    action.writable_paths = vec![begun.display().to_string()];
    action
}

/// Seconds that no other test sleeps for.
const FOREVER: &str = "98431";

fn wait_for_begin(world: &World) {
    while !world.exists("begun/begun") {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

fn a_killed_backend_leaves_nothing(world: &World) {
    let state = state(world);
    let bazel = start(world);
    let action = waiting(world);
    let place = bazel.create("1", &action).unwrap();
    let mut wrapper = bazel.command(&place, &action);
    let wrapper = wrapper.stderr(Stdio::piped()).spawn().unwrap();
    wait_for_begin(world);
    let (status, _) = bazel.kill().unwrap();
    assert!(!status.success());
    let output = wrapper.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(125));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("the sandbox backend ended before the action did"),
        "{said}"
    );
    state.assert_restored();
}

fn bazel_gone_in_the_middle_of_an_action_leaves_nothing(world: &World) {
    let state = state(world);
    let bazel = start(world);
    let action = waiting(world);
    let place = bazel.create("1", &action).unwrap();
    let wrapper = bazel
        .command(&place, &action)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait_for_begin(world);
    // Its input ends, as it does when Bazel is killed.
    let (status, said) = bazel.shut_down().unwrap();
    assert!(status.success(), "{said}");
    assert!(!wrapper.wait_with_output().unwrap().status.success());
    state.assert_restored();
}

fn an_action_ends_with_what_started_it_and_leaves_nothing(world: &World) {
    let state = state(world);
    let bazel = start(world);
    let action = waiting(world);
    let place = bazel.create("1", &action).unwrap();
    let mut wrapper = bazel.command(&place, &action).spawn().unwrap();
    wait_for_begin(world);
    let error = bazel.collect("1").unwrap_err();
    assert_eq!(error, "the action in the sandbox \"1\" is running");
    wrapper.kill().unwrap();
    wrapper.wait().unwrap();
    bazel.destroy("1").unwrap();
    shut_down(world, bazel);

    // And with its sandbox.
    fs::remove_file(world.path().join("begun/begun")).unwrap();
    let bazel = start(world);
    let place = bazel.create("1", &action).unwrap();
    let mut wrapper = bazel.command(&place, &action).spawn().unwrap();
    wait_for_begin(world);
    bazel.destroy("1").unwrap();
    let status = wrapper.wait().unwrap();
    assert!(!status.success(), "{status}");
    shut_down(world, bazel);
    state.assert_restored();
}
