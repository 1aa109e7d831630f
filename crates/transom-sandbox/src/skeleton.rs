//! The engine `mounts`: a view as a tree of bind mounts.
//!
//! Directories and symbolic links live in a small file system in memory, and
//! so does one empty *stub* for every file and every whole host directory, to
//! mount the real one on. All mounts, and that file system, end up read-only.
//!
//! What a bind mount cannot do is show a file with another mode than it has on
//! the host. A file whose executable bits are overridden is therefore copied:
//! it is a snapshot, has an inode of its own and costs memory.
//!
//! Nor can a file be mounted whose last name was removed between its pinning
//! and now, say because another was renamed over it: the kernel refuses. It is
//! still readable through its descriptor, and is copied too.
//!
//! A whole host directory is shown with what is mounted below it on the host.
//! Without privilege there is no choice: the kernel does not let a user
//! namespace look under a mount.

use std::ffi::{CString, OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::MountAttrFlags;
use transom_projection::ViewPath;
use transom_sys::mount::{self, Change, NewMount, Reach};

use crate::error::{MOUNTING, Result, host};
use crate::graft;

const READ_ONLY: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_RDONLY
    .union(MountAttrFlags::MOUNT_ATTR_NOSUID)
    .union(MountAttrFlags::MOUNT_ATTR_NODEV);

/// A view under construction.
///
/// Directories above an entry are made as needed. Entries may come in any
/// order; it is quickest when those of one directory follow each other.
#[derive(Debug)]
pub struct Skeleton {
    mount: NewMount,
    /// The directory of the last entry and those above it, from the root down.
    open: Vec<(OsString, OwnedFd)>,
}

impl Skeleton {
    /// An empty view.
    pub fn new() -> Result<Self> {
        let options = [
            (c"mode", c"0755"),
            // The number of entries is limited where they are declared.
            (c"nr_inodes", c"0"),
            (c"source", c"transom-view"),
        ];
        let mount = mount::new(c"tmpfs", &options, MountAttrFlags::empty())
            .map_err(host(MOUNTING, "the directories of a view"))?;
        Ok(Self {
            mount,
            open: Vec::new(),
        })
    }

    /// Declares a directory. No error if it exists.
    pub fn directory(&mut self, path: &ViewPath) -> Result<()> {
        self.enter(path).map(drop)
    }

    /// Declares a symbolic link.
    pub fn symlink(&mut self, path: &ViewPath, target: &OsStr) -> Result<()> {
        let (directory, name) = self.place(path)?;
        rustix::fs::symlinkat(target, directory, name).map_err(host("cannot declare", path))
    }

    /// Declares a file: the one that `source` is open on, as it is there.
    pub fn file(&mut self, path: &ViewPath, source: impl AsFd) -> Result<()> {
        let stub = self.new_file(path)?;
        let file = mount::clone(source, c"", Reach::Mount).map_err(host(MOUNTING, path))?;
        graft::file(path, &file, &stub)
    }

    /// Declares a file with the content of `source` now and the permission
    /// bits `mode`. At most [`COPIED_FILE_BYTES_MAX`](crate::COPIED_FILE_BYTES_MAX) bytes.
    pub fn copied_file(&mut self, path: &ViewPath, source: impl AsFd, mode: Mode) -> Result<()> {
        let copy = self.new_file(path)?;
        graft::copy(path, source.as_fd(), &copy, Some(mode))
    }

    /// Declares a host directory as a whole: the one that `source` is open on,
    /// with everything below it.
    pub fn host_directory(&mut self, path: &ViewPath, source: impl AsFd) -> Result<()> {
        let stub = self.enter(path)?;
        mount::clone(source, c"", Reach::Tree)
            .and_then(|tree| {
                // At once: what is declared next may have a name below it, and
                // must not be made on the host.
                mount::change(&tree, Reach::Tree, Change::private(READ_ONLY))?;
                mount::attach(tree, stub)
            })
            .map_err(host(MOUNTING, path))
    }

    /// Makes everything read-only.
    pub fn finish(self) -> Result<Template> {
        mount::change(&self.mount, Reach::Tree, Change::private(READ_ONLY))
            .and_then(|()| self.mount.finish_read_only())
            .map(|root| Template { root })
            .map_err(host("cannot make read-only", "a view"))
    }

    fn new_file(&mut self, path: &ViewPath) -> Result<OwnedFd> {
        let (directory, name) = self.place(path)?;
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
        rustix::fs::openat(directory, name, flags, Mode::RUSR | Mode::WUSR)
            .map_err(host("cannot declare", path))
    }

    /// The directory that `path` lies in, and its name there.
    fn place<'a>(&mut self, path: &'a ViewPath) -> Result<(BorrowedFd<'_>, &'a OsStr)> {
        match (path.parent(), path.file_name()) {
            (Some(parent), Some(name)) => Ok((self.enter(&parent)?, name)),
            _ => Err(host("cannot declare", path)(Errno::ISDIR)),
        }
    }

    /// Opens a directory of the view, making it and those above it if needed.
    fn enter(&mut self, path: &ViewPath) -> Result<BorrowedFd<'_>> {
        let shared = path
            .names()
            .zip(&self.open)
            .take_while(|(name, (open, _))| name == open)
            .count();
        self.open.truncate(shared);
        for name in path.names().skip(shared) {
            let parent = self.innermost();
            let directory = CString::new(name.as_bytes())
                .map_err(|_| Errno::INVAL)
                .and_then(|name| make_directory(parent, &name))
                .map_err(host("cannot declare", path))?;
            self.open.push((name.to_owned(), directory));
        }
        Ok(self.innermost())
    }

    fn innermost(&self) -> BorrowedFd<'_> {
        match self.open.last() {
            Some((_, directory)) => directory.as_fd(),
            None => self.mount.as_fd(),
        }
    }
}

/// A finished view, from which every action gets its own.
///
/// Cloning costs about 2 microseconds for a file where making it costs 20, and
/// shares names and pages.
#[derive(Debug)]
pub struct Template {
    root: OwnedFd,
}

impl Template {
    /// A detached mount tree for one action.
    pub fn clone_tree(&self) -> Result<OwnedFd> {
        mount::clone(&self.root, c"", Reach::Tree).map_err(host(MOUNTING, "a copy of a view"))
    }

    /// The detached mount tree itself, for the only action that needs it.
    #[must_use]
    pub fn into_tree(self) -> OwnedFd {
        self.root
    }
}

fn make_directory(parent: BorrowedFd<'_>, name: &CString) -> rustix::io::Result<OwnedFd> {
    match rustix::fs::mkdirat(parent, name, Mode::from_raw_mode(0o755)) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(error) => return Err(error),
    }
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(parent, name, flags, Mode::empty())
}
