//! `transom wrap`: what is learnt of a command is what it needs and makes.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Value, json};
use transom_test::HostState;

use crate::action::Run;
use crate::world::{World, over_fuse};

over_fuse!(
    what_is_learnt_is_enough_and_no_more,
    everything_that_is_made_is_known,
    only_uses_of_what_was_there_are_inputs,
    what_is_discarded_is_no_output,
    what_can_be_done_is_said,
    it_ends_as_the_command_does,
    it_ends_as_the_command_does_even_if_nothing_can_be_printed,
    what_cannot_be_written_leaves_the_old_file,
    a_report_that_cannot_be_written_is_told_first,
    what_is_declared_is_compared,
    an_end_by_a_signal_leaves_nothing,
);

const MAKEFILE: &str = "\
all: answer
answer: main.o
\tgcc -o $@ $^ && ln -sf answer link
%.o: %.c $(wildcard include/*.h)
\tgcc -g -MD -Iinclude -c $(CURDIR)/$< -o $@
";

const MAIN: &str = "\
#include <stdio.h>
#include \"number.h\"
int main(void) { return printf(\"%s %d\\n\", __FILE__, NUMBER) < 0; }
";

/// `transom wrap learn` or `enforce`, as the user would type it.
fn wrap(world: &World, arguments: &[&str], command: &[&str]) -> Command {
    let mut transom = world.transom();
    transom.arg("wrap").args(arguments).arg("--").args(command);
    transom.env("PATH", "/usr/bin:/bin").stdin(Stdio::null());
    transom
}

#[track_caller]
fn run(world: &World, arguments: &[&str], command: &[&str]) -> Run {
    Run::of(wrap(world, arguments, command).output().unwrap())
}

/// Learns what a line of shell does, which succeeds. Returns the manifest.
#[track_caller]
fn learn(world: &World, script: &str) -> Value {
    let arguments = ["learn", "--manifest", "learnt.json"];
    run(world, &arguments, &["sh", "-c", script]).succeeded();
    manifest(world)
}

#[track_caller]
fn manifest(world: &World) -> Value {
    serde_json::from_str(&world.read("learnt.json")).unwrap()
}

/// The entries of one part of a manifest that lie in the directory of `world`,
/// by their names below it.
fn here(world: &World, entries: &Value) -> Vec<(String, Value)> {
    let directory = &world.path().to_str().unwrap()[1..];
    let entries = entries.as_array().unwrap().iter();
    let here = entries.filter_map(|entry| {
        let name = entry.get("name").unwrap_or(entry).as_str().unwrap();
        let name = name.strip_prefix(directory)?;
        Some((name.trim_start_matches('/').to_owned(), entry.clone()))
    });
    here.collect()
}

fn names(entries: Vec<(String, Value)>) -> Vec<String> {
    entries.into_iter().map(|(name, _)| name).collect()
}

fn what_is_learnt_is_enough_and_no_more(world: &World) {
    world.file("Makefile", MAKEFILE);
    world.file("main.c", MAIN);
    world.file("other/unused.c", "#error\n");
    world.file("include/number.h", "#define NUMBER 42\n");
    world.file("include/listed.h", "#error\n");
    let files = ["--depfile", "learnt.d", "--report", "learnt.html"];
    let arguments = [&["learn", "--manifest", "learnt.json"][..], &files].concat();
    let learning = run(world, &arguments, &["make"]).succeeded();
    if world.is_root() {
        learning.says("of them READ 0");
    }
    let made = world.read("main.d");
    let object = fs::read(world.path().join("main.o")).unwrap();

    let manifest = manifest(world);
    let mut inputs = here(world, &manifest["inputs"]);
    // The user's copy of the program, which make sees in its listing.
    inputs.retain(|(name, _)| name != "transom");
    let source = format!("{}/main.c", world.path().display());
    assert_eq!(
        names(inputs),
        [
            "Makefile",
            "include/listed.h",
            "include/number.h",
            "main.c",
            "other"
        ],
    );
    let outputs = here(world, &manifest["outputs"]);
    assert_eq!(names(outputs), ["answer", "link", "main.d", "main.o"]);
    let depfile = world.read("learnt.d");
    assert!(depfile.starts_with("answer: \\\n"), "{depfile}");
    assert!(depfile.contains("\n  include/number.h \\\n"), "{depfile}");
    assert!(!depfile.contains("unused.c"), "{depfile}");
    assert!(world.read("learnt.html").contains(&source));

    // What is declared is all there is, and what is made is the same.
    for made in ["answer", "link", "main.d", "main.o"] {
        fs::remove_file(world.path().join(made)).unwrap();
    }
    world.file("include/new.h", "");
    let enforced = ["enforce", "--manifest", "learnt.json"];
    run(world, &enforced, &["make"]).succeeded();
    assert_eq!(fs::read(world.path().join("main.o")).unwrap(), object);
    assert_eq!(world.read("main.d"), made);
    let said = world.command("sh").args(["-c", "./link"]).output().unwrap();
    assert_eq!(said.stdout, format!("{source} 42\n").into_bytes());

    let before = fs::metadata(world.path().join("answer")).unwrap().ino();
    let script = "echo include/*; read line < include/new.h";
    let missed = run(world, &enforced, &["sh", "-c", script]).exited(2);
    assert_eq!(missed.stdout(), "include/listed.h include/number.h\n");
    missed
        .says("Asked for, not declared (1)")
        .says("/include/new.h");
    let after = fs::metadata(world.path().join("answer")).unwrap().ino();
    assert_eq!(before, after, "nothing is moved of a command that failed");
}

fn everything_that_is_made_is_known(world: &World) {
    world.file("source", "source\n");
    world.directory("scratch");
    world.directory("stays");
    let script = "
        echo one > one.tmp; mv one.tmp one; chmod 700 one
        ln one hard; ln -s nowhere soft
        mkdir before before/deep; echo two > before/deep/two; mv before after
        mkdir empty; mkdir gone; rmdir gone
        echo three > scratch/three; rm scratch/three
        cp source stays/copy";
    let manifest = learn(world, script);
    assert_eq!(
        names(here(world, &manifest["outputs"])),
        ["after/deep/two", "hard", "one", "soft", "stays/copy"],
    );
    assert_eq!(names(here(world, &manifest["writable"])), ["scratch"]);
    assert_eq!(world.read("after/deep/two"), "two\n");
    let one = fs::metadata(world.path().join("one")).unwrap();
    assert_eq!((one.mode() & 0o777, one.nlink()), (0o700, 2));

    let made = ["after/deep/two", "hard", "one", "soft", "stays/copy"];
    for made in made {
        fs::remove_file(world.path().join(made)).unwrap();
    }
    fs::remove_dir(world.path().join("empty")).unwrap();
    // Directories of outputs are there already.
    let again = script.replace("mkdir before", "mkdir -p before");
    let again = again.replace("mv before after", "mv before/deep/two after/deep");
    let enforced = ["enforce", "--manifest", "learnt.json"];
    run(world, &enforced, &["sh", "-ec", &again]).succeeded();
    assert_eq!(world.read("after/deep/two"), "two\n");
    assert_eq!(world.read("stays/copy"), "source\n");
    let soft = fs::read_link(world.path().join("soft")).unwrap();
    assert_eq!(soft.to_str(), Some("nowhere"));
    assert!(!world.exists("empty") && !world.exists("scratch/three"));
}

fn only_uses_of_what_was_there_are_inputs(world: &World) {
    for name in ["read", "looked-at", "replaced", "read-and-replaced", "log"] {
        world.file(name, name);
    }
    world.file("read-and-removed", "");
    world.file("untouched", "");
    world.directory("looked-into/empty");
    symlink("read", world.path().join("link")).unwrap();
    symlink("nowhere", world.path().join("dangling")).unwrap();
    let script = "
        cat link; test -e looked-at; test -d looked-into/empty; test -e dangling
        echo new > replaced; cat replaced
        cat read-and-replaced > tmp; mv tmp read-and-replaced
        cat read-and-removed; rm read-and-removed
        echo more >> log
        echo own > own; cat own; for i in 1 2 3; do test -e no-such-name; done; true";
    let arguments = ["learn", "--manifest", "learnt.json", "--trace", "trace"];
    let learning = run(world, &arguments, &["sh", "-c", script]).succeeded();
    let manifest = manifest(world);
    let inputs = here(world, &manifest["inputs"]);
    let link = inputs.iter().find(|(name, _)| name == "link").unwrap();
    assert_eq!(link.1["symlink"], "read");
    assert_eq!(
        names(inputs),
        ["dangling", "link", "looked-at", "looked-into/empty", "read"],
    );
    assert_eq!(
        names(here(world, &manifest["outputs"])),
        ["own", "replaced"],
    );
    learning
        .says("Changed, not only made (2)")
        .says("Used, and gone (1)")
        .says("/read-and-removed\n");
    let trace: Value = serde_json::from_str(&world.read("trace")).unwrap();
    let absent = trace["absent"].as_array().unwrap().iter();
    let name = format!("{}/no-such-name", &world.path().to_str().unwrap()[1..]);
    let mut absent = absent.filter(|absent| absent["path"] == name.as_str());
    assert_eq!(absent.next().unwrap()["requests"], 3);
}

fn what_is_discarded_is_no_output(world: &World) {
    world.file("logs/of-yesterday", "");
    let script = "ls logs; mkdir made made/random; echo $$ > made/random/$$; echo made > made/kept
        echo $$ > stamp";
    let mut arguments = vec!["learn", "--manifest", "learnt.json"];
    for discarded in ["made/random", "stamp", "logs"] {
        arguments.extend(["--discard", discarded]);
    }
    run(world, &arguments, &["sh", "-c", script]).succeeded();
    let manifest = manifest(world);
    assert_eq!(names(here(world, &manifest["outputs"])), ["made/kept"]);
    assert_eq!(
        names(here(world, &manifest["writable"])),
        ["", "made/random"],
    );
    assert!(!world.read("learnt.json").contains("of-yesterday"));
    let again = script.replace("mkdir", "mkdir -p");
    let enforced = ["enforce", "--manifest", "learnt.json"];
    run(world, &enforced, &["sh", "-ec", &again]).succeeded();
    let random = fs::read_dir(world.path().join("made/random")).unwrap();
    assert_eq!(random.count(), 1, "that of learning is still there");
}

fn what_can_be_done_is_said(world: &World) {
    let learning = run(world, &["learn"], &["test", "-e", "nothing"]).exited(1);
    assert!(!learning.stderr().contains("Nothing was made"));
    run(world, &["learn"], &["true"])
        .succeeded()
        .says("Nothing was made. What was up to date was not built");
    let manifest = learn(
        world,
        "read id < /proc/sys/kernel/random/uuid; echo made > made; > made.$id",
    );
    assert_eq!(here(world, &manifest["outputs"]).len(), 2);
    let enforced = ["enforce", "--manifest", "learnt.json"];
    run(world, &enforced, &[])
        .exited(123)
        .says("learn again with `--discard PATH`");
    let learning = [env!("CARGO_BIN_EXE_transom"), "wrap", "learn", "--", "true"];
    if world.is_root() {
        run(world, &["learn"], &learning)
            .exited(125)
            .says("or /dev is not the host's, as in a view");
    }
}

fn it_ends_as_the_command_does(world: &World) {
    let arguments = ["learn", "--manifest", "manifest", "--trace", "trace"];
    run(world, &arguments, &["sh", "-c", "echo made > made; exit 7"])
        .exited(7)
        .says("manifest was not written: the command failed.");
    assert!(!world.exists("manifest") && world.exists("trace"));
    assert_eq!(world.read("made"), "made\n", "it was written in place");
    run(world, &arguments, &["no-such-command"]).exited(127);
    run(world, &arguments, &["./made"]).exited(126);
    run(world, &["learn", "--manifest", "no/such"], &["true"])
        .exited(125)
        .says("is no directory; make it first");
    run(world, &["learn", "--whole", "made"], &["true"]).exited(125);
    run(world, &["learn", "--manifest", "-"], &["true"])
        .exited(125)
        .says("--manifest: `-` would be standard output");
    assert!(!world.exists("-"));
    let quiet = run(world, &["learn", "--quiet"], &["true"]).succeeded();
    assert_eq!(quiet.stderr(), "");
}

fn it_ends_as_the_command_does_even_if_nothing_can_be_printed(world: &World) {
    learn(world, "true");
    for what in ["learn", "enforce"] {
        let arguments = [what, "--manifest", "learnt.json"];
        let mut ending = wrap(world, &arguments, &["sh", "-c", "exit 3"]);
        let full = fs::OpenOptions::new().write(true).open("/dev/full");
        let status = ending.stderr(full.unwrap()).status().unwrap();
        assert_eq!(status.code(), Some(3), "{what}");
    }
}

fn what_cannot_be_written_leaves_the_old_file(world: &World) {
    world.file("names/with\na-line-break", "");
    world.file("learnt.d", "old: rule\n");
    let files = [
        "--depfile",
        "learnt.d",
        "--report",
        "page",
        "--trace",
        "trace",
    ];
    let arguments = [&["learn", "--manifest", "learnt.json"][..], &files].concat();
    run(world, &arguments, &["sh", "-c", "cat names/*"])
        .exited(125)
        .says("transom wrap learn")
        .says("cannot write learnt.d: a depfile cannot name");
    assert_eq!(world.read("learnt.d"), "old: rule\n");
    for written in ["learnt.json", "page", "trace"] {
        assert!(world.exists(written), "{written}");
    }
    let entries = fs::read_dir(world.path()).unwrap();
    let mut names = entries.map(|entry| entry.unwrap().file_name());
    assert!(!names.any(|name| name.to_string_lossy().starts_with(".transom")));
}

fn a_report_that_cannot_be_written_is_told_first(world: &World) {
    learn(world, "echo old > made");
    let arguments = [
        "enforce",
        "--manifest",
        "learnt.json",
        "--report",
        "no/such",
    ];
    run(world, &arguments, &["sh", "-c", "echo new > made"])
        .exited(125)
        .says("is no directory; make it first");
    assert_eq!(world.read("made"), "old\n");
}

fn what_is_declared_is_compared(world: &World) {
    let used = world.file("used", "used\n");
    let other = world.file("other", "other\n");
    let unused = world.file("unused", "unused\n");
    let file = |path: &std::path::Path| {
        let path = path.to_str().unwrap();
        json!({ "name": &path[1..], "file": path })
    };
    let mut inputs = vec![json!({ "name": "usr", "directory": "/usr" })];
    inputs.extend([file(&used), file(&unused)]);
    let declared = json!({ "version": 1, "inputs": inputs });
    world.file("declared.json", declared.to_string());
    let arguments = ["learn", "--against", "declared.json", "--report", "page"];
    let run = run(world, &arguments, &["cat", "used", "other"]).succeeded();
    run.says("Used, not declared")
        .says("Declared, not read (1)");
    let page = world.read("page");
    let row = |path: &std::path::Path, word| {
        format!(
            "<td class=\"name\">{}<td class=\"word\">{word}",
            path.display()
        )
    };
    assert!(page.contains(&row(&unused, "not asked for")), "{page}");
    let (_, undeclared) = page.split_once("Used, not declared").unwrap();
    let (undeclared, _) = undeclared.split_once("Declared, not read").unwrap();
    assert!(undeclared.contains(&row(&other, "read")), "{undeclared}");
    assert!(!undeclared.contains("/used") && !undeclared.contains(">/usr/"));
}

fn an_end_by_a_signal_leaves_nothing(world: &World) {
    run(world, &["learn"], &["true"]).succeeded();
    let marker = format!("9{}", fs::metadata(world.path()).unwrap().ino());
    // One process from there on: a shell that waits goes on after an interrupt
    // that its child was too quick for.
    let script = format!("(setsid sleep {marker} &) ; : > started; exec sleep {marker}");
    for signal in [Signal::INT, Signal::TERM, Signal::KILL] {
        let state = HostState::capture(&marker, &[]).unwrap();
        let mut learning = wrap(world, &["learn"], &["sh", "-c", &script]);
        let mut learning = learning.process_group(0).spawn().unwrap();
        while !world.exists("started") {
            assert!(learning.try_wait().unwrap().is_none());
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        fs::remove_file(world.path().join("started")).unwrap();
        kill_process_group(Pid::from_child(&learning), signal).unwrap();
        assert!(!learning.wait().unwrap().success());
        state.assert_restored();
    }
}
