//! Requests about a whole volume, made by `ioctl(2)` on any file of it.
//!
//! The two of the label are those that several file systems of Linux answer
//! (`<linux/fs.h>`, used by `xfs_io -c label` among others). The third exists
//! because `syncfs(2)` does not reach a FUSE server that is no block device's.

use std::ffi::{CStr, OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// Size of a label with the NUL at its end.
pub const LABEL_BYTES: usize = 256;
/// `FS_IOC_GETFSLABEL`.
pub const GET_LABEL: u32 = request(2, LABEL_BYTES, 0x94, 49);
/// `FS_IOC_SETFSLABEL`.
pub const SET_LABEL: u32 = request(1, LABEL_BYTES, 0x94, 50);
/// Bring everything to stable storage. Type 0xb5 is not assigned in the
/// kernel's `ioctl-number.rst`.
pub const SYNCHRONIZE: u32 = request(0, 0, 0xb5, 1);

/// `_IOC()` of `<asm-generic/ioctl.h>`.
const fn request(direction: u32, size: usize, kind: u32, number: u32) -> u32 {
    direction << 30 | (size as u32) << 16 | kind << 8 | number
}

/// Brings the volume that `file` lies on to stable storage. `ENOTTY` if it is
/// not one of ours.
pub fn synchronize(file: impl AsFd) -> io::Result<()> {
    // SAFETY: the request has no argument.
    check(unsafe { libc::ioctl(file.as_fd().as_raw_fd(), SYNCHRONIZE.into()) })
}

/// The label of the volume that `file` lies on.
pub fn label(file: impl AsFd) -> io::Result<OsString> {
    let mut label = [0u8; LABEL_BYTES];
    // SAFETY: the kernel writes at most 256 bytes, which the array has.
    check(unsafe {
        libc::ioctl(
            file.as_fd().as_raw_fd(),
            GET_LABEL.into(),
            label.as_mut_ptr(),
        )
    })?;
    let label = CStr::from_bytes_until_nul(&label).map_err(io::Error::other)?;
    Ok(OsString::from_vec(label.to_bytes().to_vec()))
}

/// Changes the label. `EINVAL` if it does not fit in [`LABEL_BYTES`].
pub fn set_label(file: impl AsFd, label: &OsStr) -> io::Result<()> {
    let mut bytes = [0u8; LABEL_BYTES];
    let place = bytes[..LABEL_BYTES - 1].get_mut(..label.len());
    place
        .ok_or(io::ErrorKind::InvalidInput)?
        .copy_from_slice(label.as_bytes());
    // SAFETY: the kernel reads 256 bytes, which the array has.
    check(unsafe { libc::ioctl(file.as_fd().as_raw_fd(), SET_LABEL.into(), bytes.as_ptr()) })
}

fn check(returned: libc::c_int) -> io::Result<()> {
    if returned < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
