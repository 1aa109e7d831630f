//! A file system in memory that claims every group and serves every byte
//! itself: what a volume without host files can rely on.

use std::collections::{BTreeMap, HashMap};
use std::ffi::{OsStr, OsString};
use std::ops::Range;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use transom_module::{
    Allocation, AttributeChanges, Attributes, Changes, Context, Controls, Cookie, Copies,
    Deactivation, DirectorySink, Entry, Errno, ExtendedAttributes, Io, ItemId, ItemKind, Lifetime,
    Lock, LockKind, LockOwner, Locks, Lookup, Naming, NewItem, NewKind, NewTime, OpenDirectories,
    OpenMode, Opened, PersistentItems, Presence, Region, Regions, Removed, RenameOptions, Reply,
    Result, Space, Synchronization, Synchronize, Timestamp, Volume, VolumeDefinition, WriteMode,
    Writes, list_in_order,
};

/// Granularity of holes, in bytes.
const BLOCK: usize = 4096;
/// The one request of [`Controls`] that is known: tells how many files are
/// open. A read of 8 bytes.
pub(crate) const COUNT_OPEN: u32 = 2 << 30 | 8 << 16 | 0xb5 << 8 | 9;

#[derive(Debug, Default)]
pub(crate) struct Memory {
    tree: Mutex<Tree>,
    locks: Mutex<Vec<(ItemId, LockOwner, Lock)>>,
    name: Mutex<OsString>,
    /// Items handed out and not given back, beyond the root.
    pub(crate) held: AtomicU64,
    pub(crate) open: AtomicU64,
    pub(crate) deactivated: AtomicU64,
    pub(crate) synchronized: AtomicU64,
}

#[derive(Debug)]
struct Tree {
    next: u64,
    inodes: HashMap<ItemId, Inode>,
}

#[derive(Debug, Clone)]
struct Inode {
    attributes: Attributes,
    content: Content,
    extended: BTreeMap<OsString, Vec<u8>>,
}

#[derive(Debug, Clone)]
enum Content {
    Bytes(Vec<u8>),
    Names(BTreeMap<OsString, ItemId>, ItemId),
    Target(OsString),
    Special,
}

impl Default for Tree {
    fn default() -> Self {
        let root = Inode {
            attributes: Attributes::synthetic(ItemId::ROOT, ItemKind::Directory, 0o777),
            content: Content::Names(BTreeMap::new(), ItemId::ROOT),
            extended: BTreeMap::new(),
        };
        Self {
            next: 2,
            inodes: HashMap::from([(ItemId::ROOT, root)]),
        }
    }
}

impl Tree {
    fn get(&mut self, id: ItemId) -> Result<&mut Inode> {
        Ok(self.inodes.get_mut(&id).ok_or(Errno::ESTALE)?)
    }

    fn names(&mut self, id: ItemId) -> Result<&mut BTreeMap<OsString, ItemId>> {
        match &mut self.get(id)?.content {
            Content::Names(names, _) => Ok(names),
            _ => Err(Errno::ENOTDIR.into()),
        }
    }

    fn find(&mut self, directory: ItemId, name: &OsStr) -> Result<Option<ItemId>> {
        Ok(self.names(directory)?.get(name).copied())
    }

    fn is_directory(&mut self, id: ItemId) -> Result<bool> {
        Ok(self.get(id)?.attributes.kind == ItemKind::Directory)
    }

    /// One name of the item is gone.
    fn unlinked(&mut self, id: ItemId) -> Result<()> {
        let attributes = &mut self.get(id)?.attributes;
        attributes.links = match attributes.kind {
            ItemKind::Directory => 0,
            _ => attributes.links - 1,
        };
        Ok(())
    }

    fn bytes(&mut self, id: ItemId) -> Result<(&mut Attributes, &mut Vec<u8>)> {
        let inode = self.get(id)?;
        match &mut inode.content {
            Content::Bytes(bytes) => Ok((&mut inode.attributes, bytes)),
            _ => Err(Errno::EINVAL.into()),
        }
    }

    /// Changes the bytes of a file, and then what follows from it.
    fn edit<T>(&mut self, id: ItemId, work: impl FnOnce(&mut Vec<u8>) -> T) -> Result<T> {
        let (attributes, bytes) = self.bytes(id)?;
        let done = work(bytes);
        attributes.size = bytes.len() as u64;
        attributes.blocks = attributes.size.div_ceil(512);
        attributes.modified = Timestamp::now();
        attributes.changed = attributes.modified;
        Ok(done)
    }
}

impl Memory {
    /// The volume with everything it can do.
    pub(crate) fn define(self) -> VolumeDefinition<Self> {
        VolumeDefinition::new(self)
            .with_allocation()
            .with_changes()
            .with_controls()
            .with_copies()
            .with_deactivation()
            .with_extended_attributes()
            .with_locks()
            .with_naming()
            .with_open_directories()
            .with_persistent_items()
            .with_regions()
            .with_synchronization()
            .with_writes()
    }

    fn tree(&self) -> MutexGuard<'_, Tree> {
        self.tree.lock().unwrap()
    }

    fn entry(&self, tree: &mut Tree, id: ItemId) -> Result<Entry<ItemId>> {
        let attributes = tree.get(id)?.attributes;
        self.held.fetch_add(1, Ordering::Relaxed);
        Ok(Entry::lasting(id, attributes))
    }
}

impl Volume for Memory {
    type Item = ItemId;
    type Handle = OpenMode;

    fn root(&self) -> Result<Entry<ItemId>> {
        self.entry(&mut self.tree(), ItemId::ROOT)
    }

    fn lookup(&self, _: &Context<'_>, directory: &ItemId, name: &OsStr) -> Result<Lookup<ItemId>> {
        let mut tree = self.tree();
        Ok(match tree.find(*directory, name)? {
            Some(id) => Lookup::Found(self.entry(&mut tree, id)?),
            None => Lookup::Absent(Lifetime::FOREVER),
        })
    }

    fn attributes(&self, _: &Context<'_>, item: &ItemId) -> Result<(Attributes, Lifetime)> {
        Ok((self.tree().get(*item)?.attributes, Lifetime::FOREVER))
    }

    fn enumerate(
        &self,
        _: &Context<'_>,
        directory: &ItemId,
        from: Cookie,
        sink: &mut dyn DirectorySink<ItemId>,
    ) -> Result<()> {
        let mut tree = self.tree();
        let names = tree.names(*directory)?.clone();
        let mut entries = vec![
            (OsString::from("."), *directory, ItemKind::Directory),
            (OsString::from(".."), *directory, ItemKind::Directory),
        ];
        for (name, id) in names {
            entries.push((name, id, tree.get(id)?.attributes.kind));
        }
        let entries = entries.iter().map(|(name, id, kind)| (&**name, *id, *kind));
        list_in_order(entries, from, sink);
        Ok(())
    }

    fn open(&self, _: &Context<'_>, item: &ItemId, mode: OpenMode) -> Result<Opened<OpenMode>> {
        if mode.truncate {
            self.tree().edit(*item, Vec::clear)?;
        }
        self.open.fetch_add(1, Ordering::Relaxed);
        Ok(Opened {
            handle: mode,
            io: if mode.direct {
                Io::Direct
            } else {
                Io::Cached { keep: true }
            },
        })
    }

    fn read_link(&self, _: &Context<'_>, item: &ItemId) -> Result<OsString> {
        match &self.tree().get(*item)?.content {
            Content::Target(target) => Ok(target.clone()),
            _ => Err(Errno::EINVAL.into()),
        }
    }

    fn read(
        &self,
        _: &Context<'_>,
        item: &ItemId,
        _: &OpenMode,
        offset: u64,
        buffer: &mut [u8],
    ) -> Result<usize> {
        let mut tree = self.tree();
        let (_, bytes) = tree.bytes(*item)?;
        let rest = bytes.get(offset as usize..).unwrap_or_default();
        let length = rest.len().min(buffer.len());
        buffer[..length].copy_from_slice(&rest[..length]);
        Ok(length)
    }

    fn close(&self, _: OpenMode) {
        self.open.fetch_sub(1, Ordering::Relaxed);
    }

    fn reclaim(&self, _: ItemId) {
        self.held.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Changes for Memory {
    fn set_attributes(
        &self,
        context: &Context<'_>,
        item: &ItemId,
        _: Option<&OpenMode>,
        changes: &AttributeChanges,
    ) -> Result<(Attributes, Lifetime)> {
        let mut tree = self.tree();
        if let Some(size) = changes.size {
            tree.edit(*item, |bytes| bytes.resize(size as usize, 0))?;
        }
        let attributes = &mut tree.get(*item)?.attributes;
        let time = |time: Option<NewTime>, old: Timestamp| match time {
            None => old,
            Some(NewTime::Now) => Timestamp::now(),
            Some(NewTime::At(time)) => time,
        };
        attributes.permissions = changes.permissions.unwrap_or(attributes.permissions);
        attributes.uid = changes.uid.unwrap_or(attributes.uid);
        attributes.gid = changes.gid.unwrap_or(attributes.gid);
        attributes.accessed = time(changes.accessed, attributes.accessed);
        attributes.modified = time(changes.modified, attributes.modified);
        attributes.changed = Timestamp::now();
        if changes.drop_privileges {
            attributes.permissions &= 0o1777;
        }
        drop(tree);
        self.attributes(context, item)
    }

    fn create(
        &self,
        context: &Context<'_>,
        directory: &ItemId,
        name: &OsStr,
        new: &NewItem<'_>,
    ) -> Result<Entry<ItemId>> {
        let mut tree = self.tree();
        if tree.find(*directory, name)?.is_some() {
            return Err(Errno::EEXIST.into());
        }
        let (kind, content) = match new.kind {
            NewKind::File => (ItemKind::File, Content::Bytes(Vec::new())),
            NewKind::Directory => {
                let names = Content::Names(BTreeMap::new(), *directory);
                (ItemKind::Directory, names)
            }
            NewKind::Symlink(target) => (ItemKind::Symlink, Content::Target(target.into())),
            NewKind::Fifo => (ItemKind::Fifo, Content::Special),
            NewKind::Socket => (ItemKind::Socket, Content::Special),
            NewKind::CharacterDevice(_) => (ItemKind::CharacterDevice, Content::Special),
            NewKind::BlockDevice(_) => (ItemKind::BlockDevice, Content::Special),
        };
        let id = ItemId::new(tree.next).unwrap();
        tree.next += 1;
        let mut attributes = Attributes::synthetic(id, kind, new.permissions & !new.umask);
        (attributes.uid, attributes.gid) = (context.caller.uid, context.caller.gid);
        if let Content::Target(target) = &content {
            attributes.size = target.len() as u64;
        }
        let inode = Inode {
            attributes,
            content,
            extended: BTreeMap::new(),
        };
        tree.inodes.insert(id, inode);
        tree.names(*directory)?.insert(name.into(), id);
        self.entry(&mut tree, id)
    }

    fn link(
        &self,
        _: &Context<'_>,
        item: &ItemId,
        directory: &ItemId,
        name: &OsStr,
    ) -> Result<Entry<ItemId>> {
        let mut tree = self.tree();
        if tree.find(*directory, name)?.is_some() {
            return Err(Errno::EEXIST.into());
        }
        tree.names(*directory)?.insert(name.into(), *item);
        tree.get(*item)?.attributes.links += 1;
        self.entry(&mut tree, *item)
    }

    fn remove(
        &self,
        _: &Context<'_>,
        directory: &ItemId,
        name: &OsStr,
        removed: Removed,
    ) -> Result<()> {
        let mut tree = self.tree();
        let id = tree.find(*directory, name)?.ok_or(Errno::ENOENT)?;
        match (removed, tree.is_directory(id)?) {
            (Removed::File, true) => return Err(Errno::EISDIR.into()),
            (Removed::Directory, false) => return Err(Errno::ENOTDIR.into()),
            (Removed::Directory, true) if !tree.names(id)?.is_empty() => {
                return Err(Errno::ENOTEMPTY.into());
            }
            _ => {}
        }
        tree.names(*directory)?.remove(name);
        tree.unlinked(id)
    }

    fn rename(
        &self,
        _: &Context<'_>,
        (from, name): (&ItemId, &OsStr),
        (to, new_name): (&ItemId, &OsStr),
        options: RenameOptions,
    ) -> Result<()> {
        let mut tree = self.tree();
        let moved = tree.find(*from, name)?.ok_or(Errno::ENOENT)?;
        let there = tree.find(*to, new_name)?;
        match there {
            _ if options.whiteout => return Err(Errno::EINVAL.into()),
            Some(_) if options.no_replace => return Err(Errno::EEXIST.into()),
            None if options.exchange => return Err(Errno::ENOENT.into()),
            Some(there) if options.exchange => {
                tree.names(*from)?.insert(name.into(), there);
            }
            // Two names of one item: nothing happens.
            Some(there) if there == moved => return Ok(()),
            Some(there) => {
                if tree.is_directory(there)? && !tree.names(there)?.is_empty() {
                    return Err(Errno::ENOTEMPTY.into());
                }
                tree.unlinked(there)?;
                tree.names(*from)?.remove(name);
            }
            None => {
                tree.names(*from)?.remove(name);
            }
        }
        tree.names(*to)?.insert(new_name.into(), moved);
        Ok(())
    }
}

impl Writes for Memory {
    fn write(
        &self,
        _: &Context<'_>,
        item: &ItemId,
        _: &OpenMode,
        offset: u64,
        data: &[u8],
        mode: WriteMode,
    ) -> Result<usize> {
        self.tree().edit(*item, |bytes| {
            let at = if mode.append {
                bytes.len()
            } else {
                offset as usize
            };
            let end = at + data.len();
            bytes.resize(bytes.len().max(end), 0);
            bytes[at..end].copy_from_slice(data);
        })?;
        Ok(data.len())
    }
}

impl Allocation for Memory {
    fn allocate(
        &self,
        _: &Context<'_>,
        item: &ItemId,
        _: &OpenMode,
        what: Space,
        range: Range<u64>,
    ) -> Result<()> {
        let (start, end) = (range.start as usize, range.end as usize);
        self.tree().edit(*item, |bytes| match what {
            Space::Reserve { keep_size: true } => Ok(()),
            Space::Reserve { keep_size: false } => {
                bytes.resize(bytes.len().max(end), 0);
                Ok(())
            }
            Space::Punch | Space::Zero { keep_size: true } => {
                let length = bytes.len();
                bytes[start.min(length)..end.min(length)].fill(0);
                Ok(())
            }
            _ => Err(Errno::EOPNOTSUPP.into()),
        })?
    }
}

impl Regions for Memory {
    fn seek(
        &self,
        _: &Context<'_>,
        item: &ItemId,
        _: &OpenMode,
        offset: u64,
        region: Region,
    ) -> Result<u64> {
        let mut tree = self.tree();
        let (_, bytes) = tree.bytes(*item)?;
        let offset = offset as usize;
        if offset >= bytes.len() {
            return Err(Errno::ENXIO.into());
        }
        let is_hole = |at: usize| {
            let start = at / BLOCK * BLOCK;
            let block = &bytes[start..(start + BLOCK).min(bytes.len())];
            block.iter().all(|byte| *byte == 0)
        };
        let mut at = offset;
        while at < bytes.len() {
            if is_hole(at) == (region == Region::Hole) {
                return Ok(at as u64);
            }
            at = (at / BLOCK + 1) * BLOCK;
        }
        match region {
            Region::Hole => Ok(bytes.len() as u64),
            Region::Data => Err(Errno::ENXIO.into()),
        }
    }
}

impl Copies for Memory {
    fn copy_range(
        &self,
        _: &Context<'_>,
        (from, _, offset): (&ItemId, &OpenMode, u64),
        (to, _, to_offset): (&ItemId, &OpenMode, u64),
        length: u64,
    ) -> Result<u64> {
        let mut tree = self.tree();
        let (_, bytes) = tree.bytes(*from)?;
        let rest = bytes.get(offset as usize..).unwrap_or_default();
        let part = rest[..rest.len().min(length as usize)].to_vec();
        tree.edit(*to, |bytes| {
            let (at, end) = (to_offset as usize, to_offset as usize + part.len());
            bytes.resize(bytes.len().max(end), 0);
            bytes[at..end].copy_from_slice(&part);
        })?;
        Ok(part.len() as u64)
    }
}

impl Synchronization for Memory {
    fn synchronize_item(
        &self,
        context: &Context<'_>,
        _: &ItemId,
        _: &OpenMode,
        _: Synchronize,
    ) -> Result<()> {
        self.synchronize(context)
    }

    fn synchronize(&self, _: &Context<'_>) -> Result<()> {
        self.synchronized.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

impl ExtendedAttributes for Memory {
    fn get_attribute(&self, _: &Context<'_>, item: &ItemId, name: &OsStr) -> Result<Vec<u8>> {
        let mut tree = self.tree();
        let value = tree.get(*item)?.extended.get(name);
        Ok(value.ok_or(Errno::ENODATA)?.clone())
    }

    fn list_attributes(&self, _: &Context<'_>, item: &ItemId) -> Result<Vec<u8>> {
        let mut tree = self.tree();
        let names = tree.get(*item)?.extended.keys();
        Ok(names
            .flat_map(|name| [name.as_bytes(), b"\0"].concat())
            .collect())
    }

    fn set_attribute(
        &self,
        _: &Context<'_>,
        item: &ItemId,
        name: &OsStr,
        value: &[u8],
        presence: Presence,
    ) -> Result<()> {
        let mut tree = self.tree();
        let extended = &mut tree.get(*item)?.extended;
        match (presence, extended.contains_key(name)) {
            (Presence::MustNotExist, true) => return Err(Errno::EEXIST.into()),
            (Presence::MustExist, false) => return Err(Errno::ENODATA.into()),
            _ => extended.insert(name.into(), value.into()),
        };
        Ok(())
    }

    fn remove_attribute(&self, _: &Context<'_>, item: &ItemId, name: &OsStr) -> Result<()> {
        let mut tree = self.tree();
        let removed = tree.get(*item)?.extended.remove(name);
        Ok(removed.map(drop).ok_or(Errno::ENODATA)?)
    }
}

impl OpenDirectories for Memory {
    fn open_directory(&self, _: &Context<'_>, _: &ItemId) -> Result<OpenMode> {
        self.open.fetch_add(1, Ordering::Relaxed);
        Ok(OpenMode::default())
    }

    fn enumerate_open(
        &self,
        context: &Context<'_>,
        directory: &ItemId,
        _: &OpenMode,
        from: Cookie,
        sink: &mut dyn DirectorySink<ItemId>,
    ) -> Result<()> {
        self.enumerate(context, directory, from, sink)
    }
}

impl Deactivation for Memory {
    fn deactivate(&self, _: &ItemId) {
        self.deactivated.fetch_add(1, Ordering::Relaxed);
    }
}

impl Naming for Memory {
    fn name(&self, _: &Context<'_>) -> Result<OsString> {
        Ok(self.name.lock().unwrap().clone())
    }

    fn set_name(&self, _: &Context<'_>, name: &OsStr) -> Result<()> {
        *self.name.lock().unwrap() = OsString::from_vec(name.as_bytes().to_vec());
        Ok(())
    }
}

impl PersistentItems for Memory {
    fn by_id(&self, _: &Context<'_>, id: ItemId) -> Result<Entry<ItemId>> {
        self.entry(&mut self.tree(), id)
    }

    fn parent(&self, _: &Context<'_>, directory: &ItemId) -> Result<Entry<ItemId>> {
        let mut tree = self.tree();
        let parent = match &tree.get(*directory)?.content {
            Content::Names(_, parent) => *parent,
            _ => return Err(Errno::ENOTDIR.into()),
        };
        self.entry(&mut tree, parent)
    }
}

impl Controls for Memory {
    fn control(
        &self,
        _: &Context<'_>,
        _: &ItemId,
        _: Option<&OpenMode>,
        command: u32,
        _: &[u8],
        _: usize,
    ) -> Result<Reply> {
        match command {
            COUNT_OPEN => Ok(Reply {
                value: 0,
                data: self.open.load(Ordering::Relaxed).to_ne_bytes().to_vec(),
            }),
            _ => Err(Errno::ENOTTY.into()),
        }
    }
}

impl Locks for Memory {
    fn conflicting_lock(
        &self,
        _: &Context<'_>,
        item: &ItemId,
        _: &OpenMode,
        owner: LockOwner,
        wanted: Lock,
    ) -> Result<Option<Lock>> {
        let locks = self.locks.lock().unwrap();
        let conflict = |held: &&(ItemId, LockOwner, Lock)| {
            held.0 == *item
                && held.1 != owner
                && held.2.start <= wanted.last
                && wanted.start <= held.2.last
                && [held.2.kind, wanted.kind].contains(&LockKind::Exclusive)
        };
        Ok(locks.iter().find(conflict).map(|held| held.2))
    }

    /// Ranges are given back as they were taken: enough for a test.
    fn lock(
        &self,
        context: &Context<'_>,
        item: &ItemId,
        handle: &OpenMode,
        owner: LockOwner,
        wanted: Lock,
        wait: bool,
    ) -> Result<()> {
        let is_inside = |held: &Lock| wanted.start <= held.start && held.last <= wanted.last;
        loop {
            if wanted.kind == LockKind::Unlocked {
                let mut locks = self.locks.lock().unwrap();
                locks.retain(|held| (held.0, held.1) != (*item, owner) || !is_inside(&held.2));
                return Ok(());
            }
            if self
                .conflicting_lock(context, item, handle, owner, wanted)?
                .is_none()
            {
                self.locks.lock().unwrap().push((*item, owner, wanted));
                return Ok(());
            }
            if !wait {
                return Err(Errno::EAGAIN.into());
            }
            if context.is_cancelled() {
                return Err(Errno::EINTR.into());
            }
            thread::sleep(Duration::from_millis(1));
        }
    }
}
