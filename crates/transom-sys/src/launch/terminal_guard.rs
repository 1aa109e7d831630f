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

/// `ioctl` in the 32-bit tables of x86 and ARM. As 64-bit numbers these are
/// calls whose second argument is never one of the two below.
const COMPAT_IOCTL: u32 = 54;
/// `ioctl` for programs of the x32 kind.
const X32_IOCTL: u32 = 0x4000_0000 | 514;

/// Where the number of the call is in `struct seccomp_data`.
const NUMBER: u32 = 0;
/// Where the lower half of the second argument is.
const SECOND_ARGUMENT: u32 = if cfg!(target_endian = "little") {
    24
} else {
    28
};

const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;
const DENY: u32 = libc::SECCOMP_RET_ERRNO | libc::EPERM as u32;

/// Jumps count the instructions they skip, if equal and if not.
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
    let mut filter = FILTER;
    let program = libc::sock_fprog {
        len: FILTER.len() as libc::c_ushort,
        filter: filter.as_mut_ptr(),
    };
    // SAFETY: the kernel copies the program, which lives until the call
    // returns.
    let returned = unsafe {
        libc::prctl(
            libc::PR_SET_SECCOMP,
            libc::SECCOMP_MODE_FILTER,
            &raw const program,
        )
    };
    if returned < 0 {
        return Err(crate::mount::last_errno());
    }
    Ok(())
}

const fn load(offset: u32) -> libc::sock_filter {
    instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, offset)
}

const fn if_equal(value: u32, skip_if: u8, skip_if_not: u8) -> libc::sock_filter {
    let code = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
    instruction(code, skip_if, skip_if_not, value)
}

const fn end(answer: u32) -> libc::sock_filter {
    instruction(libc::BPF_RET | libc::BPF_K, 0, 0, answer)
}

const fn instruction(code: u32, jt: u8, jf: u8, k: u32) -> libc::sock_filter {
    libc::sock_filter {
        code: code as u16,
        jt,
        jf,
        k,
    }
}
