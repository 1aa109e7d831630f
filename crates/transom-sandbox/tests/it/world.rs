//! A place to run actions from, with the privilege a test is about.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;
use transom_test::{Unprivileged, temp_dir};

/// A directory of the host, and a user who owns it and runs actions there.
pub(crate) enum World {
    Root(TempDir),
    Nobody(Unprivileged),
}

impl World {
    pub(crate) fn root() -> Self {
        Self::Root(temp_dir().unwrap())
    }

    /// `None`, with a line that says so, where user namespaces are disabled.
    pub(crate) fn unprivileged() -> Option<Self> {
        let user = Unprivileged::new().unwrap();
        let mut unshare = user.command("unshare").unwrap();
        if unshare.args(["-U", "true"]).status().unwrap().success() {
            return Some(Self::Nobody(user));
        }
        transom_test::announce_skip(format_args!("user namespaces are disabled"));
        None
    }

    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::Root(directory) => directory.path(),
            Self::Nobody(user) => user.home(),
        }
    }

    /// Makes a host file that the user owns.
    pub(crate) fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.path().join(name);
        let script = "mkdir -p \"$(dirname \"$1\")\" && cat > \"$1\"";
        let mut shell = self.command("sh");
        shell.args(["-c", script, "sh"]).arg(&path);
        let mut shell = shell.stdin(Stdio::piped()).spawn().unwrap();
        let mut input = shell.stdin.take().unwrap();
        input.write_all(content.as_bytes()).unwrap();
        drop(input);
        assert!(shell.wait().unwrap().success());
        path
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// The names in the directory, but that of the runner.
    pub(crate) fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path()).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name != RUNNER)
            .collect();
        names.sort();
        names
    }

    /// A program run by the user in the directory.
    pub(crate) fn command(&self, program: &str) -> Command {
        match self {
            Self::Root(directory) => {
                let mut command = Command::new(program);
                command.current_dir(directory.path());
                command
            }
            Self::Nobody(user) => user.command(program).unwrap(),
        }
    }

    /// The runner with `options`, for the command that follows. In options,
    /// `@` stands for this directory.
    pub(crate) fn runner(&self, options: &[&str]) -> Command {
        let mut command = self.command(runner_path().to_str().unwrap());
        command.args(self.options(options));
        command
    }

    /// How a shell spells the same.
    pub(crate) fn runner_line(&self, options: &[&str], command: &str) -> String {
        let runner = match self {
            Self::Root(_) => runner_path(),
            // The first use copies it to where the user can reach it.
            Self::Nobody(user) => {
                user.command(runner_path()).unwrap();
                user.home().join(RUNNER)
            }
        };
        let options = self.options(options).join(" ");
        format!("{} {options} {command}", runner.display())
    }

    /// Runs `script` with `sh` in a view.
    pub(crate) fn run(&self, options: &[&str], script: &str) -> Run {
        let mut runner = self.runner(options);
        Run(runner.args(["sh", "-c", script]).output().unwrap())
    }

    fn options(&self, options: &[&str]) -> Vec<String> {
        let here = self.path().to_str().unwrap();
        let options = options.iter().map(|option| option.replace('@', here));
        options.chain(["--".to_owned()]).collect()
    }
}

/// What a run printed and how it ended.
pub(crate) struct Run(pub(crate) Output);

impl Run {
    pub(crate) fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.0.stdout).into_owned()
    }

    pub(crate) fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.0.stderr).into_owned()
    }

    pub(crate) fn code(&self) -> Option<i32> {
        self.0.status.code()
    }

    #[track_caller]
    pub(crate) fn succeeded(self) -> Self {
        assert_eq!(self.code(), Some(0), "{}{}", self.stdout(), self.stderr());
        self
    }

    /// Asserts that standard error contains `text`.
    #[track_caller]
    pub(crate) fn says(self, text: &str) -> Self {
        assert!(self.stderr().contains(text), "{}", self.stderr());
        self
    }
}

const RUNNER: &str = "run_in_view";

/// The example of this crate, which Cargo builds beside its tests.
fn runner_path() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let target = test.parent().and_then(Path::parent).unwrap();
    let runner = target.join("examples").join(RUNNER);
    assert!(
        runner.exists(),
        "{} is missing: build all targets of transom-sandbox",
        runner.display()
    );
    runner
}

/// Compiles a C program of this test suite.
pub(crate) fn compile(world: &World, name: &str, source: &str) -> PathBuf {
    compile_with(world, name, source, &[])
}

pub(crate) fn compile_with(world: &World, name: &str, source: &str, flags: &[&str]) -> PathBuf {
    let file = world.write(&format!("{name}.c"), source);
    let program = world.path().join(name);
    let compiled = Command::new("gcc")
        .args(["-O1", "-w"])
        .args(flags)
        .arg("-o")
        .args([&program, &file])
        .status()
        .unwrap();
    assert!(compiled.success());
    program
}
