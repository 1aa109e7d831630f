//! Detached mounts: making, cloning, changing and joining them.
//!
//! A detached mount is a descriptor. Nobody sees it in a mount table until it
//! is attached to an attached mount; it can be walked through the descriptor
//! all the same, other detached mounts can be put on it (Linux 6.15), and with
//! the last descriptor it is gone.
//!
//! Everything here is a plain system call: no allocation, no lock. So it may
//! also be called between `fork` and `execve`.

use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::io::{Errno, Result};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags,
};

/// How far an operation on a mount reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// The one mount.
    Mount,
    /// The mount and every mount below it.
    Tree,
}

/// Makes a superblock of type `kind` with textual `options` and a detached
/// mount of it. An option with an empty value is set as a flag.
pub fn new(
    kind: &CStr,
    options: &[(&CStr, &CStr)],
    attributes: MountAttrFlags,
) -> Result<NewMount> {
    let context = rustix::mount::fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
    for (key, value) in options {
        if value.is_empty() {
            rustix::mount::fsconfig_set_flag(&context, *key)?;
        } else {
            rustix::mount::fsconfig_set_string(&context, *key, *value)?;
        }
    }
    rustix::mount::fsconfig_create(&context)?;
    let mount = rustix::mount::fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?;
    Ok(NewMount { context, mount })
}

/// A mount whose superblock has just been made and can still be changed.
#[derive(Debug)]
pub struct NewMount {
    context: OwnedFd,
    mount: OwnedFd,
}

impl NewMount {
    /// Leaves the superblock as it is.
    #[must_use]
    pub fn finish(self) -> OwnedFd {
        self.mount
    }

    /// Makes the superblock itself read-only, whatever mounts of it say.
    pub fn finish_read_only(self) -> Result<OwnedFd> {
        rustix::mount::fsconfig_set_flag(&self.context, c"ro")?;
        rustix::mount::fsconfig_reconfigure(&self.context)?;
        Ok(self.mount)
    }
}

impl AsFd for NewMount {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.mount.as_fd()
    }
}

/// A detached bind mount of what `path` leads to below `directory`; an empty
/// path means the file `directory` itself, of whatever type. A symbolic link
/// at the end is not followed.
///
/// The clone of a shared mount is a peer of it, so that what is mounted on one
/// appears on the other: [`change`] its propagation before mounting on it.
pub fn clone(directory: impl AsFd, path: &CStr, reach: Reach) -> Result<OwnedFd> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_SYMLINK_NOFOLLOW;
    if path.is_empty() {
        flags |= OpenTreeFlags::AT_EMPTY_PATH;
    }
    if reach == Reach::Tree {
        flags |= OpenTreeFlags::AT_RECURSIVE;
    }
    rustix::mount::open_tree(directory, path, flags)
}

/// Puts the detached `mount` onto what `path` leads to below `directory`; an
/// empty path means the file or directory `directory` itself. A symbolic link
/// at the end is not followed.
///
/// `ENOENT` also if the last name of the file that is mounted was removed.
pub fn attach(mount: impl AsFd, directory: impl AsFd, path: &CStr) -> Result<()> {
    let mut flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    if path.is_empty() {
        flags |= MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    }
    rustix::mount::move_mount(mount, c"", directory, path, flags)
}

/// What [`change`] does to a mount.
#[derive(Debug, Clone, Copy)]
pub struct Change {
    /// Attributes to set; none is ever cleared.
    pub set: MountAttrFlags,
    /// What `set` says of access times takes the place of what held before.
    /// Without it, `set` must say nothing of them.
    pub replace_access_times: bool,
    /// New propagation type; `None` keeps what it is.
    pub propagation: Option<MountPropagationFlags>,
}

impl Change {
    /// Sets `attributes` and leaves the peer group, if the mount is in one.
    #[must_use]
    pub fn private(attributes: MountAttrFlags) -> Self {
        Self {
            set: attributes,
            replace_access_times: false,
            propagation: Some(MountPropagationFlags::PRIVATE),
        }
    }
}

/// Changes the attributes of a mount: `mount_setattr(2)`.
///
/// `EBUSY` if it is to be read-only and a file is open for writing through it.
/// That may be a copy of a descriptor in a child that another thread is just
/// starting, so write through a mount that will stay writable, and make a clone
/// of it read-only.
pub fn change(mount: impl AsFd, reach: Reach, change: Change) -> Result<()> {
    let attributes = libc::mount_attr {
        attr_set: u64::from(change.set.bits()),
        attr_clr: if change.replace_access_times {
            libc::MOUNT_ATTR__ATIME
        } else {
            0
        },
        propagation: change
            .propagation
            .map_or(0, |propagation| u64::from(propagation.bits())),
        userns_fd: 0,
    };
    let flags = match reach {
        Reach::Mount => libc::AT_EMPTY_PATH,
        Reach::Tree => libc::AT_EMPTY_PATH | libc::AT_RECURSIVE,
    };
    // SAFETY: the kernel reads the C string and one `mount_attr` of the given
    // size, both of which live until the call returns.
    let returned = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_fd().as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw const attributes,
            size_of_val(&attributes),
        )
    };
    if returned < 0 {
        return Err(last_errno());
    }
    Ok(())
}

/// Whether the mount of that number, `stx_mnt_id` of `STATX_MNT_ID_UNIQUE`, is
/// attached somewhere in our mount namespace: `statmount(2)`, Linux 6.8.
pub fn is_attached(id: u64) -> Result<bool> {
    /// Of `<asm-generic/unistd.h>`.
    const SYS_STATMOUNT: libc::c_long = 457;
    /// The size of `struct statmount` of `<linux/mount.h>`.
    const STATMOUNT_BYTES: usize = 512;

    /// `struct mnt_id_req` of `<linux/mount.h>`, in its first version.
    #[repr(C)]
    struct Request {
        size: u32,
        spare: u32,
        mount: u64,
        /// What is to be told of it.
        wanted: u64,
    }

    let request = Request {
        size: 24,
        spare: 0,
        mount: id,
        wanted: 0,
    };
    let mut answer = [0_u64; STATMOUNT_BYTES / size_of::<u64>()];
    // SAFETY: the kernel reads one request of the size it states and writes no more
    // than the given size of the answer; both live until the call returns.
    let returned = unsafe {
        libc::syscall(
            SYS_STATMOUNT,
            &raw const request,
            answer.as_mut_ptr(),
            STATMOUNT_BYTES,
            0,
        )
    };
    match returned {
        0 => Ok(true),
        _ => match last_errno() {
            Errno::NOENT => Ok(false),
            error => Err(error),
        },
    }
}

pub(crate) fn last_errno() -> Errno {
    // SAFETY: the location is the calling thread's own and always readable.
    Errno::from_raw_os_error(unsafe { *libc::__errno_location() })
}
