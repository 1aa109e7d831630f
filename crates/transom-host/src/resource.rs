use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, OFlags};
use transom_module::{Errno, Error, ModuleManifest, Resource, ResourceKind, Result};

/// What may be loaded, and by whom.
pub(crate) struct Wanted {
    kinds: &'static [ResourceKind],
    by: String,
}

impl Wanted {
    pub(crate) fn by(module: &ModuleManifest) -> Self {
        Self {
            kinds: module.resources,
            by: format!("module `{}`", module.name),
        }
    }

    pub(crate) fn by_any() -> Self {
        Self {
            kinds: &[
                ResourceKind::Directory,
                ResourceKind::File,
                ResourceKind::BlockDevice,
            ],
            by: "a module".into(),
        }
    }
}

/// Opens what a module is to load.
///
/// `EINVAL` if it is nothing that the module loads, `EACCES` without the right
/// to read it, or to write it unless `read_only`. The right to write is not
/// asked for of directories: what is in them decides for itself.
pub(crate) fn open(path: &Path, wanted: &Wanted, read_only: bool) -> Result<Resource> {
    // To look at something must not wait for it, nor rewind it.
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let found = rustix::fs::openat(CWD, path, flags, Mode::empty())
        .map_err(|error| cannot_open(path, error))?;
    adopt(&found, path, wanted, read_only)
}

/// The same for what was found, and perhaps opened, by somebody else.
pub(crate) fn adopt(
    found: &OwnedFd,
    path: &Path,
    wanted: &Wanted,
    read_only: bool,
) -> Result<Resource> {
    let failed = |error| cannot_open(path, error);
    let mode = rustix::fs::fstat(found).map_err(failed)?.st_mode;
    let file_type = FileType::from_raw_mode(mode);
    let kind = kind_of(file_type).filter(|kind| wanted.kinds.contains(kind));
    let Some(kind) = kind else {
        let kinds: Vec<_> = wanted.kinds.iter().map(ToString::to_string).collect();
        let message = format!(
            "`{}` is a {}; {} loads: {}",
            path.display(),
            name_of(file_type),
            wanted.by,
            kinds.join(", ")
        );
        return Err(Error::new(Errno::EINVAL, message));
    };
    let descriptor = reopen(found, kind, read_only).map_err(failed)?;
    Ok(Resource::new(kind, path, descriptor))
}

fn cannot_open(path: &Path, error: rustix::io::Errno) -> Error {
    let message = format!("cannot open `{}`", path.display());
    Error::from_host(io::Error::from(error), message)
}

/// The same file for real, which takes the right to it.
fn reopen(found: &OwnedFd, kind: ResourceKind, read_only: bool) -> rustix::io::Result<OwnedFd> {
    let flags = match kind {
        ResourceKind::Directory => {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            return rustix::fs::openat(found, c".", flags, Mode::empty());
        }
        _ if read_only => OFlags::RDONLY,
        _ => OFlags::RDWR,
    };
    let itself = format!("/proc/self/fd/{}", found.as_raw_fd());
    rustix::fs::openat(CWD, itself, flags | OFlags::CLOEXEC, Mode::empty())
}

fn kind_of(file_type: FileType) -> Option<ResourceKind> {
    match file_type {
        FileType::Directory => Some(ResourceKind::Directory),
        FileType::RegularFile => Some(ResourceKind::File),
        FileType::BlockDevice => Some(ResourceKind::BlockDevice),
        _ => None,
    }
}

fn name_of(file_type: FileType) -> &'static str {
    match file_type {
        FileType::Directory => "directory",
        FileType::RegularFile => "file",
        FileType::BlockDevice => "block device",
        FileType::CharacterDevice => "character device",
        FileType::Fifo => "pipe",
        FileType::Socket => "socket",
        _ => "file of another type",
    }
}
