//! The terminal behaves as if the command had been run directly.

use std::io::{Read, Write};
use std::process::Stdio;

use transom_test::privileged;

use crate::world::{World, compile_with};

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

/// Types a character on its own terminal, in 64-bit code and as the 32-bit
/// system call.
const TYPIST: &str = r#"
    #include <errno.h>
    #include <stdio.h>
    #include <string.h>
    #include <sys/ioctl.h>
    #include <unistd.h>
    int main(void) {
        char key = 'x';
        printf("ready\n%s\n", ioctl(0, TIOCSTI, &key) ? strerror(errno) : "typed");
    #ifdef __x86_64__
        long result;
        static char low_key = 'x';
        __asm__ volatile("int $0x80" : "=a"(result)
            : "a"(54), "b"(0), "c"(TIOCSTI), "d"((unsigned)(long)&low_key) : "memory");
        printf("%s\n", result == 0 ? "typed" : strerror(-result));
    #else
        puts(strerror(EPERM));
    #endif
        return 0;
    }
"#;

fn cannot_be_typed_on(world: &World) {
    // Not relocated, so that 32 bits can name a variable.
    let typist = compile_with(world, "typist", TYPIST, &["-static", "-no-pie"]);
    let options = format!("typist={}", typist.display());
    let line = world.runner_line(&["--file", &options], "/typist");
    let (printed, code) = type_into(world, &line, b"");
    let refused = "Operation not permitted\n".repeat(2);
    assert_eq!((printed, code), (format!("ready\n{refused}"), Some(0)));
}

#[test]
fn privileged_terminal_input() {
    privileged!("run an action as root");
    cannot_be_typed_on(&World::root());
}

#[test]
fn terminal_input() {
    if let Some(world) = World::unprivileged() {
        cannot_be_typed_on(&world);
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
