//! The kernel's own control of FUSE connections: the file system `fusectl`
//! (Documentation/filesystems/fuse/fuse.rst).

use std::io;
use std::os::fd::AsFd;

use rustix::fs::{AtFlags, Mode, OFlags, StatxFlags};
use rustix::mount::MountAttrFlags;

use crate::mount;

/// A connection, by the number that the kernel gave it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connection(u32);

impl Connection {
    /// That of the FUSE file system which `file` lies on. The server is not
    /// asked.
    pub fn of(file: impl AsFd) -> io::Result<Self> {
        let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
        let status = rustix::fs::statx(file, c"", flags, StatxFlags::empty())?;
        // Its name is the number of the device, as Linux packs it inside.
        Ok(Self(status.stx_dev_major << 20 | status.stx_dev_minor))
    }

    /// Ends it: every request under way, and every later one, fails.
    ///
    /// `EPERM` outside of the first user namespace.
    pub fn abort(self) -> io::Result<()> {
        let control = mount::new(c"fusectl", &[], MountAttrFlags::empty())?.finish();
        let file = format!("{}/abort", self.0);
        let flags = OFlags::WRONLY | OFlags::CLOEXEC;
        let abort = rustix::fs::openat(&control, file, flags, Mode::empty())?;
        rustix::io::write(&abort, b"1")?;
        Ok(())
    }
}
