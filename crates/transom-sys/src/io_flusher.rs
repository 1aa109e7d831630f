//! Threads that the kernel may have to wait for to free memory.
//!
//! Memory that holds what was written to a disk is free only once that is on the
//! disk. If a process of ours serves the disk, and allocates memory for it when
//! there is none, the kernel must not make that allocation wait for memory to be
//! written to the same disk. Threads can say that they are such
//! (`PR_SET_IO_FLUSHER`, Linux 5.6), and those they start are so too.

use std::io;

// `<linux/prctl.h>`
const SET_IO_FLUSHER: libc::c_int = 57;
const GET_IO_FLUSHER: libc::c_int = 58;

/// Runs `start`, in which threads are started that serve a disk. Needs
/// `CAP_SYS_RESOURCE`; without it nothing is said, and a machine that is short
/// of memory may stand still.
pub fn starting_io_flushers<T>(start: impl FnOnce() -> T) -> T {
    let was = is_io_flusher();
    let said = !was && set_io_flusher(true).is_ok();
    let result = start();
    if said {
        // It could be set, so it can be reset.
        let _ = set_io_flusher(false);
    }
    result
}

/// Whether this thread is one of them.
#[must_use]
pub fn is_io_flusher() -> bool {
    prctl(GET_IO_FLUSHER, 0).is_ok_and(|on| on == 1)
}

fn set_io_flusher(on: bool) -> io::Result<()> {
    prctl(SET_IO_FLUSHER, on.into()).map(drop)
}

fn prctl(what: libc::c_int, argument: libc::c_ulong) -> io::Result<libc::c_int> {
    const NONE: libc::c_ulong = 0;
    // SAFETY: both calls take numbers alone, and concern something of this
    // thread that nothing in its memory depends on.
    match unsafe { libc::prctl(what, argument, NONE, NONE, NONE) } {
        failed if failed < 0 => Err(io::Error::last_os_error()),
        returned => Ok(returned),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_take_it_over_and_whoever_starts_them_does_not_keep_it() {
        let before = is_io_flusher();
        let started = starting_io_flushers(|| {
            let itself = is_io_flusher();
            let thread = std::thread::spawn(is_io_flusher);
            (itself, thread.join().unwrap())
        });
        assert_eq!(started.0, started.1);
        assert_eq!(is_io_flusher(), before);
    }
}
