use std::ffi::OsStr;

use crate::{Entry, ItemId, ItemKind};

/// A position in a directory listing. Zero is the start; every other value is
/// the module's own, and goes on *after* the entry that carried it.
///
/// A cookie stays valid while entries come and go: an entry that is neither
/// added nor removed during a listing is shown exactly once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Cookie(pub u64);

/// One entry of a listing.
#[derive(Debug)]
pub struct DirectoryEntry<'a> {
    /// Its name; `.` and `..` are listed too, by the module.
    pub name: &'a OsStr,
    /// Number of the item.
    pub id: ItemId,
    /// What it is.
    pub kind: ItemKind,
    /// Where to go on after this entry.
    pub next: Cookie,
}

/// Receives a listing, entry by entry, until it is full.
pub trait DirectorySink<I> {
    /// Whether entries can be told with attributes: then a module that has them
    /// at hand should use [`push_found`](Self::push_found) instead of
    /// [`push`](Self::push), and saves the caller one lookup per entry.
    fn takes_attributes(&self) -> bool;

    /// Whether the caller is also likely to look at them, so that finding them
    /// is worth the work for a module that has not got them at hand.
    fn expects_attributes(&self) -> bool {
        self.takes_attributes()
    }

    /// Adds an entry. False means that it did not fit: stop, it will be asked
    /// for again.
    #[must_use]
    fn push(&mut self, entry: DirectoryEntry<'_>) -> bool;

    /// Adds an entry that was looked up on the way; counts as a lookup of it.
    /// Not for `.` and `..`. The item is reclaimed if it did not fit.
    #[must_use]
    fn push_found(&mut self, name: &OsStr, found: Entry<I>, next: Cookie) -> bool;
}

/// Lists `.` and `..` at the positions 0 and 1, so that the cookie of the first
/// entry after them is 3. False if one did not fit.
pub fn push_dots<I>(
    sink: &mut dyn DirectorySink<I>,
    from: Cookie,
    id: ItemId,
    parent: ItemId,
) -> bool {
    let dots = [(".", id), ("..", parent)];
    dots.into_iter()
        .zip(1..)
        .filter(|(_, next)| *next > from.0)
        .all(|((name, id), next)| {
            sink.push(DirectoryEntry {
                name: OsStr::new(name),
                id,
                kind: ItemKind::Directory,
                next: Cookie(next),
            })
        })
}

/// Lists `entries`, whose order never changes, from `from` on: the cookie of
/// each is its place.
pub fn list_in_order<'a, I>(
    entries: impl IntoIterator<Item = (&'a OsStr, ItemId, ItemKind)>,
    from: Cookie,
    sink: &mut dyn DirectorySink<I>,
) {
    let entries = entries.into_iter().zip(1..);
    for ((name, id, kind), place) in entries.skip(usize::try_from(from.0).unwrap_or(usize::MAX)) {
        let next = Cookie(place);
        if !sink.push(DirectoryEntry {
            name,
            id,
            kind,
            next,
        }) {
            break;
        }
    }
}
