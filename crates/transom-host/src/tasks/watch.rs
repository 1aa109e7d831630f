//! Following one task.
//!
//! A watch is a cursor, as a subscription to events is: what it will tell next
//! is found out when it is asked, from what the task is then. So a slow watcher
//! misses values of the progress that were overtaken, and lines that are not kept
//! any more, but never the last of either, and nothing is stored for it.

use std::fmt;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use super::one::{OneTask, Steps};
use super::values::{Progress, TaskEnd, TaskState};

/// How often a watch tells of progress.
const PROGRESS_EVERY: Duration = Duration::from_millis(100);

/// What a watch of a task tells, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TaskEvent {
    /// It was started: the first of all.
    Started,
    /// So many lines are not kept any more that were to come next.
    LinesLost(u64),
    /// A line for people.
    Line(String),
    /// It has come so far.
    Progress(Progress),
    /// It is doing something else: it was paused, for example.
    State(TaskState),
    /// It has ended: the last of all.
    Ended(TaskEnd),
}

/// Tells what a task does, from its start to its end. As an iterator it waits
/// for what comes next.
pub struct Watch {
    task: Arc<OneTask>,
    is_started: bool,
    lines: u64,
    progress: Option<Progress>,
    progress_due: Instant,
    state: TaskState,
    is_over: bool,
}

impl Watch {
    pub(super) fn new(task: Arc<OneTask>) -> Self {
        Self {
            task,
            is_started: false,
            lines: 0,
            progress: None,
            progress_due: Instant::now(),
            state: TaskState::Running,
            is_over: false,
        }
    }

    /// Waits until [`next`](Iterator::next) would not have to wait; false if that
    /// takes longer than `patience`.
    #[must_use]
    pub fn wait(&self, patience: Duration) -> bool {
        let deadline = Instant::now().checked_add(patience);
        let task = Arc::clone(&self.task);
        let mut steps = task.steps();
        while !self.is_over && self.upcoming(&steps).is_none() {
            let now = Instant::now();
            if deadline.is_some_and(|deadline| deadline <= now) {
                return false;
            }
            // Progress that comes too early is looked at when it is due, and
            // nobody needs to be woken by more of it until then.
            let is_early = self.progress_due > now;
            steps.progress_wanted |= !is_early;
            let due = is_early.then_some(self.progress_due);
            let until = deadline.into_iter().chain(due).min();
            steps = match until {
                None => {
                    let told = task.told.wait(steps);
                    told.unwrap_or_else(PoisonError::into_inner)
                }
                Some(until) => {
                    let told = task
                        .told
                        .wait_timeout(steps, until.saturating_duration_since(now));
                    told.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
        true
    }

    /// What it tells next.
    fn upcoming(&self, steps: &Steps) -> Option<TaskEvent> {
        if !self.is_started {
            return Some(TaskEvent::Started);
        }
        let lost = steps.lines_lost.saturating_sub(self.lines);
        if lost > 0 {
            return Some(TaskEvent::LinesLost(lost));
        }
        let line = usize::try_from(self.lines - steps.lines_lost).ok();
        if let Some(line) = line.and_then(|line| steps.lines.get(line)) {
            return Some(TaskEvent::Line(line.clone()));
        }
        let state = steps.state();
        let is_due = steps.is_over() || self.progress_due <= Instant::now();
        if let Some(progress) = steps
            .progress
            .filter(|_| is_due && steps.progress != self.progress)
        {
            return Some(TaskEvent::Progress(progress));
        }
        match state {
            TaskState::Ended(end) => Some(TaskEvent::Ended(end)),
            state => (state != self.state).then_some(TaskEvent::State(state)),
        }
    }

    fn advance(&mut self, event: &TaskEvent) {
        match event {
            TaskEvent::Started => self.is_started = true,
            TaskEvent::LinesLost(lost) => self.lines += lost,
            TaskEvent::Line(_) => self.lines += 1,
            TaskEvent::Progress(progress) => {
                self.progress = Some(*progress);
                self.progress_due = Instant::now() + PROGRESS_EVERY;
            }
            TaskEvent::State(state) => self.state = state.clone(),
            TaskEvent::Ended(_) => self.is_over = true,
        }
    }
}

impl Iterator for Watch {
    type Item = TaskEvent;

    fn next(&mut self) -> Option<TaskEvent> {
        while !self.is_over {
            let upcoming = self.upcoming(&self.task.steps());
            if let Some(event) = upcoming {
                self.advance(&event);
                return Some(event);
            }
            let _ = self.wait(Duration::MAX);
        }
        None
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch")
            .field("task", &self.task.id)
            .finish_non_exhaustive()
    }
}
