//! Looking at names of a file system that this very process may serve.
//!
//! A process that walks through a FUSE file system of its own is in danger: if
//! it is killed while one of its threads waits for the answer that another one
//! is about to give, that answer never comes. The kernel does not let go of a
//! request that has been read until the descriptor is closed that it was read
//! through; and that stays open for as long as a thread of the process is
//! alive, which is the one that waits. Nothing but an administrator's abort
//! ends such a process, and with it live its mounts and all that uses them.
//!
//! So the names are asked for beforehand, by a thread whose table of open files
//! does not contain the connection. If the process is killed meanwhile, the
//! last of the other threads closes the connection, the request fails, and
//! this thread ends too. When the process then walks itself, the kernel knows
//! the names and asks nobody.

use std::ffi::{CStr, CString};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::thread;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawDir, StatxFlags};
use rustix::io::Result;

/// Bytes of directory entries read at once.
const LISTING_BYTES: usize = 32 << 10;

/// Something to look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Relative to the directory; `.` is the directory itself.
    pub path: CString,
    /// Also list it, and look at every entry.
    pub entries: bool,
}

/// Makes the kernel know `places` below `directory`, as long as it may cache
/// them. Whatever goes wrong is left to whoever goes there next.
pub fn look_ahead(directory: impl AsFd, places: &[Place]) {
    let directory = directory.as_fd();
    thread::scope(|scope| {
        let looker = thread::Builder::new().name("look-ahead".into());
        // Without a thread there is no precaution, but also no harm yet.
        _ = looker.spawn_scoped(scope, || {
            if leave_shared_files(directory) {
                for place in places {
                    _ = look_at(directory, place);
                }
            }
        });
    });
}

/// Gives this thread a table of open files that holds `kept` alone.
fn leave_shared_files(kept: BorrowedFd<'_>) -> bool {
    let kept = kept.as_raw_fd().cast_unsigned();
    // SAFETY: from the first call on this thread has a table of its own, so
    // that nobody else's descriptor is closed. It uses no other than `kept`
    // and those it opens itself, and gives none of them away.
    unsafe {
        let unshare = libc::CLOSE_RANGE_UNSHARE;
        let after = libc::syscall(libc::SYS_close_range, kept + 1, u32::MAX, unshare);
        if after == 0 && kept > 0 {
            libc::syscall(libc::SYS_close_range, 0, kept - 1, 0);
        }
        after == 0
    }
}

fn look_at(directory: BorrowedFd<'_>, place: &Place) -> Result<()> {
    stat(directory, &place.path)?;
    if !place.entries {
        return Ok(());
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let listed = rustix::fs::openat(directory, &*place.path, flags, Mode::empty())?;
    let mut buffer = [MaybeUninit::uninit(); LISTING_BYTES];
    let mut entries = RawDir::new(&listed, &mut buffer);
    while let Some(entry) = entries.next() {
        let entry = entry?;
        stat(listed.as_fd(), entry.file_name())?;
        if entry.file_type() == FileType::Symlink {
            rustix::fs::readlinkat(&listed, entry.file_name(), Vec::new())?;
        }
    }
    Ok(())
}

fn stat(directory: BorrowedFd<'_>, path: &CStr) -> Result<()> {
    let flags = AtFlags::SYMLINK_NOFOLLOW;
    rustix::fs::statx(directory, path, flags, StatxFlags::BASIC_STATS).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_of_other_threads_stay_open() {
        let directory = std::fs::File::open("/").unwrap();
        let others: Vec<_> = (0..100)
            .map(|_| std::fs::File::open("/dev/null").unwrap())
            .collect();
        let place = |path: &CStr, entries| Place {
            path: path.to_owned(),
            entries,
        };
        let places = [
            place(c".", true),
            place(c"usr", true),
            place(c"no/such", true),
        ];
        for _ in 0..10 {
            look_ahead(&directory, &places);
        }
        for file in others.iter().chain([&directory]) {
            file.metadata().unwrap();
        }
        assert!(std::path::Path::new("/dev/stdout").exists());
    }
}
