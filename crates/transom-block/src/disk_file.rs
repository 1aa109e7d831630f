//! A directory with one file in it: the content of a block volume.
//!
//! Whoever has the file open is the kernel's loop driver, and nobody else. It
//! flushes by `fsync`, and both discards and writes zeroes by punching holes: it
//! does not tell which, so a hole is always written as zeroes.

use std::ffi::OsStr;
use std::ops::Range;
use std::sync::{Arc, PoisonError, RwLock};

use transom_module::{
    Allocation, Attributes, Backing, BlockVolume, Context, Cookie, DirectorySink, Entry, Errno,
    Geometry, Io, ItemId, ItemKind, Lifetime, Lookup, OpenMode, Opened, Result, Space, StatFs,
    Synchronization, Synchronize, Volume, VolumeDefinition, WriteMode, Writes, list_in_order,
};

use crate::extent;

/// What there is in the volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Item {
    Root,
    Content,
}

impl Item {
    pub(crate) fn id(self) -> ItemId {
        match self {
            Self::Root => ItemId::ROOT,
            Self::Content => const { ItemId::new(2).unwrap() },
        }
    }
}

/// A volume with one file.
pub(crate) struct DiskFile {
    name: String,
    /// `None` when it was withdrawn, and the file has no content any more.
    volume: RwLock<Option<Arc<dyn BlockVolume>>>,
    passthrough: bool,
}

impl DiskFile {
    /// With `passthrough`, the kernel is offered the host file that has the
    /// content, if there is one.
    pub(crate) fn define(
        name: &str,
        volume: Arc<dyn BlockVolume>,
        passthrough: bool,
    ) -> VolumeDefinition<Self> {
        let file = Self {
            name: name.into(),
            volume: RwLock::new(Some(volume)),
            passthrough,
        };
        let mut definition = VolumeDefinition::new(file)
            .with_allocation()
            .with_synchronization()
            .with_writes();
        definition.stateless_directories = true;
        definition
    }

    /// Lets go of the volume: from now on its file cannot be read or written,
    /// but by the kernel through passthrough.
    pub(crate) fn withdraw(&self) {
        *self.volume.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// The host file that has the content, if the kernel is offered it.
    pub(crate) fn backing(&self) -> Option<Backing> {
        self.volume().ok()?.backing().filter(|_| self.passthrough)
    }

    fn volume(&self) -> Result<Arc<dyn BlockVolume>> {
        let volume = self.volume.read().unwrap_or_else(PoisonError::into_inner);
        Ok(volume.clone().ok_or(Errno::EIO)?)
    }

    fn entry(&self, item: Item) -> Entry<Item> {
        let (kind, permissions) = match item {
            Item::Root => (ItemKind::Directory, 0o500),
            Item::Content => (ItemKind::File, 0o600),
        };
        let mut attributes = Attributes::synthetic(item.id(), kind, permissions);
        if item == Item::Content
            && let Ok(volume) = self.volume()
        {
            let geometry = volume.geometry();
            attributes.size = geometry.bytes;
            attributes.block_size = geometry.preferred_bytes;
        }
        Entry::lasting(item, attributes)
    }

    fn change(&self, offset: u64, length: u64) -> Result<(Arc<dyn BlockVolume>, Range<u64>)> {
        let volume = self.volume()?;
        let geometry = volume.geometry();
        if geometry.read_only {
            return Err(Errno::EROFS.into());
        }
        let range = extent::part(&geometry, offset, length).map_err(Errno::from)?;
        Ok((volume, range))
    }
}

impl Volume for DiskFile {
    type Item = Item;
    type Handle = ();

    fn root(&self) -> Result<Entry<Item>> {
        Ok(self.entry(Item::Root))
    }

    fn lookup(&self, _: &Context<'_>, _: &Item, name: &OsStr) -> Result<Lookup<Item>> {
        Ok(match name == self.name.as_str() {
            true => Lookup::Found(self.entry(Item::Content)),
            false => Lookup::Absent(Lifetime::FOREVER),
        })
    }

    fn attributes(&self, _: &Context<'_>, item: &Item) -> Result<(Attributes, Lifetime)> {
        Ok((self.entry(*item).attributes, Lifetime::FOREVER))
    }

    fn enumerate(
        &self,
        _: &Context<'_>,
        _: &Item,
        from: Cookie,
        sink: &mut dyn DirectorySink<Item>,
    ) -> Result<()> {
        let entries = [
            (".", Item::Root.id(), ItemKind::Directory),
            ("..", Item::Root.id(), ItemKind::Directory),
            (self.name.as_str(), Item::Content.id(), ItemKind::File),
        ];
        let entries = entries.map(|(name, id, kind)| (OsStr::new(name), id, kind));
        list_in_order(entries, from, sink);
        Ok(())
    }

    fn open(&self, _: &Context<'_>, _: &Item, mode: OpenMode) -> Result<Opened<()>> {
        if mode.write && self.volume()?.geometry().read_only {
            return Err(Errno::EROFS.into());
        }
        // The loop device has a page cache of its own; a second one would only
        // take memory.
        let io = self.backing().map_or(Io::Direct, Io::Passthrough);
        Ok(Opened { handle: (), io })
    }

    fn read(
        &self,
        _: &Context<'_>,
        _: &Item,
        (): &(),
        offset: u64,
        buffer: &mut [u8],
    ) -> Result<usize> {
        let volume = self.volume()?;
        let geometry = volume.geometry();
        let rest = geometry.bytes.saturating_sub(offset);
        let length = usize::try_from(rest).map_or(buffer.len(), |rest| rest.min(buffer.len()));
        extent::part(&geometry, offset, length as u64).map_err(Errno::from)?;
        volume.read(offset, &mut buffer[..length])?;
        Ok(length)
    }

    fn statfs(&self) -> Result<StatFs> {
        let Geometry {
            bytes,
            preferred_bytes,
            ..
        } = self.volume()?.geometry();
        Ok(StatFs {
            // What the kernel takes for the unit of discarding.
            block_size: preferred_bytes,
            blocks: bytes / u64::from(preferred_bytes.max(1)),
            name_bytes_max: 255,
            ..StatFs::default()
        })
    }
}

impl Writes for DiskFile {
    fn write(
        &self,
        _: &Context<'_>,
        _: &Item,
        (): &(),
        offset: u64,
        data: &[u8],
        _: WriteMode,
    ) -> Result<usize> {
        let (volume, _) = self.change(offset, data.len() as u64)?;
        volume.write(offset, data)?;
        Ok(data.len())
    }
}

impl Synchronization for DiskFile {
    fn synchronize_item(
        &self,
        context: &Context<'_>,
        _: &Item,
        (): &(),
        _: Synchronize,
    ) -> Result<()> {
        self.synchronize(context)
    }

    fn synchronize(&self, _: &Context<'_>) -> Result<()> {
        self.volume()?.flush()
    }
}

impl Allocation for DiskFile {
    fn allocate(
        &self,
        _: &Context<'_>,
        _: &Item,
        (): &(),
        what: Space,
        range: Range<u64>,
    ) -> Result<()> {
        let (volume, range) = self.change(range.start, range.end - range.start)?;
        match what {
            Space::Punch if volume.geometry().discards => volume.write_zeroes(range),
            Space::Zero { .. } => volume.write_zeroes(range),
            // The kernel writes zeroes itself, where it needs them.
            _ => Err(Errno::EOPNOTSUPP.into()),
        }
    }
}
