//! What tasks have saved, in one [record](crate::records) for each task: what it
//! takes to start the task again, and the bytes that its work has saved.

use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use transom_module::{ContainerId, Errno, Error, Result};

use super::values::{TaskId, TaskOrder, TaskSubject};
use crate::records::{Records, Survives, format};

/// How much a task can save, in bytes.
pub const SAVED_BYTES_MAX: usize = 1 << 20;

/// A task that can be started again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavedTask {
    /// As it was ordered.
    pub order: TaskOrder,
    /// What its work has saved.
    pub saved: Vec<u8>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    container: Option<String>,
    module: String,
    kind: String,
    owner: u32,
    options: Vec<(String, Option<String>)>,
}

impl SavedTask {
    /// The content of its file. `EFBIG` if it has saved too much, or its options
    /// are too long.
    pub fn encode(&self) -> Result<Vec<u8>> {
        let TaskOrder {
            about,
            owner,
            options,
        } = &self.order;
        let head = Head {
            container: about.container.map(|container| container.to_string()),
            module: about.module.clone(),
            kind: about.kind.clone(),
            owner: *owner,
            options: options.clone(),
        };
        let bytes = self.saved.len();
        let encoded = match bytes > SAVED_BYTES_MAX {
            true => Err(format!(
                "it saves {bytes} bytes; {SAVED_BYTES_MAX} are possible"
            )),
            false => format::encode(&head, &self.saved),
        };
        encoded.map_err(|wrong| {
            let message = format!("cannot keep a task of kind `{}`: {wrong}", about.kind);
            Error::new(Errno::EFBIG, message)
        })
    }

    /// What a file says, or in a few words what is wrong with it.
    pub fn decode(bytes: &[u8]) -> std::result::Result<Self, String> {
        let (head, saved) = format::decode::<Head>(bytes)?;
        if saved.len() > SAVED_BYTES_MAX {
            return Err(format!("more than {SAVED_BYTES_MAX} bytes are saved in it"));
        }
        let container = head.container.map(|text| text.parse::<ContainerId>());
        let container = container.transpose().map_err(|error| error.to_string())?;
        Ok(Self {
            order: TaskOrder {
                about: TaskSubject {
                    container,
                    module: head.module,
                    kind: head.kind,
                },
                owner: head.owner,
                options: head.options,
            },
            saved: saved.to_vec(),
        })
    }
}

/// The directory of the files.
#[derive(Debug)]
pub(super) struct KeptTasks(Records);

/// What was found in one file: a task, or what is wrong with it, for people.
pub(super) type Found = std::result::Result<(TaskId, TaskOrder), String>;

impl KeptTasks {
    /// Opens the directory, which is made if it does not exist.
    pub(super) fn open(path: PathBuf) -> Result<Self> {
        let message = format!("cannot open `{}`, where tasks are kept", path.display());
        let records = Records::open(path, ".task");
        Ok(Self(
            records.map_err(|error| Error::from_host(error, message))?,
        ))
    }

    /// All that is kept.
    pub(super) fn read(&self) -> Result<Vec<Found>> {
        let names = self.0.names().map_err(|error| self.cannot("list", error))?;
        let found = names.into_iter().map(|name| {
            let task = match name.parse() {
                Ok(id) => self.read_one(id).map(|task| (id, task.order)),
                Err(_) => Err(self.not_understood(&name, "it is not named after a task")),
            };
            task.map_err(|error| error.to_string())
        });
        Ok(found.collect())
    }

    /// What is kept of one task. `ENOENT`; `EINVAL` if it cannot be understood.
    pub(super) fn read_one(&self, id: TaskId) -> Result<SavedTask> {
        let name = id.to_string();
        let bytes = self
            .0
            .read(&name)
            .map_err(|error| self.cannot("read a task in", error))?;
        SavedTask::decode(&bytes).map_err(|wrong| self.not_understood(&name, &wrong))
    }

    /// Keeps a task in place of what is kept of it. When this returns, it is
    /// durable.
    pub(super) fn write(&self, id: TaskId, task: &SavedTask) -> Result<()> {
        let written = self
            .0
            .write(&id.to_string(), &task.encode()?, Survives::Machine);
        written.map_err(|error| self.cannot("keep a task in", error))
    }

    /// Keeps a task no longer, if it was kept.
    pub(super) fn remove(&self, id: TaskId) -> Result<()> {
        let removed = self.0.remove(&id.to_string(), Survives::Machine);
        removed.map_err(|error| self.cannot("remove a task that has ended from", error))
    }

    fn cannot(&self, what: &str, error: io::Error) -> Error {
        Error::from_host(
            error,
            format!("cannot {what} `{}`", self.0.path().display()),
        )
    }

    fn not_understood(&self, name: &str, wrong: &str) -> Error {
        let message = format!(
            "cannot understand `{}`, a task that was kept: {wrong}; remove it",
            self.0.file(name).display()
        );
        Error::new(Errno::EINVAL, message)
    }
}
