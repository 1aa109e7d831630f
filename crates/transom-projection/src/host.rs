//! The one door to the host's files.
//!
//! A host path is walked once, when a mapping is made, and from then on the
//! file is known by a descriptor; what happens to the path later does not
//! matter to the view. Descriptors are opened with `O_PATH`: that needs no
//! permission on the file, has no effect on devices and pipes, and suffices
//! for a bind mount, for a backing file and for another look at the
//! attributes.
//!
//! What is beyond the [budget](crate::descriptors) of descriptors is known by
//! its stamp, and found again where it was. Below a whole directory that means
//! one name after the other from the next directory that is kept open, none of
//! them a symbolic link, and each directory has to be the same inode as before.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{Access, AtFlags, CWD, Mode, OFlags, ResolveFlags, StatxFlags};
use rustix::io::Errno;
use transom_module::ItemKind;

use crate::Stamp;
use crate::descriptors::{Budget, Kept};

/// How often a walk is repeated that a concurrent rename disturbed.
const DISTURBED_WALKS_MAX: usize = 16;

/// The tree of host files that sources are looked up in.
///
/// Symbolic links are followed and cannot lead out of it; the magic links of
/// `/proc` are refused.
#[derive(Debug)]
pub struct HostRoot {
    root: OwnedFd,
    /// Root may read everything; others are told early what they cannot.
    checks_access: bool,
}

impl HostRoot {
    /// The tree the calling process itself sees at `/`.
    pub fn of_process() -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self::at(rustix::fs::open("/", flags, Mode::empty())?))
    }

    /// The tree below `root`, such as a detached read-only clone of the host's
    /// mounts. Paths, and absolute symbolic links in it, start there.
    #[must_use]
    pub fn at(root: OwnedFd) -> Self {
        Self {
            root,
            checks_access: !rustix::process::geteuid().is_root(),
        }
    }

    /// Opens the file or directory that an absolute `path` leads to.
    pub(crate) fn open(&self, path: &Path) -> io::Result<HostFile> {
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let mut disturbed = 0;
        loop {
            match rustix::fs::openat2(&self.root, path, flags, Mode::empty(), resolve) {
                Err(Errno::AGAIN) if disturbed < DISTURBED_WALKS_MAX => disturbed += 1,
                done => return HostFile::new(done?),
            }
        }
    }

    /// Whether our user may read what was opened.
    pub(crate) fn may_read(&self, file: &HostFile) -> bool {
        if !self.checks_access {
            return true;
        }
        let access = match file.stamp.kind() {
            Some(ItemKind::Directory) => Access::READ_OK | Access::EXEC_OK,
            _ => Access::READ_OK,
        };
        // Without a /proc we find out when the file is opened. The kernel is
        // asked about the real user: in a user namespace of our own we have
        // capabilities, and what runs in the view will not.
        let link = format!("/proc/self/fd/{}", file.descriptor.as_raw_fd());
        rustix::fs::accessat(CWD, link, access, AtFlags::empty()) != Err(Errno::ACCESS)
    }
}

/// An open host file, directory or other object, and what it is.
#[derive(Debug)]
pub(crate) struct HostFile {
    pub(crate) descriptor: OwnedFd,
    pub(crate) stamp: Stamp,
}

impl HostFile {
    fn new(descriptor: OwnedFd) -> io::Result<Self> {
        let stamp = stamp_of(descriptor.as_fd())?;
        Ok(Self { descriptor, stamp })
    }

    /// Opens one name in a directory; a symbolic link is opened itself.
    pub(crate) fn open_in(directory: impl AsFd, name: &OsStr) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Self::new(rustix::fs::openat(directory, name, flags, Mode::empty())?)
    }

    /// Keeps it open if there is room for that.
    pub(crate) fn hold(self, budget: &Arc<Budget>) -> HeldFile {
        HeldFile {
            stamp: self.stamp,
            kept: budget.keep(self.descriptor),
        }
    }
}

/// A host file or directory that was opened to be pinned.
#[derive(Debug)]
pub(crate) struct HeldFile {
    pub(crate) stamp: Stamp,
    /// `None` beyond the budget.
    pub(crate) kept: Option<Kept>,
}

/// Where a host file is looked up again.
#[derive(Debug)]
pub(crate) enum Location {
    /// At its host path, from the root.
    Host(Arc<HostRoot>),
    /// By the last name of its host path, in this directory.
    Directory(Arc<HostDirectory>),
}

impl Location {
    /// Opens what is there now.
    pub(crate) fn find(&self, path: &Path) -> io::Result<HostFile> {
        match self {
            Self::Host(root) => root.open(path),
            Self::Directory(directory) => directory.open(last_name(path)),
        }
    }
}

/// A host directory that is mapped as a whole, or lies in one.
#[derive(Debug)]
pub struct HostDirectory {
    path: Arc<Path>,
    location: Location,
    stamp: Stamp,
    kept: Option<Kept>,
}

/// A descriptor of a [`HostDirectory`], opened with `O_PATH`.
#[derive(Debug)]
pub enum DirectoryDescriptor<'a> {
    /// The one that is kept open for it.
    Kept(BorrowedFd<'a>),
    /// One that was opened for the caller.
    Reopened(OwnedFd),
}

impl HostDirectory {
    pub(crate) fn new(file: HeldFile, path: Arc<Path>, location: Location) -> Self {
        let HeldFile { stamp, kept } = file;
        Self {
            path,
            location,
            stamp,
            kept,
        }
    }

    /// Where it was when it was pinned.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn stamp(&self) -> &Stamp {
        &self.stamp
    }

    /// A descriptor of it. `ESTALE` if none is kept open, and another directory
    /// is there now.
    pub fn descriptor(&self) -> io::Result<DirectoryDescriptor<'_>> {
        let mut way = Vec::new();
        let mut directory = self;
        let mut descriptor = loop {
            if let Some(kept) = &directory.kept {
                break DirectoryDescriptor::Kept(kept.as_fd());
            }
            match &directory.location {
                Location::Host(root) => break directory.reopened(root.open(&directory.path)?)?,
                Location::Directory(parent) => {
                    way.push(directory);
                    directory = parent;
                }
            }
        };
        for directory in way.into_iter().rev() {
            let found = HostFile::open_in(&descriptor, last_name(&directory.path))?;
            descriptor = directory.reopened(found)?;
        }
        Ok(descriptor)
    }

    /// Opens one name in it; a symbolic link is opened itself.
    pub(crate) fn open(&self, name: &OsStr) -> io::Result<HostFile> {
        HostFile::open_in(self.descriptor()?, name)
    }

    fn reopened(&self, found: HostFile) -> io::Result<DirectoryDescriptor<'static>> {
        if found.stamp.is_same_inode(&self.stamp) {
            Ok(DirectoryDescriptor::Reopened(found.descriptor))
        } else {
            Err(Errno::STALE.into())
        }
    }
}

impl AsFd for DirectoryDescriptor<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Kept(descriptor) => *descriptor,
            Self::Reopened(descriptor) => descriptor.as_fd(),
        }
    }
}

fn last_name(path: &Path) -> &OsStr {
    path.file_name().unwrap_or_default()
}

/// The present stamp of an open file.
pub(crate) fn stamp_of(descriptor: BorrowedFd<'_>) -> io::Result<Stamp> {
    let statx = rustix::fs::statx(
        descriptor,
        c"",
        AtFlags::EMPTY_PATH,
        StatxFlags::BASIC_STATS,
    )?;
    Ok(Stamp::from(statx))
}
