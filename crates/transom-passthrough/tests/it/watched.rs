//! A passthrough volume that counts its items, and some of whose files hang.

use std::ffi::{OsStr, OsString};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use transom_module::{
    AttributeChanges, Attributes, Changes, Context, Cookie, Created, DirectoryEntry, DirectorySink,
    Entry, Errno, ExtendedAttributes, Lifetime, Lookup, NewItem, OpenDirectories, OpenMode, Opened,
    Presence, Removed, RenameOptions, Result, StatFs, Synchronization, Synchronize, Volume,
    VolumeDefinition,
};
use transom_passthrough::{Handle, Item, Passthrough};

/// To look this name up takes until the request is given up.
pub(crate) const HANGS: &str = "hangs";

#[derive(Debug)]
pub(crate) struct Watched {
    volume: Passthrough,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
pub(crate) struct Counts {
    handed_out: AtomicU64,
    reclaimed: AtomicU64,
    hanging: AtomicU64,
}

impl Counts {
    pub(crate) fn handed_out(&self) -> u64 {
        self.handed_out.load(Ordering::SeqCst)
    }

    pub(crate) fn reclaimed(&self) -> u64 {
        self.reclaimed.load(Ordering::SeqCst)
    }

    /// Handlers that hang at this moment.
    pub(crate) fn hanging(&self) -> u64 {
        self.hanging.load(Ordering::SeqCst)
    }

    fn one_more(&self) {
        self.handed_out.fetch_add(1, Ordering::SeqCst);
    }
}

impl Watched {
    pub(crate) fn watch(volume: Passthrough) -> (VolumeDefinition<Self>, Arc<Counts>) {
        let counts = Arc::new(Counts::default());
        let watched = Self {
            volume,
            counts: Arc::clone(&counts),
        };
        let mut definition = VolumeDefinition::new(watched)
            .with_changes()
            .with_extended_attributes()
            .with_open_directories()
            .with_synchronization();
        definition.changed_by_others = true;
        (definition, counts)
    }

    fn counted(&self, entry: Result<Entry<Item>>) -> Result<Entry<Item>> {
        entry.inspect(|_| self.counts.one_more())
    }

    fn counted_open(&self, made: Result<Created<Item, Handle>>) -> Result<Created<Item, Handle>> {
        made.inspect(|_| self.counts.one_more())
    }
}

impl Volume for Watched {
    type Item = Item;
    type Handle = Handle;

    fn root(&self) -> Result<Entry<Item>> {
        self.counted(self.volume.root())
    }

    fn lookup(&self, context: &Context<'_>, at: &Item, name: &OsStr) -> Result<Lookup<Item>> {
        if name == HANGS {
            self.counts.hanging.fetch_add(1, Ordering::SeqCst);
            while !context.is_cancelled() {
                thread::sleep(Duration::from_millis(1));
            }
            self.counts.hanging.fetch_sub(1, Ordering::SeqCst);
            return Err(Errno::EINTR.into());
        }
        let found = self.volume.lookup(context, at, name);
        if let Ok(Lookup::Found(_)) = found {
            self.counts.one_more();
        }
        found
    }

    fn attributes(&self, context: &Context<'_>, item: &Item) -> Result<(Attributes, Lifetime)> {
        self.volume.attributes(context, item)
    }

    fn enumerate(
        &self,
        context: &Context<'_>,
        directory: &Item,
        from: Cookie,
        sink: &mut dyn DirectorySink<Item>,
    ) -> Result<()> {
        let counts = &self.counts;
        let mut sink = CountingSink { sink, counts };
        self.volume.enumerate(context, directory, from, &mut sink)
    }

    fn open(&self, context: &Context<'_>, item: &Item, mode: OpenMode) -> Result<Opened<Handle>> {
        self.volume.open(context, item, mode)
    }

    fn read_link(&self, context: &Context<'_>, item: &Item) -> Result<OsString> {
        self.volume.read_link(context, item)
    }

    fn reclaim(&self, item: Item) {
        self.counts.reclaimed.fetch_add(1, Ordering::SeqCst);
        self.volume.reclaim(item);
    }

    fn statfs(&self) -> Result<StatFs> {
        self.volume.statfs()
    }
}

impl OpenDirectories for Watched {
    fn open_directory(&self, context: &Context<'_>, directory: &Item) -> Result<Handle> {
        self.volume.open_directory(context, directory)
    }

    fn enumerate_open(
        &self,
        context: &Context<'_>,
        directory: &Item,
        handle: &Handle,
        from: Cookie,
        sink: &mut dyn DirectorySink<Item>,
    ) -> Result<()> {
        let counts = &self.counts;
        let mut sink = CountingSink { sink, counts };
        self.volume
            .enumerate_open(context, directory, handle, from, &mut sink)
    }
}

/// Counts the items that pass through it.
struct CountingSink<'a> {
    sink: &'a mut dyn DirectorySink<Item>,
    counts: &'a Counts,
}

impl DirectorySink<Item> for CountingSink<'_> {
    fn takes_attributes(&self) -> bool {
        self.sink.takes_attributes()
    }

    fn expects_attributes(&self) -> bool {
        self.sink.expects_attributes()
    }

    fn push(&mut self, entry: DirectoryEntry<'_>) -> bool {
        self.sink.push(entry)
    }

    fn push_found(&mut self, name: &OsStr, found: Entry<Item>, next: Cookie) -> bool {
        self.counts.one_more();
        self.sink.push_found(name, found, next)
    }
}

impl Changes for Watched {
    fn set_attributes(
        &self,
        context: &Context<'_>,
        item: &Item,
        handle: Option<&Handle>,
        changes: &AttributeChanges,
    ) -> Result<(Attributes, Lifetime)> {
        self.volume.set_attributes(context, item, handle, changes)
    }

    fn create(
        &self,
        context: &Context<'_>,
        directory: &Item,
        name: &OsStr,
        new: &NewItem<'_>,
    ) -> Result<Entry<Item>> {
        self.counted(self.volume.create(context, directory, name, new))
    }

    fn create_open(
        &self,
        context: &Context<'_>,
        directory: &Item,
        name: &OsStr,
        new: &NewItem<'_>,
        mode: OpenMode,
        exclusive: bool,
    ) -> Result<Created<Item, Handle>> {
        let made = self
            .volume
            .create_open(context, directory, name, new, mode, exclusive);
        self.counted_open(made)
    }

    fn create_unnamed(
        &self,
        context: &Context<'_>,
        directory: &Item,
        new: &NewItem<'_>,
        mode: OpenMode,
    ) -> Result<Created<Item, Handle>> {
        let made = self.volume.create_unnamed(context, directory, new, mode);
        self.counted_open(made)
    }

    fn link(
        &self,
        context: &Context<'_>,
        item: &Item,
        directory: &Item,
        name: &OsStr,
    ) -> Result<Entry<Item>> {
        self.counted(self.volume.link(context, item, directory, name))
    }

    fn remove(
        &self,
        context: &Context<'_>,
        directory: &Item,
        name: &OsStr,
        removed: Removed,
    ) -> Result<()> {
        self.volume.remove(context, directory, name, removed)
    }

    fn rename(
        &self,
        context: &Context<'_>,
        from: (&Item, &OsStr),
        to: (&Item, &OsStr),
        options: RenameOptions,
    ) -> Result<()> {
        self.volume.rename(context, from, to, options)
    }
}

impl ExtendedAttributes for Watched {
    fn get_attribute(&self, context: &Context<'_>, item: &Item, name: &OsStr) -> Result<Vec<u8>> {
        self.volume.get_attribute(context, item, name)
    }

    fn list_attributes(&self, context: &Context<'_>, item: &Item) -> Result<Vec<u8>> {
        self.volume.list_attributes(context, item)
    }

    fn set_attribute(
        &self,
        context: &Context<'_>,
        item: &Item,
        name: &OsStr,
        value: &[u8],
        presence: Presence,
    ) -> Result<()> {
        self.volume
            .set_attribute(context, item, name, value, presence)
    }

    fn remove_attribute(&self, context: &Context<'_>, item: &Item, name: &OsStr) -> Result<()> {
        self.volume.remove_attribute(context, item, name)
    }
}

impl Synchronization for Watched {
    fn synchronize_item(
        &self,
        context: &Context<'_>,
        item: &Item,
        handle: &Handle,
        what: Synchronize,
    ) -> Result<()> {
        self.volume.synchronize_item(context, item, handle, what)
    }

    fn synchronize(&self, context: &Context<'_>) -> Result<()> {
        self.volume.synchronize(context)
    }
}
