//! Looking at names of a file system that this very process may serve.
//!
//! A process that walks through a FUSE file system of its own may become one
//! that cannot be killed (see `apart.rs`). So the names are asked for
//! beforehand, by a thread apart. When the process then walks itself, the kernel
//! knows the names and asks nobody.

use std::ffi::{CStr, CString};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawDir, StatxFlags};
use rustix::io::Result;

use crate::apart::apart;

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
    // Without a thread there is no precaution, but also no harm yet.
    _ = apart("look-ahead", directory.as_fd(), |directory| {
        for place in places {
            _ = look_at(directory, place);
        }
    });
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
