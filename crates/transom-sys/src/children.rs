//! What programs that this one starts get from it.

use std::io;

/// Whatever this process executes from now on gets none of the descriptors that
/// are open now, but the standard streams. Here they stay open.
///
/// What we open is closed then in any case. But what we were started with is
/// inherited on and on; and a process that outlives us would hold the locks of
/// whoever started us, and keep the other ends of their pipes from the end.
pub fn keep_descriptors_from_children() -> io::Result<()> {
    let first = libc::STDERR_FILENO.cast_unsigned() + 1;
    let flags = libc::CLOSE_RANGE_CLOEXEC;
    // SAFETY: no descriptor is closed; they are marked to be closed by `execve`.
    match unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, flags) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
