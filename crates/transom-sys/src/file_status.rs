//! What the host knows of an open file, which may be opened with `O_PATH`.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd};
use std::ptr;

use rustix::fs::{AtFlags, Mode, Statx, StatxFlags};
use rustix::io::Result;

use crate::mount::last_errno;

/// `statx(2)` of a descriptor: the basic fields and the time of creation, where
/// the file system knows it.
///
/// The path is a null pointer, which Linux 6.11 understands. An empty one has
/// to be fetched and looked at, which takes a third of the call.
pub fn of(file: impl AsFd) -> Result<Statx> {
    let mut status = MaybeUninit::<Statx>::uninit();
    // SAFETY: without a path the call reads nothing, and it writes one `struct
    // statx`, whose layout that of `Statx` is.
    let returned = unsafe {
        libc::syscall(
            libc::SYS_statx,
            file.as_fd().as_raw_fd(),
            ptr::null::<libc::c_char>(),
            AtFlags::EMPTY_PATH.bits(),
            (StatxFlags::BASIC_STATS | StatxFlags::BTIME).bits(),
            status.as_mut_ptr(),
        )
    };
    if returned < 0 {
        return Err(last_errno());
    }
    // SAFETY: the call has succeeded, so all of it was written.
    Ok(unsafe { status.assume_init() })
}

/// `fchmodat2(2)` of a descriptor. `EOPNOTSUPP` for a symbolic link.
pub fn set_permissions(file: impl AsFd, permissions: Mode) -> Result<()> {
    // SAFETY: the call reads one C string.
    let returned = unsafe {
        libc::syscall(
            libc::SYS_fchmodat2,
            file.as_fd().as_raw_fd(),
            c"".as_ptr(),
            permissions.bits(),
            AtFlags::EMPTY_PATH.bits(),
        )
    };
    if returned < 0 {
        return Err(last_errno());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use rustix::fs::{CWD, OFlags, openat};

    use super::*;

    #[test]
    fn says_the_same_as_by_path() {
        let opened = openat(CWD, c"/proc/self/exe", OFlags::PATH, Mode::empty()).unwrap();
        let wanted = StatxFlags::BASIC_STATS | StatxFlags::BTIME;
        let by_path = rustix::fs::statx(CWD, c"/proc/self/exe", AtFlags::empty(), wanted).unwrap();
        let status = of(&opened).unwrap();
        assert_eq!(status.stx_ino, by_path.stx_ino);
        assert_eq!(status.stx_size, by_path.stx_size);
        assert_eq!(status.stx_btime.tv_nsec, by_path.stx_btime.tv_nsec);
        assert_eq!(status.stx_mask, by_path.stx_mask);
    }
}
