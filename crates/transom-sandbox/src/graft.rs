use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{CWD, Mode, OFlags, Stat, Timespec, Timestamps};
use rustix::io::Errno;
use rustix::mount::MountAttrFlags;
use transom_projection::ViewPath;
use transom_sys::mount::{self, Change, Reach};

use crate::error::{Error, MOUNTING, Result, host};

/// The largest file that is copied because it cannot be mounted as it should
/// be shown, in bytes.
pub const COPIED_FILE_BYTES_MAX: u64 = 256 << 20;

const COPY_BUFFER_BYTES: usize = 128 << 10;

/// Puts the detached mount `file` on `stub`; `path` is its name for messages.
pub(crate) fn file(path: &ViewPath, file: &OwnedFd, stub: &OwnedFd) -> Result<()> {
    match mount::attach(file, stub) {
        // The file has no name any more. A copy of it has one.
        Err(Errno::NOENT) => {
            let copy = copy_in_memory(path, file.as_fd())?;
            mount::attach(copy, stub).map_err(host(MOUNTING, path))
        }
        other => other.map_err(host(MOUNTING, path)),
    }
}

/// Copies content and modification time of `source` to the empty file `copy`,
/// which gets the permission bits `mode`, or those of the source.
pub(crate) fn copy(
    path: &ViewPath,
    source: BorrowedFd<'_>,
    copy: &OwnedFd,
    mode: Option<Mode>,
) -> Result<()> {
    let stat = rustix::fs::fstat(source).map_err(host("cannot examine", path))?;
    let bytes = stat.st_size.cast_unsigned();
    if bytes > COPIED_FILE_BYTES_MAX {
        return Err(Error::TooLargeToCopy {
            path: path.clone(),
            bytes,
        });
    }
    let mode = mode.unwrap_or(Mode::from_raw_mode(stat.st_mode));
    copy_content(source, copy)
        .and_then(|()| rustix::fs::fchmod(copy, mode))
        .and_then(|()| rustix::fs::futimens(copy, &times_of(&stat)))
        .map_err(host("cannot copy", path))
}

/// A detached, read-only mount of a copy of `source`.
fn copy_in_memory(path: &ViewPath, source: BorrowedFd<'_>) -> Result<OwnedFd> {
    let options = [(c"source", c"transom-copy")];
    let memory = mount::new(c"tmpfs", &options, MountAttrFlags::empty())
        .map_err(host(MOUNTING, path))?
        .finish();
    let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::CLOEXEC;
    let file = rustix::fs::openat(&memory, c"copy", flags, Mode::RUSR)
        .map_err(host("cannot copy", path))?;
    copy(path, source, &file, None)?;
    let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY
        | MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV;
    mount::clone(&memory, c"copy", Reach::Mount)
        .and_then(|mount| {
            mount::change(&mount, Reach::Mount, Change::private(attributes))?;
            Ok(mount)
        })
        .map_err(host(MOUNTING, path))
}

fn copy_content(source: BorrowedFd<'_>, copy: &OwnedFd) -> rustix::io::Result<()> {
    // The source may be open as a mere place (`O_PATH`).
    let readable = rustix::fs::openat(
        CWD,
        format!("/proc/self/fd/{}", source.as_raw_fd()),
        OFlags::RDONLY | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    let mut buffer = vec![0; COPY_BUFFER_BYTES];
    loop {
        let read = rustix::io::read(&readable, &mut buffer)?;
        if read == 0 {
            return Ok(());
        }
        let mut rest = &buffer[..read];
        while !rest.is_empty() {
            let written = rustix::io::write(copy, rest)?;
            rest = &rest[written..];
        }
    }
}

fn times_of(stat: &Stat) -> Timestamps {
    let time = Timespec {
        tv_sec: stat.st_mtime,
        tv_nsec: stat.st_mtime_nsec.cast_signed(),
    };
    Timestamps {
        last_access: time,
        last_modification: time,
    }
}
