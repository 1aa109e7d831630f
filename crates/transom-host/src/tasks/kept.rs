//! What tasks have saved, in files.
//!
//! One file for each task, `TASK.task`: a line of JSON that says what it takes to
//! start the task again, and the bytes that its work has saved. A file is written
//! under another name, made durable, and then renamed, so after a crash at any
//! moment there is the old one or the new one.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use transom_module::{ContainerId, Errno, Error, Result};

use super::values::{TaskId, TaskOrder, TaskSubject};

/// How much a task can save, in bytes.
pub const SAVED_BYTES_MAX: usize = 1 << 20;
/// How long the first line of a file is, in bytes.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// The version of the format, for those who read files of another one.
const VERSION: u32 = 1;
const SUFFIX: &str = ".task";
const UNFINISHED_SUFFIX: &str = ".new";

/// A task that can be started again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavedTask {
    /// As it was ordered.
    pub order: TaskOrder,
    /// What its work has saved.
    pub saved: Vec<u8>,
}

/// The line before the bytes.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    version: u32,
    container: Option<String>,
    module: String,
    kind: String,
    owner: u32,
    options: Vec<(String, Option<String>)>,
    saved_bytes: usize,
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
            version: VERSION,
            container: about.container.map(|container| container.to_string()),
            module: about.module.clone(),
            kind: about.kind.clone(),
            owner: *owner,
            options: options.clone(),
            saved_bytes: self.saved.len(),
        };
        let too_much = |what: &str, bytes: usize, bytes_max: usize| {
            let message = format!("{what} {bytes} bytes; {bytes_max} can be kept");
            Error::new(Errno::EFBIG, message)
        };
        if self.saved.len() > SAVED_BYTES_MAX {
            return Err(too_much(
                "the work has saved",
                self.saved.len(),
                SAVED_BYTES_MAX,
            ));
        }
        let mut bytes = serde_json::to_vec(&head)
            .map_err(|error| Error::from_host(error.into(), "cannot write down a task"))?;
        if bytes.len() > HEAD_BYTES_MAX {
            return Err(too_much(
                "the task's options have",
                bytes.len(),
                HEAD_BYTES_MAX,
            ));
        }
        bytes.push(b'\n');
        bytes.extend_from_slice(&self.saved);
        Ok(bytes)
    }

    /// What a file says, or in a few words what is wrong with it.
    pub fn decode(bytes: &[u8]) -> std::result::Result<Self, String> {
        let end = bytes
            .iter()
            .take(HEAD_BYTES_MAX + 1)
            .position(|byte| *byte == b'\n');
        let (head, saved) = bytes.split_at(end.ok_or("its first line does not end")?);
        let saved = &saved[1..];
        let head: Head = serde_json::from_slice(head).map_err(|error| error.to_string())?;
        if head.version != VERSION {
            return Err(format!("it is of version {}, not {VERSION}", head.version));
        }
        if saved.len() != head.saved_bytes || saved.len() > SAVED_BYTES_MAX {
            return Err(format!(
                "{} bytes follow its first line, which says {}",
                saved.len(),
                head.saved_bytes
            ));
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
pub(super) struct KeptTasks {
    path: PathBuf,
    directory: File,
}

/// What was found in one file: a task, or what is wrong with it, for people.
pub(super) type Found = std::result::Result<(TaskId, TaskOrder), String>;

impl KeptTasks {
    /// Opens the directory, which is made if it does not exist.
    pub(super) fn open(path: PathBuf) -> Result<Self> {
        let opened = fs::create_dir_all(&path).and_then(|()| File::open(&path));
        let directory = opened.map_err(|error| {
            let message = format!("cannot open `{}`, where tasks are kept", path.display());
            Error::from_host(error, message)
        })?;
        Ok(Self { path, directory })
    }

    /// All that is kept. Removes what was not written to its end.
    pub(super) fn read(&self) -> Result<Vec<Found>> {
        let failed = |error| {
            let message = format!("cannot list `{}`", self.path.display());
            Error::from_host(error, message)
        };
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.path).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            let Some(name) = path.file_name().and_then(OsStr::to_str) else {
                continue;
            };
            if name.ends_with(UNFINISHED_SUFFIX) {
                fs::remove_file(&path).map_err(failed)?;
            } else if let Some(id) = name.strip_suffix(SUFFIX) {
                let task = match id.parse() {
                    Ok(id) => self.read_one(id).map(|task| (id, task.order)),
                    Err(_) => Err(not_understood(&path, "it is not named after a task")),
                };
                found.push(task.map_err(|error| error.to_string()));
            }
        }
        Ok(found)
    }

    /// What is kept of one task. `ENOENT`; `EINVAL` if it cannot be understood.
    pub(super) fn read_one(&self, id: TaskId) -> Result<SavedTask> {
        let file = self.file(id);
        let bytes = fs::read(&file).map_err(|error| {
            let message = format!("cannot read `{}`, a task that was kept", file.display());
            Error::from_host(error, message)
        })?;
        SavedTask::decode(&bytes).map_err(|wrong| not_understood(&file, &wrong))
    }

    /// Keeps a task in place of what is kept of it. When this returns, it is
    /// durable.
    pub(super) fn write(&self, id: TaskId, task: &SavedTask) -> Result<()> {
        let bytes = task.encode()?;
        let unfinished = self.path.join(format!("{id}{UNFINISHED_SUFFIX}"));
        let write = || {
            let mut file = File::create(&unfinished)?;
            file.write_all(&bytes)?;
            file.sync_all()?;
            fs::rename(&unfinished, self.file(id))?;
            self.directory.sync_all()
        };
        write().map_err(|error: io::Error| {
            let message = format!("cannot keep a task in `{}`", self.path.display());
            Error::from_host(error, message)
        })
    }

    /// Keeps a task no longer, if it was kept.
    pub(super) fn remove(&self, id: TaskId) -> Result<()> {
        let file = self.file(id);
        let removed = match fs::remove_file(&file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other.and_then(|()| self.directory.sync_all()),
        };
        removed.map_err(|error| {
            let message = format!("cannot remove `{}`, a task that has ended", file.display());
            Error::from_host(error, message)
        })
    }

    fn file(&self, id: TaskId) -> PathBuf {
        self.path.join(format!("{id}{SUFFIX}"))
    }
}

fn not_understood(file: &Path, wrong: &str) -> Error {
    let message = format!(
        "cannot understand `{}`, a task that was kept: {wrong}; remove it",
        file.display()
    );
    Error::new(Errno::EINVAL, message)
}
