//! The engine `mounts`: a view as a tree of bind mounts.
//!
//! Directories and symbolic links live in a small file system in memory, and
//! so does an empty *stub* for every file and every whole host directory, to
//! mount the real one on. All mounts, and that file system, end up read-only.
//! The stubs of files are names of one inode, which is quicker than to make an
//! inode for each. Nobody sees that, since each is covered.
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

use std::ffi::{CStr, CString, OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::MountAttrFlags;
use transom_projection::ViewPath;
use transom_sys::mount::{self, Change, NewMount, Reach};

use crate::error::{Result, host, mounting};
use crate::graft::{self, Copies, READ_ONLY};

/// A view under construction.
///
/// Directories above an entry are made as needed. Entries may come in any
/// order; it is quickest when those of one directory follow each other.
#[derive(Debug)]
pub struct Skeleton {
    directories: Directories,
    stub: Stub,
    copies: Copies,
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
            .map_err(mounting("the directories of a view"))?;
        Ok(Self {
            directories: Directories {
                mount,
                open: Vec::new(),
            },
            stub: Stub::default(),
            copies: Copies::default(),
        })
    }

    /// Declares a directory. No error if it exists.
    pub fn directory(&mut self, path: &ViewPath) -> Result<()> {
        self.directories.enter(path).map(drop)
    }

    /// Declares a symbolic link.
    pub fn symlink(&mut self, path: &ViewPath, target: &OsStr) -> Result<()> {
        let (parent, name) = self.directories.place(path)?;
        rustix::fs::symlinkat(target, parent, &name).map_err(host("cannot declare", path))
    }

    /// Declares a file: the one that `source` is open on, as it is there.
    pub fn file(&mut self, path: &ViewPath, source: impl AsFd) -> Result<()> {
        let file = mount::clone(source, c"", Reach::Mount).map_err(mounting(path))?;
        self.add_file(path, &file)
    }

    /// Declares a file with the content of `source` now and the permission
    /// bits `mode`. At most [`COPIED_FILE_BYTES_MAX`](crate::COPIED_FILE_BYTES_MAX)
    /// bytes.
    pub fn copied_file(&mut self, path: &ViewPath, source: impl AsFd, mode: Mode) -> Result<()> {
        let copy = self.copies.add(path, source.as_fd(), Some(mode))?;
        self.add_file(path, &copy)
    }

    /// Declares a host directory as a whole: the one that `source` is open on,
    /// with everything below it.
    pub fn host_directory(&mut self, path: &ViewPath, source: impl AsFd) -> Result<()> {
        let tree = mount::clone(source, c"", Reach::Tree)
            .and_then(|tree| {
                // At once: what is declared next may have a name below it, and
                // must not be made on the host.
                mount::change(&tree, Reach::Tree, Change::private(READ_ONLY))?;
                Ok(tree)
            })
            .map_err(mounting(path))?;
        let (parent, name) = self.directories.place(path)?;
        make_directory(parent, &name)
            .and_then(|_| mount::attach(tree, parent, &name))
            .map_err(mounting(path))
    }

    /// Makes everything read-only.
    pub fn finish(self) -> Result<Template> {
        let mount = self.directories.mount;
        mount::change(&mount, Reach::Tree, Change::private(READ_ONLY))
            .and_then(|()| mount.finish_read_only())
            .map(|root| Template { root })
            .map_err(host("cannot make read-only", "a view"))
    }

    fn add_file(&mut self, path: &ViewPath, file: &OwnedFd) -> Result<()> {
        let (parent, name) = self.directories.place(path)?;
        self.stub
            .put(parent, &name)
            .map_err(host("cannot declare", path))?;
        graft::file(path, file, parent, &name, &mut self.copies)
    }
}

/// The directories of a view under construction.
#[derive(Debug)]
struct Directories {
    mount: NewMount,
    /// The directory of the last entry and those above it, from the root down.
    open: Vec<(OsString, OwnedFd)>,
}

impl Directories {
    /// The directory that `path` lies in, and its name there.
    fn place(&mut self, path: &ViewPath) -> Result<(BorrowedFd<'_>, CString)> {
        let refuse = |errno| host("cannot declare", path)(errno);
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(refuse(Errno::ISDIR));
        };
        let name = CString::new(name.as_bytes()).map_err(|_| refuse(Errno::INVAL))?;
        Ok((self.enter(&parent)?, name))
    }

    /// Opens a directory, making it and those above it if needed.
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

/// The empty file under all that are mounted.
#[derive(Debug, Default)]
struct Stub {
    /// Opened with `O_PATH`, under the first of its names.
    file: Option<OwnedFd>,
}

impl Stub {
    /// Gives it one more name.
    fn put(&mut self, parent: BorrowedFd<'_>, name: &CStr) -> rustix::io::Result<()> {
        if let Some(file) = &self.file {
            return rustix::fs::linkat(file, c"", parent, name, AtFlags::EMPTY_PATH);
        }
        graft::make_stub(parent, name)?;
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        self.file = Some(rustix::fs::openat(parent, name, flags, Mode::empty())?);
        Ok(())
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
        mount::clone(&self.root, c"", Reach::Tree).map_err(mounting("a copy of a view"))
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

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn privileged_files_cover_one_stub() {
        transom_test::privileged!("mount a view");
        let mut view = Skeleton::new().unwrap();
        let names = ["a", "directory/b", "directory/c"];
        for name in names {
            let path = ViewPath::parse_inside(name.as_bytes()).unwrap();
            view.file(&path, File::open("/dev/null").unwrap()).unwrap();
        }
        let tree = view.finish().unwrap().into_tree();
        let bare = mount::clone(&tree, c"", Reach::Mount).unwrap();
        let look = |root: &OwnedFd, name| rustix::fs::statat(root, name, AtFlags::empty()).unwrap();
        let stub = look(&bare, "a");
        assert_eq!((stub.st_nlink, stub.st_size), (3, 0));
        for name in names {
            assert_eq!(look(&bare, name).st_ino, stub.st_ino);
            assert_ne!(look(&tree, name).st_dev, stub.st_dev);
        }
    }
}
