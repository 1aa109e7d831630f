//! The terminal behaves as if the command had been run directly.

use std::io::{Read, Write};
use std::process::Stdio;

use transom_test::privileged;

use crate::world::World;

/// Runs a line of shell in a pseudo-terminal, types `keys` when it has printed
/// `ready`, and returns what it printed, and its exit code.
fn type_into(world: &World, line: &str, keys: &[u8]) -> (String, Option<i32>) {
    let mut script = world.command("script");
    script.args([
        "--quiet",
        "--return",
        "--echo",
        "never",
        "--command",
        line,
        "/dev/null",
    ]);
    let mut child = script
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = child.stdout.take().unwrap();
    let mut printed = Vec::new();
    let mut chunk = [0; 256];
    loop {
        let read = output.read(&mut chunk).unwrap();
        printed.extend_from_slice(&chunk[..read]);
        if read == 0 || String::from_utf8_lossy(&printed).contains("ready") {
            break;
        }
    }
    let mut input = child.stdin.take().unwrap();
    input.write_all(keys).unwrap();
    input.flush().unwrap();
    output.read_to_end(&mut printed).unwrap();
    drop(input);
    let code = child.wait().unwrap().code();
    (String::from_utf8_lossy(&printed).replace('\r', ""), code)
}

fn be_the_callers(world: &World) {
    // The runner does not handle SIGINT, so here it ignores it; perl alone can
    // take back what was ignored when it started.
    let perl = r#"$| = 1; $SIG{INT} = sub { print "interrupted\n"; exit 42 }; print -t STDIN ? "a terminal, ready\n" : "no terminal, ready\n"; sleep 60 while 1"#;
    let line = format!(
        "trap '' INT; {}",
        world.runner_line(&[], &format!("perl -e '{perl}'"))
    );
    let (printed, code) = type_into(world, &line, b"\x03");
    assert_eq!(printed, "a terminal, ready\ninterrupted\n");
    assert_eq!(code, Some(42));

    // Canonical input, and /dev/tty.
    let script = "echo ready > /dev/tty; read line; echo got $line";
    let line = world.runner_line(&[], &format!("sh -c '{script}'"));
    let (printed, code) = type_into(world, &line, b"hello\n");
    assert_eq!((printed.as_str(), code), ("ready\ngot hello\n", Some(0)));
}

#[test]
fn privileged_terminal() {
    privileged!("run an action as root");
    be_the_callers(&World::root());
}

#[test]
fn terminal() {
    if let Some(world) = World::unprivileged() {
        be_the_callers(&world);
    }
}

fn own_pseudo_terminals(world: &World) {
    let script = "script --quiet --return --command 'tty; ls -1 /dev/pts' /dev/null < /dev/null";
    let run = world.run(&[], script).succeeded();
    assert_eq!(run.stdout().replace('\r', ""), "/dev/pts/0\n0\nptmx\n");
}

#[test]
fn privileged_pseudo_terminals() {
    privileged!("run an action as root");
    own_pseudo_terminals(&World::root());
}

#[test]
fn pseudo_terminals() {
    if let Some(world) = World::unprivileged() {
        own_pseudo_terminals(&world);
    }
}
