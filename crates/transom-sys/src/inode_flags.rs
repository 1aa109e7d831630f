//! The ioctls that every Linux file system with flags of files understands.

use std::os::fd::{AsFd, AsRawFd};

use rustix::io::{Errno, Result};

use crate::mount::last_errno;

/// `FS_IOC_GETFLAGS`: the flags of `lsattr(1)`.
pub const GET_FLAGS: u32 = 0x8008_6601;
/// `FS_IOC_SETFLAGS`: sets the flags of `chattr(1)`.
pub const SET_FLAGS: u32 = 0x4008_6602;
/// `FS_IOC_GETVERSION`: the generation of the inode.
pub const GET_VERSION: u32 = 0x8008_7601;
/// `FS_IOC_FSGETXATTR`: the flags, project and extent sizes of a file.
pub const GET_EXTENDED: u32 = 0x801c_581f;
/// `FS_IOC_FSSETXATTR`: sets them.
pub const SET_EXTENDED: u32 = 0x401c_5820;

/// `struct fsxattr`.
const EXTENDED_BYTES: usize = 28;
/// The numbers of the others speak of a `long`; the kernel reads and writes an
/// `int`.
const FLAGS_BYTES: usize = 4;

/// Whether `command` is one of those here that change something.
#[must_use]
pub fn is_change(command: u32) -> bool {
    matches!(command, SET_FLAGS | SET_EXTENDED)
}

/// Sends one of the commands here, with `argument` if it is a change, and
/// returns what the kernel answers, which is nothing for a change.
///
/// `ENOTTY` for any other command and from a file system that has no such
/// flags; `EINVAL` if the argument is too short.
pub fn control(file: impl AsFd, command: u32, argument: &[u8]) -> Result<Vec<u8>> {
    let size = match command {
        GET_FLAGS | SET_FLAGS | GET_VERSION => FLAGS_BYTES,
        GET_EXTENDED | SET_EXTENDED => EXTENDED_BYTES,
        _ => return Err(Errno::NOTTY),
    };
    // Aligned and large enough for any of them, also by their numbers.
    let mut buffer = [0_u64; 4];
    let bytes: &mut [u8] = zerocopy::IntoBytes::as_mut_bytes(&mut buffer);
    if is_change(command) {
        let argument = argument.get(..size).ok_or(Errno::INVAL)?;
        bytes[..size].copy_from_slice(argument);
    }
    // SAFETY: the commands, which are known, read and write at most 28 bytes
    // through the pointer, and the buffer has 32.
    let returned = unsafe {
        libc::ioctl(
            file.as_fd().as_raw_fd(),
            libc::Ioctl::from(command),
            bytes.as_mut_ptr(),
        )
    };
    if returned < 0 {
        return Err(last_errno());
    }
    let answer = if is_change(command) { 0 } else { size };
    Ok(bytes[..answer].to_vec())
}
