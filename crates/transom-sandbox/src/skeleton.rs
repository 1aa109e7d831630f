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
//! A whole host directory is shown with what is mounted below it on the host.
//! Without privilege there is no choice: the kernel does not let a user
//! namespace look under a mount.

use std::ffi::{CString, OsStr, OsString};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{CWD, Mode, OFlags, Timespec, Timestamps};
use rustix::io::Errno;
use rustix::mount::MountAttrFlags;
use transom_projection::ViewPath;
use transom_sys::mount::{self, Change, NewMount, Reach};

use crate::error::{Error, MOUNTING, Result, host};

/// The largest file that is copied because its executable bits are overridden,
/// in bytes.
pub const COPIED_FILE_BYTES_MAX: u64 = 256 << 20;

const COPY_BUFFER_BYTES: usize = 128 << 10;

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
        let stub = self.new_file(path, Mode::from_raw_mode(0o444))?;
        graft(path, source.as_fd(), &stub)
    }

    /// Declares a file with the content of `source` now and the permission
    /// bits `mode`. At most [`COPIED_FILE_BYTES_MAX`] bytes.
    pub fn copied_file(&mut self, path: &ViewPath, source: impl AsFd, mode: Mode) -> Result<()> {
        let source = source.as_fd();
        let stat = rustix::fs::fstat(source).map_err(host("cannot examine", path))?;
        let bytes = stat.st_size.cast_unsigned();
        if bytes > COPIED_FILE_BYTES_MAX {
            return Err(Error::TooLargeToCopy {
                path: path.clone(),
                bytes,
            });
        }
        let copy = self.new_file(path, mode)?;
        copy_content(source, &copy)
            .and_then(|()| rustix::fs::fchmod(&copy, mode))
            .and_then(|()| {
                let time = Timespec {
                    tv_sec: stat.st_mtime,
                    tv_nsec: stat.st_mtime_nsec.cast_signed(),
                };
                let times = Timestamps {
                    last_access: time,
                    last_modification: time,
                };
                rustix::fs::futimens(&copy, &times)
            })
            .map_err(host("cannot copy", path))
    }

    /// Declares a host directory as a whole: the one that `source` is open on,
    /// with everything below it.
    pub fn host_directory(&mut self, path: &ViewPath, source: impl AsFd) -> Result<()> {
        let stub = self.enter(path)?;
        let tree = mount::clone(source, c"", Reach::Tree).map_err(host(MOUNTING, path))?;
        mount::attach(tree, stub).map_err(host(MOUNTING, path))
    }

    /// Makes everything read-only.
    pub fn finish(self) -> Result<Template> {
        let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY
            | MountAttrFlags::MOUNT_ATTR_NOSUID
            | MountAttrFlags::MOUNT_ATTR_NODEV;
        mount::change(&self.mount, Reach::Tree, Change::private(attributes))
            .and_then(|()| self.mount.finish_read_only())
            .map(|root| Template { root })
            .map_err(host("cannot make read-only", "a view"))
    }

    fn new_file(&mut self, path: &ViewPath, mode: Mode) -> Result<OwnedFd> {
        let (directory, name) = self.place(path)?;
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
        rustix::fs::openat(directory, name, flags, mode).map_err(host("cannot declare", path))
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

fn graft(path: &ViewPath, source: BorrowedFd<'_>, stub: &OwnedFd) -> Result<()> {
    mount::clone(source, c"", Reach::Mount)
        .and_then(|file| mount::attach(file, stub))
        .map_err(host(MOUNTING, path))
}

fn copy_content(source: BorrowedFd<'_>, copy: &OwnedFd) -> rustix::io::Result<()> {
    // The source may be open as a mere place (`O_PATH`).
    let readable = rustix::fs::openat(
        CWD,
        format!("/proc/self/fd/{}", source.as_raw_fd()),
        OFlags::RDONLY | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    let mut buffer = vec![0; COPY_BUFFER_BYTES];
    loop {
        let read = rustix::io::read(&readable, &mut buffer)?;
        if read == 0 {
            return Ok(());
        }
        let mut rest = &buffer[..read];
        while !rest.is_empty() {
            let written = rustix::io::write(copy, rest)?;
            rest = &rest[written..];
        }
    }
}
