//! How a directory is known that was published.
//!
//! A directory output replaces the directory at its destination, with all that
//! is in it. That is what is wanted of one that an earlier run has put there,
//! and a disaster for any other. So what is published is marked, by an extended
//! attribute that no tool makes by accident.

use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{Mode, XattrFlags};
use rustix::io::{Errno, Result};

use crate::walk;

const NAME: &str = "user.transom.output";

/// Marks `directory`, which we own. A file system without extended attributes
/// is no error: the next run will ask.
pub(super) fn set(directory: BorrowedFd<'_>) -> Result<()> {
    let set = || rustix::fs::fsetxattr(directory, NAME, b"1", XattrFlags::empty());
    let done = match set() {
        Err(Errno::ACCESS) => {
            // The permission bits count for their owner too.
            let mode = Mode::from_raw_mode(rustix::fs::fstat(directory)?.st_mode);
            rustix::fs::fchmod(directory, mode | Mode::WUSR)?;
            let done = set();
            rustix::fs::fchmod(directory, mode)?;
            done
        }
        done => done,
    };
    match done {
        Err(Errno::OPNOTSUPP) => Ok(()),
        done => done,
    }
}

/// Whether `directory` can be replaced without a loss: it was published, or it
/// is empty.
pub(super) fn is_replaceable(directory: impl AsFd) -> Result<bool> {
    let mut nothing: [u8; 0] = [];
    // Asks for the length of the value alone.
    if rustix::fs::fgetxattr(&directory, NAME, &mut nothing).is_ok() {
        return Ok(true);
    }
    Ok(walk::entries(directory)?.is_empty())
}
