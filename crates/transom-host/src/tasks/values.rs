//! What tasks are known by, and what is shown of them.

use std::fmt;
use std::str::FromStr;
use std::time::SystemTime;

use transom_module::{ContainerId, Errno, Error};

use crate::random;

/// Which task it is: never another, also after a restart of the daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId(u64);

impl TaskId {
    pub(super) fn new() -> Self {
        Self(random::number())
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        random::write_hex(self.0, f)
    }
}

impl FromStr for TaskId {
    type Err = Error;

    /// `EINVAL` for what is not 16 hexadecimal digits.
    fn from_str(text: &str) -> Result<Self, Error> {
        random::read_hex(text).map(Self).ok_or_else(|| {
            let message = format!("`{text}` is not a task: those have 16 hexadecimal digits");
            Error::new(Errno::EINVAL, message)
        })
    }
}

/// What a task is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskSubject {
    /// The container that it works on; `None` if what it works on is not loaded.
    pub container: Option<ContainerId>,
    /// The name of the module that does the work.
    pub module: String,
    /// What kind of work it is.
    pub kind: String,
}

/// A task to be started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskOrder {
    /// What it is about.
    pub about: TaskSubject,
    /// The user who wants it.
    pub owner: u32,
    /// What the work is given besides, by name; a flag has no value.
    pub options: Vec<(String, Option<String>)>,
}

/// What there is to say of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskInfo {
    /// Which one.
    pub id: TaskId,
    /// As it was ordered.
    pub order: TaskOrder,
    /// What it is doing.
    pub state: TaskState,
    /// How far it has come, if it has ever said so.
    pub progress: Option<Progress>,
    /// It was paused by the host, whatever its owner wants.
    pub held: bool,
    /// What it has saved is kept, so that it can be started again with it.
    pub resumable: bool,
    /// When it was started, the last time if it was several times. For people.
    pub started: SystemTime,
    /// When it ended. For people.
    pub ended: Option<SystemTime>,
}

/// How far a task has come: so much of so much, in units of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// What is done.
    pub done: u64,
    /// What there is to do.
    pub of: u64,
}

/// What a task is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TaskState {
    /// It works.
    Running,
    /// It works until it comes to a checkpoint, and will wait there.
    Pausing,
    /// It waits.
    Paused,
    /// It works until it comes to a checkpoint, and will be cancelled there.
    Cancelling,
    /// It works until it comes to a checkpoint, and will be suspended there.
    Suspending,
    /// It has ended.
    Ended(TaskEnd),
}

/// How a task has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TaskEnd {
    /// All is done.
    Done,
    /// Nobody wanted it any more.
    Cancelled,
    /// The host had to end, or the container to be unloaded.
    Suspended,
    /// It failed.
    Failed {
        /// What kind of failure it was.
        errno: Errno,
        /// The failure in a sentence for people.
        message: String,
    },
}

impl fmt::Display for TaskState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Running => f.write_str("running"),
            Self::Pausing => f.write_str("pausing"),
            Self::Paused => f.write_str("paused"),
            Self::Cancelling => f.write_str("cancelling"),
            Self::Suspending => f.write_str("suspending"),
            Self::Ended(end) => end.fmt(f),
        }
    }
}

impl fmt::Display for TaskEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done => f.write_str("done"),
            Self::Cancelled => f.write_str("cancelled"),
            Self::Suspended => f.write_str("suspended"),
            Self::Failed { message, .. } => write!(f, "failed: {message}"),
        }
    }
}
