//! Long work that goes on whether or not anybody looks.
//!
//! ```text
//!   start ──► Running ◄──► Pausing ─ at a checkpoint ─► Paused
//!                │  └─ cancel ──► Cancelling ─ at a checkpoint ─► Ended: cancelled
//!                │  └─ suspend ─► Suspending ─ at a checkpoint ─► Ended: suspended ─┐
//!                └─────────────────────────────────► Ended: done, failed            │
//!   restart ◄──────── also after a restart of the daemon, if it has saved ──────────┘
//! ```
//!
//! Each task has a thread, on which it does its work and nothing else; what it
//! tells goes into a table, and everybody else looks there. Nobody waits for
//! work but those who say so, and how long: work that does not come to a
//! checkpoint is `Cancelling` for as long as it likes, and delays nobody.
//!
//! **What outlives the daemon** is what the work itself has
//! [saved](transom_module::Task::save). Work that has saved nothing is not
//! started again: to begin anew may be the last thing that is wanted, of
//! formatting for example. When a daemon begins, tasks that have saved are in the
//! table as suspended, whether they were, or the daemon was killed; whoever loads
//! their container starts them again, with [`Tasks::restart`].
//!
//! **Locks.** That of the table, then that of one task, then that of the events;
//! none is held while a file is read or written. For that each task has another one,
//! taken before its own. Work that reports takes the lock of its own
//! task only, and is never held up by those who watch.

mod kept;
mod one;
mod shared;
#[cfg(test)]
mod tests;
mod values;
mod watch;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use transom_module::{Completed, ContainerId, Errno, Error, Result, Stop, Task};

use self::kept::KeptTasks;
use self::one::{OneTask, Wish};
use self::shared::Shared;
use crate::{EventKind, Events};

pub use kept::{SAVED_BYTES_MAX, SavedTask};
pub use one::{LINE_BYTES_MAX, LINES_KEPT_MAX};
pub use shared::{OWNER_TASKS_MAX, SUSPENDED_TASKS_MAX, TASKS_KEPT_MAX, TASKS_MAX};
pub use values::{Progress, TaskEnd, TaskId, TaskInfo, TaskOrder, TaskState, TaskSubject};
pub use watch::{TaskEvent, Watch};

/// The tasks of a host. Those that are under way do not end with it.
#[derive(Clone)]
pub struct Tasks(Arc<Shared>);

impl Tasks {
    /// The tasks that an earlier daemon has left in `directory`, which is made if
    /// it does not exist, and is for this one alone. Without a directory, what
    /// work saves does not outlive the daemon.
    ///
    /// What cannot be understood there is told as [trouble](EventKind::Trouble)
    /// and left alone.
    pub fn new(directory: Option<PathBuf>, events: Events) -> Result<Self> {
        let kept = directory.map(KeptTasks::open).transpose()?;
        let mut tasks = Vec::new();
        for found in kept.as_ref().map_or(Ok(Vec::new()), KeptTasks::read)? {
            match found {
                Ok((id, order)) => tasks.push(Arc::new(OneTask::suspended(id, order))),
                Err(trouble) => events.tell(None, EventKind::Trouble, trouble),
            }
        }
        Ok(Self(Arc::new(Shared::new(events, kept, tasks))))
    }

    /// Begins a task, whose work is done on a thread that is made for it. A panic
    /// of the work is a failure of the task.
    ///
    /// `EAGAIN` if there are [`TASKS_MAX`] already, [`OWNER_TASKS_MAX`] of that
    /// owner, or [`SUSPENDED_TASKS_MAX`] that wait to be started again.
    pub fn start(
        &self,
        order: TaskOrder,
        work: impl FnOnce(Task) -> Completed + Send + 'static,
    ) -> Result<TaskId> {
        let id = TaskId::new();
        let task = {
            let mut table = self.0.table();
            table.admit_new(order.owner)?;
            let held = table.holds(&order);
            let task = Arc::new(OneTask::new(id, order, false, held));
            table.tasks.push(Arc::clone(&task));
            task
        };
        self.0.spawn(&task, None, work)?;
        Ok(id)
    }

    /// Begins a suspended task again, which goes on from what it has saved and
    /// keeps its identity. `EINVAL` if it is not resumable; besides, as
    /// [`start`](Self::start).
    pub fn restart(
        &self,
        id: TaskId,
        work: impl FnOnce(Task) -> Completed + Send + 'static,
    ) -> Result<()> {
        let not_resumable = || Error::new(Errno::EINVAL, format!("task {id} cannot be resumed"));
        let kept = self.0.kept.as_ref().ok_or_else(not_resumable)?;
        let saved = kept.read_one(id)?.saved;
        let task = {
            let mut table = self.0.table();
            let position = table.tasks.iter().position(|task| task.id == id);
            let position = position.ok_or_else(not_resumable)?;
            let before = Arc::clone(&table.tasks[position]);
            // Its file is not removed meanwhile, and goes over to the new one.
            let _saving = before.saving();
            if !before.steps().is_resumable() {
                return Err(not_resumable());
            }
            table.admit(before.order.owner)?;
            let held = table.holds(&before.order);
            let task = Arc::new(OneTask::new(id, before.order.clone(), true, held));
            before.steps().is_kept = false;
            table.tasks.remove(position);
            table.tasks.push(Arc::clone(&task));
            task
        };
        self.0.spawn(&task, Some(saved), work)
    }

    /// Has a task wait at its next checkpoint. `ENOENT`; `EINVAL` if it has ended
    /// or is about to.
    pub fn pause(&self, id: TaskId) -> Result<()> {
        self.set_paused(id, true)
    }

    /// Lets a paused task go on, unless the host [holds](Self::pause_all_of) it.
    /// Errors as of [`pause`](Self::pause).
    pub fn resume(&self, id: TaskId) -> Result<()> {
        self.set_paused(id, false)
    }

    /// Has a task end at its next checkpoint; does not wait for it. What it has
    /// saved is removed. `ENOENT`; `EINVAL` if it has ended, but for one that is
    /// resumable.
    pub fn cancel(&self, id: TaskId) -> Result<()> {
        let task = self.0.find(id)?;
        let mut is_over = false;
        task.steer(|steps| {
            is_over = steps.is_over();
            if !is_over {
                steps.wish = Wish::Stop(Stop::Cancelled);
            }
        });
        match !is_over || self.0.give_up(&task) {
            true => Ok(()),
            false => Err(has_ended(&task)),
        }
    }

    /// Has all tasks of a container wait, those too that are started later, until
    /// [`resume_all_of`](Self::resume_all_of). Whether their owners paused them
    /// is another matter.
    pub fn pause_all_of(&self, container: ContainerId) {
        self.set_held(container, true);
    }

    /// Undoes [`pause_all_of`](Self::pause_all_of).
    pub fn resume_all_of(&self, container: ContainerId) {
        self.set_held(container, false);
    }

    /// Has all tasks of a container stop, and waits for that no longer than
    /// `patience`. Returns those that have not.
    pub fn stop_all_of(
        &self,
        container: ContainerId,
        why: Stop,
        patience: Duration,
    ) -> Vec<TaskId> {
        let deadline = Instant::now().checked_add(patience);
        let mut tasks = self.0.table().tasks.clone();
        tasks.retain(|task| task.order.about.container == Some(container));
        self.0.stop(&tasks, why, deadline)
    }

    /// The same for the end of the daemon: all tasks are suspended, and none can
    /// be started any more.
    pub fn suspend_all(&self, patience: Duration) -> Vec<TaskId> {
        let deadline = Instant::now().checked_add(patience);
        let tasks = {
            let mut table = self.0.table();
            table.is_closed = true;
            table.tasks.clone()
        };
        self.0.stop(&tasks, Stop::Suspended, deadline)
    }

    /// All tasks in the order in which they were started: those under way, those
    /// that are suspended, and the last [`TASKS_KEPT_MAX`] others.
    #[must_use]
    pub fn list(&self) -> Vec<TaskInfo> {
        let tasks = self.0.table().tasks.clone();
        tasks.iter().map(|task| task.info()).collect()
    }

    /// One task. `ENOENT`.
    pub fn get(&self, id: TaskId) -> Result<TaskInfo> {
        Ok(self.0.find(id)?.info())
    }

    /// What a task does, from its start. `ENOENT`.
    pub fn watch(&self, id: TaskId) -> Result<Watch> {
        Ok(Watch::new(self.0.find(id)?))
    }

    /// The tasks of a container that [`restart`](Self::restart) can begin again.
    #[must_use]
    pub fn resumable(&self, container: ContainerId) -> Vec<TaskInfo> {
        let mut all = self.resumable_all();
        all.retain(|task| task.order.about.container == Some(container));
        all
    }

    /// All tasks that [`restart`](Self::restart) can begin again.
    #[must_use]
    pub fn resumable_all(&self) -> Vec<TaskInfo> {
        let mut all = self.list();
        all.retain(|task| task.resumable);
        all
    }

    fn set_paused(&self, id: TaskId, paused: bool) -> Result<()> {
        let task = self.0.find(id)?;
        let mut may_pause = false;
        task.steer(|steps| {
            may_pause = !steps.is_over() && steps.wish == Wish::Work;
            if may_pause {
                steps.paused = paused;
            }
        });
        may_pause.then_some(()).ok_or_else(|| has_ended(&task))
    }

    fn set_held(&self, container: ContainerId, held: bool) {
        let mut table = self.0.table();
        match held {
            true => table.held.insert(container),
            false => table.held.remove(&container),
        };
        for task in &table.tasks {
            if task.order.about.container == Some(container) {
                task.steer(|steps| steps.held = held && !steps.is_over());
            }
        }
    }
}

impl fmt::Debug for Tasks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tasks").finish_non_exhaustive()
    }
}

fn has_ended(task: &OneTask) -> Error {
    let state = task.steps().state();
    Error::new(Errno::EINVAL, format!("task {} is {state}", task.id))
}
