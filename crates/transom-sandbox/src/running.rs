use std::io;
use std::time::Instant;

use rustix::io::Errno;
use rustix::process::Signal;
use transom_sys::launch::{Child, Ending, Failure, Phases, Status, Step, Usage};

pub use transom_sys::launch::Remote;

use crate::Action;
use crate::error::{Error, Result};

/// An action that was started. Dropping it kills it and all it started.
#[derive(Debug)]
pub struct Running {
    child: Child,
    action: Action,
    started: Instant,
}

/// How an action ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Finished {
    /// What became of its first process.
    pub exit: Exit,
    /// How long its parts took.
    pub phases: Phases,
    /// What its first process used, with the processes that one waited for.
    pub usage: Usage,
}

/// What became of the first process of an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// It exited with this code.
    Exited(u8),
    /// A signal ended it.
    Signalled {
        /// The signal's number.
        signal: i32,
        /// Whether it left a core dump.
        core_dumped: bool,
    },
    /// It was out of time and was ended.
    TimedOut,
}

impl Exit {
    /// Whether the action did what it should.
    #[must_use]
    pub fn is_success(self) -> bool {
        self == Self::Exited(0)
    }
}

impl From<Status> for Exit {
    fn from(status: Status) -> Self {
        match status {
            Status::Exited(code) => Self::Exited(code),
            Status::Signalled {
                signal,
                core_dumped,
            } => Self::Signalled {
                signal,
                core_dumped,
            },
        }
    }
}

impl Running {
    pub(crate) fn new(child: Child, action: Action) -> Self {
        Self {
            child,
            action,
            started: Instant::now(),
        }
    }

    /// A handle that sends signals to the action's first process, from any
    /// thread.
    #[must_use]
    pub fn remote(&self) -> Remote {
        self.child.remote()
    }

    /// Kills the action and everything it started.
    pub fn kill(&self) -> io::Result<()> {
        self.child.kill()
    }

    /// Waits until the action and everything it started is gone. An action
    /// that is out of time gets SIGTERM, and what is left after the grace
    /// period SIGKILL.
    ///
    /// An action whose program could not be executed is an error.
    pub fn wait(mut self) -> Result<Finished> {
        let timeout = self.action.timeout;
        // A deadline too far away to be told is none.
        let deadline = timeout.and_then(|timeout| self.started.checked_add(timeout));
        if let Some(ending) = self.child.wait(deadline).map_err(Error::Wait)? {
            return self.finish(ending);
        }
        self.remote().signal(Signal::TERM).map_err(Error::Wait)?;
        let grace_end = Instant::now().checked_add(self.action.termination_grace);
        let ending = match self.child.wait(grace_end).map_err(Error::Wait)? {
            Some(ending) => ending,
            None => {
                self.child.kill().map_err(Error::Wait)?;
                Ending::Killed
            }
        };
        // Also reaps what was killed.
        self.child.wait(None).map_err(Error::Wait)?;
        let (phases, usage) = match ending {
            Ending::Ended { phases, usage, .. } => (phases, usage),
            Ending::Failed(_) | Ending::Killed => {
                let run = self.started.elapsed();
                let phases = Phases {
                    run,
                    ..Phases::default()
                };
                (phases, Usage::default())
            }
        };
        Ok(Finished {
            exit: Exit::TimedOut,
            phases,
            usage,
        })
    }

    fn finish(&self, ending: Ending) -> Result<Finished> {
        match ending {
            Ending::Ended {
                status,
                usage,
                phases,
            } => Ok(Finished {
                exit: status.into(),
                phases,
                usage,
            }),
            Ending::Failed(failure) => Err(explain(failure, &self.action)),
            Ending::Killed => Err(Error::Killed {
                after: self.started.elapsed(),
            }),
        }
    }
}

fn explain(failure: Failure, action: &Action) -> Error {
    let command = || action.command.first().cloned().unwrap_or_default();
    let source = failure.errno;
    match (failure.step, source) {
        (Step::Execute, Errno::NOENT) => Error::CommandNotFound { command: command() },
        (Step::Execute, _) => Error::NotExecutable {
            command: command(),
            source,
        },
        (Step::Interpreter, _) => Error::NoInterpreter { command: command() },
        (Step::WorkingDirectory, _) => Error::WorkingDirectory {
            path: action.working_directory.clone(),
            source,
        },
        (step, _) => Error::SetUp {
            doing: describe(step),
            source,
        },
    }
}

fn describe(step: Step) -> &'static str {
    match step {
        Step::MakePrivate => "making the mounts of the new namespace private",
        Step::NewProc => "making a new /proc",
        Step::AttachRoot => "attaching the mount tree",
        Step::ChangeRoot => "changing the root (the host's root has to be a mount point)",
        Step::DetachOldRoot => "letting go of the old root",
        Step::MaskProc => "making parts of /proc read-only",
        Step::AttachProc => "mounting /proc",
        Step::Loopback => "raising the loopback interface",
        Step::Watch => "watching for signals",
        Step::CloneAction => "making the action's process and its user namespace",
        Step::MapIdentities => "mapping user and group ids",
        Step::Files => "handing over open files",
        Step::DropPrivileges => "giving up privileges",
        Step::GuardTerminal => "installing a system call filter",
        Step::WorkingDirectory => "entering the working directory",
        Step::Execute | Step::Interpreter => "executing the command",
    }
}
