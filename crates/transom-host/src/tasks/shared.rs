//! All tasks, and how one is run.

use std::any::Any;
use std::collections::BTreeSet;
use std::panic::{self, AssertUnwindSafe};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use transom_module::{Completed, ContainerId, Errno, Error, Outcome, Result, Stop, Task};

use super::kept::KeptTasks;
use super::one::{OneTask, Reporter, Wish};
use super::values::{TaskEnd, TaskId, TaskOrder};
use crate::{EventKind, Events};

/// How many tasks are under way at once.
pub const TASKS_MAX: usize = 64;
/// How many of them one user may have who is not root.
pub const OWNER_TASKS_MAX: usize = 16;
/// How many tasks may wait to be started again until no further one is started.
pub const SUSPENDED_TASKS_MAX: usize = 256;
/// How many tasks that have ended, and will not be started again, are kept to be
/// looked at.
pub const TASKS_KEPT_MAX: usize = 256;

/// The user who may have as many as there can be.
const ROOT: u32 = 0;

pub(super) struct Shared {
    pub(super) events: Events,
    /// `None` if nothing outlives the daemon.
    pub(super) kept: Option<KeptTasks>,
    table: Mutex<Table>,
    /// A task has ended.
    ended: Condvar,
}

#[derive(Default)]
pub(super) struct Table {
    /// In the order in which they were started.
    pub(super) tasks: Vec<Arc<OneTask>>,
    /// Containers whose tasks wait.
    pub(super) held: BTreeSet<ContainerId>,
    /// The daemon ends: no task is started any more.
    pub(super) is_closed: bool,
}

impl Shared {
    pub(super) fn new(events: Events, kept: Option<KeptTasks>, tasks: Vec<Arc<OneTask>>) -> Self {
        Self {
            events,
            kept,
            table: Mutex::new(Table {
                tasks,
                ..Table::default()
            }),
            ended: Condvar::new(),
        }
    }

    pub(super) fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The task of that number. `ENOENT` if there is none, or none any more.
    pub(super) fn find(&self, id: TaskId) -> Result<Arc<OneTask>> {
        let table = self.table();
        let found = table.tasks.iter().find(|task| task.id == id);
        found.cloned().ok_or_else(|| {
            let message = format!("there is no task {id}, or none any more");
            Error::new(Errno::ENOENT, message)
        })
    }

    /// Does the work of a task that is in the table, on a thread of its own.
    pub(super) fn spawn(
        self: &Arc<Self>,
        task: &Arc<OneTask>,
        saved: Option<Vec<u8>>,
        work: impl FnOnce(Task) -> Completed + Send + 'static,
    ) -> Result<()> {
        let about = &task.order.about;
        let started = EventKind::TaskStarted { task: task.id };
        let message = format!("{} has begun", about.kind);
        self.events.tell(about.container, started, message);
        let (shared, running) = (Arc::clone(self), Arc::clone(task));
        let name = format!("task-{}", task.id);
        let thread = std::thread::Builder::new().name(name);
        let spawned = thread.spawn(move || shared.run(&running, saved, work));
        match spawned {
            Ok(_) => Ok(()),
            Err(error) => {
                let error = Error::from_host(error, "cannot start a thread for a task");
                let end = match task.steps().is_kept {
                    true => TaskEnd::Suspended,
                    false => failed(&error),
                };
                self.end(task, end);
                Err(error)
            }
        }
    }

    fn run(
        self: &Arc<Self>,
        task: &Arc<OneTask>,
        saved: Option<Vec<u8>>,
        work: impl FnOnce(Task) -> Completed,
    ) {
        let reporter = Reporter {
            task: Arc::clone(task),
            shared: Arc::clone(self),
        };
        let given = Task::started(Box::new(reporter), task.order.options.clone(), saved);
        let returned = panic::catch_unwind(AssertUnwindSafe(|| work(given)));
        let (outcome, wish) = {
            let mut steps = task.steps();
            (steps.outcome.take(), steps.wish)
        };
        let end = match (returned, outcome) {
            (Err(panic), _) => panicked(panic.as_ref()),
            (Ok(_), Some(Outcome::Done)) => TaskEnd::Done,
            (Ok(_), Some(Outcome::Failed(error))) => failed(&error),
            (Ok(_), Some(Outcome::Stopped(said))) => match wish {
                // It may have been told one thing and then another.
                Wish::Stop(stop) => stopped(stop),
                Wish::Work => stopped(said),
            },
            (Ok(_), None) => TaskEnd::Failed {
                errno: Errno::EIO,
                message: "the work returned without ending its task".into(),
            },
        };
        self.end(task, end);
    }

    /// Ends a task whose work does nothing any more.
    fn end(&self, task: &OneTask, end: TaskEnd) {
        self.end_with_file(task, end, task.saving());
    }

    /// Cancels a task that is suspended; false if it is not, or was begun again.
    pub(super) fn give_up(&self, task: &OneTask) -> bool {
        let saving = task.saving();
        let is_resumable = task.steps().is_resumable();
        if is_resumable {
            self.end_with_file(task, TaskEnd::Cancelled, saving);
        }
        is_resumable
    }

    /// `saving`: what is kept of it changes together with its end.
    fn end_with_file(&self, task: &OneTask, end: TaskEnd, saving: MutexGuard<'_, ()>) {
        if end != TaskEnd::Suspended {
            self.forget_saved(task);
        }
        task.end(end, &self.events);
        drop(saving);
        self.table().trim();
        self.ended.notify_all();
    }

    fn forget_saved(&self, task: &OneTask) {
        let Some(kept) = &self.kept else { return };
        if !std::mem::take(&mut task.steps().is_kept) {
            return;
        }
        if let Err(error) = kept.remove(task.id) {
            let container = task.order.about.container;
            let trouble = error.to_string();
            self.events.tell(container, EventKind::Trouble, trouble);
        }
    }

    /// Has tasks stop, and waits until they have; returns those that have not
    /// by then.
    pub(super) fn stop(
        &self,
        tasks: &[Arc<OneTask>],
        why: Stop,
        deadline: Option<Instant>,
    ) -> Vec<TaskId> {
        for task in tasks {
            task.steer(|steps| {
                if steps.wish != Wish::Stop(Stop::Cancelled) {
                    steps.wish = Wish::Stop(why);
                }
            });
        }
        let mut table = self.table();
        loop {
            let under_way = tasks.iter().filter(|task| !task.steps().is_over());
            let under_way: Vec<_> = under_way.map(|task| task.id).collect();
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if under_way.is_empty() || left.is_some_and(|left| left.is_zero()) {
                return under_way;
            }
            table = match left {
                None => {
                    let ended = self.ended.wait(table);
                    ended.unwrap_or_else(PoisonError::into_inner)
                }
                Some(left) => {
                    let ended = self.ended.wait_timeout(table, left);
                    ended.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }
}

impl Table {
    /// Refuses a task that would be one more to wait to be started again: `EAGAIN`.
    pub(super) fn admit_new(&self, owner: u32) -> Result<()> {
        let resumable = self.tasks.iter().filter(|task| task.steps().is_resumable());
        let resumable = resumable.count();
        if resumable >= SUSPENDED_TASKS_MAX {
            let message =
                format!("{resumable} tasks are suspended; load what they are of, or cancel some");
            return Err(Error::new(Errno::EAGAIN, message));
        }
        self.admit(owner)
    }

    /// Refuses a task of that user if too many are under way: `EAGAIN`.
    pub(super) fn admit(&self, owner: u32) -> Result<()> {
        let under_way = self.tasks.iter().filter(|task| !task.steps().is_over());
        let owners: Vec<_> = under_way.map(|task| task.order.owner).collect();
        let all = owners.len();
        let own = owners.iter().filter(|other| **other == owner).count();
        let message = if self.is_closed {
            "the daemon ends, and starts no task any more".into()
        } else if all >= TASKS_MAX {
            format!("{all} tasks are under way; wait for one, or cancel one")
        } else if owner != ROOT && own >= OWNER_TASKS_MAX {
            format!("{own} of your tasks are under way; wait for one, or cancel one")
        } else {
            return Ok(());
        };
        Err(Error::new(Errno::EAGAIN, message))
    }

    /// Whether a task of that order waits from its beginning.
    pub(super) fn holds(&self, order: &TaskOrder) -> bool {
        let container = order.about.container;
        container.is_some_and(|container| self.held.contains(&container))
    }

    /// Forgets the oldest of too many that have ended.
    fn trim(&mut self) {
        let is_history = |task: &OneTask| {
            let steps = task.steps();
            steps.is_over() && !steps.is_resumable()
        };
        let ended = self.tasks.iter().filter(|task| is_history(task)).count();
        let mut too_many = ended.saturating_sub(TASKS_KEPT_MAX);
        self.tasks.retain(|task| {
            let goes = too_many > 0 && is_history(task);
            too_many -= usize::from(goes);
            !goes
        });
    }
}

fn stopped(stop: Stop) -> TaskEnd {
    match stop {
        Stop::Cancelled => TaskEnd::Cancelled,
        Stop::Suspended => TaskEnd::Suspended,
    }
}

fn failed(error: &Error) -> TaskEnd {
    let mut message = error.to_string();
    if let Some(source) = std::error::Error::source(error) {
        message += &format!(": {source}");
    }
    TaskEnd::Failed {
        errno: error.errno(),
        message,
    }
}

fn panicked(panic: &(dyn Any + Send)) -> TaskEnd {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    TaskEnd::Failed {
        errno: Errno::EIO,
        message: format!(
            "the work panicked: {}",
            text.unwrap_or("it did not say why")
        ),
    }
}
