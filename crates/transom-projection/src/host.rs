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

use crate::descriptors::{Budget, Kept};
use crate::for_client::ForClient;
use crate::{Client, Stamp};

/// How often a walk is repeated that a concurrent rename disturbed.
const DISTURBED_WALKS_MAX: usize = 16;

/// The tree of host files that sources are looked up in.
///
/// Symbolic links are followed and cannot lead out of it; the magic links of
/// `/proc` are refused.
#[derive(Debug)]
pub struct HostRoot {
    root: Arc<OwnedFd>,
    /// Root may read everything; others are told early what they cannot.
    checks_access: bool,
    /// `None`: the process opens files for itself.
    client: Option<ForClient>,
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
            root: Arc::new(root),
            checks_access: !rustix::process::geteuid().is_root(),
            client: None,
        }
    }

    /// The same tree with the rights of `client`: what it could not open is not
    /// opened, now or at any later time, nor is what lies on a file system that
    /// says different things to different readers, such as `/proc`.
    ///
    /// Takes the capabilities that this process has now for those it keeps.
    /// `PermissionDenied` if it cannot act for others.
    pub fn acting_for(&self, client: Client) -> io::Result<Self> {
        Ok(Self {
            root: self.root.clone(),
            checks_access: self.checks_access,
            client: Some(ForClient::new(client)?),
        })
    }

    /// Calls `act` with the rights that files are opened with.
    pub(crate) fn act<T>(&self, act: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        match &self.client {
            Some(client) => client.act(act),
            None => act(),
        }
    }

    /// Calls `work`, in which credentials need not be changed for each access.
    pub(crate) fn act_throughout<T>(&self, work: impl Fn() -> T) -> T {
        // If the rights cannot be had, each access in `work` says so.
        self.act(|| Ok(work())).unwrap_or_else(|_| work())
    }

    /// Opens the file or directory that an absolute `path` leads to.
    pub(crate) fn open(&self, path: &Path) -> io::Result<HostFile> {
        self.act(|| self.opened(self.walk(path)?))
    }

    /// Opens one name in a directory; a symbolic link is opened itself.
    pub(crate) fn open_in(&self, directory: impl AsFd, name: &OsStr) -> io::Result<HostFile> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        self.act(|| {
            let file = rustix::fs::openat(directory, name, flags, Mode::empty())?;
            self.opened(file)
        })
    }

    fn opened(&self, descriptor: OwnedFd) -> io::Result<HostFile> {
        let file = HostFile {
            stamp: stamp_of(descriptor.as_fd())?,
            descriptor,
        };
        match &self.client {
            Some(client) => client.check(&file).map(|()| file),
            None => Ok(file),
        }
    }

    fn walk(&self, path: &Path) -> io::Result<OwnedFd> {
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let mut disturbed = 0;
        loop {
            match rustix::fs::openat2(&self.root, path, flags, Mode::empty(), resolve) {
                Err(Errno::AGAIN) if disturbed < DISTURBED_WALKS_MAX => disturbed += 1,
                done => return Ok(done?),
            }
        }
    }

    /// Whether files are opened for a client, and not for this process.
    pub(crate) fn is_for_client(&self) -> bool {
        self.client.is_some()
    }

    /// Whether whoever files are opened for may read the file or directory that
    /// is open as `file`.
    pub(crate) fn may_read(&self, file: BorrowedFd<'_>, kind: Option<ItemKind>) -> bool {
        if let Some(client) = &self.client {
            return client.may_read(file, kind);
        }
        if !self.checks_access {
            return true;
        }
        let access = match kind {
            Some(ItemKind::Directory) => Access::READ_OK | Access::EXEC_OK,
            _ => Access::READ_OK,
        };
        // Without a /proc we find out when the file is opened. The kernel is
        // asked about the real user: in a user namespace of our own we have
        // capabilities, and what runs in the view will not.
        let link = format!("/proc/self/fd/{}", file.as_raw_fd());
        rustix::fs::accessat(CWD, link, access, AtFlags::empty()) != Err(Errno::ACCESS)
    }
}

/// A door is no other door, even one to the same files: what was opened through
/// it is looked up again through it.
impl PartialEq for HostRoot {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }
}

impl Eq for HostRoot {}

/// An open host file, directory or other object, and what it is.
#[derive(Debug)]
pub(crate) struct HostFile {
    pub(crate) descriptor: OwnedFd,
    pub(crate) stamp: Stamp,
}

impl HostFile {
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

    /// The door it is opened through.
    pub(crate) fn root(&self) -> &Arc<HostRoot> {
        match self {
            Self::Host(root) => root,
            Self::Directory(directory) => &directory.root,
        }
    }
}

/// A host directory that is mapped as a whole, or lies in one.
#[derive(Debug)]
pub struct HostDirectory {
    path: Arc<Path>,
    root: Arc<HostRoot>,
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
            root: location.root().clone(),
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

    /// The door that everything in it is opened through.
    pub(crate) fn root(&self) -> &HostRoot {
        &self.root
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
            let found = directory
                .root
                .open_in(&descriptor, last_name(&directory.path))?;
            descriptor = directory.reopened(found)?;
        }
        Ok(descriptor)
    }

    /// Opens one name in it; a symbolic link is opened itself.
    pub(crate) fn open(&self, name: &OsStr) -> io::Result<HostFile> {
        self.root
            .act(|| self.root.open_in(self.descriptor()?, name))
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

/// What to answer a request that met `error`.
pub(crate) fn errno_of(error: &io::Error) -> Errno {
    match error.kind() {
        io::ErrorKind::PermissionDenied => Errno::ACCESS,
        _ => Errno::from_io_error(error).unwrap_or(Errno::IO),
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
