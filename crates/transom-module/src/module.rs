//! Loading: how a module comes to serve something.

use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use crate::{Result, Volume, VolumeDefinition};

/// Code that implements a file system.
///
/// ```text
///   resource ─► probe ─► load ─► container ─► volume, mounted as often as wanted
///                                    │
///                                  unload        gives the resource back
/// ```
pub trait Module: Send + Sync + 'static {
    /// What a loaded resource becomes.
    type Container: Container;

    /// What the module is and what it takes.
    fn manifest(&self) -> ModuleManifest;

    /// Makes a container of a resource, whose kind is one of those that the
    /// manifest names. After an error nothing of the resource is left open.
    ///
    /// `EACCES` without a right to the resource, `ENOTDIR` and the like if it
    /// is not what it should be, `EINVAL` for an option that the module does
    /// not know, with a message that names the option.
    fn load(&self, resource: Resource, options: &LoadOptions) -> Result<Self::Container>;
}

/// A loaded resource. Dropping it gives the resource back.
pub trait Container: Send + Sync + 'static {
    /// What is mounted of it.
    type Volume: Volume;

    /// The volume, to be served. Asked once per mount.
    fn volume(&self) -> Result<VolumeDefinition<Self::Volume>>;
}

/// What a module is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModuleManifest {
    /// Its name: what users mount by. Lower-case ASCII letters, digits and
    /// `-`.
    pub name: &'static str,
    /// Its version.
    pub version: &'static str,
    /// One sentence for people.
    pub summary: &'static str,
    /// The kinds of resources it loads.
    pub resources: &'static [ResourceKind],
    /// The options it takes at loading, each with one sentence for people.
    pub options: &'static [(&'static str, &'static str)],
    /// The groups of operations that its volumes claim, by the names of their
    /// traits; those of one resource may claim fewer.
    pub capabilities: &'static [&'static str],
}

/// The kinds of things that modules load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ResourceKind {
    /// A directory.
    Directory,
    /// A regular file.
    File,
    /// A block device.
    BlockDevice,
}

impl fmt::Display for ResourceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Directory => "directory",
            Self::File => "file",
            Self::BlockDevice => "block device",
        })
    }
}

/// What is given to a module to load: an open descriptor, so that whoever
/// gives it decides what it is and with whose rights it was opened.
#[derive(Debug)]
pub struct Resource {
    kind: ResourceKind,
    path: PathBuf,
    descriptor: OwnedFd,
}

impl Resource {
    /// Takes a descriptor, which may be opened with `O_PATH`, of something of
    /// that kind. `path` is for people to read.
    #[must_use]
    pub fn new(kind: ResourceKind, path: impl Into<PathBuf>, descriptor: OwnedFd) -> Self {
        Self {
            kind,
            path: path.into(),
            descriptor,
        }
    }

    /// What it is.
    #[must_use]
    pub fn kind(&self) -> ResourceKind {
        self.kind
    }

    /// Where it was found.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The descriptor, for good.
    #[must_use]
    pub fn into_descriptor(self) -> OwnedFd {
        self.descriptor
    }
}

impl AsFd for Resource {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

/// How to load.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LoadOptions {
    /// Change nothing on the resource.
    pub read_only: bool,
    /// When reading a file updates its access time; `None` leaves that to the
    /// resource.
    pub access_times: Option<AccessTimes>,
    /// Options of the module's own, by name; a flag has no value.
    pub named: Vec<(String, Option<String>)>,
}

/// When reading a file updates its access time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccessTimes {
    /// If it is older than the last change, or a day old.
    Relative,
    /// Never.
    Never,
    /// At each read.
    Always,
}
