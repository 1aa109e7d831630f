//! `/dev/fuse` and its ioctls.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags};

use crate::fuse_abi::BackingMap;

/// The character device that FUSE connections are made through.
pub const DEVICE: &str = "/dev/fuse";

// `<linux/fuse.h>`, spelled with `<asm-generic/ioctl.h>`: direction, size of
// the argument, type 229, number.
const IOC_CLONE: libc::Ioctl = ioc(2, 4, 0);
const IOC_BACKING_OPEN: libc::Ioctl = ioc(1, size_of::<BackingMap>(), 1);
const IOC_BACKING_CLOSE: libc::Ioctl = ioc(1, 4, 2);

const fn ioc(direction: u32, size: usize, number: u32) -> libc::Ioctl {
    (direction << 30 | (size as u32) << 16 | 229 << 8 | number) as libc::Ioctl
}

/// Opens the device. Every descriptor starts out without a connection; a mount
/// or [`clone_connection`] gives it one.
pub fn open() -> io::Result<OwnedFd> {
    Ok(rustix::fs::open(
        DEVICE,
        OFlags::RDWR | OFlags::CLOEXEC,
        Mode::empty(),
    )?)
}

/// A further descriptor of the same connection. Requests read from it must be
/// answered on it.
pub fn clone_connection(connection: impl AsFd) -> io::Result<OwnedFd> {
    let clone = open()?;
    let mut raw = connection.as_fd().as_raw_fd().cast_unsigned();
    // SAFETY: the ioctl reads one u32 through the pointer, which lives until
    // the call returns.
    check(unsafe { libc::ioctl(clone.as_raw_fd(), IOC_CLONE, &raw mut raw) })?;
    Ok(clone)
}

/// Registers `file` as a backing file and returns its number, which is never
/// 0. Needs `CAP_SYS_ADMIN` in the initial user namespace (`EPERM`); `ELOOP`
/// if the file's file system is stacked too deeply.
pub fn backing_open(connection: impl AsFd, file: BorrowedFd<'_>) -> io::Result<i32> {
    let mut map = BackingMap {
        fd: file.as_raw_fd(),
        flags: 0,
        padding: 0,
    };
    // SAFETY: the ioctl reads one `fuse_backing_map` through the pointer,
    // which lives until the call returns.
    check(unsafe {
        libc::ioctl(
            connection.as_fd().as_raw_fd(),
            IOC_BACKING_OPEN,
            &raw mut map,
        )
    })
}

/// Gives a number of [`backing_open`] back. Files opened with it keep working.
pub fn backing_close(connection: impl AsFd, number: i32) -> io::Result<()> {
    let mut raw = number.cast_unsigned();
    // SAFETY: the ioctl reads one u32 through the pointer, which lives until
    // the call returns.
    check(unsafe {
        libc::ioctl(
            connection.as_fd().as_raw_fd(),
            IOC_BACKING_CLOSE,
            &raw mut raw,
        )
    })?;
    Ok(())
}

fn check(returned: libc::c_int) -> io::Result<i32> {
    if returned < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(returned)
    }
}
