use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags, StatxFlags};
use rustix::mount::UnmountFlags;

/// One mount, and where it was put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attached {
    /// Where.
    pub path: PathBuf,
    /// Its number, which no other mount gets until the machine is booted again.
    pub id: u64,
}

impl Attached {
    /// A mount, which may still be detached, that is to be put there.
    pub fn to_be(mount: impl AsFd, path: PathBuf) -> io::Result<Self> {
        let id = mount_id(mount)?;
        Ok(Self { path, id })
    }

    /// The mount that is at `path` now.
    pub fn at(path: PathBuf) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let there = rustix::fs::open(&path, flags, Mode::empty())?;
        Self::to_be(there, path)
    }

    /// Unmounts, unless it is not there any more: `NotFound`.
    pub fn unmount(&self) -> io::Result<()> {
        if Self::at(self.path.clone())?.id != self.id {
            let message = "something else is mounted there";
            return Err(io::Error::new(io::ErrorKind::NotFound, message));
        }
        detach(&self.path)
    }
}

/// Unmounts whatever is on top at `path`, at once and for everybody.
pub fn detach(path: &Path) -> io::Result<()> {
    let flags = UnmountFlags::DETACH | UnmountFlags::NOFOLLOW;
    Ok(rustix::mount::unmount(path, flags)?)
}

fn mount_id(mount: impl AsFd) -> rustix::io::Result<u64> {
    /// `STATX_MNT_ID_UNIQUE` of `<linux/stat.h>`.
    const UNIQUE: StatxFlags = StatxFlags::from_bits_retain(0x4000);
    let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
    Ok(rustix::fs::statx(mount, c"", flags, UNIQUE)?.stx_mnt_id)
}
