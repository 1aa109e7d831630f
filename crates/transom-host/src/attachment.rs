//! Putting a mount somewhere, and taking it away again.

use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, StatxFlags};
use rustix::mount::UnmountFlags;

/// A directory to mount on.
#[derive(Debug)]
pub struct Target {
    path: PathBuf,
    /// Opened with `O_PATH`.
    directory: OwnedFd,
}

impl Target {
    /// The directory that `path` leads to.
    pub fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = rustix::fs::openat(CWD, path, flags, Mode::empty())?;
        let path = fs::canonicalize(path)?;
        Ok(Self { path, directory })
    }

    /// A directory that somebody else has opened.
    pub fn given(directory: OwnedFd) -> io::Result<Self> {
        let path = fs::read_link(format!("/proc/self/fd/{}", directory.as_raw_fd()))?;
        Ok(Self { path, directory })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Puts a detached mount there. Both it and the directory are let go: they
    /// would keep it, and what it lies on, from being unmounted.
    pub fn attach(self, mount: OwnedFd) -> io::Result<Attachment> {
        let attachment = Attachment::to_be(&mount, self.path)?;
        transom_sys::mount::attach(&mount, &self.directory, c"")?;
        drop(mount);
        Ok(attachment)
    }
}

impl AsFd for Target {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.directory.as_fd()
    }
}

/// A mount, and where it was put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    path: PathBuf,
    id: u64,
}

impl Attachment {
    /// The mount of that number, which was put at `path`.
    #[must_use]
    pub fn new(path: PathBuf, id: u64) -> Self {
        Self { path, id }
    }

    /// A mount, which may still be detached, that is to be put there.
    pub fn to_be(mount: impl AsFd, path: PathBuf) -> io::Result<Self> {
        let id = mount_id(mount)?;
        Ok(Self { path, id })
    }

    /// The mount that is on top at `path` now.
    pub fn at(path: PathBuf) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let there = rustix::fs::open(&path, flags, Mode::empty())?;
        Self::to_be(there, path)
    }

    /// Where it was put.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The number of the mount, which no other one ever gets.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Whether it is still there, on top of what else is.
    #[must_use]
    pub fn is_there(&self) -> bool {
        Self::at(self.path.clone()).is_ok_and(|now| now.id == self.id)
    }

    /// Unmounts it, at once and for everybody; those who have a file open there
    /// keep that. Nothing to do if it is not there any more, or not on top.
    pub fn detach(&self) -> io::Result<()> {
        self.unmount_with(UnmountFlags::DETACH)
    }

    /// The same, but only if nobody uses it: else `EBUSY`.
    pub fn unmount(&self) -> io::Result<()> {
        self.unmount_with(UnmountFlags::empty())
    }

    fn unmount_with(&self, flags: UnmountFlags) -> io::Result<()> {
        if !self.is_there() {
            return Ok(());
        }
        let flags = flags | UnmountFlags::NOFOLLOW;
        Ok(rustix::mount::unmount(&self.path, flags)?)
    }
}

/// The number of the mount that a file lies on.
pub(crate) fn mount_id(file: impl AsFd) -> rustix::io::Result<u64> {
    /// `STATX_MNT_ID_UNIQUE` of `<linux/stat.h>`.
    const UNIQUE: StatxFlags = StatxFlags::from_bits_retain(0x4000);
    let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
    Ok(rustix::fs::statx(file, c"", flags, UNIQUE)?.stx_mnt_id)
}
