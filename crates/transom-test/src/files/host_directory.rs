use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::buffer::spare_capacity;
use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Mode, OFlags, RenameFlags, Timespec, Timestamps, UTIME_OMIT,
    XattrFlags,
};
use rustix::io::Errno;

use super::{Answer, Operation, Outcome, Presence, Rename, Status, Subject};

/// More than any attribute here can have.
const ATTRIBUTE_BYTES: usize = 4096;

/// A directory that the kernel leads to, be it of the host or of a mount.
#[derive(Debug)]
pub struct HostDirectory {
    root: OwnedFd,
}

impl HostDirectory {
    /// The directory at `path`.
    pub fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::openat(CWD, path, flags, Mode::empty())?;
        Ok(Self { root })
    }

    /// The directory that the last name of a path belongs to, and the name.
    fn place<'p>(&self, path: &'p Path) -> Result<(OwnedFd, &'p OsStr), Errno> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let step = |directory: &OwnedFd, name: &OsStr| {
            rustix::fs::openat(directory, name, flags, Mode::empty())
        };
        let mut directory = step(&self.root, OsStr::new("."))?;
        for name in path.parent().into_iter().flatten() {
            directory = step(&directory, name)?;
        }
        Ok((directory, path.file_name().ok_or(Errno::INVAL)?))
    }

    fn open_at(&self, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
        let (directory, name) = self.place(path)?;
        let flags = flags | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        rustix::fs::openat(directory, name, flags, Mode::empty())
    }

    fn open_file(&self, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
        let (directory, name) = self.place(path)?;
        let stat = rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
        if FileType::from_raw_mode(stat.st_mode) == FileType::Fifo {
            return Err(Errno::NXIO);
        }
        self.open_at(path, flags)
    }

    /// A path that leads to the last name of `path`, for calls that take no
    /// directory. The directory has to stay open meanwhile.
    fn path_of(&self, path: &Path) -> Result<(OwnedFd, PathBuf), Errno> {
        let (directory, name) = self.place(path)?;
        let path = Path::new("/proc/self/fd").join(directory.as_raw_fd().to_string());
        Ok((directory, path.join(name)))
    }
}

impl Subject for HostDirectory {
    fn apply(&mut self, operation: &Operation) -> Outcome {
        match operation {
            Operation::Create { path, permissions } => {
                let (directory, name) = self.place(path)?;
                let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
                let mode = Mode::from_raw_mode(*permissions);
                rustix::fs::openat(directory, name, flags, mode)?;
            }
            Operation::MakeDirectory { path, permissions } => {
                let (directory, name) = self.place(path)?;
                rustix::fs::mkdirat(directory, name, Mode::from_raw_mode(*permissions))?;
            }
            Operation::MakePipe { path, permissions } => {
                let (directory, name) = self.place(path)?;
                let mode = Mode::from_raw_mode(*permissions);
                rustix::fs::mknodat(directory, name, FileType::Fifo, mode, 0)?;
            }
            Operation::MakeSymlink { path, target } => {
                let (directory, name) = self.place(path)?;
                rustix::fs::symlinkat(target, directory, name)?;
            }
            Operation::Link { old, new } => {
                let (from, old_name) = self.place(old)?;
                // A missing old name counts before whatever is wrong with the
                // new one, as it does where both are given to the kernel.
                rustix::fs::statat(&from, old_name, AtFlags::SYMLINK_NOFOLLOW)?;
                let (to, new_name) = self.place(new)?;
                rustix::fs::linkat(from, old_name, to, new_name, AtFlags::empty())?;
            }
            Operation::Unlink(path) => {
                let (directory, name) = self.place(path)?;
                rustix::fs::unlinkat(directory, name, AtFlags::empty())?;
            }
            Operation::RemoveDirectory(path) => {
                let (directory, name) = self.place(path)?;
                rustix::fs::unlinkat(directory, name, AtFlags::REMOVEDIR)?;
            }
            Operation::Rename { old, new, how } => {
                let (from, old_name) = self.place(old)?;
                let (to, new_name) = self.place(new)?;
                let flags = match how {
                    Rename::Replace => RenameFlags::empty(),
                    Rename::NoReplace => RenameFlags::NOREPLACE,
                    Rename::Exchange => RenameFlags::EXCHANGE,
                };
                rustix::fs::renameat_with(from, old_name, to, new_name, flags)?;
            }
            Operation::Write {
                path,
                offset,
                bytes,
            } => {
                let file = self.open_file(path, OFlags::WRONLY)?;
                let written = rustix::io::pwrite(file, bytes, *offset)?;
                assert_eq!(written, bytes.len(), "all of it");
            }
            Operation::Resize { path, size } => {
                let file = self.open_file(path, OFlags::WRONLY)?;
                rustix::fs::ftruncate(file, *size)?;
            }
            Operation::SetPermissions { path, permissions } => {
                let file = self.open_at(path, OFlags::PATH)?;
                let link = format!("/proc/self/fd/{}", file.as_raw_fd());
                rustix::fs::chmod(link, Mode::from_raw_mode(*permissions))?;
            }
            Operation::SetTime { path, time } => {
                let (directory, name) = self.place(path)?;
                let times = Timestamps {
                    last_access: Timespec {
                        tv_sec: 0,
                        tv_nsec: UTIME_OMIT,
                    },
                    last_modification: Timespec {
                        tv_sec: time.0,
                        tv_nsec: time.1.into(),
                    },
                };
                rustix::fs::utimensat(directory, name, &times, AtFlags::SYMLINK_NOFOLLOW)?;
            }
            Operation::SetAttribute {
                path,
                name,
                value,
                presence,
            } => {
                let (_directory, path) = self.path_of(path)?;
                let flags = match presence {
                    Presence::Any => XattrFlags::empty(),
                    Presence::MustNotExist => XattrFlags::CREATE,
                    Presence::MustExist => XattrFlags::REPLACE,
                };
                rustix::fs::lsetxattr(path, *name, value, flags)?;
            }
            Operation::RemoveAttribute { path, name } => {
                let (_directory, path) = self.path_of(path)?;
                rustix::fs::lremovexattr(path, *name)?;
            }
            Operation::GetAttribute { path, name } => {
                let (_directory, path) = self.path_of(path)?;
                let mut value = Vec::with_capacity(ATTRIBUTE_BYTES);
                rustix::fs::lgetxattr(path, *name, spare_capacity(&mut value))?;
                return Ok(Answer::Bytes(value));
            }
            Operation::Read {
                path,
                offset,
                length,
            } => {
                let file = self.open_file(path, OFlags::RDONLY)?;
                let mut bytes = vec![0; *length];
                let count = rustix::io::pread(file, &mut bytes, *offset)?;
                bytes.truncate(count);
                return Ok(Answer::Bytes(bytes));
            }
            Operation::ReadLink(path) => {
                let (directory, name) = self.place(path)?;
                let target = rustix::fs::readlinkat(directory, name, Vec::new())?;
                return Ok(Answer::Bytes(target.into_bytes()));
            }
            Operation::List(path) => {
                let directory = self.open_at(path, OFlags::RDONLY | OFlags::DIRECTORY)?;
                let mut names = std::collections::BTreeSet::new();
                for entry in Dir::new(directory)? {
                    let name = OsStr::from_bytes(entry?.file_name().to_bytes()).to_owned();
                    let is_new = name == "." || name == ".." || names.insert(name.clone());
                    assert!(is_new, "{name:?} is listed twice");
                }
                return Ok(Answer::Names(names));
            }
            Operation::Stat(path) => {
                let (directory, name) = self.place(path)?;
                let stat = rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
                return Ok(Answer::Status(Status::new(
                    stat.st_mode,
                    stat.st_nlink,
                    stat.st_size.cast_unsigned(),
                    (stat.st_mtime, stat.st_mtime_nsec as u32),
                )));
            }
        }
        Ok(Answer::Done)
    }
}
