//! Directories that hold declared inputs and can be written.
//!
//! A writable directory is a directory of scratch, mounted on the one of that
//! name in the view, which it hides. If that one is not empty, what it holds
//! has to be brought back: for every entry the scratch directory gets an empty
//! stub, and the entry, cloned from the view, is mounted on it. So new names
//! can be made, and the inputs between them are as read-only as before; being
//! mount points, they cannot be removed or renamed either.
//!
//! ```text
//!   view        scratch                     the action sees
//!   out/        out/        (mounted)       out/            writable
//!     gen.h       gen.h     stub ◄─ view      gen.h         read-only input
//!     obj/        obj/                        obj/          writable, since it is declared so
//!       pre.o       pre.o   stub ◄─ view        pre.o       read-only input
//! ```
//!
//! Nothing can be mounted on a symbolic link. Declared links are made anew in
//! scratch, and the action can remove its copy.
//!
//! A file in the view whose very name is a declared output is not brought
//! back: it is what an earlier run left in a host directory that is declared
//! as a whole, and the action could not replace it.

use std::collections::BTreeMap;
use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::MountAttrFlags;
use transom_projection::{Origin, ViewPath};
use transom_sys::mount::{self, Change, Reach};

use crate::error::{Error, Result, host, mounting};
use crate::graft::{self, Copies};
use crate::layout::{MountPoint, writable_directories, writable_roots};
use crate::scratch::{Scratch, Stub};
use crate::{Action, OutputKind, walk};

/// Mounts scratch on the writable directories of the detached tree `view`.
/// Returns the tree, whose root is another one if the root is writable.
pub(crate) fn mount_scratch(
    mut view: OwnedFd,
    action: &Action,
    scratch: Option<&mut Scratch>,
) -> Result<OwnedFd> {
    let roots = writable_roots(action);
    let Some(scratch) = scratch else {
        return match roots.into_iter().next() {
            Some((path, _)) => Err(Error::NoScratch { path }),
            None => Ok(view),
        };
    };
    let mut mixer = Mixer {
        action,
        writable: writable_directories(action),
        scratch,
        inputs: Vec::new(),
        copies: Copies::default(),
    };
    for directory in mixer.writable.keys() {
        walk::make_directories(mixer.scratch.root(), directory)
            .map_err(host("cannot make in scratch", directory))?;
    }
    for (root, origin) in roots {
        let hidden = open_mount_point(&view, &root, &origin)?;
        let mount = mixer.mix(&root, hidden.as_fd())?;
        if root.is_root() {
            view = mount;
        } else {
            mount::attach(&mount, &hidden, c"").map_err(mounting(&root))?;
        }
    }
    Ok(view)
}

fn open_mount_point(view: &OwnedFd, path: &ViewPath, origin: &Origin) -> Result<OwnedFd> {
    walk::open_directory(view, path).map_err(|error| match error {
        Errno::NOENT => Error::NoMountPoint(MountPoint {
            path: path.clone(),
            purpose: "what the action writes",
            origin: origin.clone(),
        }),
        Errno::NOTDIR | Errno::LOOP => Error::NotADirectory {
            path: path.clone(),
            origin: origin.clone(),
        },
        error => host("cannot open", path)(error),
    })
}

struct Mixer<'a> {
    action: &'a Action,
    writable: BTreeMap<ViewPath, Origin>,
    scratch: &'a mut Scratch,
    /// Clones of declared entries of the current root, with their names.
    inputs: Vec<(ViewPath, OwnedFd)>,
    copies: Copies,
}

impl Mixer<'_> {
    /// A detached mount of the scratch directory for `root`, with everything
    /// in it that `hidden`, the directory of that name in the view, holds.
    fn mix(&mut self, root: &ViewPath, hidden: BorrowedFd<'_>) -> Result<OwnedFd> {
        let directory = walk::open_directory(self.scratch.root(), root)
            .map_err(host("cannot open in scratch", root))?;
        self.add_entries(root, hidden, &directory)?;

        let mount = mount::clone(&directory, c"", Reach::Mount).map_err(mounting(root))?;
        let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
        mount::change(&mount, Reach::Mount, Change::private(attributes)).map_err(mounting(root))?;
        for (path, input) in self.inputs.drain(..) {
            let stub = walk::open(&mount, &walk::relative(&path, root), OFlags::PATH)
                .map_err(host("cannot open in scratch", &path))?;
            graft::file(&path, &input, &stub, c"", &mut self.copies)?;
        }
        Ok(mount)
    }

    fn add_entries(
        &mut self,
        path: &ViewPath,
        hidden: BorrowedFd<'_>,
        directory: &OwnedFd,
    ) -> Result<()> {
        let entries = walk::entries(hidden).map_err(host("cannot list", path))?;
        for entry in entries {
            let path = walk::join(path, entry.name()).map_err(host("cannot list", path))?;
            if self.is_output_file(&path) {
                continue;
            }
            let mut inner = self.writable.iter();
            if let Some((_, origin)) = inner.find(|(inner, _)| inner.starts_with(&path)) {
                let hidden = walk::open_subdirectory(hidden, &entry.name).map_err(|_| {
                    Error::NotADirectory {
                        path: path.clone(),
                        origin: origin.clone(),
                    }
                })?;
                let directory = walk::open_subdirectory(directory, &entry.name)
                    .map_err(host("cannot open in scratch", &path))?;
                self.add_entries(&path, hidden.as_fd(), &directory)?;
            } else {
                self.add_entry(path, hidden, directory, &entry)?;
            }
        }
        Ok(())
    }

    fn add_entry(
        &mut self,
        path: ViewPath,
        hidden: BorrowedFd<'_>,
        directory: &OwnedFd,
        entry: &walk::Entry,
    ) -> Result<()> {
        let name: &CStr = &entry.name;
        if entry.kind == FileType::Symlink {
            rustix::fs::readlinkat(hidden, name, Vec::new())
                .and_then(|target| rustix::fs::symlinkat(target, directory, name))
                .map_err(host("cannot make in scratch", &path))?;
        } else {
            make_stub(directory, entry).map_err(host("cannot make in scratch", &path))?;
            let input = mount::clone(hidden, name, Reach::Tree).map_err(mounting(&path))?;
            self.inputs.push((path.clone(), input));
        }
        self.scratch.add_stub(Stub {
            path,
            kind: entry.kind,
        });
        Ok(())
    }

    fn is_output_file(&self, path: &ViewPath) -> bool {
        let outputs = &mut self.action.outputs.iter();
        outputs.any(|output| output.kind == OutputKind::File && output.path == *path)
    }
}

fn make_stub(directory: &OwnedFd, entry: &walk::Entry) -> rustix::io::Result<()> {
    match entry.kind {
        FileType::Directory => rustix::fs::mkdirat(directory, &*entry.name, Mode::RWXU),
        _ => graft::make_stub(directory, &entry.name),
    }
}
