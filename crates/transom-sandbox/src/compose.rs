//! The engine `mounts`: a view made of bind mounts alone.

use std::os::fd::OwnedFd;

use rustix::fs::{CWD, Mode};
use rustix::io::Errno;
use rustix::mount::MountAttrFlags;
use transom_projection::{View, WalkEntry};
use transom_sys::mount::{self, Change, Reach};

use crate::error::{Error, Result, mounting};
use crate::{Skeleton, Template};

/// Refuses `wanted` mounts if the kernel cannot but refuse them too, which would
/// take it as long as making all that it allows.
pub fn check_mounts(wanted: usize) -> Result<()> {
    let limit = std::fs::read_to_string("/proc/sys/fs/mount-max");
    let limit = limit.ok().and_then(|limit| limit.trim().parse().ok());
    if limit.is_some_and(|limit: usize| wanted > limit) {
        return Err(Error::TooManyMounts);
    }
    Ok(())
}

/// Makes a mount tree of a view: a skeleton of its directories and symbolic
/// links with each host file bound into it. The kernel then does everything.
///
/// A bind shows the host file with its own attributes, so a file whose
/// executable bits are overridden differently is copied instead.
pub fn compose(view: &View) -> Result<Template> {
    let mut skeleton = Skeleton::new()?;
    view.walk(|path, entry| match entry {
        WalkEntry::Directory => skeleton.directory(path),
        WalkEntry::Symlink { target } => skeleton.symlink(path, target),
        WalkEntry::WholeDirectory(directory) => {
            let descriptor = directory.descriptor().map_err(|error| {
                mounting(path)(Errno::from_io_error(&error).unwrap_or(Errno::IO))
            })?;
            skeleton.host_directory(path, descriptor)
        }
        WalkEntry::File(version) => {
            let source = version.open_to_mount()?;
            let permissions = u32::from(version.permissions());
            if permissions == version.stamp().mode & 0o7777 {
                skeleton.file(path, source)
            } else {
                skeleton.copied_file(path, source, Mode::from_raw_mode(permissions))
            }
        }
    })?;
    skeleton.finish()
}

/// A detached, read-only clone of everything that is mounted for this process.
///
/// Files opened through it cannot be written through it, whatever becomes of
/// their descriptors: what the kernel is handed as a backing file, or binds
/// into a view, stays as it is.
pub fn host_tree() -> Result<OwnedFd> {
    clone_host(MountAttrFlags::MOUNT_ATTR_RDONLY)
}

/// The same, writable as far as what is mounted is.
pub fn writable_host_tree() -> Result<OwnedFd> {
    clone_host(MountAttrFlags::empty())
}

fn clone_host(attributes: MountAttrFlags) -> Result<OwnedFd> {
    let attributes =
        attributes | MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
    mount::clone(CWD, c"/", Reach::Tree)
        .and_then(|root| {
            // Private before anything is mounted on it: a host that shares its
            // mounts would get what is put there.
            mount::change(&root, Reach::Tree, Change::private(attributes))?;
            Ok(root)
        })
        .map_err(mounting("a copy of the host's root"))
}
