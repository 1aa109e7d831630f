//! A client that calls the volume the way the kernel does, without a mount.
//!
//! Like the kernel it remembers every answer for ever, absences and listings
//! included, until it is told to forget: a missing invalidation shows.

use std::collections::{BTreeMap, HashMap};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;

use transom_module::{
    Attributes, Backing, Context, Cookie, DirectoryEntry, DirectorySink, Entry, Error,
    Invalidation, Io, ItemId, ItemKind, Lookup, OpenMode, Result, Volume,
};
use transom_projection::{Change, Item, Projection, UpdateError, View, ViewPath};
use transom_test::model::{Seen, Subject};

const READ: OpenMode = OpenMode {
    read: true,
    write: false,
    truncate: false,
    append: false,
    direct: false,
    synchronous: false,
    drop_privileges: false,
};

pub(crate) struct Client {
    projection: Projection,
    view: Arc<View>,
    items: HashMap<ItemId, Item>,
    names: HashMap<(ItemId, OsString), Option<ItemId>>,
    listings: HashMap<ItemId, BTreeMap<OsString, ItemKind>>,
    attributes: HashMap<ItemId, Attributes>,
    /// How many entries fit into one answer.
    pub(crate) listing_room: usize,
    pub(crate) lists_with_attributes: bool,
}

impl Client {
    pub(crate) fn new(projection: &Projection, view: &Arc<View>) -> Self {
        let mut client = Self {
            projection: projection.clone(),
            view: view.clone(),
            items: HashMap::new(),
            names: HashMap::new(),
            listings: HashMap::new(),
            attributes: HashMap::new(),
            listing_room: 3,
            lists_with_attributes: false,
        };
        let root = projection.root().unwrap();
        assert_eq!(root.attributes.id, ItemId::ROOT);
        client.remember(root);
        client
    }

    /// The item at a path of the view, no symbolic link followed.
    pub(crate) fn find(&mut self, path: &str) -> Option<ItemId> {
        self.find_path(&ViewPath::parse_inside(format!("/{path}").as_bytes()).unwrap())
    }

    pub(crate) fn item(&mut self, path: &str) -> Item {
        let id = self.find(path).unwrap();
        self.items[&id].clone()
    }

    pub(crate) fn attributes(&mut self, path: &str) -> Attributes {
        let id = self.find(path).unwrap();
        self.attributes[&id]
    }

    /// Opens a file for reading.
    pub(crate) fn open(&mut self, path: &str) -> Result<Backing> {
        let id = self.find(path).unwrap();
        self.open_item(id)
    }

    pub(crate) fn open_as(&mut self, path: &str, mode: OpenMode) -> Result<()> {
        let id = self.find(path).unwrap();
        self.projection
            .open(&Context::internal(), &self.items[&id], mode)
            .map(drop)
    }

    /// The content of a file.
    pub(crate) fn read(&mut self, path: &str) -> Result<String> {
        let backing = self.open(path)?;
        Ok(String::from_utf8(contents(&backing)).unwrap())
    }

    /// The names in a directory, without `.` and `..`.
    pub(crate) fn list(&mut self, path: &str) -> Vec<String> {
        let id = self.find(path).unwrap();
        let names = self.listing(id).into_keys();
        names.map(|name| name.into_string().unwrap()).collect()
    }

    /// Reads the beginning of a directory anew.
    pub(crate) fn try_list(&mut self, path: &str) -> Result<()> {
        let mut sink = Sink {
            room: self.listing_room,
            takes_attributes: false,
            entries: Vec::new(),
        };
        let directory = self.item(path);
        self.projection.enumerate(
            &Context::internal(),
            &directory,
            Cookie::default(),
            &mut sink,
        )
    }

    pub(crate) fn steer(&mut self, changes: Vec<Change>) -> std::result::Result<(), UpdateError> {
        let forgotten = self.view.update(changes)?;
        self.forget(forgotten);
        Ok(())
    }

    pub(crate) fn forget(&mut self, invalidations: Vec<Invalidation>) {
        for invalidation in invalidations {
            match invalidation {
                Invalidation::Name { directory, name } => {
                    self.names.remove(&(directory, name.to_os_string()));
                }
                Invalidation::Listing(directory) => {
                    self.listings.remove(&directory);
                }
                Invalidation::Epoch => self.names.clear(),
                Invalidation::Content(_) => panic!("a version does not change"),
            }
        }
    }

    fn find_path(&mut self, path: &ViewPath) -> Option<ItemId> {
        let view = OsString::from(self.view.id().to_string());
        let root = self.lookup(ItemId::ROOT, &view)?;
        path.names()
            .try_fold(root, |directory, name| self.lookup(directory, name))
    }

    fn lookup(&mut self, directory: ItemId, name: &OsStr) -> Option<ItemId> {
        let key = (directory, name.to_os_string());
        if let Some(known) = self.names.get(&key) {
            return *known;
        }
        if self.attributes[&directory].kind != ItemKind::Directory {
            return None;
        }
        let directory = &self.items[&directory];
        let found = match self
            .projection
            .lookup(&Context::internal(), directory, name)
            .unwrap()
        {
            Lookup::Found(entry) => Some(self.remember(entry)),
            Lookup::Absent(_) => None,
        };
        self.names.insert(key, found);
        found
    }

    fn remember(&mut self, entry: Entry<Item>) -> ItemId {
        let id = entry.attributes.id;
        let known = self.attributes.insert(id, entry.attributes);
        assert!(
            known.is_none_or(|known| known == entry.attributes),
            "attributes of {id:?} changed"
        );
        // The first item is kept, as a transport does.
        self.items.entry(id).or_insert(entry.item);
        id
    }

    fn open_item(&self, id: ItemId) -> Result<Backing> {
        let item = &self.items[&id];
        match self.projection.open(&Context::internal(), item, READ)?.io {
            Io::Passthrough(backing) => Ok(backing),
            other => panic!("{other:?}"),
        }
    }

    fn listing(&mut self, id: ItemId) -> BTreeMap<OsString, ItemKind> {
        if let Some(known) = self.listings.get(&id) {
            return known.clone();
        }
        let mut names = BTreeMap::new();
        let mut from = Cookie::default();
        loop {
            let mut sink = Sink {
                room: self.listing_room,
                takes_attributes: self.lists_with_attributes,
                entries: Vec::new(),
            };
            let directory = self.items[&id].clone();
            self.projection
                .enumerate(&Context::internal(), &directory, from, &mut sink)
                .unwrap();
            let Some((.., next)) = sink.entries.last() else {
                break;
            };
            from = *next;
            let is_last = sink.entries.len() < self.listing_room;
            for (name, kind, found, _) in sink.entries {
                if let Some(entry) = found {
                    let found = self.remember(entry);
                    self.names.insert((id, name.clone()), Some(found));
                }
                assert!(names.insert(name, kind).is_none(), "listed twice");
            }
            if is_last {
                break;
            }
        }
        for dots in [".", ".."] {
            let kind = names.remove(OsStr::new(dots));
            assert_eq!(kind, Some(ItemKind::Directory), "{dots}");
        }
        self.listings.insert(id, names.clone());
        names
    }
}

/// Reads all of a backing file, which is open with `O_PATH` only.
pub(crate) fn contents(backing: &Backing) -> Vec<u8> {
    fs::read(format!("/proc/self/fd/{}", backing.as_fd().as_raw_fd())).unwrap()
}

impl Subject for Client {
    fn see(&mut self, path: &ViewPath) -> Seen {
        let Some(id) = self.find_path(path) else {
            return Seen::Absent;
        };
        let attributes = self.attributes[&id];
        match attributes.kind {
            ItemKind::File => Seen::File {
                bytes: contents(&self.open_item(id).unwrap()),
                executable: attributes.permissions & 0o100 != 0,
            },
            ItemKind::Symlink => {
                let target = self
                    .projection
                    .read_link(&Context::internal(), &self.items[&id]);
                Seen::Symlink(target.unwrap())
            }
            ItemKind::Directory => Seen::Directory(self.listing(id).into_keys().collect()),
            other => panic!("{other:?}"),
        }
    }

    fn steer(&mut self, changes: Vec<Change>) -> bool {
        Client::steer(self, changes).is_ok()
    }
}

/// A listing buffer with room for a few entries.
struct Sink {
    room: usize,
    takes_attributes: bool,
    entries: Vec<(OsString, ItemKind, Option<Entry<Item>>, Cookie)>,
}

impl DirectorySink<Item> for Sink {
    fn takes_attributes(&self) -> bool {
        self.takes_attributes
    }

    fn push(&mut self, entry: DirectoryEntry<'_>) -> bool {
        let fits = self.entries.len() < self.room;
        if fits {
            self.entries
                .push((entry.name.to_os_string(), entry.kind, None, entry.next));
        }
        fits
    }

    fn push_found(&mut self, name: &OsStr, found: Entry<Item>, next: Cookie) -> bool {
        let fits = self.entries.len() < self.room;
        if fits {
            let kind = found.attributes.kind;
            self.entries
                .push((name.to_os_string(), kind, Some(found), next));
        }
        fits
    }
}

/// The error number of a failed operation, with its message.
pub(crate) fn refusal<T: std::fmt::Debug>(result: Result<T>) -> (transom_module::Errno, String) {
    let error: Error = result.unwrap_err();
    (error.errno(), error.to_string())
}
