use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use transom_projection::{ChangedInput, OnChange};
use transom_sandbox::outputs::{self, Collected};
use transom_sandbox::{Action, Exit, Scratch};

use crate::error::Result;
use crate::view::View;

/// A command that was started. Dropping it kills it and all it started.
#[derive(Debug)]
pub struct Running {
    pub(crate) running: transom_sandbox::Running,
    pub(crate) view: View,
    pub(crate) action: Action,
    pub(crate) scratch: Option<Scratch>,
}

/// How a command ended.
#[derive(Debug)]
pub struct Finished {
    /// What became of its first process.
    pub exit: Exit,
    /// Inputs that are not what they were when the view was built.
    pub changed: Vec<ChangedInput>,
    /// What became of the outputs; `None` if they were not wanted any more.
    pub collected: Option<Collected>,
}

impl Running {
    /// Kills the command and everything it started.
    pub fn kill(&self) -> io::Result<()> {
        self.running.kill()
    }

    /// Waits until the command and everything it started is gone, and moves its
    /// outputs to their destinations if it succeeded and its inputs are what
    /// they were.
    ///
    /// A program that could not be executed is an error, and so are outputs
    /// that are missing or not what they were declared to be. A command that
    /// fails is none.
    pub fn wait(self) -> Result<Finished> {
        let exit = self.running.wait()?.exit;
        let changed = self.view.pinned().verify();
        let is_any_wrong = changed.iter().any(ChangedInput::is_wrong);
        let refused = is_any_wrong && self.view.on_change() == OnChange::Refuse;
        let collected = match &self.scratch {
            _ if refused || !exit.is_success() => None,
            Some(scratch) => Some(outputs::collect(scratch, &self.action)?),
            None => Some(Collected::default()),
        };
        Ok(Finished {
            exit,
            changed,
            collected,
        })
    }
}

impl Finished {
    /// Whether the command succeeded, and its outputs are where they should be.
    #[must_use]
    pub fn is_success(&self) -> bool {
        self.exit.is_success() && self.collected.is_some()
    }

    /// As `wait(2)` has it. A command that was out of time was killed.
    #[must_use]
    pub fn status(&self) -> ExitStatus {
        const KILLED: i32 = 9;
        ExitStatus::from_raw(match self.exit {
            Exit::Exited(code) => i32::from(code) << 8,
            Exit::Signalled { signal, .. } => signal,
            Exit::TimedOut => KILLED,
        })
    }
}
