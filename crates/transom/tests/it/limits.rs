//! As much as is allowed works, and one more is refused.

use std::fmt::Write;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::world::{Engine, World, over_fuse, privileged_case, unprivileged_case};

/// Memory that a million inputs may take, in KiB: far more than they do.
const MEMORY_KIB_MAX: u64 = 4 << 20;

/// Declares so many names, one a line, that stand for a few host files. The
/// first is on line 2.
fn names(world: &World, count: usize) -> String {
    let files: Vec<_> = (0..10)
        .map(|number| world.file(format!("file{number}"), format!("{number}\n")))
        .collect();
    let mut manifest =
        String::from("{ \"version\": 1, \"working_directory\": \"w\", \"inputs\": [\n");
    for number in 0..count {
        let separator = if number == 0 { "" } else { ",\n" };
        let (directory, file) = (number / 1000, files[number % 10].display());
        write!(
            manifest,
            "{separator}{{\"name\":\"w/{directory}/{number}\",\"file\":\"{file}\"}}"
        )
        .unwrap();
    }
    manifest + "\n] }"
}

/// The same command with a limit, as `ulimit` takes it.
fn limited(command: &Command, limit: &str) -> Command {
    let mut shell = Command::new("sh");
    let script = format!("ulimit {limit}; exec \"$@\"");
    shell
        .args(["-c", &script, "sh"])
        .arg(command.get_program())
        .args(command.get_args());
    for (name, value) in command.get_envs() {
        shell.env(name, value.unwrap_or_default());
    }
    shell
}

/// The command, with a limit to its memory.
fn run(world: &World, arguments: &[&str]) -> (crate::action::Run, Duration) {
    let mut shell = limited(&world.transom(), &format!("-v {MEMORY_KIB_MAX}"));
    shell
        .args([
            "run",
            "--engine",
            world.engine.name(),
            "--manifest",
            "many.json",
        ])
        .args(arguments);
    let begin = Instant::now();
    let output = shell.current_dir(world.path()).output().unwrap();
    (crate::action::Run::of(output), begin.elapsed())
}

/// Open files that transom may have, and directories and files of a tree that
/// has more of both.
const OPEN_FILES: usize = 700;
const DIRECTORIES: usize = 1200;

fn a_tree_larger_than_the_limit_of_open_files(world: &World) {
    for number in 0..DIRECTORIES {
        let directory = format!("tree/{}/{number}", number % 30);
        world.file(format!("{directory}/file"), format!("{number}\n"));
    }
    let names = 1 + 30 + 2 * DIRECTORIES;
    let sum: usize = (0..DIRECTORIES).sum();
    // Twice: with nothing found yet, and with everything.
    let look = "find tree | wc -l; ls -R tree | grep -c file; find tree -name file | xargs cat |
         { sum=0; while read -r n; do sum=$((sum + n)); done; echo $sum; }";
    let action = world
        .action()
        .directory("w/tree", world.path().join("tree"))
        .sh(&format!("{look}; {look}; ls /usr/bin | grep -cx env"));
    let mut shell = limited(&action.prepare().0, &format!("-n {OPEN_FILES}"));
    let ran = crate::action::Run::of(shell.current_dir(world.path()).output().unwrap());
    let once = format!("{names}\n{DIRECTORIES}\n{sum}\n");
    assert_eq!(ran.succeeded().stdout(), format!("{once}{once}1\n"));
}

over_fuse!(a_tree_larger_than_the_limit_of_open_files);

fn a_million_names(world: &World) {
    // With those of `/usr` that the command needs.
    world.file("many.json", names(world, 999_996));
    let links = [
        "--symlink",
        "/bin=usr/bin",
        "--symlink",
        "/lib=usr/lib",
        "--symlink",
        "/lib64=usr/lib64",
    ];
    let script = "cat 0/3 999/999995; ls | wc -l; ls 500 | wc -l; test -e 1/1 || echo absent";
    let arguments = ["--ro", "/usr"].iter().chain(&links).copied();
    let arguments: Vec<_> = arguments.chain(["--", "sh", "-c", script]).collect();
    let (ran, took) = run(world, &arguments);
    assert_eq!(ran.succeeded().stdout(), "3\n5\n1000\n1000\nabsent\n");
    // Seconds in a debug build; a quadratic step would take hours.
    assert!(took < Duration::from_secs(100), "{took:?}");
}

#[test]
fn privileged_a_million_names() {
    privileged_case(Engine::Fuse, a_million_names);
}

#[test]
fn a_million_names_and_one() {
    unprivileged_case(Engine::Mounts, |world| {
        world.file("many.json", names(world, 1_000_001));
        let (refused, _) = run(world, &["--dry-run", "--", "true"]);
        let refused = refused
            .exited(125)
            .says("many.json:1000002")
            .says("w/1000/1000000");
        refused
            .says("more than 1000000 inputs")
            .says("declare directories as a whole");
    });
}

/// As soon as they are counted: no host file is looked for.
#[test]
fn more_mounts_than_the_kernel_allows_are_refused_at_once() {
    let limit = std::fs::read_to_string("/proc/sys/fs/mount-max").unwrap();
    let limit: usize = limit.trim().parse().unwrap();
    if limit > 200_000 {
        transom_test::skip!("fs.mount-max is raised");
    }
    unprivileged_case(Engine::Mounts, |world| {
        let manifest = names(world, limit + 1).replace("/file", "/no-such-file");
        world.file("many.json", manifest);
        let (run, _) = run(world, &["--", "true"]);
        run.exited(125).says("fs.mount-max");
    });
}
