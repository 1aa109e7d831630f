use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{CWD, FileType, Mode, OFlags, Stat, Timespec, Timestamps};
use rustix::io::Errno;
use rustix::mount::MountAttrFlags;
use transom_projection::ViewPath;
use transom_sys::mount::{self, Change, Reach};

use crate::error::{Error, Result, host, mounting};

/// The largest file that is copied because it cannot be mounted as it should
/// be shown, in bytes.
pub const COPIED_FILE_BYTES_MAX: u64 = 256 << 20;

/// What every mount of an input is.
pub(crate) const READ_ONLY: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_RDONLY
    .union(MountAttrFlags::MOUNT_ATTR_NOSUID)
    .union(MountAttrFlags::MOUNT_ATTR_NODEV);

const COPY_BUFFER_BYTES: usize = 128 << 10;

/// Puts the detached mount `file` on the file `stub` of `directory`; `path` is
/// its name for messages.
pub(crate) fn file(
    path: &ViewPath,
    file: &OwnedFd,
    directory: impl AsFd,
    stub: &CStr,
    copies: &mut Copies,
) -> Result<()> {
    match mount::attach(file, &directory, stub) {
        // The file has no name any more. A copy of it has one.
        Err(Errno::NOENT) => {
            let copy = copies.add(path, file.as_fd(), None)?;
            mount::attach(copy, directory, stub).map_err(mounting(path))
        }
        other => other.map_err(mounting(path)),
    }
}

/// Makes an empty file to mount another on.
pub(crate) fn make_stub(directory: impl AsFd, name: &CStr) -> rustix::io::Result<()> {
    // Not opened: see `mount::change` for what an open file would do.
    rustix::fs::mknodat(directory, name, FileType::RegularFile, Mode::RUSR, 0)
}

/// Copies in memory of files that cannot be mounted themselves.
#[derive(Debug, Default)]
pub(crate) struct Copies {
    memory: Option<OwnedFd>,
    made: u64,
}

impl Copies {
    /// A detached mount of a copy of `source`, with its modification time and
    /// the permission bits `mode`, or those of the source.
    pub(crate) fn add(
        &mut self,
        path: &ViewPath,
        source: BorrowedFd<'_>,
        mode: Option<Mode>,
    ) -> Result<OwnedFd> {
        let stat = rustix::fs::fstat(source).map_err(host("cannot examine", path))?;
        let bytes = stat.st_size.cast_unsigned();
        if bytes > COPIED_FILE_BYTES_MAX {
            return Err(Error::TooLargeToCopy {
                path: path.clone(),
                bytes,
            });
        }
        let mode = mode.unwrap_or(Mode::from_raw_mode(stat.st_mode));
        let name = self.next_name();
        let memory = self.memory().map_err(mounting(path))?;
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
        rustix::fs::openat(memory, &name, flags, Mode::RUSR)
            .and_then(|copy| {
                copy_content(source, &copy)?;
                rustix::fs::fchmod(&copy, mode)?;
                rustix::fs::futimens(&copy, &times_of(&stat))
            })
            .map_err(host("cannot copy", path))?;
        mount::clone(memory, &name, Reach::Mount)
            .and_then(|mount| {
                mount::change(&mount, Reach::Mount, Change::private(READ_ONLY))?;
                Ok(mount)
            })
            .map_err(mounting(path))
    }

    fn next_name(&mut self) -> CString {
        self.made += 1;
        CString::new(self.made.to_string()).expect("digits contain no NUL")
    }

    fn memory(&mut self) -> rustix::io::Result<&OwnedFd> {
        let memory = match self.memory.take() {
            Some(memory) => memory,
            None => {
                let options = [(c"source", c"transom-copies"), (c"nr_inodes", c"0")];
                mount::new(c"tmpfs", &options, MountAttrFlags::empty())?.finish()
            }
        };
        Ok(self.memory.insert(memory))
    }
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
