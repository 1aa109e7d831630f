//! One task: what is wanted of it, and what it has told.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use transom_module::{Errno, Error, Outcome, Result, Stop, TaskReporter};

use super::kept::SavedTask;
use super::shared::Shared;
use super::values::{Progress, TaskEnd, TaskId, TaskInfo, TaskOrder, TaskState};
use crate::text::cut;
use crate::{EventKind, Events};

/// How many of the lines that a task tells are kept.
pub const LINES_KEPT_MAX: usize = 256;
/// How long such a line is, in bytes. The rest is cut off.
pub const LINE_BYTES_MAX: usize = 1024;
/// How often progress is told as an event.
const PROGRESS_EVENT_EVERY: Duration = Duration::from_secs(1);

pub(super) struct OneTask {
    pub(super) id: TaskId,
    pub(super) order: TaskOrder,
    started: SystemTime,
    steps: Mutex<Steps>,
    /// Something else is wanted of the work.
    pub(super) steered: Condvar,
    /// There is something to tell those who watch.
    pub(super) told: Condvar,
    /// Held while its file is written or removed.
    saving: Mutex<()>,
}

/// What of a task changes.
pub(super) struct Steps {
    pub(super) wish: Wish,
    /// Its owner has paused it.
    pub(super) paused: bool,
    /// The host has.
    pub(super) held: bool,
    /// So many threads of the work wait at a checkpoint.
    waiting: usize,
    pub(super) progress: Option<Progress>,
    /// Somebody sleeps until there is progress.
    pub(super) progress_wanted: bool,
    progress_event_due: Instant,
    pub(super) lines: VecDeque<String>,
    /// Lines that were told before these.
    pub(super) lines_lost: u64,
    /// Its file exists.
    pub(super) is_kept: bool,
    /// What the work says of its end.
    pub(super) outcome: Option<Outcome>,
    end: Option<(TaskEnd, SystemTime)>,
}

/// What is wanted of a task, besides that it pauses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    Work,
    Stop(Stop),
}

impl OneTask {
    /// A task that is to work.
    pub(super) fn new(id: TaskId, order: TaskOrder, is_kept: bool, held: bool) -> Self {
        Self {
            id,
            order,
            started: SystemTime::now(),
            steps: Mutex::new(Steps {
                wish: Wish::Work,
                paused: false,
                held,
                waiting: 0,
                progress: None,
                progress_wanted: false,
                progress_event_due: Instant::now(),
                lines: VecDeque::new(),
                lines_lost: 0,
                is_kept,
                outcome: None,
                end: None,
            }),
            steered: Condvar::new(),
            told: Condvar::new(),
            saving: Mutex::default(),
        }
    }

    /// A task of an earlier daemon.
    pub(super) fn suspended(id: TaskId, order: TaskOrder) -> Self {
        let task = Self::new(id, order, true, false);
        task.steps().end = Some((TaskEnd::Suspended, task.started));
        task
    }

    pub(super) fn steps(&self) -> MutexGuard<'_, Steps> {
        self.steps.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn info(&self) -> TaskInfo {
        let steps = self.steps();
        TaskInfo {
            id: self.id,
            order: self.order.clone(),
            state: steps.state(),
            progress: steps.progress,
            held: steps.held,
            resumable: steps.is_resumable(),
            started: self.started,
            ended: steps.end.as_ref().map(|(_, at)| *at),
        }
    }

    /// Wants something else of the work, which hears it at its next checkpoint.
    pub(super) fn steer(&self, change: impl FnOnce(&mut Steps)) {
        change(&mut self.steps());
        self.steered.notify_all();
        self.told.notify_all();
    }

    /// Tells those who watch that it has ended. Whoever sees that finds it told as
    /// an event, too, and the other way round.
    pub(super) fn end(&self, end: TaskEnd, events: &Events) {
        let about = &self.order.about;
        let message = format!("{}: {end}", about.kind);
        let mut steps = self.steps();
        steps.end = Some((end, SystemTime::now()));
        let kind = EventKind::TaskEnded { task: self.id };
        events.tell(about.container, kind, message);
        drop(steps);
        self.told.notify_all();
    }

    /// Held by whoever writes or removes its file.
    pub(super) fn saving(&self) -> MutexGuard<'_, ()> {
        self.saving.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Steps {
    pub(super) fn state(&self) -> TaskState {
        match (&self.end, self.wish) {
            (Some((end, _)), _) => TaskState::Ended(end.clone()),
            (None, Wish::Stop(Stop::Cancelled)) => TaskState::Cancelling,
            (None, Wish::Stop(Stop::Suspended)) => TaskState::Suspending,
            (None, Wish::Work) if !self.is_to_wait() => TaskState::Running,
            (None, Wish::Work) if self.waiting > 0 => TaskState::Paused,
            (None, Wish::Work) => TaskState::Pausing,
        }
    }

    pub(super) fn is_over(&self) -> bool {
        self.end.is_some()
    }

    pub(super) fn is_resumable(&self) -> bool {
        let is_suspended = matches!(self.end, Some((TaskEnd::Suspended, _)));
        is_suspended && self.is_kept
    }

    fn is_to_wait(&self) -> bool {
        self.paused || self.held
    }
}

/// What the work has of its task.
pub(super) struct Reporter {
    pub(super) task: Arc<OneTask>,
    pub(super) shared: Arc<Shared>,
}

impl TaskReporter for Reporter {
    fn progress(&self, done: u64, of: u64) {
        let now = Instant::now();
        let mut steps = self.task.steps();
        steps.progress = Some(Progress { done, of });
        if std::mem::take(&mut steps.progress_wanted) {
            self.task.told.notify_all();
        }
        if now < steps.progress_event_due {
            return;
        }
        steps.progress_event_due = now + PROGRESS_EVENT_EVERY;
        drop(steps);
        let (task, kind) = (self.task.id, &self.task.order.about.kind);
        self.shared.events.tell(
            self.task.order.about.container,
            EventKind::TaskProgress { task, done, of },
            format!("{kind}: {done} of {of}"),
        );
    }

    fn log(&self, line: String) {
        let mut steps = self.task.steps();
        if steps.lines.len() == LINES_KEPT_MAX {
            steps.lines.pop_front();
            steps.lines_lost += 1;
        }
        steps.lines.push_back(cut(line, LINE_BYTES_MAX));
        self.task.told.notify_all();
    }

    fn save(&self, state: &[u8]) -> Result<()> {
        let Some(kept) = &self.shared.kept else {
            return Ok(());
        };
        let task = SavedTask {
            order: self.task.order.clone(),
            saved: state.to_vec(),
        };
        let _saving = self.task.saving();
        if self.task.steps().is_over() {
            return Err(Error::new(Errno::EINVAL, "the task has ended"));
        }
        kept.write(self.task.id, &task)?;
        self.task.steps().is_kept = true;
        Ok(())
    }

    fn checkpoint(&self) -> std::result::Result<(), Stop> {
        let mut steps = self.task.steps();
        loop {
            match steps.wish {
                Wish::Stop(stop) => return Err(stop),
                Wish::Work if !steps.is_to_wait() => return Ok(()),
                Wish::Work => {}
            }
            steps.waiting += 1;
            self.task.told.notify_all();
            let steered = self.task.steered.wait(steps);
            steps = steered.unwrap_or_else(PoisonError::into_inner);
            steps.waiting -= 1;
        }
    }

    fn end(&self, outcome: Outcome) {
        // It has ended when its function has returned, see `Shared::run`.
        self.task.steps().outcome = Some(outcome);
    }
}
