//! Host directories that are mapped as a whole.
//!
//! Nothing below such a directory is looked at before somebody asks for it.
//! A name is then resolved alone, relative to the descriptor of its directory
//! and without following a symbolic link, so that nothing below can lead out;
//! what was found is pinned, and the name stays with it for as long as the
//! view lives.
//!
//! * Symbolic links are shown as they are; whoever follows one does so inside
//!   the view. If the view's [`FoundLinks`] say so, those that lead out of it
//!   are followed here, once, and are what they lead to.
//! * What is mounted below the directory on the host is shown as well: that
//!   is what the user sees there.
//! * Pipes, sockets and devices do not exist in the view: none of them is an
//!   input, and opening a pipe could block for ever.
//! * A path longer than the kernel takes at once does not exist either
//!   (`ENAMETOOLONG`).
//! * A name that is absent when it is asked for may be remembered as absent by
//!   the kernel, also if it appears on the host later.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};

use rustix::fs::{FileType, Mode, OFlags, RawDir, SeekFrom};
use rustix::io::Errno;
use transom_module::{Cookie, ItemId, ItemKind, Name, Timestamp};

use crate::host::{HostDirectory, HostFile, Location};
use crate::pin::Pinner;
use crate::sync::{read, write};
use crate::trace::Touched;
use crate::view::FoundLinks;
use crate::{PATH_BYTES_MAX, Version, ViewPath};

/// Bytes of directory entries read at once.
const LISTING_BYTES: usize = 32 << 10;

/// A live directory of a mapping as a whole: the mapped one or one below it.
#[derive(Debug)]
pub(crate) struct WholeDirectory {
    pub(crate) id: ItemId,
    pub(crate) parent: ItemId,
    pub(crate) path: ViewPath,
    pub(crate) host: Arc<HostDirectory>,
    pub(crate) touched: Touched,
    children: RwLock<HashMap<Name, Child>>,
}

/// What a name below was found to be.
#[derive(Debug, Clone)]
pub(crate) enum Child {
    Directory(Arc<WholeDirectory>),
    File(Arc<Version>),
    Symlink(Arc<Symlink>),
}

/// A symbolic link, declared or found.
#[derive(Debug)]
pub(crate) struct Symlink {
    pub(crate) id: ItemId,
    pub(crate) target: Arc<OsStr>,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) modified: Timestamp,
    pub(crate) touched: Touched,
}

impl WholeDirectory {
    pub(crate) fn new(id: ItemId, parent: ItemId, path: ViewPath, host: HostDirectory) -> Self {
        Self {
            id,
            parent,
            path,
            host: Arc::new(host),
            touched: Touched::default(),
            children: RwLock::default(),
        }
    }

    /// Finds a name, and pins it if it is new.
    pub(crate) fn find(&self, name: &OsStr, pinner: &Pinner) -> io::Result<Option<Child>> {
        if let Some(child) = self.pinned(name) {
            return Ok(Some(child));
        }
        let Some((file, kind)) = self.look(name)? else {
            return Ok(None);
        };
        let outward = kind == ItemKind::Symlink
            && pinner.links == FoundLinks::FollowOutward
            && self.is_outward(&target_of(&file)?);
        let (file, kind) = match outward {
            false => (file, kind),
            true => match self.follow(name, pinner)? {
                Some(found) => found,
                None => return Ok(None),
            },
        };
        let Ok(name) = Name::new(name.as_bytes()) else {
            return Ok(None);
        };
        pinner.count_name()?;
        let location = match outward {
            false => Location::Directory(self.host.clone()),
            true => Location::Host(pinner.host.clone()),
        };
        let found = self.pin(&name, file, kind, location, pinner)?;
        // Whoever was first decides.
        Ok(Some(
            write(&self.children).entry(name).or_insert(found).clone(),
        ))
    }

    /// Whether a link in this directory leads out of the view.
    fn is_outward(&self, target: &OsStr) -> bool {
        let mut depth = self.path.names().count();
        let target = target.as_bytes();
        target.starts_with(b"/")
            || target.split(|byte| *byte == b'/').any(|name| match name {
                b"" | b"." => false,
                b".." if depth == 0 => true,
                b".." => {
                    depth -= 1;
                    false
                }
                _ => {
                    depth += 1;
                    false
                }
            })
    }

    /// What a link leads to on the host. Nothing if that is a directory which
    /// this one lies in: it would have no end.
    fn follow(&self, name: &OsStr, pinner: &Pinner) -> io::Result<Option<(HostFile, ItemKind)>> {
        let file = match pinner.host.open(&self.host.path().join(name)) {
            Ok(file) => file,
            Err(error) => return absent_or(error),
        };
        let Some(kind) = file.stamp.kind().filter(|kind| is_shown(*kind)) else {
            return Ok(None);
        };
        let here = real_path(self.host.descriptor()?)?;
        let holds_us =
            kind == ItemKind::Directory && here.starts_with(real_path(&file.descriptor)?);
        Ok((!holds_us).then_some((file, kind)))
    }

    /// What is pinned under a name.
    pub(crate) fn pinned(&self, name: &OsStr) -> Option<Child> {
        read(&self.children).get(name).cloned()
    }

    /// Everything pinned here, in the order of the names.
    pub(crate) fn all_pinned(&self) -> Vec<(Name, Child)> {
        let children = read(&self.children);
        let mut all: Vec<_> = children
            .iter()
            .map(|(name, child)| (name.clone(), child.clone()))
            .collect();
        all.sort_by(|(one, _), (other, _)| one.cmp(other));
        all
    }

    /// Looks at a name on the host, without pinning it. Pipes, sockets and
    /// devices are not seen.
    pub(crate) fn look(&self, name: &OsStr) -> io::Result<Option<(HostFile, ItemKind)>> {
        match self.host.open(name) {
            Ok(file) => Ok(file
                .stamp
                .kind()
                .filter(|kind| is_shown(*kind))
                .map(|kind| (file, kind))),
            Err(error) => absent_or(error),
        }
    }

    /// Reads the host's listing from `from` on and hands name, kind and next
    /// position to `visit` until it returns false. `.` and `..` are among them.
    pub(crate) fn list(
        &self,
        from: Cookie,
        pinner: &Pinner,
        mut visit: impl FnMut(&OsStr, ItemKind, Cookie) -> bool,
    ) -> io::Result<()> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = self.host.root().act(|| {
            let directory = self.host.descriptor()?;
            Ok(rustix::fs::openat(directory, c".", flags, Mode::empty())?)
        })?;
        if from != Cookie::default() {
            rustix::fs::seek(&directory, SeekFrom::Start(from.0))?;
        }
        let mut buffer = Vec::with_capacity(LISTING_BYTES);
        let mut entries = RawDir::new(&directory, buffer.spare_capacity_mut());
        while let Some(entry) = entries.next() {
            let entry = entry?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            let kind = match entry.file_type() {
                FileType::RegularFile => Some(ItemKind::File),
                FileType::Directory => Some(ItemKind::Directory),
                FileType::Symlink if pinner.links == FoundLinks::AsTheyAre => {
                    Some(ItemKind::Symlink)
                }
                FileType::Symlink => self.find(name, pinner)?.map(|child| child.kind()),
                FileType::Unknown => self.look(name)?.map(|(_, kind)| kind),
                _ => None,
            };
            let next = Cookie(entry.next_entry_cookie());
            if kind.is_some_and(|kind| !visit(name, kind, next)) {
                break;
            }
        }
        Ok(())
    }

    fn pin(
        &self,
        name: &Name,
        file: HostFile,
        kind: ItemKind,
        location: Location,
        pinner: &Pinner,
    ) -> io::Result<Child> {
        let path = self.path.join(name);
        if path.as_bytes().len() > PATH_BYTES_MAX {
            // Whoever changes directory on the way could go on for ever.
            return Err(Errno::NAMETOOLONG.into());
        }
        let host_path: Arc<Path> = self.host.path().join(&**name).into();
        let budget = &pinner.shared.budget;
        Ok(match kind {
            ItemKind::Directory => Child::Directory(Arc::new(Self::new(
                pinner.shared.next_id(),
                self.id,
                path,
                HostDirectory::new(file.hold(budget), host_path, location),
            ))),
            ItemKind::Symlink => Child::Symlink(Arc::new(Symlink {
                id: pinner.shared.next_id(),
                target: target_of(&file)?.into(),
                uid: file.stamp.uid,
                gid: file.stamp.gid,
                modified: file.stamp.modified,
                touched: Touched::default(),
            })),
            _ => Child::File(pinner.version(file.hold(budget), host_path, location, None)),
        })
    }
}

impl Child {
    pub(crate) fn id(&self) -> ItemId {
        match self {
            Self::Directory(directory) => directory.id,
            Self::File(version) => version.id(),
            Self::Symlink(link) => link.id,
        }
    }

    fn kind(&self) -> ItemKind {
        match self {
            Self::Directory(_) => ItemKind::Directory,
            Self::File(_) => ItemKind::File,
            Self::Symlink(_) => ItemKind::Symlink,
        }
    }

    pub(crate) fn touched(&self) -> &Touched {
        match self {
            Self::Directory(directory) => &directory.touched,
            Self::File(version) => version.touched(),
            Self::Symlink(link) => &link.touched,
        }
    }
}

/// What a symbolic link says.
fn target_of(link: &HostFile) -> io::Result<OsString> {
    let target = rustix::fs::readlinkat(&link.descriptor, c"", Vec::new())?;
    Ok(OsString::from_vec(target.into_bytes()))
}

/// Where an open file is now.
fn real_path(file: impl AsFd) -> io::Result<PathBuf> {
    fs::read_link(format!("/proc/self/fd/{}", file.as_fd().as_raw_fd()))
}

fn absent_or<T>(error: io::Error) -> io::Result<Option<T>> {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Ok(None),
        _ => Err(error),
    }
}

fn is_shown(kind: ItemKind) -> bool {
    matches!(
        kind,
        ItemKind::File | ItemKind::Directory | ItemKind::Symlink
    )
}
