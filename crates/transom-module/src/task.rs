//! Tasks: long work that can be watched, paused and cancelled.
//!
//! A task is a value that exists only while its work is under way: the host has
//! told that it was started before anybody has one, and what the work has to
//! return, [`Completed`], is only made of a task. So nothing completes that was
//! not started, or twice, and nothing is forgotten: a task that is dropped, by
//! a panic for example, has failed.

use std::fmt;

use crate::{Errno, Error, Result};

/// Work that was started and has not ended.
pub struct Task {
    /// `None` once it was completed.
    reporter: Option<Box<dyn TaskReporter>>,
    options: Vec<(String, Option<String>)>,
    saved: Option<Vec<u8>>,
}

/// The host's end of a task.
pub trait TaskReporter: Send + Sync {
    /// So much of so much is done, in units of the work's own.
    fn progress(&self, done: u64, of: u64);
    /// A line for people.
    fn log(&self, line: String);
    /// Keeps what the work needs to go on after a restart of the host.
    fn save(&self, state: &[u8]) -> Result<()>;
    /// Waits while the task is paused, and says whether it shall end.
    fn checkpoint(&self) -> std::result::Result<(), Stop>;
    /// How it ended. Called once, the last of all.
    fn end(&self, outcome: Outcome);
}

/// Why work shall end before it is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// Nobody wants it any more.
    Cancelled,
    /// The host ends, and will start it again with what was
    /// [saved](Task::save).
    Suspended,
}

/// How a task ended.
#[derive(Debug)]
pub enum Outcome {
    /// All is done.
    Done,
    /// It was asked to stop, and has.
    Stopped(Stop),
    /// It failed.
    Failed(Error),
}

/// The proof that a task has ended.
#[derive(Debug)]
#[must_use = "it is what the work has to return"]
pub struct Completed(());

impl Task {
    /// A task that was started, as `reporter` has told already. `saved` is what
    /// an earlier run of the same work has kept.
    #[must_use]
    pub fn started(
        reporter: Box<dyn TaskReporter>,
        options: Vec<(String, Option<String>)>,
        saved: Option<Vec<u8>>,
    ) -> Self {
        Self {
            reporter: Some(reporter),
            options,
            saved,
        }
    }

    /// What was asked for besides, by name; a flag has no value.
    #[must_use]
    pub fn options(&self) -> &[(String, Option<String>)] {
        &self.options
    }

    /// What an earlier run has [saved](Self::save), if this one goes on where
    /// that one was suspended.
    #[must_use]
    pub fn saved(&self) -> Option<&[u8]> {
        self.saved.as_deref()
    }

    /// Tells that so much of so much is done, in units of the work's own.
    pub fn progress(&self, done: u64, of: u64) {
        if let Some(reporter) = &self.reporter {
            reporter.progress(done, of);
        }
    }

    /// Tells people something.
    pub fn log(&self, line: impl Into<String>) {
        if let Some(reporter) = &self.reporter {
            reporter.log(line.into());
        }
    }

    /// Keeps what is needed to go on from here after a restart of the host. It
    /// takes the place of what was kept before.
    pub fn save(&self, state: &[u8]) -> Result<()> {
        match &self.reporter {
            Some(reporter) => reporter.save(state),
            None => Ok(()),
        }
    }

    /// Waits while the task is paused; an error if it shall end, which is
    /// handed to [`end`](Self::end). To be called several times a second.
    pub fn checkpoint(&self) -> std::result::Result<(), Stop> {
        match &self.reporter {
            Some(reporter) => reporter.checkpoint(),
            None => Ok(()),
        }
    }

    /// Ends it.
    pub fn end(mut self, outcome: Outcome) -> Completed {
        self.report(outcome);
        Completed(())
    }

    /// Ends it as the work did: an error is a failure.
    pub fn complete(self, result: Result<()>) -> Completed {
        self.end(match result {
            Ok(()) => Outcome::Done,
            Err(error) => Outcome::Failed(error),
        })
    }

    fn report(&mut self, outcome: Outcome) {
        if let Some(reporter) = self.reporter.take() {
            reporter.end(outcome);
        }
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        let message = "the work ended without saying how";
        self.report(Outcome::Failed(Error::new(Errno::EIO, message)));
    }
}

impl fmt::Debug for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

impl From<Stop> for Outcome {
    fn from(stop: Stop) -> Self {
        Self::Stopped(stop)
    }
}

impl From<Error> for Outcome {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Told(Arc<Mutex<Vec<String>>>);

    impl TaskReporter for Told {
        fn progress(&self, done: u64, of: u64) {
            self.0.lock().unwrap().push(format!("{done}/{of}"));
        }
        fn log(&self, line: String) {
            self.0.lock().unwrap().push(line);
        }
        fn save(&self, _: &[u8]) -> Result<()> {
            Ok(())
        }
        fn checkpoint(&self) -> std::result::Result<(), Stop> {
            Err(Stop::Cancelled)
        }
        fn end(&self, outcome: Outcome) {
            self.0.lock().unwrap().push(format!("{outcome:?}"));
        }
    }

    fn told(work: impl FnOnce(Task)) -> Vec<String> {
        let told = Told::default();
        work(Task::started(Box::new(told.clone()), Vec::new(), None));
        let told = told.0.lock().unwrap();
        told.clone()
    }

    #[test]
    fn the_end_is_told_once_and_last() {
        let lines = told(|task| {
            task.progress(1, 2);
            let Err(stop) = task.checkpoint() else {
                unreachable!()
            };
            let _ = task.end(stop.into());
        });
        assert_eq!(lines, ["1/2", "Stopped(Cancelled)"]);
        assert_eq!(told(|task| drop(task.complete(Ok(())))), ["Done"]);
    }

    #[test]
    fn a_forgotten_task_has_failed() {
        let lines = told(drop);
        assert!(lines[0].starts_with("Failed"), "{lines:?}");
        assert_eq!(lines.len(), 1);
    }
}
