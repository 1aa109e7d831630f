//! A view is changed while an action uses it.

use std::fs;
use std::process::Output;
use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::action::{Action, LISTEN, Live, Run};
use crate::world::{Engine, World, over_fuse_and_daemon, unprivileged_case};

over_fuse_and_daemon!(
    adding,
    replacing,
    withdrawing,
    redirecting,
    absent_names_are_forgotten,
    open_files_stay,
    whole_directories,
    executable_bits,
    many_changes_at_once,
    a_batch_becomes_visible_at_once,
    refused_updates_change_nothing,
    what_the_action_needs_stays,
    listing_views,
    statistics,
    traces_of_a_running_view,
    a_view_that_is_not_traced,
    names_of_views,
    covered_names,
    sockets_of_killed_runs_do_not_accumulate,
    what_is_refused_says_what_to_do,
    the_control_connection_of_the_action,
    views_of_others,
    what_was_steered_is_pinned,
);

/// Starts an action called `demo` that evaluates what it is sent.
fn demo(action: Action<'_>) -> Live {
    let mut live = action.args(["--name", "demo"]).sh(LISTEN).start();
    live.says("ready");
    live
}

/// `transom view ...`.
fn view(world: &World, arguments: &[&str]) -> Output {
    world.run_transom(["view"].iter().chain(arguments))
}

/// One that has to succeed; returns what it printed.
#[track_caller]
fn steer(world: &World, arguments: &[&str]) -> String {
    let output = view(world, arguments);
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{complaint}");
    String::from_utf8(output.stdout).unwrap()
}

/// One that has to be refused; returns the complaint.
#[track_caller]
fn refused(world: &World, arguments: &[&str]) -> String {
    let output = view(world, arguments);
    assert_eq!(output.status.code(), Some(125), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

fn quietly(live: Live) -> Run {
    let run = live.finish().succeeded();
    assert_eq!(run.stderr(), "");
    run
}

fn adding(world: &World) {
    world.file("new", "new\n");
    let mut live = demo(world.action());
    assert_eq!(live.ask("ls | wc -l"), "0");
    assert_eq!(
        steer(world, &["add", "demo", "w/deep/er/new", "new"]),
        "demo is at epoch 1\n"
    );
    assert_eq!(live.ask("cat deep/er/new"), "new");
    steer(world, &["add", "demo", "/w/link", "--symlink", "deep/er"]);
    assert_eq!(live.ask("ls link; readlink link"), "new");
    assert_eq!(live.line(), "deep/er");
    steer(world, &["add", "demo", "w/empty", "--empty-directory"]);
    assert_eq!(live.ask("echo *"), "deep empty link");
    quietly(live);
}

fn replacing(world: &World) {
    let one = world.file("one", "one\n");
    world.file("two", "twenty-two\n");
    let mut live = demo(world.action().file("w/name", one));
    assert_eq!(live.ask("cat name"), "one");
    steer(world, &["replace", "demo", "w/name", "two"]);
    assert_eq!(live.ask("cat name"), "twenty-two");
    assert_eq!(live.ask("stat -c '%s %F' name"), "11 regular file");
    steer(world, &["replace", "demo", "w/name", "--empty-directory"]);
    assert_eq!(live.ask("stat -c %F name"), "directory");
    steer(
        world,
        &["replace", "demo", "w/name", "--symlink", "nowhere"],
    );
    assert_eq!(live.ask("readlink name"), "nowhere");
    quietly(live);
}

fn withdrawing(world: &World) {
    let file = world.file("file", "content\n");
    let action = world
        .action()
        .file("w/a/one", &file)
        .file("w/a/two", &file)
        .file("w/b", &file);
    let mut live = demo(action);
    assert_eq!(live.ask("cat a/one b | wc -l; exec 4< a"), "2");
    steer(world, &["withdraw", "demo", "w/a", "w/b"]);
    assert_eq!(live.ask("ls | wc -l"), "0");
    assert_eq!(
        live.ask("cat a/one 2>&1; test -e b || echo absent"),
        "cat: a/one: No such file or directory"
    );
    assert_eq!(live.line(), "absent");
    // And again.
    steer(world, &["add", "demo", "w/a/one", "file"]);
    assert_eq!(live.ask("cat a/*"), "content");
    live.finish().succeeded();
}

fn redirecting(world: &World) {
    let one = world.file("one", "one\n");
    world.file("two", "two\n");
    let mut live = demo(world.action().file("w/name", one));
    assert_eq!(live.ask("cat name"), "one");
    steer(world, &["redirect", "demo", "w/name", "two"]);
    assert_eq!(live.ask("cat name"), "two");
    let complaint = refused(world, &["redirect", "demo", "w/name", "/usr"]);
    assert!(complaint.contains("`w/name` is a file"), "{complaint}");
    assert_eq!(live.ask("cat name"), "two");
    quietly(live);
}

/// Nobody would see them.
fn covered_names(world: &World) {
    world.file("new", "new\n");
    let input = world.file("in", "input\n");
    let action = world
        .action()
        .output("file", "w/made/file", "file")
        .output("directory", "w/tree", "tree")
        .set("writable", json!(["w/cache"]))
        .file("w/cache/in", input)
        .sh("echo ready; read line; echo made > made/file");
    let mut live = action.args(["--name", "demo"]).start();
    live.says("ready");
    for name in [
        "tmp/x",
        "dev/x",
        "proc/x",
        "w/made/x",
        "w/tree/x",
        "w/cache/x",
    ] {
        let complaint = refused(world, &["add", "demo", name, "new"]);
        let expected = format!("a change of `{name}` would not be seen, because it belongs to");
        assert!(complaint.contains(&expected), "{complaint}");
    }
    // It was mounted there when the action started.
    refused(world, &["redirect", "demo", "w/cache/in", "new"]);
    steer(world, &["add", "demo", "w/beside", "new"]);
    live.tell("go");
    live.finish().succeeded();
}

fn what_is_refused_says_what_to_do(world: &World) {
    let file = world.file("file", "content\n");
    let action = world.action().file("w/a", &file);
    let live = demo(action.output("directory", "made/here", "made"));
    let complaint = refused(world, &["add", "demo", "w/a", "file"]);
    assert!(
        complaint.contains("replace it, or redirect it"),
        "{complaint}"
    );
    let complaint = refused(world, &["withdraw", "demo", "w"]);
    assert!(
        complaint.contains("the action's working directory"),
        "{complaint}"
    );
    let complaint = refused(world, &["withdraw", "demo", "made"]);
    assert!(
        complaint.contains("`made/here` belongs to the output"),
        "{complaint}"
    );
    // Another of the same name.
    let run = world.action().args(["--name", "demo"]).sh("true").run();
    let pid = live.pid();
    let run = run
        .exited(125)
        .says("a view named \"demo\" is running already");
    if world.is_root() {
        run.says(&format!("(process {})", pid.as_raw_nonzero()));
    }
    live.finish().succeeded();
}

fn sockets_of_killed_runs_do_not_accumulate(world: &World) {
    let directory = world.directory("run").join("transom");
    let sockets = || fs::read_dir(&directory).map_or(0, Iterator::count);
    for arguments in [&[][..], &[], &["--name", "demo"]] {
        let action = world.action().sh("echo ready; cat").args(arguments);
        let mut live = action.start();
        live.says("ready");
        assert_eq!(sockets(), 1);
        live.signal(Signal::KILL);
        live.finish();
    }
    world.action().sh("true").run().succeeded();
    assert_eq!(sockets(), 0);
}

/// The kernel remembers that a name did not exist.
fn absent_names_are_forgotten(world: &World) {
    world.file("file", "content\n");
    let mut live = demo(world.action());
    assert_eq!(
        live.ask("for i in 1 2 3; do test -e new; done; echo $?"),
        "1"
    );
    steer(world, &["add", "demo", "w/new", "file"]);
    assert_eq!(live.ask("test -e new; echo $?"), "0");
    steer(world, &["withdraw", "demo", "w/new"]);
    assert_eq!(live.ask("test -e new; echo $?"), "1");
    quietly(live);
}

fn open_files_stay(world: &World) {
    let file = world.file("file", "one\ntwo\nthree\n");
    world.file("other", "other\n");
    let mut live = demo(world.action().file("w/file", file));
    assert_eq!(
        live.ask("exec 3< file; read -r line <&3; echo $line"),
        "one"
    );
    steer(world, &["withdraw", "demo", "w/file"]);
    assert_eq!(live.ask("read -r line <&3; echo $line"), "two");
    steer(world, &["add", "demo", "w/file", "other"]);
    assert_eq!(live.ask("read -r line <&3; echo $line; cat file"), "three");
    assert_eq!(live.line(), "other");
    quietly(live);
}

fn whole_directories(world: &World) {
    world.file("one/leaf", "one\n");
    world.file("two/leaf", "two\n");
    let mut live = demo(world.action());
    steer(world, &["add", "demo", "w/tree", "one"]);
    assert_eq!(live.ask("cat tree/leaf"), "one");
    steer(world, &["redirect", "demo", "w/tree", "two"]);
    assert_eq!(live.ask("cat tree/leaf"), "two");
    let complaint = refused(world, &["add", "demo", "w/tree/inside", "one/leaf"]);
    assert!(complaint.contains("lies inside `w/tree`"), "{complaint}");
    steer(world, &["withdraw", "demo", "w/tree"]);
    assert_eq!(live.ask("ls | wc -l"), "0");
    quietly(live);
}

fn executable_bits(world: &World) {
    world.file("script", "#!/bin/sh\necho ran\n");
    let mut live = demo(world.action());
    steer(
        world,
        &["add", "demo", "w/script", "script", "--executable", "true"],
    );
    assert_eq!(live.ask("./script"), "ran");
    quietly(live);
}

fn many_changes_at_once(world: &World) {
    let file = world.file("file", "content\n");
    let mut live = demo(world.action().file("w/old", &file).file("w/moved", &file));
    let changes = json!([
        { "withdraw": "w/old" },
        { "add": { "name": "w/link", "symlink": "new" } },
        { "add": { "name": "w/new", "file": file, "executable": true } },
        { "replace": { "name": "w/moved", "empty_directory": true } },
        { "add": { "name": { "base64": "dy/p" }, "file": file } },
        { "redirect": { "name": "w/new", "file": "/usr/bin/true" } },
    ]);
    world.file("changes", changes.to_string());
    assert_eq!(
        steer(world, &["apply", "demo", "changes"]),
        "demo is at epoch 1\n"
    );
    assert_eq!(
        live.ask("ls -F | head -3 | xargs echo -n; echo -n ' '; ls | wc -l"),
        "link@ moved/ new* 4"
    );
    assert_eq!(live.ask("./link && echo ran"), "ran");
    // From standard input.
    let mut transom = world.transom();
    transom.args(["view", "apply", "demo", "-"]);
    let again = world.file(
        "again",
        json!([{ "withdraw": "w/link" }, { "withdraw": "w/new" }]).to_string(),
    );
    let output = transom
        .stdin(std::fs::File::open(again).unwrap())
        .output()
        .unwrap();
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "demo is at epoch 2\n"
    );
    quietly(live);
}

/// A probe that never rests reads two names that always change together.
fn a_batch_becomes_visible_at_once(world: &World) {
    // The second is read after the first, so it may be newer, and never older.
    let probe = r#"
        $| = 1; print "ready\n"; my ($rounds, $seen) = (0, "");
        while (!-e "stop") {
            open(my $file, "<", "pair/a") or die "a: $!"; my $a = <$file>;
            open($file, "<", "pair/b") or die "b: $!"; my $b = <$file>;
            $a =~ /(\d+)/; my $first = $1; $b =~ /(\d+)/; my $second = $1;
            die "a is $first, b is $second" if $second < $first;
            $rounds++; $seen = $second;
        }
        print "$seen ", $rounds > 10 ? "often" : "seldom", "\n";
    "#;
    for number in 0..=20 {
        world.file(format!("a{number}"), format!("a{number}\n"));
        world.file(format!("b{number}"), format!("b{number}\n"));
    }
    let here = |name: &str| world.path().join(name);
    let action = world
        .action()
        .file("w/pair/a", here("a0"))
        .file("w/pair/b", here("b0"));
    let mut live = action
        .args(["--name", "demo"])
        .command(["perl", "-e", probe])
        .start();
    live.says("ready");
    for number in 1..=20 {
        let change = |name: &str| json!({ "redirect": { "name": format!("w/pair/{name}"), "file": here(&format!("{name}{number}")) } });
        // Whichever comes first in the batch.
        let changes = if number % 2 == 0 {
            [change("a"), change("b")]
        } else {
            [change("b"), change("a")]
        };
        world.file("changes", json!(changes).to_string());
        steer(world, &["apply", "demo", "changes"]);
        thread::sleep(Duration::from_millis(5));
    }
    steer(world, &["add", "demo", "w/stop", "--empty-directory"]);
    live.says("20 often");
    quietly(live);
}

fn refused_updates_change_nothing(world: &World) {
    let file = world.file("file", "content\n");
    let mut live = demo(world.action().file("w/file", &file).file("w/d/file", &file));
    let fine = json!({ "add": { "name": "w/fine", "file": file } });
    for (bad, complaint) in [
        (
            json!({ "withdraw": "w/nope" }),
            "`w/nope` is not declared in this view",
        ),
        (
            json!({ "add": { "name": "w/file", "file": file } }),
            "`w/file` is declared already",
        ),
        (
            json!({ "add": { "name": "w/file/below", "file": file } }),
            "`w/file` to be a directory",
        ),
        (
            json!({ "add": { "name": "w/x", "file": "/no/such" } }),
            "/no/such",
        ),
        (json!({ "add": { "name": "w/x", "file": "/usr" } }), "/usr"),
        (
            json!({ "add": { "name": "../x", "file": file } }),
            "`.` and `..` are not allowed",
        ),
        (json!({ "add": { "name": "w/x" } }), "exactly one of"),
        (
            json!({ "add": { "name": "w/x", "symlink": "x" } }),
            "leads nowhere but round",
        ),
        (
            json!({ "redirect": { "name": "w/d", "file": file } }),
            "`w/d` is a directory",
        ),
        (
            json!({ "redirect": { "name": "w/file", "file": "/usr" } }),
            "/usr",
        ),
        (
            json!({ "replace": { "name": "w/nope", "file": file } }),
            "`w/nope` is not declared",
        ),
        (
            json!({ "replace": { "name": "w/d", "file": file } }),
            "`w/d` is a directory that holds",
        ),
        (
            json!({ "add": { "file_list": "/etc/passwd" } }),
            "cannot refer to a list",
        ),
    ] {
        world.file("changes", json!([fine, bad]).to_string());
        let said = refused(world, &["apply", "demo", "changes"]);
        assert!(said.contains(complaint), "{bad}: {said}");
        assert_eq!(live.ask("echo *"), "d file", "{bad}");
    }
    for text in [
        "",
        "{}",
        "[{\"add\": 7}]",
        "[{\"nonsense\": \"w\"}]",
        "[[]]",
        "[{\"withdraw\": 7}]",
    ] {
        world.file("changes", text);
        refused(world, &["apply", "demo", "changes"]);
    }
    assert_eq!(live.ask("echo *"), "d file");
    let listed: Value = serde_json::from_str(&steer(world, &["list", "--json"])).unwrap();
    assert_eq!(listed[0]["epoch"], 0);
    quietly(live);
}

/// `/tmp`, and where outputs are written, are mounted on names of the view.
fn what_the_action_needs_stays(world: &World) {
    let file = world.file("file", "");
    let action = world
        .action()
        .file("w/out/deep/input", file)
        .output("file", "w/out/made", "made");
    let mut live = demo(action);
    for name in ["tmp", "dev", "proc", "w/out", "w"] {
        let complaint = refused(world, &["withdraw", "demo", name]);
        assert!(complaint.contains(&format!("`{name}`")), "{complaint}");
    }
    live.tell("echo made > out/made; echo x > /tmp/x");
    live.finish().succeeded();
    assert_eq!(world.read("made"), "made\n");
}

fn listing_views(world: &World) {
    assert_eq!(steer(world, &["list"]).lines().count(), 1);
    assert_eq!(steer(world, &["list", "--json"]), "[]\n");
    let file = world.file("file", "content\n");
    let live = demo(world.action().file("w/file", &file));
    // Without a name, it is called by its process.
    let mut other = world.action().sh(LISTEN).start();
    other.says("ready");
    let pid = other.pid().as_raw_nonzero().to_string();
    let listed: Value = serde_json::from_str(&steer(world, &["list", "--json"])).unwrap();
    let names: Vec<_> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|view| view["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, [&*pid, "demo"]);
    let passthrough = world.has_passthrough();
    assert_eq!(
        listed[1],
        json!({ "name": "demo", "engine": "fuse", "epoch": 0, "files": 1, "bytes": 8, "passthrough": passthrough })
    );
    let table = steer(world, &["list"]);
    let row: Vec<_> = table
        .lines()
        .find(|line| line.contains("demo"))
        .unwrap()
        .split_whitespace()
        .collect();
    assert_eq!(
        row,
        [
            "demo",
            "fuse",
            "0",
            "1",
            if passthrough { "kernel" } else { "transom" }
        ]
    );
    quietly(live);
    let complaint = refused(world, &["stats", "demo"]);
    assert!(
        complaint.contains("no view \"demo\" is running; running are: "),
        "{complaint}"
    );
    quietly(other);
    let complaint = refused(world, &["stats", "demo"]);
    assert!(
        complaint.contains("no view \"demo\" is running; none is"),
        "{complaint}"
    );
}

fn statistics(world: &World) {
    let file = world.file("file", "content\n");
    let mut live = demo(world.action().file("w/file", &file));
    let requests = |opcode: &str| {
        let statistics: Value = serde_json::from_str(&steer(world, &["stats", "demo"])).unwrap();
        statistics["by_opcode"][opcode].as_u64().unwrap_or(0)
    };
    let before = requests("OPEN");
    live.ask("for i in 1 2 3; do read -r line < file; done; echo $line");
    assert_eq!(requests("OPEN"), before + 3);
    quietly(live);
}

fn traces_of_a_running_view(world: &World) {
    let file = world.file("file", "content\n");
    let action = world.action().file("w/used", &file).file("w/unused", &file);
    let mut live = demo(action.args(["--trace", "trace.json"]));
    let usage = || {
        let trace: Value = serde_json::from_str(&steer(world, &["trace", "demo"])).unwrap();
        let inputs = trace["inputs"].as_array().unwrap().clone();
        let used = inputs
            .into_iter()
            .find(|input| input["path"] == "w/used")
            .unwrap();
        used["use"].clone()
    };
    assert_eq!(usage(), "untouched");
    live.ask("stat -c x used");
    assert_eq!(usage(), "looked-up");
    live.ask("cat used");
    assert_eq!(usage(), "read");
    quietly(live);
    let trace: Value = serde_json::from_str(&world.read("trace.json")).unwrap();
    assert_eq!(trace["format"], 1);
}

fn a_view_that_is_not_traced(world: &World) {
    let live = demo(world.action());
    let complaint = refused(world, &["trace", "demo"]);
    assert!(
        complaint.contains("start it with `--trace FILE`"),
        "{complaint}"
    );
    quietly(live);
}

fn names_of_views(world: &World) {
    for name in ["", "..", "a/b", ".hidden", &"x".repeat(65)] {
        let run = world
            .action()
            .args([&format!("--name={name}")])
            .sh("echo ran")
            .run()
            .exited(125);
        assert_eq!(run.stdout(), "");
        run.says("cannot name a view");
    }
    // One at a time.
    let live = demo(world.action());
    let second = world
        .action()
        .args(["--name", "demo"])
        .sh("echo ran")
        .run()
        .exited(125);
    assert_eq!(second.stdout(), "");
    second.says("demo");
    steer(world, &["stats", "demo"]);
    quietly(live);
    // The name is free again, also after a run that was killed.
    let live = demo(world.action());
    live.signal(rustix::process::Signal::KILL);
    live.finish();
    let mut live = demo(world.action());
    assert_eq!(live.ask("echo again"), "again");
    quietly(live);
}

/// Calls its own view over the descriptor it was handed.
const CALL: &str = r#"
    open(my $view, "+<&=", $ENV{TRANSOM_CONTROL_FD}) or die "no connection: $!";
    sub call {
        my ($method, $parameters) = @_;
        syswrite($view, qq({"method":"io.transom.View.$method","parameters":$parameters}\0));
        my $reply = "";
        while ($reply !~ /\0/) { sysread($view, $reply, 65536, length $reply) or die "closed" }
        $reply =~ s/\0.*//s; return $reply;
    }
    print -e "new" ? "there" : "absent", "\n";
    print call("Update", qq({"changes":[{"add":{"name":"w/new","file":"$ARGV[0]"}}]})), "\n";
    open(my $new, "<", "new") or die "new: $!"; print <$new>;
    print call("Update", qq({"changes":[{"withdraw":"w/nope"}]})), "\n";
    print call("Explain", qq({"path":"w/New"})) =~ /upper and lower case differ/ ? "explained\n" : "not explained\n";
    print call("Nonsense", "{}"), "\n";
"#;

fn the_control_connection_of_the_action(world: &World) {
    let file = world.file("file", "content\n");
    let run = world
        .action()
        .args(["--control-fd", "9"])
        .command(["perl", "-e", CALL, file.to_str().unwrap()])
        .run()
        .succeeded();
    let printed = run.stdout();
    let lines: Vec<_> = printed.lines().collect();
    assert_eq!(lines[0], "absent");
    let replies = |line: &str| serde_json::from_str::<Value>(line).unwrap();
    assert_eq!(replies(lines[1])["parameters"], json!({ "epoch": 1 }));
    assert_eq!(lines[2], "content");
    assert_eq!(replies(lines[3])["error"], "io.transom.View.Refused");
    assert_eq!(lines[4], "explained");
    assert_eq!(
        replies(lines[5])["error"],
        "org.varlink.service.MethodNotFound"
    );
    // Not the standard files'.
    let taken = world.action().args(["--control-fd", "2"]).sh("true").run();
    taken.exited(125).says("2");
}

/// Only its user steers a view.
fn views_of_others(world: &World) {
    let live = demo(world.action());
    let socket = world.path().join("run/transom/demo");
    use std::os::unix::fs::MetadataExt;
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().mode() & 0o777;
    assert_eq!(
        (mode(&socket), mode(socket.parent().unwrap())),
        (0o600, 0o700)
    );
    quietly(live);
    assert!(!socket.exists());
}

fn what_was_steered_is_pinned(world: &World) {
    let one = world.file("one", "one\n");
    let mut live = demo(world.action());
    steer(world, &["add", "demo", "w/file", "one"]);
    std::fs::write(world.path().join("new"), "new\n").unwrap();
    std::fs::rename(world.path().join("new"), &one).unwrap();
    assert_eq!(live.ask("cat file"), "one");
    // Redirected to the same path, it follows.
    steer(world, &["redirect", "demo", "w/file", "one"]);
    assert_eq!(live.ask("cat file"), "new");
    std::fs::write(&one, "changed in place\n").unwrap();
    assert_eq!(
        live.ask("cat file 2>&1 | sed 's/.*: //'"),
        "Stale file handle"
    );
    let run = live.finish().exited(123);
    run.says("input `w/file`").says("was changed in place");
}

#[test]
fn mounts_are_what_they_are() {
    unprivileged_case(Engine::Mounts, |world| {
        let mut live = world.action().sh(LISTEN).start();
        live.says("ready");
        assert_eq!(steer(world, &["list", "--json"]), "[]\n");
        quietly(live);
    });
}
