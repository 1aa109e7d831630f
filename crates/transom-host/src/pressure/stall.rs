//! Being told that tasks wait for memory.
//!
//! The kernel counts for how long at least one task waits for memory, and wakes
//! who polls for `POLLPRI` when that was longer than so much of so much time:
//! `Documentation/accounting/psi.rst` of Linux, "Monitoring for pressure
//! thresholds".

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;

/// Waiting of at least 15 %. A window of one second needs `CAP_SYS_RESOURCE`;
/// without, it has to be a multiple of two. In microseconds.
const TRIGGERS: [&[u8]; 2] = [b"some 150000 1000000\0", b"some 300000 2000000\0"];

/// Pressure of the whole machine.
pub(super) const MACHINE: &str = "/proc/pressure/memory";

/// Becomes ready whenever there is pressure, at most once in a window.
#[derive(Debug)]
pub(super) struct Stall(OwnedFd);

impl Stall {
    /// Watches that file, which is [`MACHINE`] or a group's.
    ///
    /// `EOPNOTSUPP` where the kernel counts nothing.
    pub(super) fn watch(file: &Path) -> io::Result<Self> {
        let mut refused = None;
        for trigger in TRIGGERS {
            // A descriptor takes one trigger.
            let flags = OFlags::NONBLOCK.bits().cast_signed();
            let mut options = OpenOptions::new();
            let mut file = options
                .read(true)
                .write(true)
                .custom_flags(flags)
                .open(file)?;
            match file.write_all(trigger) {
                Ok(()) => return Ok(Self(file.into())),
                Err(error) => refused = Some(error),
            }
        }
        Err(refused.unwrap_or_else(|| io::ErrorKind::Unsupported.into()))
    }
}

impl AsFd for Stall {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
