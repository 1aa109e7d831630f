//! The trees of all sandboxes, as one volume.
//!
//! A sandbox is a directory of its root, found by its number; the root lists
//! nothing. A directory of a tree is in many sandboxes, and the kernel wants a
//! directory to have one name only: so each gets a number of its own where it
//! is met, when it is met. Files and links have one number wherever they are,
//! and with it the kernel's cached pages and attributes.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use transom_module::{
    Attributes, Context, Cookie, DirectoryEntry, DirectorySink, Entry, Errno, Error, Invalidation,
    Io, ItemId, ItemKind, Lifetime, Lookup, NAME_BYTES_MAX, Name, OpenMode, Opened, Result,
    Timestamp, Volume, VolumeDefinition, push_dots,
};

use crate::backend::Store;
use crate::backend::directory::{Directory, FileNode, Node};

/// Nothing in a tree can be written, and directories do not count what is in
/// them.
const DIRECTORY_PERMISSIONS: u16 = 0o555;
const LINKS: u32 = 1;

/// See the head of this file. Clones are the same volume.
#[derive(Debug, Clone)]
pub struct SandboxVolume {
    store: Arc<Store>,
    roots: Arc<RwLock<HashMap<OsString, Arc<Met>>>>,
    made: Timestamp,
    owner: (u32, u32),
}

/// A live item.
#[derive(Debug, Clone)]
pub struct Item(Inner);

#[derive(Debug, Clone)]
enum Inner {
    Root,
    Directory(Arc<Met>),
    /// The entry of that number of a directory: a file or a link.
    Leaf(Arc<Directory>, usize),
}

/// A directory where somebody has met it.
#[derive(Debug)]
struct Met {
    id: ItemId,
    parent: ItemId,
    directory: Arc<Directory>,
    made: Timestamp,
    /// By the number of their entry.
    below: Mutex<HashMap<usize, Arc<Self>>>,
}

impl SandboxVolume {
    /// A volume without sandboxes. Everything in it belongs to `owner`, a user
    /// and a group.
    #[must_use]
    pub fn new(store: Arc<Store>, owner: (u32, u32)) -> Self {
        Self {
            store,
            roots: Arc::default(),
            made: Timestamp::now(),
            owner,
        }
    }

    /// The volume, to be served.
    #[must_use]
    pub fn definition(&self) -> VolumeDefinition<Self> {
        let mut definition = VolumeDefinition::new(self.clone());
        definition.stateless_directories = true;
        definition
    }

    /// Shows a tree as the directory `name`.
    pub(crate) fn add(&self, name: &str, tree: Arc<Directory>) {
        let met = Arc::new(Met {
            id: self.store.next_id(),
            parent: ItemId::ROOT,
            directory: tree,
            made: Timestamp::now(),
            below: Mutex::default(),
        });
        let mut roots = self.roots.write().unwrap_or_else(PoisonError::into_inner);
        roots.insert(name.into(), met);
    }

    /// Shows it no longer. The transport has to pass on what is returned.
    #[must_use]
    pub(crate) fn remove(&self, name: &str) -> Vec<Invalidation> {
        let mut roots = self.roots.write().unwrap_or_else(PoisonError::into_inner);
        match roots.remove(OsStr::new(name)) {
            Some(_) => vec![Invalidation::Name {
                directory: ItemId::ROOT,
                name: Name::new(name).expect("numbers of sandboxes are names"),
            }],
            None => Vec::new(),
        }
    }

    fn child(&self, met: &Arc<Met>, index: usize) -> Inner {
        let Node::Directory(directory) = &met.directory.entries()[index].node else {
            return Inner::Leaf(met.directory.clone(), index);
        };
        let mut below = met.below.lock().unwrap_or_else(PoisonError::into_inner);
        let child = below.entry(index).or_insert_with(|| {
            Arc::new(Met {
                id: self.store.next_id(),
                parent: met.id,
                directory: directory.clone(),
                made: met.made,
                below: Mutex::default(),
            })
        });
        Inner::Directory(child.clone())
    }

    fn entry(&self, item: Inner) -> Entry<Item> {
        let attributes = self.attributes_of(&item);
        Entry::lasting(Item(item), attributes)
    }

    fn attributes_of(&self, item: &Inner) -> Attributes {
        let directory = |id, made| (id, ItemKind::Directory, DIRECTORY_PERMISSIONS, 0, made);
        let (id, kind, permissions, size, time) = match item {
            Inner::Root => directory(ItemId::ROOT, self.made),
            Inner::Directory(met) => directory(met.id, met.made),
            Inner::Leaf(directory, index) => match &directory.entries()[*index].node {
                Node::File(FileNode {
                    id,
                    content,
                    is_executable,
                    ..
                }) => {
                    let permissions = if *is_executable { 0o555 } else { 0o444 };
                    let (size, modified) = (content.size(), content.modified());
                    (*id, ItemKind::File, permissions, size, modified)
                }
                Node::Symlink { id, target } => (
                    *id,
                    ItemKind::Symlink,
                    0o777,
                    target.len() as u64,
                    self.made,
                ),
                Node::Directory(_) => unreachable!("a directory is no leaf"),
            },
        };
        Attributes {
            links: LINKS,
            uid: self.owner.0,
            gid: self.owner.1,
            size,
            blocks: size.div_ceil(512),
            accessed: time,
            modified: time,
            changed: time,
            ..Attributes::synthetic(id, kind, permissions)
        }
    }
}

impl Volume for SandboxVolume {
    type Item = Item;
    type Handle = ();

    fn root(&self) -> Result<Entry<Item>> {
        Ok(self.entry(Inner::Root))
    }

    fn lookup(&self, _: &Context<'_>, directory: &Item, name: &OsStr) -> Result<Lookup<Item>> {
        if name.len() > NAME_BYTES_MAX {
            return Err(Errno::ENAMETOOLONG.into());
        }
        let (found, absent) = match &directory.0 {
            Inner::Root => {
                let roots = self.roots.read().unwrap_or_else(PoisonError::into_inner);
                // A sandbox of that number may be made later.
                (
                    roots.get(name).cloned().map(Inner::Directory),
                    Lifetime::NONE,
                )
            }
            Inner::Directory(met) => {
                let found = met.directory.find(name).map(|index| self.child(met, index));
                (found, Lifetime::FOREVER)
            }
            Inner::Leaf(..) => return Err(Errno::ENOTDIR.into()),
        };
        Ok(found.map_or(Lookup::Absent(absent), |found| {
            Lookup::Found(self.entry(found))
        }))
    }

    fn attributes(&self, _: &Context<'_>, item: &Item) -> Result<(Attributes, Lifetime)> {
        Ok((self.attributes_of(&item.0), Lifetime::FOREVER))
    }

    fn enumerate(
        &self,
        _: &Context<'_>,
        directory: &Item,
        from: Cookie,
        sink: &mut dyn DirectorySink<Item>,
    ) -> Result<()> {
        let (id, parent) = match &directory.0 {
            Inner::Root => (ItemId::ROOT, ItemId::ROOT),
            Inner::Directory(met) => (met.id, met.parent),
            Inner::Leaf(..) => return Err(Errno::ENOTDIR.into()),
        };
        if !push_dots(sink, from, id, parent) {
            return Ok(());
        }
        let Inner::Directory(met) = &directory.0 else {
            return Ok(());
        };
        let start = usize::try_from(from.0.saturating_sub(2)).unwrap_or(usize::MAX);
        for index in start..met.directory.entries().len() {
            let name = &met.directory.entries()[index].name;
            let found = self.entry(self.child(met, index));
            let next = Cookie(index as u64 + 3);
            let fits = match sink.takes_attributes() {
                true => sink.push_found(name, found, next),
                false => sink.push(DirectoryEntry {
                    name,
                    id: found.attributes.id,
                    kind: found.attributes.kind,
                    next,
                }),
            };
            if !fits {
                break;
            }
        }
        Ok(())
    }

    fn open(&self, _: &Context<'_>, item: &Item, mode: OpenMode) -> Result<Opened<()>> {
        if mode.write || mode.truncate {
            return Err(Errno::EROFS.into());
        }
        let Inner::Leaf(directory, index) = &item.0 else {
            return Err(Errno::EISDIR.into());
        };
        let Node::File(file) = &directory.entries()[*index].node else {
            return Err(Errno::ELOOP.into());
        };
        match file.content.open(&file.digest, directory.function()) {
            Ok(backing) => Ok(Opened {
                handle: (),
                io: Io::Passthrough(backing),
            }),
            Err(changed) if self.store.note_change(&file.content, &changed) => Err(Error::new(
                Errno::ESTALE,
                format!("{changed}, so it cannot be opened"),
            )),
            // The kernel asks twice, and who failed may try again.
            Err(_) => Err(Errno::ESTALE.into()),
        }
    }

    fn read_link(&self, _: &Context<'_>, item: &Item) -> Result<OsString> {
        if let Inner::Leaf(directory, index) = &item.0
            && let Node::Symlink { target, .. } = &directory.entries()[*index].node
        {
            return Ok(target.to_os_string());
        }
        Err(Errno::EINVAL.into())
    }
}
