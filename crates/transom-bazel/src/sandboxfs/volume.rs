//! Sandboxes as a volume: names, attributes, opens.

use std::ffi::{OsStr, OsString};
use std::sync::{Arc, Mutex, PoisonError};

use transom_module::{
    Attributes, Context, Cookie, DirectorySink, Entry, Errno, Io, ItemId, ItemKind, Lifetime,
    Lookup, Name, OpenDirectories, OpenMode, Opened, Result, StatFs, Volume,
};
use transom_passthrough::{Handle as HostHandle, Item as HostItem};
use transom_projection::{Item as ProjectedItem, ViewPath};

use super::directory::Directory;
use super::ids;
use super::listing::{Listing, Translated};
use super::mappings::OwnFile;
use super::sandboxes::{Sandbox, Sandboxes, Shared};

/// The root lists sandboxes, and cannot be written.
const ROOT_PERMISSIONS: u16 = 0o555;

/// Something that was found in the volume.
#[derive(Debug)]
pub struct Item(pub(crate) Inner);

#[derive(Debug)]
pub(crate) enum Inner {
    /// The directory of all sandboxes.
    Root,
    /// A directory of declared names.
    Directory(Arc<Directory>),
    /// Something that is mapped to be read, or lies in such a directory.
    Projected(ProjectedItem),
    /// Something that is written.
    Host(HostItem),
    /// The file with nothing in it.
    Empty(HostItem),
}

/// Something that is open.
#[derive(Debug)]
pub struct Handle(pub(crate) Open);

#[derive(Debug)]
pub(crate) enum Open {
    /// Nothing has to be remembered.
    Projected,
    Host(HostHandle),
    Listing(Mutex<Listing>),
}

impl Volume for Sandboxes {
    type Item = Item;
    type Handle = Handle;

    fn root(&self) -> Result<Entry<Item>> {
        Ok(Entry::lasting(Item(Inner::Root), self.root_attributes()))
    }

    fn lookup(
        &self,
        context: &Context<'_>,
        directory: &Item,
        name: &OsStr,
    ) -> Result<Lookup<Item>> {
        let shared = self.shared();
        match &directory.0 {
            Inner::Root => match name.to_str().and_then(|id| self.find(id)) {
                Some(sandbox) => Ok(Lookup::Found(self.sandbox_entry(context, &sandbox)?)),
                // One of that name may be made later.
                None => Ok(Lookup::Absent(Lifetime::NONE)),
            },
            Inner::Directory(directory) => match self.find_declared(context, directory, name)? {
                Lookup::Absent(lifetime) => match directory.counterpart(&shared.host)? {
                    Some(counterpart) => {
                        host_lookup(shared.host.lookup(context, counterpart, name)?)
                    }
                    None if directory.is_writable() => Ok(Lookup::Absent(shared.host_lifetime)),
                    None => Ok(Lookup::Absent(lifetime)),
                },
                found => Ok(found),
            },
            Inner::Projected(item) => Ok(match shared.projection.lookup(context, item, name)? {
                Lookup::Found(found) => Lookup::Found(projected_entry(found)),
                Lookup::Absent(lifetime) => Lookup::Absent(lifetime),
            }),
            Inner::Host(item) => host_lookup(shared.host.lookup(context, item, name)?),
            Inner::Empty(_) => Err(Errno::ENOTDIR.into()),
        }
    }

    fn attributes(&self, context: &Context<'_>, item: &Item) -> Result<(Attributes, Lifetime)> {
        let shared = self.shared();
        match &item.0 {
            Inner::Root => Ok((self.root_attributes(), Lifetime::FOREVER)),
            Inner::Directory(directory) => self.directory_attributes(directory),
            Inner::Projected(item) => {
                let (attributes, lifetime) = shared.projection.attributes(context, item)?;
                Ok((projected(attributes), lifetime))
            }
            Inner::Host(item) | Inner::Empty(item) => {
                let (attributes, lifetime) = shared.host.attributes(context, item)?;
                Ok((hosts(attributes)?, lifetime))
            }
        }
    }

    fn enumerate(
        &self,
        context: &Context<'_>,
        directory: &Item,
        from: Cookie,
        sink: &mut dyn DirectorySink<Item>,
    ) -> Result<()> {
        let open = self.open_directory(context, directory)?;
        self.enumerate_open(context, directory, &open, from, sink)
    }

    fn open(&self, context: &Context<'_>, item: &Item, mode: OpenMode) -> Result<Opened<Handle>> {
        let shared = self.shared();
        match &item.0 {
            Inner::Root | Inner::Directory(_) => Err(Errno::EISDIR.into()),
            Inner::Projected(item) => {
                let opened = shared.projection.open(context, item, mode)?;
                Ok(Opened {
                    handle: Handle(Open::Projected),
                    io: opened.io,
                })
            }
            Inner::Empty(_) if mode.write || mode.truncate => Err(Errno::EROFS.into()),
            Inner::Host(item) | Inner::Empty(item) => {
                Ok(host_opened(shared.host.open(context, item, mode)?))
            }
        }
    }

    fn read_link(&self, context: &Context<'_>, item: &Item) -> Result<OsString> {
        let shared = self.shared();
        match &item.0 {
            Inner::Projected(item) => shared.projection.read_link(context, item),
            Inner::Host(item) => shared.host.read_link(context, item),
            Inner::Root | Inner::Directory(_) | Inner::Empty(_) => Err(Errno::EINVAL.into()),
        }
    }

    fn statfs(&self) -> Result<StatFs> {
        self.shared().host.statfs()
    }
}

impl OpenDirectories for Sandboxes {
    fn open_directory(&self, context: &Context<'_>, directory: &Item) -> Result<Handle> {
        Ok(Handle(match &directory.0 {
            Inner::Root | Inner::Directory(_) => Open::Listing(Mutex::default()),
            Inner::Projected(_) => Open::Projected,
            Inner::Host(item) => Open::Host(self.shared().host.open_directory(context, item)?),
            Inner::Empty(_) => return Err(Errno::ENOTDIR.into()),
        }))
    }

    fn enumerate_open(
        &self,
        context: &Context<'_>,
        directory: &Item,
        handle: &Handle,
        from: Cookie,
        sink: &mut dyn DirectorySink<Item>,
    ) -> Result<()> {
        let shared = self.shared();
        match (&directory.0, &handle.0) {
            (Inner::Root, Open::Listing(listing)) => {
                let mut listing = listing.lock().unwrap_or_else(PoisonError::into_inner);
                if from == Cookie::default() {
                    *listing = Listing::of_root(self);
                }
                listing.put(from, sink);
                Ok(())
            }
            (Inner::Directory(directory), Open::Listing(listing)) => {
                let mut listing = listing.lock().unwrap_or_else(PoisonError::into_inner);
                if from == Cookie::default() {
                    *listing = Listing::of_directory(self, context, directory)?;
                }
                listing.put(from, sink);
                Ok(())
            }
            (Inner::Projected(item), _) => {
                let mut sink = Translated {
                    sink,
                    id: |id| Ok(ids::of_projected(id)),
                    entry: |entry| Ok(projected_entry(entry)),
                };
                shared.projection.enumerate(context, item, from, &mut sink)
            }
            (Inner::Host(item), Open::Host(handle)) => {
                let mut sink = Translated {
                    sink,
                    id: ids::of_host,
                    entry: host_entry,
                };
                let host = &shared.host;
                host.enumerate_open(context, item, handle, from, &mut sink)
            }
            _ => Err(Errno::ENOTDIR.into()),
        }
    }
}

impl Sandboxes {
    fn root_attributes(&self) -> Attributes {
        let made = self.shared().made;
        Attributes {
            accessed: made,
            modified: made,
            changed: made,
            ..Attributes::synthetic(ItemId::ROOT, ItemKind::Directory, ROOT_PERMISSIONS)
        }
    }

    fn sandbox_entry(&self, context: &Context<'_>, sandbox: &Arc<Sandbox>) -> Result<Entry<Item>> {
        let shared = self.shared();
        let (attributes, _) = shared.projection.attributes(context, &sandbox.root)?;
        let root = Entry::lasting(sandbox.root.clone(), attributes);
        let root = Directory::new(&shared.host, sandbox, ViewPath::root(), None, root)?;
        self.directory_entry(root)
    }

    /// What a name of a sandbox was mapped as, if it was.
    pub(crate) fn find_declared(
        &self,
        context: &Context<'_>,
        directory: &Arc<Directory>,
        name: &OsStr,
    ) -> Result<Lookup<Item>> {
        let shared = self.shared();
        if let Some(file) = directory.own_file(name) {
            let found = shared.host.adopt(shared.descriptor_of(file))?;
            let inner = match file {
                OwnFile::Writable(_) => Inner::Host,
                OwnFile::Empty => Inner::Empty,
            };
            let attributes = hosts(found.attributes)?;
            return Ok(Lookup::Found(mapped_entry(found, attributes, inner)));
        }
        let found = shared
            .projection
            .lookup(context, &directory.declared, name)?;
        let found = match found {
            Lookup::Found(found) => found,
            Lookup::Absent(lifetime) => return Ok(Lookup::Absent(lifetime)),
        };
        if !found.item.is_own_directory() {
            return Ok(Lookup::Found(projected_entry(found)));
        }
        let name = Name::new(name.as_encoded_bytes()).map_err(|_| Errno::EINVAL)?;
        let path = directory.path.join(&name);
        let sandbox = &directory.sandbox;
        let child = Directory::new(&shared.host, sandbox, path, Some(directory), found)?;
        Ok(Lookup::Found(self.directory_entry(child)?))
    }

    fn directory_entry(&self, directory: Directory) -> Result<Entry<Item>> {
        let (attributes, attributes_lifetime) = self.directory_attributes(&directory)?;
        Ok(Entry {
            attributes_lifetime,
            ..Entry::lasting(Item(Inner::Directory(Arc::new(directory))), attributes)
        })
    }

    /// A directory that can be written looks like the host's, but for what
    /// counts its names.
    pub(crate) fn directory_attributes(
        &self,
        directory: &Directory,
    ) -> Result<(Attributes, Lifetime)> {
        let shared = self.shared();
        let declared = projected(directory.attributes);
        Ok(match directory.host_attributes(&shared.host)? {
            None => (declared, Lifetime::FOREVER),
            Some(host) => {
                let attributes = Attributes {
                    id: declared.id,
                    links: declared.links,
                    ..host
                };
                (attributes, shared.host_lifetime)
            }
        })
    }
}

impl Shared {
    pub(crate) fn descriptor_of(&self, file: &OwnFile) -> Arc<std::os::fd::OwnedFd> {
        match file {
            OwnFile::Writable(file) => file.clone(),
            OwnFile::Empty => self.empty.clone(),
        }
    }
}

fn projected(attributes: Attributes) -> Attributes {
    Attributes {
        id: ids::of_projected(attributes.id),
        ..attributes
    }
}

/// Attributes of a host file.
pub(crate) fn hosts(attributes: Attributes) -> Result<Attributes> {
    Ok(Attributes {
        id: ids::of_host(attributes.id)?,
        ..attributes
    })
}

fn projected_entry(entry: Entry<ProjectedItem>) -> Entry<Item> {
    let attributes = projected(entry.attributes);
    mapped_entry(entry, attributes, Inner::Projected)
}

/// Something that was found on the host, or made there.
pub(crate) fn host_entry(entry: Entry<HostItem>) -> Result<Entry<Item>> {
    let attributes = hosts(entry.attributes)?;
    Ok(mapped_entry(entry, attributes, Inner::Host))
}

fn host_lookup(found: Lookup<HostItem>) -> Result<Lookup<Item>> {
    Ok(match found {
        Lookup::Found(found) => Lookup::Found(host_entry(found)?),
        Lookup::Absent(lifetime) => Lookup::Absent(lifetime),
    })
}

fn mapped_entry<I>(
    entry: Entry<I>,
    attributes: Attributes,
    inner: impl FnOnce(I) -> Inner,
) -> Entry<Item> {
    Entry {
        item: Item(inner(entry.item)),
        attributes,
        generation: entry.generation,
        name_lifetime: entry.name_lifetime,
        attributes_lifetime: entry.attributes_lifetime,
    }
}

pub(crate) fn host_opened(opened: Opened<HostHandle>) -> Opened<Handle> {
    let io: Io = opened.io;
    Opened {
        handle: Handle(Open::Host(opened.handle)),
        io,
    }
}
