//! A small volume in memory, with files that behave badly on request.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use transom_module::{
    Attributes, Backing, Context, Cookie, DirectoryEntry, DirectorySink, Entry, Errno,
    ExtendedAttributes, Io, ItemId, ItemKind, Lifetime, Lookup, OpenMode, Opened, Result, Volume,
};

/// What a file of the shelf does when it is opened or read.
#[derive(Debug, Clone)]
pub(crate) enum Content {
    /// The kernel reads this host file.
    Host(Backing),
    /// Served from memory.
    Bytes(Vec<u8>),
    /// Opening it lasts until the open is cancelled.
    Hangs,
    /// Opening it takes that long.
    Slow(Duration),
    /// Opening it is a bug.
    Panics,
}

/// One directory of files.
#[derive(Debug, Default)]
pub(crate) struct Shelf {
    pub(crate) files: Mutex<BTreeMap<OsString, (ItemId, Content)>>,
    /// Items handed out and not yet reclaimed, and those reclaimed.
    pub(crate) handed_out: AtomicU64,
    pub(crate) reclaimed: Arc<AtomicU64>,
    pub(crate) opened: AtomicU64,
    pub(crate) closed: Arc<AtomicU64>,
}

#[derive(Debug, Clone)]
pub(crate) enum Item {
    Root,
    File(ItemId, Content),
}

impl Shelf {
    pub(crate) fn new(files: &[(&str, Content)]) -> Self {
        let shelf = Self::default();
        for (name, content) in files {
            shelf.put(name, content.clone());
        }
        shelf
    }

    /// Adds or replaces a file. Its id is made of its name and content, so that
    /// each version is an item of its own and two servers of one connection
    /// mean the same by the same id.
    pub(crate) fn put(&self, name: &str, content: Content) {
        let mut hasher = DefaultHasher::new();
        name.hash(&mut hasher);
        match &content {
            Content::Host(backing) => rustix::fs::fstat(backing).unwrap().st_ino.hash(&mut hasher),
            other => format!("{other:?}").hash(&mut hasher),
        }
        let id = ItemId::new(hasher.finish() | 2).unwrap();
        self.files
            .lock()
            .unwrap()
            .insert(name.into(), (id, content));
    }

    fn entry(&self, item: Item) -> Entry<Item> {
        self.handed_out.fetch_add(1, Ordering::Relaxed);
        Entry {
            attributes: attributes(&item),
            item,
            generation: 0,
            name_lifetime: Lifetime::FOREVER,
            attributes_lifetime: Lifetime::FOREVER,
        }
    }
}

pub(crate) fn host(path: &Path) -> Content {
    let file: OwnedFd = std::fs::File::open(path).unwrap().into();
    Content::Host(Backing::new(file))
}

fn attributes(item: &Item) -> Attributes {
    match item {
        Item::Root => Attributes::synthetic(ItemId::ROOT, ItemKind::Directory, 0o555),
        Item::File(id, content) => {
            let size = match content {
                Content::Host(backing) => {
                    rustix::fs::fstat(backing).unwrap().st_size.cast_unsigned()
                }
                Content::Bytes(bytes) => bytes.len() as u64,
                _ => 0,
            };
            Attributes {
                size,
                ..Attributes::synthetic(*id, ItemKind::File, 0o444)
            }
        }
    }
}

impl Volume for Shelf {
    type Item = Item;
    type Handle = Vec<u8>;
    fn root(&self) -> Result<Entry<Item>> {
        Ok(self.entry(Item::Root))
    }

    fn lookup(&self, _: &Context<'_>, _: &Item, name: &OsStr) -> Result<Lookup<Item>> {
        let found = self.files.lock().unwrap().get(name).cloned();
        Ok(match found {
            Some((id, content)) => Lookup::Found(self.entry(Item::File(id, content))),
            None => Lookup::Absent(Lifetime::FOREVER),
        })
    }

    fn attributes(&self, _: &Context<'_>, item: &Item) -> Result<(Attributes, Lifetime)> {
        Ok((attributes(item), Lifetime::FOREVER))
    }

    fn enumerate(
        &self,
        _: &Context<'_>,
        _: &Item,
        from: Cookie,
        sink: &mut dyn DirectorySink<Item>,
    ) -> Result<()> {
        let files = self.files.lock().unwrap().clone();
        let dots = [".", ".."].map(|name| (OsString::from(name), None));
        let names = dots
            .into_iter()
            .chain(files.into_iter().map(|(name, file)| (name, Some(file))));
        for (index, (name, file)) in names.enumerate().skip(usize::try_from(from.0).unwrap()) {
            let next = Cookie(index as u64 + 1);
            let more = match file {
                Some((id, content)) => {
                    sink.push_found(&name, self.entry(Item::File(id, content)), next)
                }
                None => sink.push(DirectoryEntry {
                    name: &name,
                    id: ItemId::ROOT,
                    kind: ItemKind::Directory,
                    next,
                }),
            };
            if !more {
                break;
            }
        }
        Ok(())
    }

    fn open(&self, context: &Context<'_>, item: &Item, mode: OpenMode) -> Result<Opened<Vec<u8>>> {
        let Item::File(_, content) = item else {
            return Err(Errno::EISDIR.into());
        };
        if mode.write {
            return Err(Errno::EROFS.into());
        }
        match content {
            Content::Host(backing) => {
                return Ok(Opened {
                    handle: Vec::new(),
                    io: Io::Passthrough(backing.clone()),
                });
            }
            Content::Bytes(_) => {}
            Content::Hangs => {
                while !context.is_cancelled() {
                    thread::sleep(Duration::from_millis(1));
                }
            }
            Content::Slow(time) => thread::sleep(*time),
            Content::Panics => panic!("this file panics, as the test wants"),
        }
        self.opened.fetch_add(1, Ordering::Relaxed);
        let handle = if let Content::Bytes(bytes) = content {
            bytes.clone()
        } else {
            Vec::new()
        };
        Ok(Opened {
            handle,
            io: Io::Cached { keep: true },
        })
    }

    fn read(
        &self,
        _: &Context<'_>,
        _: &Item,
        handle: &Vec<u8>,
        offset: u64,
        buffer: &mut [u8],
    ) -> Result<usize> {
        let rest = handle
            .get(usize::try_from(offset).unwrap()..)
            .unwrap_or_default();
        let length = rest.len().min(buffer.len());
        buffer[..length].copy_from_slice(&rest[..length]);
        Ok(length)
    }

    fn close(&self, _: Vec<u8>) {
        self.closed.fetch_add(1, Ordering::Relaxed);
    }

    fn reclaim(&self, _: Item) {
        self.handed_out.fetch_sub(1, Ordering::Relaxed);
        self.reclaimed.fetch_add(1, Ordering::Relaxed);
    }
}

impl ExtendedAttributes for Shelf {
    fn get_attribute(&self, _: &Context<'_>, _: &Item, name: &OsStr) -> Result<Vec<u8>> {
        if name == "user.kind" {
            Ok(b"shelf".to_vec())
        } else {
            Err(Errno::ENODATA.into())
        }
    }

    fn list_attributes(&self, _: &Context<'_>, _: &Item) -> Result<Vec<u8>> {
        Ok(b"user.kind\0".to_vec())
    }
}
