//! Walking directories whose content somebody else controls.

use std::ffi::{CStr, CString, OsStr, OsString};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, Statx, StatxFlags};
use rustix::io::{Errno, Result};
use transom_projection::ViewPath;

/// How often a walk is repeated that a rename elsewhere disturbed.
const DISTURBED_WALKS_MAX: usize = 1000;

/// `openat2(2)` for paths with `..` in them, or in a link on the way: the
/// kernel gives up on those whenever anything on the machine is renamed or
/// mounted meanwhile, and means the caller to try again.
pub(crate) fn resolve(
    root: impl AsFd,
    path: &OsStr,
    flags: OFlags,
    limits: ResolveFlags,
) -> Result<OwnedFd> {
    let flags = flags | OFlags::CLOEXEC;
    let mut disturbed = 0;
    loop {
        match rustix::fs::openat2(root.as_fd(), path, flags, Mode::empty(), limits) {
            Err(Errno::AGAIN) if disturbed < DISTURBED_WALKS_MAX => disturbed += 1,
            done => return done,
        }
    }
}

/// Opens `path` below `root`. No symbolic link is followed and nothing above
/// `root` can be reached.
pub(crate) fn open(root: impl AsFd, path: &ViewPath, flags: OFlags) -> Result<OwnedFd> {
    let path: &OsStr = if path.is_root() {
        OsStr::new(".")
    } else {
        path.as_os_str()
    };
    let limits = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    resolve(root, path, flags | OFlags::NOFOLLOW, limits)
}

/// Opens a directory below `root` to list it.
pub(crate) fn open_directory(root: impl AsFd, path: &ViewPath) -> Result<OwnedFd> {
    open(root, path, OFlags::RDONLY | OFlags::DIRECTORY)
}

/// Opens the entry `name` of `directory` to list it.
pub(crate) fn open_subdirectory(directory: impl AsFd, name: &CStr) -> Result<OwnedFd> {
    rustix::fs::openat(
        directory,
        name,
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC,
        Mode::empty(),
    )
}

/// Makes the directory `path` below `root`, with those above it, and opens it.
pub(crate) fn make_directories(root: impl AsFd, path: &ViewPath) -> Result<OwnedFd> {
    let mut directory = open_subdirectory(root, c".")?;
    for name in path.names() {
        match rustix::fs::mkdirat(&directory, name, Mode::from_raw_mode(0o777)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error),
        }
        let name = CString::new(name.as_bytes()).map_err(|_| Errno::INVAL)?;
        directory = open_subdirectory(&directory, &name)?;
    }
    Ok(directory)
}

/// One entry of a directory.
pub(crate) struct Entry {
    pub(crate) name: CString,
    pub(crate) kind: FileType,
}

impl Entry {
    pub(crate) fn name(&self) -> &OsStr {
        OsStr::from_bytes(self.name.as_bytes())
    }
}

/// The entries of `directory`, sorted by name.
pub(crate) fn entries(directory: impl AsFd) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for entry in rustix::fs::Dir::read_from(&directory)? {
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let kind = match entry.file_type() {
            // Some file systems do not say.
            FileType::Unknown => kind_of(&stat(&directory, name)?),
            known => known,
        };
        entries.push(Entry {
            name: name.to_owned(),
            kind,
        });
    }
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(entries)
}

/// The attributes of the entry `name`, or of `directory` itself if it is
/// empty.
pub(crate) fn stat(directory: impl AsFd, name: &CStr) -> Result<Statx> {
    rustix::fs::statx(
        directory,
        name,
        AtFlags::SYMLINK_NOFOLLOW | AtFlags::EMPTY_PATH,
        StatxFlags::BASIC_STATS | StatxFlags::MNT_ID,
    )
}

pub(crate) fn kind_of(stat: &Statx) -> FileType {
    FileType::from_raw_mode(u32::from(stat.stx_mode))
}

/// Within one of these a rename is possible: one mount, and one device, which
/// the subvolumes of btrfs are not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Volume {
    mount: u64,
    device: (u32, u32),
}

impl Volume {
    pub(crate) fn of(directory: impl AsFd) -> Result<Self> {
        Ok(Self::from(&stat(directory, c"")?))
    }

    pub(crate) fn at(path: &Path) -> Result<Self> {
        let mask = StatxFlags::BASIC_STATS | StatxFlags::MNT_ID;
        let stat = rustix::fs::statx(CWD, path, AtFlags::empty(), mask)?;
        Ok(Self::from(&stat))
    }
}

impl From<&Statx> for Volume {
    fn from(stat: &Statx) -> Self {
        Self {
            mount: stat.stx_mnt_id,
            device: (stat.stx_dev_major, stat.stx_dev_minor),
        }
    }
}

/// What a kind of file is called in messages.
pub(crate) fn noun(kind: FileType) -> &'static str {
    match kind {
        FileType::RegularFile => "a file",
        FileType::Directory => "a directory",
        FileType::Symlink => "a symbolic link",
        FileType::Fifo => "a FIFO",
        FileType::Socket => "a socket",
        FileType::CharacterDevice | FileType::BlockDevice => "a device",
        FileType::Unknown => "something unknown",
    }
}

/// `path` with `name`, which the kernel gave as one of a directory's.
pub(crate) fn join(path: &ViewPath, name: &OsStr) -> Result<ViewPath> {
    let name = ViewPath::parse(name.as_bytes()).map_err(|_| Errno::NAMETOOLONG)?;
    Ok(path.join_path(&name))
}

/// `path` as seen from `ancestor`, which it is or lies below.
pub(crate) fn relative(path: &ViewPath, ancestor: &ViewPath) -> ViewPath {
    let below = path.names().skip(ancestor.names().count());
    let below: Vec<&[u8]> = below.map(OsStrExt::as_bytes).collect();
    ViewPath::parse(&below.join(&b'/')).unwrap_or_default()
}

/// What the kernel returned, as the string it is.
pub(crate) fn os_string(text: CString) -> OsString {
    OsString::from_vec(text.into_bytes())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[test]
    fn renames_elsewhere_do_not_disturb() {
        let directory = transom_test::temp_dir().unwrap();
        let [one, two] = ["one", "two"].map(|name| directory.path().join(name));
        fs::write(&one, "").unwrap();
        fs::create_dir(directory.path().join("d")).unwrap();
        let root = fs::File::open(directory.path()).unwrap();
        let done = AtomicBool::new(false);
        let path = OsString::from("d/../".repeat(10));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    fs::rename(&one, &two).unwrap();
                    fs::rename(&two, &one).unwrap();
                }
            });
            let walks = (0..1000).map(|_| {
                let limits = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
                resolve(&root, &path, OFlags::PATH, limits).map(drop)
            });
            let failed: Vec<_> = walks.filter_map(Result::err).collect();
            done.store(true, Ordering::Relaxed);
            assert_eq!(failed, []);
        });
    }
}
