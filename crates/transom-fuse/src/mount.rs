//! Making the mount: `fsopen`, `fsconfig`, `fsmount`.
//!
//! The result is a *detached* mount. It is visible to nobody until it, or a
//! clone of a part of it, is attached somewhere; and it is gone with the last
//! descriptor and the last namespace that has it, however those end.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, OpenTreeFlags};
use transom_sys::{Place, look_ahead};

use crate::Options;

/// Makes a FUSE superblock on `connection` and a detached mount of it.
/// `finish_init` is called between the two, when the kernel has sent INIT.
pub(crate) fn mount<E: From<io::Error>>(
    connection: &OwnedFd,
    options: &Options,
    finish_init: impl FnOnce() -> Result<(), E>,
) -> Result<OwnedFd, E> {
    let error = |error: rustix::io::Errno| E::from(error.into());
    let context = rustix::mount::fsopen("fuse", FsOpenFlags::FSOPEN_CLOEXEC).map_err(error)?;
    let set = |key: &str, value: &str| {
        rustix::mount::fsconfig_set_string(&context, key, value).map_err(error)
    };
    set("source", &options.source)?;
    set("subtype", &options.subtype)?;
    set("fd", &connection.as_raw_fd().to_string())?;
    set("rootmode", "40000")?;
    set("user_id", &rustix::process::geteuid().as_raw().to_string())?;
    set("group_id", &rustix::process::getegid().as_raw().to_string())?;
    // The kernel checks mode bits; and the server is no less trusted than the
    // processes that use its mount, so all of them may.
    for flag in ["default_permissions", "allow_other"] {
        rustix::mount::fsconfig_set_flag(&context, flag).map_err(error)?;
    }
    if options.read_only {
        // A read-only *superblock*, not only a read-only mount: it saves a
        // GETATTR after every read through passthrough, because the kernel
        // then knows that no access time moved.
        rustix::mount::fsconfig_set_flag(&context, "ro").map_err(error)?;
    }
    rustix::mount::fsconfig_create(&context).map_err(error)?;
    finish_init()?;
    let mut attributes = options.attributes;
    if options.read_only {
        attributes |= MountAttrFlags::MOUNT_ATTR_RDONLY;
    }
    rustix::mount::fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes).map_err(error)
}

/// A detached mount of the directory `path` of the detached mount `mount`.
/// It shares names and pages with it.
pub(crate) fn subtree(mount: impl AsFd, path: &str) -> io::Result<OwnedFd> {
    // The walk leads through what this process serves.
    let place = Place {
        path: CString::new(path)?,
        entries: false,
    };
    look_ahead(&mount, &[place]);
    Ok(rustix::mount::open_tree(
        mount,
        path,
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC,
    )?)
}
