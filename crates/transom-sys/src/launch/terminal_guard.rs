//! Keeps an action from typing on the caller's terminal.
//!
//! The action shares our terminal, or Ctrl-C and job control would not work.
//! With the ioctl `TIOCSTI` it could put characters into the terminal's input,
//! which the shell that started us would execute once we are gone. Newer
//! kernels can forbid that for the whole machine; where that is not done, a
//! system call filter does it for the action.
//!
//! The filter looks at the number of the system call first, so the kernel
//! knows that all others pass and does not run it for them.

use rustix::io::Errno;

use crate::system_call_filter::{self, ALLOW, NUMBER, SECOND_ARGUMENT, end, if_equal, load};

/// `ioctl` in the 32-bit tables of x86 and ARM. As 64-bit numbers these are
/// calls whose second argument is never one of the two below.
const COMPAT_IOCTL: u32 = 54;
/// `ioctl` for programs of the x32 kind.
const X32_IOCTL: u32 = 0x4000_0000 | 514;

const DENY: u32 = libc::SECCOMP_RET_ERRNO | libc::EPERM as u32;

const FILTER: [libc::sock_filter; 9] = [
    load(NUMBER),
    if_equal(libc::SYS_ioctl as u32, 2, 0),
    if_equal(COMPAT_IOCTL, 1, 0),
    if_equal(X32_IOCTL, 0, 3),
    load(SECOND_ARGUMENT),
    if_equal(libc::TIOCSTI as u32, 2, 0),
    if_equal(libc::TIOCLINUX as u32, 1, 0),
    end(ALLOW),
    end(DENY),
];

/// Installs the filter for this process and all it will start. Needs
/// `no_new_privs`.
pub(super) fn install() -> Result<(), Errno> {
    system_call_filter::install(&FILTER)
}
