//! A sub-volume as something to mount: a directory with the content as a file.
//!
//! Nothing of the content is kept in the page cache of the mount, so that it
//! shows the same bytes as a disk that is published of the same sub-volume at
//! the same time.

use std::ffi::OsStr;
use std::ops::Range;
use std::sync::Arc;

use transom_module::{
    Allocation, Attributes, Context, Cookie, DirectorySink, Entry, Errno, Error, Io, ItemId,
    ItemKind, Lifetime, Lookup, OpenMode, Opened, Result, Space, StatFs, Synchronization,
    Synchronize, Volume, VolumeDefinition, WriteMode, Writes, list_in_order,
};

use crate::layout::BLOCK_BYTES;
use crate::sub_volume::SubVolume;

/// A directory with the files `content` and `description`.
#[derive(Debug)]
pub struct Tree {
    volume: Arc<SubVolume>,
    /// Of the content, which belongs to whom the members belong: who could read
    /// and write it there can here.
    uid: u32,
    gid: u32,
    permissions: u16,
}

/// What is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Item {
    /// The directory.
    Root,
    /// The bytes of the sub-volume.
    Content,
    /// What it is and where it lies, for people.
    Description,
}

const FILES: [(&str, Item); 2] = [
    ("content", Item::Content),
    ("description", Item::Description),
];

impl Item {
    fn id(self) -> ItemId {
        let number = match self {
            Self::Root => return ItemId::ROOT,
            Self::Content => 2,
            Self::Description => 3,
        };
        ItemId::new(number).unwrap_or(ItemId::ROOT)
    }

    fn kind(self) -> ItemKind {
        match self {
            Self::Root => ItemKind::Directory,
            _ => ItemKind::File,
        }
    }
}

impl Tree {
    pub(crate) fn definition(volume: Arc<SubVolume>) -> Result<VolumeDefinition<Self>> {
        let (mut uid, mut gid, mut permissions) = (0, 0, 0o666);
        for (_, member) in volume.members().present() {
            let status = member.status()?;
            (uid, gid) = (status.st_uid, status.st_gid);
            permissions &= status.st_mode as u16;
        }
        let tree = Self {
            volume,
            uid,
            gid,
            permissions,
        };
        let mut definition = VolumeDefinition::new(tree)
            .with_allocation()
            .with_synchronization()
            .with_writes();
        definition.stateless_directories = true;
        Ok(definition)
    }

    fn attributes_of(&self, item: Item) -> Attributes {
        let (permissions, size) = match item {
            Item::Root => (0o555, 0),
            Item::Content => (self.permissions, self.volume.bytes()),
            Item::Description => (0o444, self.volume.description().len() as u64),
        };
        let modified = self.volume.modified();
        Attributes {
            uid: self.uid,
            gid: self.gid,
            size,
            blocks: size.div_ceil(512),
            accessed: modified,
            modified,
            changed: modified,
            ..Attributes::synthetic(item.id(), item.kind(), permissions)
        }
    }

    /// The size changes at run time, so it is asked for each time.
    fn entry(&self, item: Item) -> Entry<Item> {
        Entry {
            attributes_lifetime: Lifetime::NONE,
            ..Entry::lasting(item, self.attributes_of(item))
        }
    }

    /// How much of so many bytes is before the end of the content.
    fn room(&self, offset: u64, length: usize) -> usize {
        let rest = self.volume.bytes().saturating_sub(offset);
        usize::try_from(rest).map_or(length, |rest| rest.min(length))
    }
}

impl Volume for Tree {
    type Item = Item;
    type Handle = ();

    fn root(&self) -> Result<Entry<Item>> {
        Ok(self.entry(Item::Root))
    }

    fn lookup(&self, _: &Context<'_>, directory: &Item, name: &OsStr) -> Result<Lookup<Item>> {
        if *directory != Item::Root {
            return Err(Errno::ENOTDIR.into());
        }
        let found = FILES.iter().find(|(known, _)| name == *known);
        Ok(
            found.map_or(Lookup::Absent(Lifetime::FOREVER), |(_, item)| {
                Lookup::Found(self.entry(*item))
            }),
        )
    }

    fn attributes(&self, _: &Context<'_>, item: &Item) -> Result<(Attributes, Lifetime)> {
        Ok((self.attributes_of(*item), Lifetime::NONE))
    }

    fn enumerate(
        &self,
        _: &Context<'_>,
        _: &Item,
        from: Cookie,
        sink: &mut dyn DirectorySink<Item>,
    ) -> Result<()> {
        let dots = [(".", Item::Root), ("..", Item::Root)];
        let entries = dots.into_iter().chain(FILES);
        let entries = entries.map(|(name, item)| (OsStr::new(name), item.id(), item.kind()));
        list_in_order(entries, from, sink);
        Ok(())
    }

    fn open(&self, _: &Context<'_>, item: &Item, mode: OpenMode) -> Result<Opened<()>> {
        if mode.write && *item == Item::Description {
            return Err(Errno::EPERM.into());
        }
        if mode.write && self.volume.members().read_only() {
            return Err(Errno::EROFS.into());
        }
        // As an error, since nobody would expect the old content afterwards.
        if mode.truncate {
            let message = "the size of `content` is that of the volume, and changes only with it";
            return Err(Error::new(Errno::EPERM, message));
        }
        Ok(Opened {
            handle: (),
            io: Io::Direct,
        })
    }

    fn read(
        &self,
        _: &Context<'_>,
        item: &Item,
        (): &(),
        offset: u64,
        buffer: &mut [u8],
    ) -> Result<usize> {
        if *item == Item::Description {
            let text = self.volume.description();
            let start = usize::try_from(offset).unwrap_or(usize::MAX);
            let rest = text.as_bytes().get(start..).unwrap_or_default();
            let length = rest.len().min(buffer.len());
            buffer[..length].copy_from_slice(&rest[..length]);
            return Ok(length);
        }
        let length = self.room(offset, buffer.len());
        self.volume.read_content(offset, &mut buffer[..length])?;
        Ok(length)
    }

    fn statfs(&self) -> Result<StatFs> {
        Ok(StatFs {
            block_size: BLOCK_BYTES as u32,
            blocks: self.volume.bytes() / BLOCK_BYTES,
            items: FILES.len() as u64 + 1,
            name_bytes_max: 255,
            ..StatFs::default()
        })
    }
}

impl Writes for Tree {
    /// `ENOSPC` at the end, as of a disk.
    fn write(
        &self,
        _: &Context<'_>,
        _: &Item,
        (): &(),
        offset: u64,
        data: &[u8],
        mode: WriteMode,
    ) -> Result<usize> {
        let offset = if mode.append {
            self.volume.bytes()
        } else {
            offset
        };
        let length = self.room(offset, data.len());
        if length == 0 && !data.is_empty() {
            return Err(Errno::ENOSPC.into());
        }
        self.volume.write_content(offset, &data[..length])?;
        Ok(length)
    }
}

impl Synchronization for Tree {
    fn synchronize_item(&self, _: &Context<'_>, _: &Item, (): &(), _: Synchronize) -> Result<()> {
        self.volume.flush_content()
    }

    fn synchronize(&self, _: &Context<'_>) -> Result<()> {
        self.volume.flush_content()
    }
}

impl Allocation for Tree {
    fn allocate(
        &self,
        _: &Context<'_>,
        _: &Item,
        (): &(),
        what: Space,
        range: Range<u64>,
    ) -> Result<()> {
        let end = range.end.min(self.volume.bytes());
        let is_inside = range.end == end;
        match what {
            Space::Punch | Space::Zero { keep_size: true } if range.start < end => {
                self.volume.zero_content(range.start..end)
            }
            Space::Punch | Space::Zero { keep_size: true } => Ok(()),
            Space::Zero { keep_size: false } if is_inside => self.volume.zero_content(range),
            Space::Reserve { keep_size } if is_inside || keep_size => Ok(()),
            Space::Zero { .. } | Space::Reserve { .. } => Err(Errno::ENOSPC.into()),
            Space::Collapse | Space::Insert | Space::Unshare => Err(Errno::EOPNOTSUPP.into()),
        }
    }
}
