//! Taking a resource, so that no two processes use it as a member at once.
//!
//! A file is locked by `flock(2)`. A block device is opened with `O_EXCL`,
//! which also keeps it from being mounted; the shared `flock` on it excludes
//! only who, as udev's and systemd's convention has it, has locked it to change
//! it, and lets others find out who has it.

use std::fs;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{CWD, FlockOperation, Mode, OFlags};
use rustix::io::Errno as HostErrno;
use transom_module::{Errno, Error, Resource, ResourceKind, Result};

/// A taken resource. Dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Lock(OwnedFd);

impl Lock {
    /// Takes a resource. `EBUSY` if it is taken, with by whom as far as that can
    /// be seen.
    pub(crate) fn take(resource: &Resource) -> Result<Self> {
        let is_device = resource.kind() == ResourceKind::BlockDevice;
        let (file, is_exclusive) = match open_again(resource, is_device) {
            Ok(file) => (file, is_device),
            // Somebody with more rights than we opened it. Who else has the same
            // descriptor is not kept out then.
            Err(HostErrno::ACCESS | HostErrno::PERM) => {
                let file = rustix::io::fcntl_dupfd_cloexec(resource, 0);
                (file.map_err(|error| failed(resource, error))?, false)
            }
            Err(HostErrno::BUSY) => return Err(busy(resource)),
            Err(error) => return Err(failed(resource, error)),
        };
        let how = match is_exclusive {
            true => FlockOperation::NonBlockingLockShared,
            false => FlockOperation::NonBlockingLockExclusive,
        };
        match rustix::fs::flock(&file, how) {
            Ok(()) => Ok(Self(file)),
            Err(HostErrno::WOULDBLOCK) => Err(busy(resource)),
            Err(error) => Err(failed(resource, error)),
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing is not enough if it is a duplicate.
        let _ = rustix::fs::flock(&self.0, FlockOperation::Unlock);
    }
}

/// Opens what a descriptor stands for, without any further right: locks belong
/// to an opening, and that of the descriptor may have several owners.
fn open_again(resource: &Resource, exclusive: bool) -> rustix::io::Result<OwnedFd> {
    let itself = format!("/proc/self/fd/{}", borrowed(resource).as_raw_fd());
    let mut flags = OFlags::RDONLY | OFlags::CLOEXEC;
    flags.set(OFlags::EXCL, exclusive);
    rustix::fs::openat(CWD, itself, flags, Mode::empty())
}

fn failed(resource: &Resource, error: HostErrno) -> Error {
    let message = format!("cannot lock `{}`", resource.path().display());
    Error::from_host(error.into(), message)
}

fn busy(resource: &Resource) -> Error {
    let path = resource.path().display();
    let message = match holders(resource).as_slice() {
        [] => format!("`{path}` is in use"),
        holders => format!("`{path}` is in use by {}", holders.join(", ")),
    };
    Error::new(Errno::EBUSY, message)
}

/// The processes that have locked a resource: lines of `/proc/locks` are
/// `1: FLOCK  ADVISORY  WRITE 1234 fd:01:5678 0 EOF`.
fn holders(resource: &Resource) -> Vec<String> {
    let Ok(status) = rustix::fs::fstat(resource) else {
        return Vec::new();
    };
    let (major, minor) = (
        rustix::fs::major(status.st_dev),
        rustix::fs::minor(status.st_dev),
    );
    let file = format!("{major:02x}:{minor:02x}:{}", status.st_ino);
    let locks = fs::read_to_string("/proc/locks").unwrap_or_default();
    let holder = |line: &str| {
        let mut words = line.split_whitespace().skip(4);
        let (process, locked) = (words.next()?, words.next()?);
        (locked == file).then(|| {
            let name = fs::read_to_string(format!("/proc/{process}/comm")).unwrap_or_default();
            format!("process {process} ({})", name.trim_end())
        })
    };
    locks.lines().filter_map(holder).collect()
}

fn borrowed(resource: &Resource) -> BorrowedFd<'_> {
    std::os::fd::AsFd::as_fd(resource)
}
