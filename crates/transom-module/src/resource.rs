//! What is given to a module to load.

use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use crate::{ContainerId, Errno, Error, Result};

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

/// An open descriptor, so that whoever gives it decides what it is and with
/// whose rights it was opened.
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

    /// The same resource once more, by another descriptor.
    pub fn try_clone(&self) -> Result<Self> {
        let descriptor = self.descriptor.try_clone().map_err(|error| {
            Error::from_host(error, format!("cannot keep `{}` open", self.path.display()))
        })?;
        Ok(Self {
            kind: self.kind,
            path: self.path.clone(),
            descriptor,
        })
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

/// The resources that one container is loaded from: at least one.
#[derive(Debug)]
pub struct Resources {
    container: ContainerId,
    members: Vec<Resource>,
}

impl Resources {
    /// The members that are there of a container, in no certain order.
    ///
    /// `EINVAL` if there is none.
    pub fn new(container: ContainerId, members: Vec<Resource>) -> Result<Self> {
        match members.is_empty() {
            true => Err(Error::new(Errno::EINVAL, "there is nothing to load")),
            false => Ok(Self { container, members }),
        }
    }

    /// The one resource of a container that has no other.
    #[must_use]
    pub fn alone(container: ContainerId, resource: Resource) -> Self {
        Self {
            container,
            members: vec![resource],
        }
    }

    /// Which container they are of: what the host will know it by.
    #[must_use]
    pub fn container(&self) -> ContainerId {
        self.container
    }

    /// The only one. `EINVAL` if there are several, for modules whose
    /// containers have one resource each.
    pub fn only(mut self) -> Result<Resource> {
        let first = self.members.swap_remove(0);
        match self.members.is_empty() {
            true => Ok(first),
            false => {
                let message = format!(
                    "the module loads one resource at a time, and was given {} besides `{}`",
                    self.members.len(),
                    first.path().display()
                );
                Err(Error::new(Errno::EINVAL, message))
            }
        }
    }

    /// All of them.
    #[must_use]
    pub fn into_members(self) -> Vec<Resource> {
        self.members
    }

    /// All of them, to look at.
    pub fn iter(&self) -> impl Iterator<Item = &Resource> {
        self.members.iter()
    }
}
