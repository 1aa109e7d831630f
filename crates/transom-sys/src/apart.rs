//! Waiting for a file system that this very process may serve.
//!
//! A process whose thread waits in the kernel for an answer that another of its
//! threads owes is in danger: if it is killed then, the answer never comes. The
//! kernel ends a request that has been read when the descriptor of `/dev/fuse`
//! is closed that it was read through; and that stays open for as long as a
//! thread of the process is alive, which is the one that waits. Nothing but an
//! administrator's abort ends such a process, and with it live its mounts and
//! all that uses them.
//!
//! So such a thread stands *apart*: its table of open files has nothing in it
//! that requests are read through. If the process is killed meanwhile, the last
//! of the other threads closes those descriptors, the requests fail, and the
//! thread that waited for them ends too.
//!
//! A request that nobody had read by then is not ended by that. It is by the
//! thread's own end, if it keeps no descriptor of the connection; else it waits
//! until its caller is killed, which this one request does not prevent.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::panic;
use std::thread;

use rustix::fs::{Mode, OFlags};

/// Writes each message to `file` with one call, in a thread apart, and returns
/// what became of each.
///
/// `file` must be none that this process reads requests from: it stays open
/// until a write under way returns.
pub fn write_apart(
    file: impl AsFd,
    messages: &[impl AsRef<[u8]> + Sync],
) -> io::Result<Vec<rustix::io::Result<()>>> {
    apart("write-apart", file.as_fd(), |file| {
        let write = |message: &_| rustix::io::write(file, AsRef::as_ref(message)).map(drop);
        messages.iter().map(write).collect()
    })
}

/// Has the kernel write back what is in its caches of the file system whose
/// mount this is, in a thread apart: `syncfs(2)`.
pub fn write_back_apart(mount: impl AsFd) -> io::Result<()> {
    apart("write-back-apart", mount.as_fd(), |mount| {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::openat(mount, c".", flags, Mode::empty())?;
        Ok(rustix::fs::syncfs(root)?)
    })?
}

/// Runs `work` in a thread with a table of open files that holds `kept` alone.
/// `work` uses no other descriptor than that and those it opens itself.
pub(crate) fn apart<T: Send>(
    name: &str,
    kept: BorrowedFd<'_>,
    work: impl FnOnce(BorrowedFd<'_>) -> T + Send,
) -> io::Result<T> {
    thread::scope(|scope| {
        let thread = thread::Builder::new().name(name.into());
        let thread = thread.spawn_scoped(scope, || {
            leave_shared_files(kept)?;
            Ok(work(kept))
        })?;
        thread
            .join()
            .unwrap_or_else(|panic| panic::resume_unwind(panic))
    })
}

/// Gives this thread a table of open files that holds `kept` alone.
fn leave_shared_files(kept: BorrowedFd<'_>) -> io::Result<()> {
    let kept = kept.as_raw_fd().cast_unsigned();
    // SAFETY: after the first call this thread has a table of its own, so that
    // nobody else's descriptor is closed; before, nothing is.
    unsafe {
        let unshare = libc::CLOSE_RANGE_UNSHARE;
        if libc::syscall(libc::SYS_close_range, kept + 1, u32::MAX, unshare) != 0 {
            return Err(io::Error::last_os_error());
        }
        if kept > 0 {
            libc::syscall(libc::SYS_close_range, 0, kept - 1, 0);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::Read;

    #[test]
    fn every_message_is_written_and_answered_for() {
        let (mut reader, writer) = io::pipe().unwrap();
        let results = write_apart(&writer, &["one ", "two"]).unwrap();
        assert_eq!(results, [Ok(()), Ok(())]);
        drop(writer);
        let mut written = String::new();
        reader.read_to_string(&mut written).unwrap();
        assert_eq!(written, "one two");

        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let results = write_apart(&writer, &["one"]).unwrap();
        assert_eq!(results, [Err(rustix::io::Errno::PIPE)]);
    }

    #[test]
    fn a_thread_apart_has_one_file_and_the_others_keep_theirs() {
        let open = || File::open("/").unwrap();
        let before: Vec<_> = (0..100).map(|_| open()).collect();
        let kept = open();
        let after: Vec<_> = (0..100).map(|_| open()).collect();
        let is_open = |number: i32| {
            let path = format!("/proc/thread-self/fd/{number}");
            std::fs::symlink_metadata(path).is_ok()
        };
        let numbers = |files: &[File]| files.iter().map(AsRawFd::as_raw_fd).collect::<Vec<_>>();
        let others = [numbers(&before), numbers(&after)].concat();
        let (itself, rest) = apart("apart", kept.as_fd(), |kept| {
            let rest = others.iter().filter(|number| is_open(**number)).count();
            (is_open(kept.as_raw_fd()), rest)
        })
        .unwrap();
        assert!(itself);
        assert_eq!(rest, 0);
        for file in before.iter().chain(&after).chain([&kept]) {
            file.metadata().unwrap();
        }
    }
}
