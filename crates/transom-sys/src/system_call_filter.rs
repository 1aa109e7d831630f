//! Programs that decide about system calls: seccomp(2), in the instructions of
//! BPF. Each comparison says how many instructions are skipped, if it holds and
//! if not.

use rustix::io::Result;

use crate::mount::last_errno;

/// Where the number of the call is in `struct seccomp_data`.
pub(crate) const NUMBER: u32 = 0;
/// Where the kind of the program is that makes the call.
pub(crate) const ARCHITECTURE: u32 = 4;
/// Where the lower half of the second argument is.
pub(crate) const SECOND_ARGUMENT: u32 = if cfg!(target_endian = "little") {
    24
} else {
    28
};

/// The answer that lets a call pass.
pub(crate) const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;

/// Installs a filter for this thread and all it will start. Needs
/// `no_new_privs`. A plain system call: no allocation, no lock.
pub(crate) fn install(filter: &[libc::sock_filter]) -> Result<()> {
    let program = libc::sock_fprog {
        len: filter.len() as libc::c_ushort,
        filter: filter.as_ptr().cast_mut(),
    };
    // SAFETY: the kernel copies the program, which it does not write to and
    // which lives until the call returns.
    let returned = unsafe {
        libc::prctl(
            libc::PR_SET_SECCOMP,
            libc::SECCOMP_MODE_FILTER,
            &raw const program,
        )
    };
    match returned {
        0 => Ok(()),
        _ => Err(last_errno()),
    }
}

pub(crate) const fn load(offset: u32) -> libc::sock_filter {
    instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, offset)
}

pub(crate) const fn if_equal(value: u32, skip_if: u8, skip_if_not: u8) -> libc::sock_filter {
    let code = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
    instruction(code, skip_if, skip_if_not, value)
}

pub(crate) const fn if_at_least(value: u32, skip_if: u8, skip_if_not: u8) -> libc::sock_filter {
    let code = libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K;
    instruction(code, skip_if, skip_if_not, value)
}

pub(crate) const fn end(answer: u32) -> libc::sock_filter {
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
