//! One `transom run`: what it is told, and what became of it.

use std::cell::Cell;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::world::World;

/// An action to be: a manifest and further arguments.
pub(crate) struct Action<'w> {
    world: &'w World,
    manifest: Value,
    arguments: Vec<OsString>,
    command: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    stdin: Stdio,
    engine: &'static str,
    own_group: bool,
    reported: bool,
}

impl<'w> Action<'w> {
    pub(crate) fn new(world: &'w World) -> Self {
        Self {
            world,
            manifest: json!({ "version": 1, "inputs": [], "outputs": [], "working_directory": "w" }),
            arguments: Vec::new(),
            command: Vec::new(),
            environment: Vec::new(),
            stdin: Stdio::null(),
            engine: world.engine.name(),
            own_group: false,
            reported: true,
        }
    }

    /// Declares a host file.
    pub(crate) fn file(self, name: &str, path: impl AsRef<Path>) -> Self {
        let path = path.as_ref().to_str().unwrap();
        self.input(json!({ "name": name, "file": path }))
    }

    /// Declares a host directory as a whole.
    pub(crate) fn directory(self, name: &str, path: impl AsRef<Path>) -> Self {
        let path = path.as_ref().to_str().unwrap();
        self.input(json!({ "name": name, "directory": path }))
    }

    pub(crate) fn symlink(self, name: &str, target: &str) -> Self {
        self.input(json!({ "name": name, "symlink": target }))
    }

    /// Declares an input as the manifest has it.
    pub(crate) fn input(mut self, input: Value) -> Self {
        self.manifest["inputs"].as_array_mut().unwrap().push(input);
        self
    }

    /// Declares an output: `kind` is `file` or `directory`.
    pub(crate) fn output(self, kind: &str, name: &str, destination: impl AsRef<Path>) -> Self {
        let destination = destination.as_ref().to_str().unwrap();
        self.output_as(json!({ "name": name, "kind": kind, "destination": destination }))
    }

    /// Declares an output as the manifest has it.
    pub(crate) fn output_as(mut self, output: Value) -> Self {
        let outputs = self.manifest["outputs"].as_array_mut().unwrap();
        outputs.push(output);
        self
    }

    /// Sets another field of the manifest.
    pub(crate) fn set(mut self, field: &str, value: impl Into<Value>) -> Self {
        self.manifest[field] = value.into();
        self
    }

    /// Adds arguments of `transom run`.
    pub(crate) fn args<A: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        let arguments = arguments.into_iter();
        self.arguments
            .extend(arguments.map(|argument| argument.as_ref().to_owned()));
        self
    }

    /// Sets a variable in the environment of transom.
    pub(crate) fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.environment
            .push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    pub(crate) fn stdin(mut self, stdin: impl Into<Stdio>) -> Self {
        self.stdin = stdin.into();
        self
    }

    /// Asks for another engine than the world's.
    pub(crate) fn engine(mut self, engine: &'static str) -> Self {
        self.engine = engine;
        self
    }

    /// Asks for no summary.
    pub(crate) fn unreported(mut self) -> Self {
        self.reported = false;
        self
    }

    /// Runs transom in a process group of its own.
    pub(crate) fn own_group(mut self) -> Self {
        self.own_group = true;
        self
    }

    /// Makes the command a line of shell.
    pub(crate) fn sh(self, script: &str) -> Self {
        self.command(["sh", "-c", script])
    }

    pub(crate) fn command<A: AsRef<OsStr>>(mut self, command: impl IntoIterator<Item = A>) -> Self {
        let command = command.into_iter();
        self.command = command.map(|word| word.as_ref().to_owned()).collect();
        self
    }

    /// Adds words to the command.
    pub(crate) fn more<A: AsRef<OsStr>>(mut self, words: impl IntoIterator<Item = A>) -> Self {
        let words = words.into_iter();
        self.command
            .extend(words.map(|word| word.as_ref().to_owned()));
        self
    }

    /// What would be typed, and where the summary will be.
    pub(crate) fn prepare(self) -> (Command, PathBuf) {
        let number = NUMBER.get();
        NUMBER.set(number + 1);
        let text = serde_json::to_string_pretty(&self.manifest).unwrap();
        let manifest = self.world.file(format!("action-{number}.json"), text);
        let report = self.world.path().join(format!("report-{number}.json"));
        let mut transom = self.world.transom();
        transom.args(["run", "--engine", self.engine, "--manifest"]);
        transom.arg(manifest);
        if self.reported {
            transom.args(["--json", "--report"]).arg(&report);
        }
        if self.world.has_daemon() {
            transom.args(["--daemon", "require"]);
        }
        transom.args(self.arguments).arg("--").args(self.command);
        transom.envs(self.environment).stdin(self.stdin);
        if self.own_group {
            transom.process_group(0);
        }
        (transom, report)
    }

    /// Runs it.
    #[track_caller]
    pub(crate) fn run(self) -> Run {
        let (mut transom, report) = self.prepare();
        let run = Run::of(transom.output().unwrap());
        Run {
            report: read_report(&report),
            ..run
        }
    }

    /// Runs a line of shell that has to succeed, and returns what it printed.
    #[track_caller]
    pub(crate) fn prints(self, script: &str) -> String {
        self.sh(script).run().succeeded().stdout()
    }

    /// Starts it, for a command that is talked to through its standard files.
    pub(crate) fn start(self) -> Live {
        let (mut transom, report) = self.prepare();
        let complaints = report.with_extension("stderr");
        transom.stdin(Stdio::piped()).stdout(Stdio::piped());
        transom.stderr(File::create(&complaints).unwrap());
        let mut child = transom.spawn().unwrap();
        Live {
            input: child.stdin.take(),
            output: lines_of(child.stdout.take().unwrap()),
            child,
            report,
            complaints,
        }
    }
}

thread_local! {
    /// Tells the files of several actions of one test apart.
    static NUMBER: Cell<u32> = const { Cell::new(0) };
}

/// The summary, if there is one.
fn read_report(path: &Path) -> Option<Value> {
    let text = fs::read_to_string(path).ok()?;
    Some(serde_json::from_str(&text).unwrap())
}

/// A command that evaluates each line it is sent.
pub(crate) const LISTEN: &str = "echo ready; while read -r line; do eval \"$line\"; done";

/// How long a command may take for a line.
const PATIENCE: Duration = Duration::from_secs(20);

/// What is read, line by line with their ends, as it comes.
fn lines_of(output: ChildStdout) -> Receiver<Vec<u8>> {
    let (sender, lines) = mpsc::channel();
    std::thread::spawn(move || {
        let mut output = BufReader::new(output);
        let mut line = Vec::new();
        while output.read_until(b'\n', &mut line).unwrap() > 0 {
            if sender.send(std::mem::take(&mut line)).is_err() {
                break;
            }
        }
    });
    lines
}

/// An action that is running.
pub(crate) struct Live {
    child: Child,
    input: Option<ChildStdin>,
    output: Receiver<Vec<u8>>,
    report: PathBuf,
    complaints: PathBuf,
}

impl Live {
    /// The next line the command prints.
    #[track_caller]
    pub(crate) fn line(&mut self) -> String {
        match self.output.recv_timeout(PATIENCE) {
            Ok(line) => String::from_utf8_lossy(&line)
                .trim_end_matches('\n')
                .to_owned(),
            Err(error) => {
                let complaints = fs::read_to_string(&self.complaints).unwrap_or_default();
                panic!("no line, {error}: {complaints}");
            }
        }
    }

    /// Waits until the command prints that line.
    #[track_caller]
    pub(crate) fn says(&mut self, line: &str) -> &mut Self {
        assert_eq!(self.line(), line);
        self
    }

    /// Sends a line to the command.
    pub(crate) fn tell(&mut self, line: &str) -> &mut Self {
        let input = self.input.as_mut().unwrap();
        writeln!(input, "{line}").unwrap();
        self
    }

    /// Sends a line to the command and returns the line it answers.
    #[track_caller]
    pub(crate) fn ask(&mut self, line: &str) -> String {
        self.tell(line).line()
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// Closes the command's input and waits for its end.
    pub(crate) fn finish(mut self) -> Run {
        drop(self.input.take());
        let stdout: Vec<u8> = self.output.iter().flatten().collect();
        let status = self.child.wait().unwrap();
        Run {
            status,
            stdout,
            stderr: fs::read(&self.complaints).unwrap(),
            report: read_report(&self.report),
        }
    }
}

/// What became of an action.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
    report: Option<Value>,
}

impl Run {
    /// Of a run without a summary.
    pub(crate) fn of(output: Output) -> Self {
        Self {
            status: output.status,
            stdout: output.stdout,
            stderr: output.stderr,
            report: None,
        }
    }

    pub(crate) fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    pub(crate) fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }

    pub(crate) fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// The summary as JSON.
    #[track_caller]
    pub(crate) fn report(&self) -> &Value {
        self.report
            .as_ref()
            .unwrap_or_else(|| panic!("no summary: {}", self.stderr()))
    }

    #[track_caller]
    pub(crate) fn succeeded(self) -> Self {
        self.exited(0)
    }

    #[track_caller]
    pub(crate) fn exited(self, code: i32) -> Self {
        let printed = format!("{}{}", self.stdout(), self.stderr());
        assert_eq!(self.code(), Some(code), "{:?}\n{printed}", self.status);
        self
    }

    /// Asserts that standard error contains `text`.
    #[track_caller]
    pub(crate) fn says(self, text: &str) -> Self {
        assert!(
            self.stderr().contains(text),
            "{:?} is not in: {}",
            text,
            self.stderr()
        );
        self
    }
}
