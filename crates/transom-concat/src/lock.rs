//! Taking a resource, so that no two processes use it as a member at once.
//!
//! A file is locked by `flock(2)`. A block device is opened with `O_EXCL`,
//! which also keeps it from being mounted; the shared `flock` on it excludes
//! only who, as udev's and systemd's convention has it, has locked it to change
//! it, and lets others find out who has it.

use std::fs::{self, File};
use std::os::fd::{AsFd, AsRawFd};

use rustix::fs::{CWD, FlockOperation, Mode, OFlags};
use rustix::io::Errno as HostErrno;
use transom_module::{Errno, Error, Resource, ResourceKind, Result};

/// A taken resource. Dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Taken(File);

impl Taken {
    /// Takes a resource. `EBUSY` if it is taken, with by whom as far as that can
    /// be seen; `EACCES` if it is to be written and was opened for reading only.
    pub(crate) fn take(resource: &Resource, read_only: bool) -> Result<Self> {
        let flags = rustix::fs::fcntl_getfl(resource).map_err(|error| failed(resource, error))?;
        if !read_only && flags & OFlags::ACCMODE != OFlags::RDWR {
            let path = resource.path().display();
            let message = format!("`{path}` was opened for reading only");
            return Err(Error::new(Errno::EACCES, message));
        }
        let is_device = resource.kind() == ResourceKind::BlockDevice;
        let (file, is_exclusive) = match open_again(resource, read_only, is_device) {
            Ok(file) => (file, is_device),
            // Somebody with more rights than we opened it. Who else has the same
            // descriptor is not kept out then.
            Err(HostErrno::ACCESS | HostErrno::PERM) => {
                let file = rustix::io::fcntl_dupfd_cloexec(resource, 0);
                (file.map_err(|error| failed(resource, error))?.into(), false)
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

    /// What to read and write it by. Of a block device the kernel zeroes nothing
    /// through another opening than that which has it exclusively.
    pub(crate) fn file(&self) -> &File {
        &self.0
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        // Closing is not enough if it is a duplicate.
        let _ = rustix::fs::flock(&self.0, FlockOperation::Unlock);
    }
}

/// Opens what a descriptor stands for, without any further right: locks belong
/// to an opening, and that of the descriptor may have several owners.
fn open_again(resource: &Resource, read_only: bool, exclusive: bool) -> rustix::io::Result<File> {
    let itself = format!("/proc/self/fd/{}", resource.as_fd().as_raw_fd());
    let mut flags = if read_only {
        OFlags::RDONLY
    } else {
        OFlags::RDWR
    };
    flags |= OFlags::CLOEXEC;
    flags.set(OFlags::EXCL, exclusive);
    let file = rustix::fs::openat(CWD, itself, flags, Mode::empty());
    file.map(File::from)
}

fn failed(resource: &Resource, error: HostErrno) -> Error {
    let message = format!("cannot take `{}`", resource.path().display());
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

/// Who uses a resource: where it is mounted, and the processes that have locked
/// it.
fn holders(resource: &Resource) -> Vec<String> {
    let Ok(status) = rustix::fs::fstat(resource) else {
        return Vec::new();
    };
    let device = |number| (rustix::fs::major(number), rustix::fs::minor(number));
    let mut holders = mounts(device(status.st_rdev));
    holders.extend(lockers(device(status.st_dev), status.st_ino));
    holders
}

/// Lines of `/proc/self/mountinfo` are `36 35 98:0 / /mnt rw - ext4 /dev/sda`.
fn mounts((major, minor): (u32, u32)) -> Vec<String> {
    let device = format!("{major}:{minor}");
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let mount = |line: &str| {
        let mut words = line.split_whitespace().skip(2);
        let (mounted, target) = (words.next()?, words.nth(1)?);
        (mounted == device && major != 0).then(|| format!("the mount at `{target}`"))
    };
    mounts.lines().filter_map(mount).collect()
}

/// Lines of `/proc/locks` are `1: FLOCK  ADVISORY  WRITE 1234 fd:01:5678 0 EOF`.
fn lockers((major, minor): (u32, u32), inode: u64) -> Vec<String> {
    let file = format!("{major:02x}:{minor:02x}:{inode}");
    let locks = fs::read_to_string("/proc/locks").unwrap_or_default();
    let locker = |line: &str| {
        let mut words = line.split_whitespace().skip(4);
        let (process, locked) = (words.next()?, words.next()?);
        (locked == file).then(|| {
            let name = fs::read_to_string(format!("/proc/{process}/comm")).unwrap_or_default();
            format!("process {process} ({})", name.trim_end())
        })
    };
    locks.lines().filter_map(locker).collect()
}
