use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::sync::{Arc, Mutex};

use rustix::fs::{OFlags, Statx};
use transom_module::{
    Attributes, Backing, Context, Cookie, DirectorySink, Entry, Errno, Io, ItemKind, Lifetime,
    Lookup, OpenMode, Opened, Result, StatFs, Volume,
};

use crate::directories::Listing;
use crate::host::{self, refused, reopen};
use crate::item::{Item, Numbering};
use crate::persistent_items::Forgotten;
use crate::source::Shared;

/// A directory of the host as a volume.
#[derive(Debug)]
pub struct Passthrough {
    pub(crate) source: Arc<Shared>,
    pub(crate) numbering: Numbering,
    pub(crate) forgotten: Forgotten,
}

/// Something that is open.
#[derive(Debug)]
pub enum Handle {
    /// A file. Who serves the volume has it open, if anybody does.
    File,
    /// A directory that is listed.
    Directory(Mutex<Listing>),
}

impl Passthrough {
    /// A volume of host files wherever they are, each of which is
    /// [adopted](Self::adopt) by whoever has it open. Its root is the directory
    /// `root`, opened with `O_PATH`: items on the same device have the ids that
    /// are their inode numbers, and [`statfs`](Volume::statfs) tells of its
    /// file system.
    pub fn of_adopted(root: OwnedFd, lifetime: Lifetime) -> Result<Self> {
        Self::new(Arc::new(Shared::at(root, false, lifetime)?))
    }

    /// The item of a host file that was opened with `O_PATH`. What is done to
    /// it, and below it, is done to the host through that descriptor.
    pub fn adopt(&self, file: impl Into<Arc<OwnedFd>>) -> Result<Entry<Item>> {
        self.entry(file)
    }

    pub(crate) fn new(source: Arc<Shared>) -> Result<Self> {
        let root = host::stat(&source.root)?;
        Ok(Self {
            numbering: Numbering::new(host::device_of(&root), root.stx_ino),
            forgotten: Forgotten::default(),
            source,
        })
    }

    /// What `name` stands for; `ENOENT` if for nothing.
    pub(crate) fn find(&self, directory: &Item, name: &OsStr) -> Result<Entry<Item>> {
        self.entry(host::open_name(&directory.descriptor, name)?)
    }

    /// What is to be said of a file that was found, opened with `O_PATH`.
    pub(crate) fn entry(&self, descriptor: impl Into<Arc<OwnedFd>>) -> Result<Entry<Item>> {
        let descriptor = descriptor.into();
        let stat = host::stat(&descriptor)?;
        self.entry_of(descriptor, &stat)
    }

    /// The same of a file whose attributes are known.
    pub(crate) fn entry_of(&self, descriptor: Arc<OwnedFd>, stat: &Statx) -> Result<Entry<Item>> {
        let device = host::device_of(stat);
        let id = self.numbering.id(device, stat.stx_ino)?;
        let attributes = host::attributes(stat, id)?;
        let layout = self.source.layout;
        let generation = layout.and_then(|layout| layout.generation(&descriptor, stat));
        Ok(Entry {
            attributes,
            generation: generation.unwrap_or(0).into(),
            name_lifetime: self.source.lifetime,
            attributes_lifetime: self.source.lifetime,
            item: Item {
                descriptor,
                id,
                kind: attributes.kind,
                device,
                generation,
            },
        })
    }

    /// Attributes as they are now.
    pub(crate) fn current(&self, item: &Item) -> Result<Attributes> {
        host::attributes(&host::stat(&item.descriptor)?, item.id)
    }
}

impl Volume for Passthrough {
    type Item = Item;
    type Handle = Handle;

    fn root(&self) -> Result<Entry<Item>> {
        self.entry(self.source.root.clone())
    }

    fn lookup(&self, _: &Context<'_>, directory: &Item, name: &OsStr) -> Result<Lookup<Item>> {
        match self.find(directory, name) {
            Ok(entry) => Ok(Lookup::Found(entry)),
            Err(error) if error.errno() == Errno::ENOENT => {
                Ok(Lookup::Absent(self.source.lifetime))
            }
            Err(error) => Err(error),
        }
    }

    fn attributes(&self, _: &Context<'_>, item: &Item) -> Result<(Attributes, Lifetime)> {
        Ok((self.current(item)?, self.source.lifetime))
    }

    fn enumerate(
        &self,
        _: &Context<'_>,
        directory: &Item,
        from: Cookie,
        sink: &mut dyn DirectorySink<Item>,
    ) -> Result<()> {
        self.list(directory, &mut Listing::open(directory)?, from, sink)
    }

    fn open(&self, _: &Context<'_>, item: &Item, mode: OpenMode) -> Result<Opened<Handle>> {
        match item.kind {
            ItemKind::File => {}
            ItemKind::Directory => return Err(Errno::EISDIR.into()),
            ItemKind::Symlink => return Err(Errno::ELOOP.into()),
            _ => return Err(Errno::ENXIO.into()),
        }
        if (mode.write || mode.truncate) && self.source.read_only {
            return Err(Errno::EROFS.into());
        }
        if mode.truncate {
            reopen(&item.descriptor, OFlags::WRONLY | OFlags::TRUNC)?;
        }
        if mode.drop_privileges {
            self.drop_privileges(item)?;
        }
        Ok(Opened {
            handle: Handle::File,
            io: Io::Passthrough(Backing::new(item.descriptor.clone())),
        })
    }

    fn read_link(&self, _: &Context<'_>, item: &Item) -> Result<OsString> {
        // The empty path stands for the link that the descriptor is of.
        let target = rustix::fs::readlinkat(&item.descriptor, c"", Vec::new());
        Ok(OsString::from_vec(target.map_err(refused)?.into_bytes()))
    }

    fn reclaim(&self, item: Item) {
        self.forgotten.remember(&item);
    }

    fn statfs(&self) -> Result<StatFs> {
        let host = rustix::fs::fstatvfs(self.source.root.as_fd()).map_err(refused)?;
        Ok(StatFs {
            block_size: u32::try_from(host.f_frsize).unwrap_or(u32::MAX),
            blocks: host.f_blocks,
            blocks_free: host.f_bfree,
            blocks_available: host.f_bavail,
            items: host.f_files,
            items_free: host.f_ffree,
            name_bytes_max: u32::try_from(host.f_namemax).unwrap_or(u32::MAX),
        })
    }
}
