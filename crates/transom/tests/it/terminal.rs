//! At a terminal the command behaves as if it had been run directly.

use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use crate::action::Action;
use crate::world::{World, over_both_engines};

over_both_engines!(
    the_terminal_is_the_commands,
    the_terminal_has_a_name,
    interrupts_reach_the_command,
    an_interrupt_that_is_handled,
    stopping_and_continuing,
    a_shell_with_job_control,
    terminals_of_its_own,
    the_summary_is_for_people,
    the_size_of_the_window,
);

/// A pseudo-terminal with a shell command in it.
struct Terminal {
    child: Child,
    keys: ChildStdin,
    /// What is shown, in pieces.
    screen: Receiver<String>,
    /// What was received and not looked for yet.
    shown: String,
}

/// How long the screen may stay as it is.
const PATIENCE: Duration = Duration::from_secs(20);

impl Terminal {
    fn with(world: &World, command: &str) -> Self {
        let mut script = Command::new("script");
        let options = ["--quiet", "--return", "--echo", "never", "--command"];
        script.args(options).args([command, "/dev/null"]);
        script
            .current_dir(world.path())
            .env("SHELL", "/bin/sh")
            .env("TERM", "dumb")
            .env("PS1", "$ ");
        let script = script.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = script.spawn().unwrap();
        let (sender, screen) = mpsc::channel();
        let mut output = child.stdout.take().unwrap();
        std::thread::spawn(move || {
            let mut piece = [0; 4096];
            // A terminal without users gives an error instead of an end.
            while let Ok(read @ 1..) = output.read(&mut piece) {
                let piece = String::from_utf8_lossy(&piece[..read]).replace('\r', "");
                if sender.send(piece).is_err() {
                    break;
                }
            }
        });
        Self {
            keys: child.stdin.take().unwrap(),
            child,
            screen,
            shown: String::new(),
        }
    }

    /// Waits until the screen shows something new that contains `text`.
    #[track_caller]
    fn shows(&mut self, text: &str) -> &mut Self {
        loop {
            if let Some(at) = self.shown.find(text) {
                self.shown.drain(..at + text.len());
                return self;
            }
            match self.screen.recv_timeout(PATIENCE) {
                Ok(piece) => self.shown += &piece,
                Err(_) => panic!("{text:?} is not in {:?}", self.shown),
            }
        }
    }

    fn types(&mut self, keys: &str) -> &mut Self {
        self.keys.write_all(keys.as_bytes()).unwrap();
        self.keys.flush().unwrap();
        self
    }

    /// The rest of what is shown, and the exit code as a shell has it.
    fn end(mut self) -> (String, Option<i32>) {
        let code = self.child.wait().unwrap().code();
        self.shown.extend(self.screen.iter());
        (self.shown, code)
    }
}

/// A script that runs the action, to be typed at a terminal.
fn script(world: &World, action: Action<'_>) -> PathBuf {
    let (command, _) = action.prepare();
    let quoted =
        |word: &std::ffi::OsStr| format!("'{}'", word.to_str().unwrap().replace('\'', r"'\''"));
    let mut line = String::from("exec env");
    for (name, value) in command.get_envs() {
        let value = value.unwrap_or_default();
        line += &format!(" {}={}", name.to_str().unwrap(), quoted(value));
    }
    for word in std::iter::once(command.get_program()).chain(command.get_args()) {
        line += &format!(" {}", quoted(word));
    }
    world.file("typed", line)
}

fn run(world: &World, action: Action<'_>) -> Terminal {
    let script = script(world, action);
    // A shell in between would be interrupted too.
    Terminal::with(world, &format!("exec sh {}", script.display()))
}

fn the_terminal_is_the_commands(world: &World) {
    let probe = "test -t 0 && test -t 1 && test -t 2 && echo a terminal
        echo ready > /dev/tty; read line; echo \"got $line\"; stty -a | grep -o ' icanon'";
    let mut terminal = run(world, world.action().sh(probe));
    terminal
        .shows("a terminal")
        .shows("ready")
        .types("hello\n")
        .shows("got hello")
        .shows("icanon");
    assert_eq!(terminal.end().1, Some(0));
}

fn the_terminal_has_a_name(world: &World) {
    let mut terminal = run(
        world,
        world
            .action()
            .sh("tty; echo x > $(tty) && echo written; ls -l $(tty)"),
    );
    terminal.shows("/dev/");
    if world.is_root() {
        // The terminal of the test belongs to root.
        terminal.shows("written");
    }
    terminal.shows("crw");
    assert_eq!(terminal.end().1, Some(0));
}

fn interrupts_reach_the_command(world: &World) {
    for (key, code) in [("\x03", 128 + 2), ("\x1c", 128 + 3)] {
        let mut terminal = run(
            world,
            world.action().sh("ulimit -c 0; echo ready; exec sleep 60"),
        );
        terminal.shows("ready").types(key);
        assert_eq!(terminal.end().1, Some(code));
    }
}

fn an_interrupt_that_is_handled(world: &World) {
    // Once: the terminal tells the command, and transom does not repeat it.
    let probe =
        "trap 'echo interrupted; sleep 0.3; exit 7' INT; echo ready; while :; do sleep 0.02; done";
    let mut terminal = run(world, world.action().sh(probe));
    terminal.shows("ready").types("\x03");
    let (shown, code) = terminal.end();
    assert_eq!(
        (shown.matches("interrupted").count(), code),
        (1, Some(7)),
        "{shown}"
    );
}

fn stopping_and_continuing(world: &World) {
    let script = script(
        world,
        world
            .action()
            .sh("echo ready; read line; echo \"got $line\"; exit 7"),
    );
    let mut terminal = Terminal::with(world, "bash --norc --noprofile -i");
    terminal
        .types(&format!("sh {}\n", script.display()))
        .shows("ready\n");
    // The shell names the job when it stops and when it goes on. Before that,
    // what is typed could be the shell's to read.
    terminal.types("\x1a").shows("Stopped").shows("typed\n");
    terminal.types("fg\n").shows("typed\n");
    terminal.types("hello\n").shows("got hello");
    terminal
        .types("echo code $?\n")
        .shows("code 7")
        .types("exit 0\n");
    assert_eq!(terminal.end().1, Some(0));
}

fn a_shell_with_job_control(world: &World) {
    let shell = ["bash", "--norc", "--noprofile", "-i"];
    let mut terminal = run(world, world.action().command(shell));
    // What is typed is shown too, and must not be taken for what is printed.
    let job = "sh -c 'echo be''gun; exec sleep 50'\n";
    terminal
        .types(job)
        .shows("begun")
        .types("\x1a")
        .shows("Stopped");
    terminal
        .types("bg\n")
        .shows(" &\n")
        .types("jobs\n")
        .shows("Running");
    terminal.types("kill %1; wait; echo go''ne\n").shows("gone");
    terminal.types(job).shows("begun").types("\x03");
    terminal
        .types("echo in''terrupted $?; exit 5\n")
        .shows("interrupted 130");
    let (shown, code) = terminal.end();
    assert!(!shown.contains("no job control"), "{shown}");
    assert_eq!(code, Some(5));
}

fn terminals_of_its_own(world: &World) {
    let printed = world
        .action()
        .prints("script --quiet --return --command 'tty; echo /dev/pts/*' /dev/null < /dev/null");
    assert_eq!(
        printed.replace('\r', ""),
        "/dev/pts/0\n/dev/pts/0 /dev/pts/ptmx\n"
    );
}

fn the_summary_is_for_people(world: &World) {
    let file = world.file("file", "content\n");
    let action = || {
        world
            .action()
            .file("w/file", &file)
            .command(["cat", "file"])
            .unreported()
    };
    // Nobody looks: nothing is told.
    let run_quietly = action().run().succeeded();
    assert_eq!(
        (run_quietly.stdout(), run_quietly.stderr()),
        ("content\n".into(), String::new())
    );
    // Somebody does.
    let mut terminal = run(world, action());
    terminal
        .shows("content")
        .shows("exit 0")
        .shows("1 file (8 B), 1 whole directory");
    terminal.shows(world.engine.name());
    assert_eq!(terminal.end().1, Some(0));
    // And does not want to.
    let (shown, _) = run(world, action().args(["--quiet"])).end();
    assert_eq!(shown, "content\n");
}

fn the_size_of_the_window(world: &World) {
    // One of the two numbers: stty(1) would change one after the other.
    let action = world
        .action()
        .sh("stty size; trap 'stty size; exit 0' WINCH; echo ready; while :; do sleep 0.02; done");
    let script = script(world, action);
    let line = format!(
        "stty rows 30 cols 90; (sleep 1; stty rows 40 < /dev/tty) & sh {}",
        script.display()
    );
    let mut terminal = Terminal::with(world, &line);
    terminal.shows("30 90").shows("ready").shows("40 90");
    assert_eq!(terminal.end().1, Some(0));
}
