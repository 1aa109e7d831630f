//! What takes more than one obvious call to do to a host file.

use std::ffi::OsStr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{Mode, OFlags, Statx, StatxFlags};
use rustix::io::Errno as HostErrno;
use rustix::mount::OpenTreeFlags;
use rustix::process::{Resource, getrlimit};
use transom_module::Timestamp;
use transom_module::{Attributes, Errno, Error, InvalidName, ItemId, ItemKind, Name, Result};
use transom_sys::file_status;

/// For how many descriptors there is room from the beginning, in half a
/// megabyte.
const DESCRIPTORS_FORESEEN: u64 = 1 << 16;

/// Opens what `name` stands for in `directory`, whatever that is.
///
/// One name without `/`, and no link followed: this cannot lead anywhere but
/// into `directory`, and the flags of `openat2(2)` for that would add nothing.
pub(crate) fn open_name(directory: impl AsFd, name: &OsStr) -> Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(directory, check_name(name)?, flags, Mode::empty()).map_err(refused)
}

/// Lets only single names through, which `.` and `..` are not.
pub(crate) fn check_name(name: &OsStr) -> Result<&OsStr> {
    match Name::check(name.as_bytes()) {
        Ok(()) => Ok(name),
        Err(InvalidName::TooLong(_)) => Err(Errno::ENAMETOOLONG.into()),
        Err(_) => Err(Errno::EINVAL.into()),
    }
}

/// The path that leads to the very file a descriptor stands for, be it opened
/// with `O_PATH`, without a name, or of a symbolic link: the kernel follows
/// this one link and none behind it.
pub(crate) fn magic_link(file: impl AsFd) -> String {
    format!("/proc/self/fd/{}", file.as_fd().as_raw_fd())
}

/// Opens an open file once more with `O_PATH`. Without going through its link,
/// which takes three times as long.
pub(crate) fn name(file: impl AsFd) -> Result<OwnedFd> {
    let flags = OpenTreeFlags::AT_EMPTY_PATH | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    rustix::mount::open_tree(file, c"", flags).map_err(refused)
}

/// Opens a file once more, in another way.
pub(crate) fn reopen(file: impl AsFd, flags: OFlags) -> Result<OwnedFd> {
    let flags = flags | OFlags::CLOEXEC | OFlags::NOCTTY;
    rustix::fs::open(magic_link(file), flags, Mode::empty()).map_err(refused)
}

/// Everything the host knows of a file.
pub(crate) fn stat(file: impl AsFd) -> Result<Statx> {
    file_status::of(file).map_err(refused)
}

/// The device that a file lies on.
pub(crate) fn device_of(stat: &Statx) -> u64 {
    rustix::fs::makedev(stat.stx_dev_major, stat.stx_dev_minor)
}

/// The attributes that the host tells of a file, under the id it has here.
pub(crate) fn attributes(stat: &Statx, id: ItemId) -> Result<Attributes> {
    let time = |time: rustix::fs::StatxTimestamp| Timestamp {
        seconds: time.tv_sec,
        nanoseconds: time.tv_nsec,
    };
    let knows_creation = stat.stx_mask & StatxFlags::BTIME.bits() != 0;
    Ok(Attributes {
        id,
        kind: ItemKind::from_mode(stat.stx_mode.into()).ok_or(Errno::EIO)?,
        permissions: stat.stx_mode & 0o7777,
        links: stat.stx_nlink,
        uid: stat.stx_uid,
        gid: stat.stx_gid,
        device: rustix::fs::makedev(stat.stx_rdev_major, stat.stx_rdev_minor) as u32,
        size: stat.stx_size,
        blocks: stat.stx_blocks,
        block_size: stat.stx_blksize,
        accessed: time(stat.stx_atime),
        modified: time(stat.stx_mtime),
        changed: time(stat.stx_ctime),
        created: knows_creation.then(|| time(stat.stx_btime)),
    })
}

/// Makes this process's table of descriptors as large as it will ever be, for
/// every item is going to take one.
///
/// A table that grows while several threads use it waits each time until none
/// of them looks at the old one (RCU), some ten milliseconds, and with it the
/// look-up that needed the descriptor: for the first ten thousand items that is
/// a third of their time. It never shrinks.
pub(crate) fn make_room_for_descriptors(any: impl AsFd) {
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let last = limit.min(DESCRIPTORS_FORESEEN).saturating_sub(1);
    // Closed at once; and if it is refused, the table grows as it has to.
    let _ = rustix::io::fcntl_dupfd_cloexec(any, last as i32);
}

/// What the caller is told when the host refuses something. Most refusals are
/// part of normal life and nobody else's concern.
pub(crate) fn refused(error: HostErrno) -> Error {
    match error {
        HostErrno::MFILE | HostErrno::NFILE => Error::new(
            Errno::from_raw(HostErrno::NFILE.raw_os_error()),
            "out of file descriptors: every item that the kernel remembers takes one; \
             raise the limit (`ulimit -n`, or LimitNOFILE= of the service)",
        ),
        error => Errno::from_raw(error.raw_os_error()).into(),
    }
}
