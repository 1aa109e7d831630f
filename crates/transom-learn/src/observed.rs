//! A volume that is watched while it is used.
//!
//! Every answer is the watched volume's own; what was asked is noted in a
//! [`Record`]. Two answers are changed, so that the kernel asks: a name that
//! does not exist is never remembered, and listings carry no attributes, with
//! which the kernel would know names that nobody asked for.

use std::ffi::{OsStr, OsString};
use std::sync::Arc;

use transom_module::{
    AttributeChanges, Attributes, Changes, Context, Cookie, Created, DirectoryEntry, DirectorySink,
    Entry, ItemId, Lifetime, Lookup, NewItem, OpenDirectories, OpenMode, Opened, Removed,
    RenameOptions, Result, StatFs, Synchronization, Synchronize, Volume, VolumeDefinition,
};

use crate::record::Record;

/// A volume and the record of its use.
#[derive(Debug)]
pub struct Observed<V> {
    volume: V,
    record: Arc<Record>,
    surroundings: Surroundings,
}

/// Names in the root of the volume that are not the volume's business.
#[derive(Debug, Clone, Default)]
pub struct Surroundings {
    /// Something else is mounted on them: the kernel may remember them for
    /// ever.
    pub mounted: Vec<&'static str>,
    /// They do not exist, whatever the volume says.
    pub hidden: Vec<&'static str>,
}

impl Surroundings {
    fn is_mounted(&self, directory: ItemId, name: &OsStr) -> bool {
        directory == ItemId::ROOT && self.mounted.iter().any(|mounted| name == *mounted)
    }

    fn is_hidden(&self, directory: ItemId, name: &OsStr) -> bool {
        directory == ItemId::ROOT && self.hidden.iter().any(|hidden| name == *hidden)
    }
}

/// An item of the watched volume, with the number it is known by.
#[derive(Debug)]
pub struct Item<I> {
    inner: I,
    id: ItemId,
}

impl<V: Changes + OpenDirectories + Synchronization> Observed<V> {
    /// Watches what `definition` defines. Of the groups that it claims, those
    /// remain that builds use and views have: extended attributes, say, are
    /// left out.
    #[must_use]
    pub fn new(
        definition: VolumeDefinition<V>,
        record: Arc<Record>,
        surroundings: Surroundings,
    ) -> VolumeDefinition<Self> {
        let mut observed = VolumeDefinition::new(Self {
            volume: definition.volume,
            record,
            surroundings,
        })
        .with_changes()
        .with_open_directories()
        .with_synchronization();
        observed.changed_by_others = definition.changed_by_others;
        observed
    }
}

impl<V: Volume> Observed<V> {
    /// Notes that the name leads to the entry now, and nothing else.
    fn met(
        &self,
        directory: &Item<V::Item>,
        name: &OsStr,
        entry: Entry<V::Item>,
    ) -> Entry<Item<V::Item>> {
        let id = entry.attributes.id;
        self.record.met(directory.id, name, id);
        with_id(entry)
    }

    fn made(
        &self,
        directory: &Item<V::Item>,
        name: &OsStr,
        entry: Entry<V::Item>,
    ) -> Entry<Item<V::Item>> {
        self.record.made(directory.id, name);
        self.met(directory, name, entry)
    }

    fn enumerate_with(
        &self,
        directory: &Item<V::Item>,
        sink: &mut dyn DirectorySink<Item<V::Item>>,
        enumerate: impl FnOnce(&mut dyn DirectorySink<V::Item>) -> Result<()>,
    ) -> Result<()> {
        enumerate(&mut Names {
            observed: self,
            directory: directory.id,
            sink,
        })?;
        self.record.listed(directory.id);
        Ok(())
    }
}

fn with_id<I>(entry: Entry<I>) -> Entry<Item<I>> {
    Entry {
        item: Item {
            inner: entry.item,
            id: entry.attributes.id,
        },
        attributes: entry.attributes,
        generation: entry.generation,
        name_lifetime: entry.name_lifetime,
        attributes_lifetime: entry.attributes_lifetime,
    }
}

/// A listing without attributes and without hidden names.
struct Names<'a, V: Volume> {
    observed: &'a Observed<V>,
    directory: ItemId,
    sink: &'a mut dyn DirectorySink<Item<V::Item>>,
}

impl<V: Volume> DirectorySink<V::Item> for Names<'_, V> {
    fn takes_attributes(&self) -> bool {
        false
    }

    fn push(&mut self, entry: DirectoryEntry<'_>) -> bool {
        let surroundings = &self.observed.surroundings;
        surroundings.is_hidden(self.directory, entry.name) || self.sink.push(entry)
    }

    fn push_found(&mut self, name: &OsStr, found: Entry<V::Item>, next: Cookie) -> bool {
        let fitted = self.push(DirectoryEntry {
            name,
            id: found.attributes.id,
            kind: found.attributes.kind,
            next,
        });
        self.observed.volume.reclaim(found.item);
        fitted
    }
}

impl<V: Volume> Volume for Observed<V> {
    type Item = Item<V::Item>;
    type Handle = V::Handle;

    fn root(&self) -> Result<Entry<Self::Item>> {
        Ok(with_id(self.volume.root()?))
    }

    fn lookup(
        &self,
        context: &Context<'_>,
        directory: &Self::Item,
        name: &OsStr,
    ) -> Result<Lookup<Self::Item>> {
        let found = match self.surroundings.is_hidden(directory.id, name) {
            true => Lookup::Absent(Lifetime::NONE),
            false => self.volume.lookup(context, &directory.inner, name)?,
        };
        let Lookup::Found(entry) = found else {
            self.record.absent(directory.id, name);
            return Ok(Lookup::Absent(Lifetime::NONE));
        };
        let kind = entry.attributes.kind;
        self.record.looked_up(directory.id, name, kind);
        let mut entry = self.met(directory, name, entry);
        if self.surroundings.is_mounted(directory.id, name) {
            entry.name_lifetime = Lifetime::FOREVER;
        }
        Ok(Lookup::Found(entry))
    }

    fn attributes(
        &self,
        context: &Context<'_>,
        item: &Self::Item,
    ) -> Result<(Attributes, Lifetime)> {
        self.volume.attributes(context, &item.inner)
    }

    fn enumerate(
        &self,
        context: &Context<'_>,
        directory: &Self::Item,
        from: Cookie,
        sink: &mut dyn DirectorySink<Self::Item>,
    ) -> Result<()> {
        self.enumerate_with(directory, sink, |sink| {
            self.volume.enumerate(context, &directory.inner, from, sink)
        })
    }

    fn open(
        &self,
        context: &Context<'_>,
        item: &Self::Item,
        mode: OpenMode,
    ) -> Result<Opened<Self::Handle>> {
        let opened = self.volume.open(context, &item.inner, mode)?;
        self.record.opened(item.id, mode);
        Ok(opened)
    }

    fn read_link(&self, context: &Context<'_>, item: &Self::Item) -> Result<OsString> {
        let target = self.volume.read_link(context, &item.inner)?;
        self.record.followed(item.id);
        Ok(target)
    }

    fn read(
        &self,
        context: &Context<'_>,
        item: &Self::Item,
        handle: &Self::Handle,
        offset: u64,
        buffer: &mut [u8],
    ) -> Result<usize> {
        self.volume
            .read(context, &item.inner, handle, offset, buffer)
    }

    fn close(&self, handle: Self::Handle) {
        self.volume.close(handle);
    }

    fn reclaim(&self, item: Self::Item) {
        self.volume.reclaim(item.inner);
    }

    fn statfs(&self) -> Result<StatFs> {
        self.volume.statfs()
    }
}

impl<V: Changes> Changes for Observed<V> {
    fn set_attributes(
        &self,
        context: &Context<'_>,
        item: &Self::Item,
        handle: Option<&Self::Handle>,
        changes: &AttributeChanges,
    ) -> Result<(Attributes, Lifetime)> {
        let (attributes, lifetime) =
            self.volume
                .set_attributes(context, &item.inner, handle, changes)?;
        self.record.changed(item.id, changes, attributes.kind);
        Ok((attributes, lifetime))
    }

    fn create(
        &self,
        context: &Context<'_>,
        directory: &Self::Item,
        name: &OsStr,
        new: &NewItem<'_>,
    ) -> Result<Entry<Self::Item>> {
        let entry = self.volume.create(context, &directory.inner, name, new)?;
        Ok(self.made(directory, name, entry))
    }

    fn create_open(
        &self,
        context: &Context<'_>,
        directory: &Self::Item,
        name: &OsStr,
        new: &NewItem<'_>,
        mode: OpenMode,
        exclusive: bool,
    ) -> Result<Created<Self::Item, Self::Handle>> {
        let created =
            self.volume
                .create_open(context, &directory.inner, name, new, mode, exclusive)?;
        Ok(Created {
            entry: self.made(directory, name, created.entry),
            opened: created.opened,
        })
    }

    /// Nothing to note before it has a name.
    fn create_unnamed(
        &self,
        context: &Context<'_>,
        directory: &Self::Item,
        new: &NewItem<'_>,
        mode: OpenMode,
    ) -> Result<Created<Self::Item, Self::Handle>> {
        let created = self
            .volume
            .create_unnamed(context, &directory.inner, new, mode)?;
        Ok(Created {
            entry: with_id(created.entry),
            opened: created.opened,
        })
    }

    fn link(
        &self,
        context: &Context<'_>,
        item: &Self::Item,
        directory: &Self::Item,
        name: &OsStr,
    ) -> Result<Entry<Self::Item>> {
        let entry = self
            .volume
            .link(context, &item.inner, &directory.inner, name)?;
        self.record.used_content(item.id);
        Ok(self.made(directory, name, entry))
    }

    fn remove(
        &self,
        context: &Context<'_>,
        directory: &Self::Item,
        name: &OsStr,
        removed: Removed,
    ) -> Result<()> {
        self.volume
            .remove(context, &directory.inner, name, removed)?;
        self.record.removed(directory.id, name);
        Ok(())
    }

    fn rename(
        &self,
        context: &Context<'_>,
        from: (&Self::Item, &OsStr),
        to: (&Self::Item, &OsStr),
        options: RenameOptions,
    ) -> Result<()> {
        self.volume.rename(
            context,
            (&from.0.inner, from.1),
            (&to.0.inner, to.1),
            options,
        )?;
        self.record.removed(from.0.id, from.1);
        let mut taken = vec![to];
        if options.exchange {
            taken.push(from);
        }
        for (directory, name) in taken {
            self.record.made(directory.id, name);
            // Which item has moved, only the volume knows.
            if let Ok(Lookup::Found(moved)) = self.volume.lookup(context, &directory.inner, name) {
                self.record.met(directory.id, name, moved.attributes.id);
                self.volume.reclaim(moved.item);
            }
        }
        Ok(())
    }
}

impl<V: OpenDirectories> OpenDirectories for Observed<V> {
    fn open_directory(
        &self,
        context: &Context<'_>,
        directory: &Self::Item,
    ) -> Result<Self::Handle> {
        self.volume.open_directory(context, &directory.inner)
    }

    fn enumerate_open(
        &self,
        context: &Context<'_>,
        directory: &Self::Item,
        handle: &Self::Handle,
        from: Cookie,
        sink: &mut dyn DirectorySink<Self::Item>,
    ) -> Result<()> {
        self.enumerate_with(directory, sink, |sink| {
            self.volume
                .enumerate_open(context, &directory.inner, handle, from, sink)
        })
    }
}

impl<V: Synchronization> Synchronization for Observed<V> {
    fn synchronize_item(
        &self,
        context: &Context<'_>,
        item: &Self::Item,
        handle: &Self::Handle,
        what: Synchronize,
    ) -> Result<()> {
        self.volume
            .synchronize_item(context, &item.inner, handle, what)
    }

    fn synchronize(&self, context: &Context<'_>) -> Result<()> {
        self.volume.synchronize(context)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::fd::OwnedFd;
    use std::path::Path;

    use transom_module::NewKind;
    use transom_passthrough::{Passthrough, Source};
    use transom_projection::ViewPath;

    use super::*;

    /// The directory, observed, and the record.
    fn observe(directory: &Path) -> (VolumeDefinition<Observed<Passthrough>>, Arc<Record>) {
        let root = OwnedFd::from(fs::File::open(directory).unwrap());
        let lifetime = Lifetime::FOREVER;
        let volume = Source::at(root, false, lifetime).unwrap().volume().unwrap();
        let record = Arc::new(Record::default());
        let surroundings = Surroundings {
            mounted: vec!["proc"],
            hidden: vec!["sys"],
        };
        (Observed::new(volume, record.clone(), surroundings), record)
    }

    /// Takes everything, and would rather have attributes.
    #[derive(Default)]
    struct Listed(Vec<OsString>);

    impl<I> DirectorySink<I> for Listed {
        fn takes_attributes(&self) -> bool {
            true
        }

        fn push(&mut self, entry: DirectoryEntry<'_>) -> bool {
            self.0.push(entry.name.to_owned());
            true
        }

        fn push_found(&mut self, name: &OsStr, _: Entry<I>, _: Cookie) -> bool {
            panic!("{} was not asked for", name.display());
        }
    }

    #[test]
    fn absent_names_are_asked_for_each_time_and_hidden_ones_are_absent() {
        let directory = transom_test::temp_dir().unwrap();
        for name in ["proc", "sys", "below", "below/sys"] {
            fs::create_dir(directory.path().join(name)).unwrap();
        }
        let (definition, record) = observe(directory.path());
        let volume = &definition.volume;
        let context = Context::internal();
        let root = volume.root().unwrap().item;
        let look = |directory: &Item<_>, name: &str| {
            volume
                .lookup(&context, directory, OsStr::new(name))
                .unwrap()
        };
        for name in ["nothing", "sys"] {
            let Lookup::Absent(lifetime) = look(&root, name) else {
                panic!("{name}");
            };
            assert_eq!(lifetime, Lifetime::NONE);
        }
        let Lookup::Found(below) = look(&root, "below") else {
            panic!("below");
        };
        assert!(matches!(look(&below.item, "sys"), Lookup::Found(_)));
        let mut listed = Listed::default();
        volume
            .enumerate(&context, &root, Cookie::default(), &mut listed)
            .unwrap();
        listed.0.sort();
        assert_eq!(listed.0, [".", "..", "below", "proc"]);
        let (names, _) = record.facts();
        assert!(names[&ViewPath::root()].listed);
        assert!(!names.contains_key(&ViewPath::parse(b"proc").unwrap()));
    }

    #[test]
    fn a_renamed_file_is_known_by_its_new_name() {
        let directory = transom_test::temp_dir().unwrap();
        let (definition, record) = observe(directory.path());
        let volume = &definition.volume;
        let context = Context::internal();
        let root = volume.root().unwrap().item;
        let file = NewItem {
            kind: NewKind::File,
            permissions: 0o600,
            umask: 0,
        };
        let (one, two) = (OsStr::new("one"), OsStr::new("two"));
        let made = volume.create(&context, &root, one, &file).unwrap();
        let options = RenameOptions::default();
        volume
            .rename(&context, (&root, one), (&root, two), options)
            .unwrap();
        let write = OpenMode {
            write: true,
            ..OpenMode::default()
        };
        volume.open(&context, &made.item, write).unwrap();
        let (names, _) = record.facts();
        let facts = |name: &str| &names[&ViewPath::parse(name.as_bytes()).unwrap()];
        assert!(facts("one").made && facts("one").removed && !facts("one").written);
        assert!(facts("two").made && facts("two").written);
        assert!(directory.path().join("two").exists());
    }
}
