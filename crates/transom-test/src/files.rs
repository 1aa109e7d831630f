//! A tree of files that can be changed, as naively as it can be written.
//!
//! Random [`Operation`]s are applied to the [`Model`] and to [`Subject`]s: a
//! directory of the host, one of a mounted volume ([`HostDirectory`] is both),
//! a volume that is asked without a mount. Each of them has to answer each
//! operation as the model does, and all have to show the same tree in the end.
//! What the model knows of the rules was written down anew: nothing here is
//! shared with the code under test.

mod host_directory;
mod model;
mod operation;

use std::collections::BTreeSet;
use std::ffi::OsString;

use rustix::fs::FileType;
use rustix::io::Errno;

pub use host_directory::HostDirectory;
pub use model::Model;
pub use operation::{ATTRIBUTES, Operation, Presence, Rename, operations};

/// A tree under test.
pub trait Subject {
    /// Does one thing. No symbolic link is followed, neither on the way nor at
    /// the end, and only regular files are opened: `ENXIO` for pipes.
    fn apply(&mut self, operation: &Operation) -> Outcome;
}

/// What an operation came to.
pub type Outcome = Result<Answer, Errno>;

/// What a successful operation tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Nothing: it was done.
    Done,
    /// Content, the target of a link, or the value of an attribute.
    Bytes(Vec<u8>),
    /// The entries of a directory.
    Names(BTreeSet<OsString>),
    /// Attributes.
    Status(Status),
}

/// The attributes that mean the same on every file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status {
    /// What it is.
    pub kind: FileType,
    /// Permission bits with set-id and sticky bits.
    pub permissions: u32,
    /// Number of names; 0 for directories, which file systems count
    /// differently.
    pub links: u32,
    /// Bytes of a regular file or a symbolic link; 0 for others.
    pub size: u64,
    /// Time of change in seconds and nanoseconds, if [somebody set
    /// it](Operation::SetTime) and nothing has changed since.
    pub modified: Option<(i64, u32)>,
}

impl Status {
    /// Of everything that `stat(2)` tells, what can be compared.
    #[must_use]
    pub fn new(mode: u32, links: u64, size: u64, modified: (i64, u32)) -> Self {
        let kind = FileType::from_raw_mode(mode);
        let has_size = matches!(kind, FileType::RegularFile | FileType::Symlink);
        let is_directory = kind == FileType::Directory;
        Self {
            kind,
            permissions: mode & 0o7777,
            links: if is_directory { 0 } else { links as u32 },
            size: if has_size { size } else { 0 },
            modified: (modified.0 < operation::PAST_END).then_some(modified),
        }
    }
}
