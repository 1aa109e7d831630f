//! Copying an output to another volume.

use std::collections::HashMap;
use std::ffi::{CStr, CString};
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, SeekFrom, Statx, Timespec, Timestamps};
use rustix::io::{Errno, Result};

use crate::walk;

const CHUNK_BYTES: usize = 128 << 10;

/// Copies `from` in `source` to the new name `to` in `target`: content, modes,
/// modification times, symbolic links; hard links within the tree stay hard
/// links, and holes holes. Blocks are shared where both volumes are one file system that can.
pub(super) fn tree(
    source: BorrowedFd<'_>,
    from: &CStr,
    target: BorrowedFd<'_>,
    to: &CStr,
) -> Result<()> {
    let mut copy = Copy {
        top: target,
        first_names: HashMap::new(),
    };
    copy.entry(source, from, target, to, to.to_bytes())
}

struct Copy<'a> {
    top: BorrowedFd<'a>,
    /// Where files with several names were copied to, below `top`.
    first_names: HashMap<u64, CString>,
}

impl Copy<'_> {
    /// `path` is `to` as seen from `self.top`.
    fn entry(
        &mut self,
        source: BorrowedFd<'_>,
        from: &CStr,
        target: BorrowedFd<'_>,
        to: &CStr,
        path: &[u8],
    ) -> Result<()> {
        let stat = walk::stat(source, from)?;
        match walk::kind_of(&stat) {
            FileType::RegularFile => {
                if stat.stx_nlink > 1 {
                    let path = CString::new(path).map_err(|_| Errno::INVAL)?;
                    if let Some(first) = self.first_names.get(&stat.stx_ino) {
                        return rustix::fs::linkat(self.top, first, target, to, AtFlags::empty());
                    }
                    self.first_names.insert(stat.stx_ino, path);
                }
                file(source, from, target, to, &stat)
            }
            FileType::Directory => {
                let from = walk::open_subdirectory(source, from)?;
                rustix::fs::mkdirat(target, to, Mode::RWXU)?;
                let to = walk::open_subdirectory(target, to)?;
                for entry in walk::entries(&from)? {
                    let path = [path, b"/", entry.name.to_bytes()].concat();
                    self.entry(from.as_fd(), &entry.name, to.as_fd(), &entry.name, &path)?;
                }
                rustix::fs::fchmod(&to, mode_of(&stat))?;
                rustix::fs::futimens(&to, &times_of(&stat))
            }
            FileType::Symlink => {
                let link = rustix::fs::readlinkat(source, from, Vec::new())?;
                rustix::fs::symlinkat(link, target, to)?;
                rustix::fs::utimensat(target, to, &times_of(&stat), AtFlags::SYMLINK_NOFOLLOW)
            }
            _ => Err(Errno::INVAL),
        }
    }
}

fn file(
    source: BorrowedFd<'_>,
    from: &CStr,
    target: BorrowedFd<'_>,
    to: &CStr,
    stat: &Statx,
) -> Result<()> {
    let read = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let from = rustix::fs::openat(source, from, read, Mode::empty())?;
    let create = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let to = rustix::fs::openat(target, to, create, Mode::RUSR | Mode::WUSR)?;
    if rustix::fs::ioctl_ficlone(&to, &from).is_err() {
        content(&from, &to, stat.stx_size)?;
    }
    rustix::fs::fchmod(&to, mode_of(stat))?;
    rustix::fs::futimens(&to, &times_of(stat))
}

/// Copies what was written to `from`, and leaves the holes between it.
fn content(from: &OwnedFd, to: &OwnedFd, size: u64) -> Result<()> {
    let mut end = 0;
    while end < size {
        let begin = match rustix::fs::seek(from, SeekFrom::Data(end)) {
            Ok(begin) => begin,
            // Nothing but a hole is left.
            Err(Errno::NXIO) => break,
            Err(error) => return Err(error),
        };
        end = rustix::fs::seek(from, SeekFrom::Hole(begin))?;
        range(from, to, begin..end)?;
    }
    rustix::fs::ftruncate(to, size)
}

fn range(from: &OwnedFd, to: &OwnedFd, range: Range<u64>) -> Result<()> {
    let mut at = range.start;
    while at < range.end {
        let length = usize::try_from(range.end - at).unwrap_or(usize::MAX);
        let length = length.min(CHUNK_BYTES << 8);
        let (mut from_at, mut to_at) = (at, at);
        match rustix::fs::copy_file_range(from, Some(&mut from_at), to, Some(&mut to_at), length) {
            Ok(0) => return Ok(()),
            Ok(copied) => at += copied as u64,
            // Not between these two file systems.
            Err(Errno::XDEV | Errno::INVAL | Errno::OPNOTSUPP | Errno::NOSYS) => break,
            Err(error) => return Err(error),
        }
    }
    let mut buffer = vec![0; CHUNK_BYTES];
    while at < range.end {
        let length = usize::try_from(range.end - at).unwrap_or(usize::MAX);
        let length = length.min(buffer.len());
        let read = rustix::io::pread(from, &mut buffer[..length], at)?;
        if read == 0 {
            return Ok(());
        }
        let mut rest = &buffer[..read];
        while !rest.is_empty() {
            let written = rustix::io::pwrite(to, rest, at)?;
            at += written as u64;
            rest = &rest[written..];
        }
    }
    Ok(())
}

fn mode_of(stat: &Statx) -> Mode {
    Mode::from_raw_mode(u32::from(stat.stx_mode))
}

fn times_of(stat: &Statx) -> Timestamps {
    let time = Timespec {
        tv_sec: stat.stx_mtime.tv_sec,
        tv_nsec: i64::from(stat.stx_mtime.tv_nsec),
    };
    Timestamps {
        last_access: time,
        last_modification: time,
    }
}
