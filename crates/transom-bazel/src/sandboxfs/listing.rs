//! Listings of directories that are made of two.
//!
//! The whole listing is taken when it is read from its beginning: positions in
//! a directory of the host leave no room for a mark of which of the two they
//! are positions in.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};

use transom_module::{
    Context, Cookie, DirectoryEntry, DirectorySink, Entry, ItemId, ItemKind, Result, Volume,
    list_in_order,
};

use super::directory::Directory;
use super::ids;
use super::sandboxes::Sandboxes;
use super::volume::Item;

/// What a directory held when it was read.
#[derive(Debug, Default)]
pub(crate) struct Listing(Vec<(OsString, ItemId, ItemKind)>);

impl Listing {
    /// All sandboxes.
    pub(crate) fn of_root(sandboxes: &Sandboxes) -> Self {
        let mut listing = Self::default();
        for dots in [".", ".."] {
            listing.push(dots.as_ref(), ItemId::ROOT, ItemKind::Directory);
        }
        for (id, root) in sandboxes.list() {
            listing.push(id.as_ref(), ids::of_projected(root), ItemKind::Directory);
        }
        listing
    }

    /// Declared names, and those of the host directory that none of them hides.
    pub(crate) fn of_directory(
        sandboxes: &Sandboxes,
        context: &Context<'_>,
        directory: &Directory,
    ) -> Result<Self> {
        let shared = sandboxes.shared();
        let mut listing = Self::default();
        let mut declared = Collected(|name: &OsStr, id, kind| {
            listing.push(name, ids::of_projected(id), kind);
        });
        let start = Cookie::default();
        let projection = &shared.projection;
        projection.enumerate(context, &directory.declared, start, &mut declared)?;
        if let Some(files) = directory.sandbox.files.get(&directory.path) {
            for (name, file) in files {
                let found = shared.host.adopt(shared.descriptor_of(file))?;
                let id = ids::of_host(found.attributes.id)?;
                listing.push(name, id, ItemKind::File);
            }
        }
        if let Some(counterpart) = directory.counterpart(&shared.host)? {
            let mut beside = Vec::new();
            let mut found = Collected(|name: &OsStr, id, kind| {
                beside.push((name.to_owned(), id, kind));
            });
            shared
                .host
                .enumerate(context, counterpart, start, &mut found)?;
            let hidden: HashSet<_> = listing.0.iter().map(|(name, ..)| name.clone()).collect();
            for (name, id, kind) in beside {
                if !hidden.contains(&name) {
                    listing.push(&name, ids::of_host(id)?, kind);
                }
            }
        }
        Ok(listing)
    }

    /// Goes on at `from`.
    pub(crate) fn put(&self, from: Cookie, sink: &mut dyn DirectorySink<Item>) {
        let entries = self.0.iter().map(|(name, id, kind)| (&**name, *id, *kind));
        list_in_order(entries, from, sink);
    }

    fn push(&mut self, name: &OsStr, id: ItemId, kind: ItemKind) {
        self.0.push((name.to_owned(), id, kind));
    }
}

/// Takes everything it is given.
struct Collected<F>(F);

impl<I, F: FnMut(&OsStr, ItemId, ItemKind)> DirectorySink<I> for Collected<F> {
    fn takes_attributes(&self) -> bool {
        false
    }

    fn push(&mut self, entry: DirectoryEntry<'_>) -> bool {
        (self.0)(entry.name, entry.id, entry.kind);
        true
    }

    fn push_found(&mut self, name: &OsStr, found: Entry<I>, _: Cookie) -> bool {
        (self.0)(name, found.attributes.id, found.attributes.kind);
        true
    }
}

/// Passes the entries of one of the two volumes on as ours.
pub(crate) struct Translated<'a, N, E> {
    pub(crate) sink: &'a mut dyn DirectorySink<Item>,
    /// What a number is here.
    pub(crate) id: N,
    /// What an entry is here.
    pub(crate) entry: E,
}

impl<I, N, E> DirectorySink<I> for Translated<'_, N, E>
where
    N: Fn(ItemId) -> Result<ItemId>,
    E: Fn(Entry<I>) -> Result<Entry<Item>>,
{
    fn takes_attributes(&self) -> bool {
        self.sink.takes_attributes()
    }

    fn expects_attributes(&self) -> bool {
        self.sink.expects_attributes()
    }

    /// What has no number here is left out; asking for its name tells why.
    fn push(&mut self, entry: DirectoryEntry<'_>) -> bool {
        let id = (self.id)(entry.id).ok();
        id.is_none_or(|id| self.sink.push(DirectoryEntry { id, ..entry }))
    }

    fn push_found(&mut self, name: &OsStr, found: Entry<I>, next: Cookie) -> bool {
        let found = (self.entry)(found).ok();
        found.is_none_or(|found| self.sink.push_found(name, found, next))
    }
}
