//! The one door to the host's files.
//!
//! A host path is walked once, when a mapping is made, and from then on the
//! file is known by a descriptor; what happens to the path later does not
//! matter to the view. Descriptors are opened with `O_PATH`: that needs no
//! permission on the file, has no effect on devices and pipes, and suffices
//! for a bind mount, for a backing file and for another look at the
//! attributes.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{Access, AtFlags, CWD, Mode, OFlags, ResolveFlags, StatxFlags};
use rustix::io::Errno;
use transom_module::ItemKind;

use crate::Stamp;

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
}

/// A host directory that is held open, whatever becomes of its path.
#[derive(Debug)]
pub(crate) struct HostDirectory {
    pub(crate) descriptor: OwnedFd,
    /// Where it was when it was opened.
    pub(crate) path: Arc<Path>,
}

impl HostDirectory {
    /// Opens one name in it; a symbolic link is opened itself.
    pub(crate) fn open(&self, name: &OsStr) -> io::Result<HostFile> {
        HostFile::open_in(&self.descriptor, name)
    }
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
