//! How items of a projection look in `stat(2)`.

use std::ffi::OsStr;

use transom_module::{Attributes, ItemId, ItemKind, Timestamp};

use crate::Version;
use crate::shared::Shared;
use crate::whole::{Symlink, WholeDirectory};

/// Directories do not count their names. A count of two would promise that
/// there is no directory inside, and tools such as `find` and `fts(3)` would
/// believe it; one means "not counted", as on btrfs.
const DIRECTORY_LINKS: u32 = 1;

/// Permissions of a directory that the view itself has: it cannot be written.
const DIRECTORY_PERMISSIONS: u16 = 0o555;

impl Shared {
    /// A directory of the view's own.
    pub(crate) fn directory_attributes(&self, id: ItemId, made: Timestamp) -> Attributes {
        let attributes = Attributes::synthetic(id, ItemKind::Directory, DIRECTORY_PERMISSIONS);
        self.shown(Attributes {
            links: DIRECTORY_LINKS,
            ..at(attributes, made, made)
        })
    }

    /// A host directory, with the host's owner, permissions and times.
    pub(crate) fn whole_attributes(&self, directory: &WholeDirectory) -> Attributes {
        let stamp = directory.host.stamp();
        let attributes =
            Attributes::synthetic(directory.id, ItemKind::Directory, permissions(stamp.mode));
        self.shown(Attributes {
            links: DIRECTORY_LINKS,
            uid: stamp.uid,
            gid: stamp.gid,
            size: stamp.size,
            blocks: blocks(stamp.size),
            ..at(attributes, stamp.modified, stamp.changed)
        })
    }

    /// A host file, with the host's owner and times. It has one name as far as
    /// the action is concerned.
    pub(crate) fn file_attributes(&self, version: &Version) -> Attributes {
        let stamp = version.stamp();
        let attributes = Attributes::synthetic(version.id(), ItemKind::File, version.permissions());
        self.shown(Attributes {
            uid: stamp.uid,
            gid: stamp.gid,
            size: stamp.size,
            blocks: blocks(stamp.size),
            ..at(attributes, stamp.modified, stamp.changed)
        })
    }

    pub(crate) fn symlink_attributes(&self, link: &Symlink) -> Attributes {
        let attributes = Attributes::synthetic(link.id, ItemKind::Symlink, 0o777);
        self.shown(Attributes {
            uid: link.uid,
            gid: link.gid,
            size: OsStr::len(&link.target) as u64,
            ..at(attributes, link.modified, link.modified)
        })
    }

    fn shown(&self, attributes: Attributes) -> Attributes {
        let Some(owners) = &self.owners else {
            return attributes;
        };
        let (uid, gid) = owners.shown(attributes.uid, attributes.gid);
        Attributes {
            uid,
            gid,
            ..attributes
        }
    }
}

/// A view does not keep track of accesses: what was never written was last
/// read when it was written.
fn at(attributes: Attributes, modified: Timestamp, changed: Timestamp) -> Attributes {
    Attributes {
        accessed: modified,
        modified,
        changed,
        ..attributes
    }
}

fn permissions(mode: u32) -> u16 {
    u16::try_from(mode & 0o7777).expect("masked to 12 bits")
}

fn blocks(size: u64) -> u64 {
    size.div_ceil(512)
}
