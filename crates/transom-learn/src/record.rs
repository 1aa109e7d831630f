//! What was done with the names of a volume.
//!
//! Requests speak of items, people of paths. So it is remembered which name
//! each item was met by last ([`met`](Record::met)), and what happens to an
//! item is noted at the path that this name has at that moment. A file with
//! several names is noted at the one it was reached by last. What was noted
//! stays at its path when a directory is moved: it was there that it happened.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use transom_module::{AttributeChanges, ItemId, ItemKind, OpenMode};
use transom_projection::ViewPath;
use transom_projection::trace::Use;

/// The most names that a record holds, absent ones included.
pub const NAMES_MAX: usize = 4_000_000;

/// The deepest directory whose path is followed.
const DEPTH_MAX: usize = 2048;

/// What has been done so far with the names of one volume.
#[derive(Debug, Default)]
pub struct Record(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    places: HashMap<ItemId, Place>,
    names: HashMap<ViewPath, Facts>,
    dropped: u64,
}

/// Where an item was met last.
#[derive(Debug)]
struct Place {
    directory: ItemId,
    name: OsString,
}

/// What happened to one name.
#[derive(Debug, Clone, Default)]
pub(crate) struct Facts {
    /// What the name stood for before the command changed that; `None` if for
    /// nothing.
    pub(crate) first: Option<ItemKind>,
    /// The most that was done with that.
    pub(crate) usage: Option<Use>,
    pub(crate) listed: bool,
    /// How often it was asked for while it did not exist.
    pub(crate) probes: u64,
    /// The command made something of this name.
    pub(crate) made: bool,
    /// The command wrote to what was there.
    pub(crate) written: bool,
    /// What the command made or wrote depends on what was there before.
    pub(crate) updated: bool,
    /// The command took the name away.
    pub(crate) removed: bool,
}

impl Facts {
    /// Whether the name has been the command's own from some moment on.
    pub(crate) fn is_own(&self) -> bool {
        self.made || self.written || self.removed
    }

    fn use_as(&mut self, usage: Use) {
        if !self.is_own() {
            self.usage = self.usage.max(Some(usage));
        }
    }

    /// What was there is about to be replaced.
    fn replace(&mut self) {
        self.updated |= !self.is_own() && self.usage == Some(Use::Read);
    }
}

impl Record {
    /// A name was asked for, and found.
    pub(crate) fn looked_up(&self, directory: ItemId, name: &OsStr, kind: ItemKind) {
        self.note_name(directory, name, |facts| {
            if !facts.is_own() {
                facts.first = Some(kind);
            }
            facts.use_as(Use::LookedUp);
        });
    }

    /// A name was asked for in vain.
    pub(crate) fn absent(&self, directory: ItemId, name: &OsStr) {
        self.note_name(directory, name, |facts| facts.probes += 1);
    }

    /// The item was met by this name, which says where it is from now on.
    pub(crate) fn met(&self, directory: ItemId, name: &OsStr, item: ItemId) {
        let name = name.to_owned();
        self.lock().places.insert(item, Place { directory, name });
    }

    pub(crate) fn opened(&self, item: ItemId, mode: OpenMode) {
        self.note_item(item, |facts| {
            if mode.write || mode.truncate {
                facts.replace();
                facts.updated |= !facts.is_own() && !mode.truncate;
                facts.written = true;
            } else {
                facts.use_as(Use::Read);
            }
        });
    }

    /// The target of a link was asked for.
    pub(crate) fn followed(&self, item: ItemId) {
        self.used_content(item);
    }

    /// What is in the item matters.
    pub(crate) fn used_content(&self, item: ItemId) {
        self.note_item(item, |facts| facts.use_as(Use::Read));
    }

    pub(crate) fn listed(&self, directory: ItemId) {
        self.note_item(directory, |facts| {
            if !facts.is_own() {
                facts.first = Some(ItemKind::Directory);
                facts.listed = true;
            }
        });
    }

    /// Attributes were changed. Those of directories are no content that
    /// anybody could declare.
    pub(crate) fn changed(&self, item: ItemId, changes: &AttributeChanges, kind: ItemKind) {
        if kind == ItemKind::Directory {
            return;
        }
        self.note_item(item, |facts| {
            facts.replace();
            facts.updated |= !facts.is_own() && changes.size != Some(0);
            facts.written = true;
        });
    }

    /// The command gave the name something to stand for.
    pub(crate) fn made(&self, directory: ItemId, name: &OsStr) {
        self.note_name(directory, name, |facts| {
            facts.replace();
            facts.made = true;
        });
    }

    pub(crate) fn removed(&self, directory: ItemId, name: &OsStr) {
        self.note_name(directory, name, |facts| {
            facts.replace();
            facts.removed = true;
        });
    }

    /// Everything noted so far, and how many names were not, for there were
    /// [`NAMES_MAX`] already.
    pub(crate) fn facts(&self) -> (HashMap<ViewPath, Facts>, u64) {
        let state = self.lock();
        (state.names.clone(), state.dropped)
    }

    fn note_name(&self, directory: ItemId, name: &OsStr, note: impl FnOnce(&mut Facts)) {
        let mut state = self.lock();
        let path = state.path(directory, Some(name));
        state.note(path, note);
    }

    fn note_item(&self, item: ItemId, note: impl FnOnce(&mut Facts)) {
        let mut state = self.lock();
        let path = state.path(item, None);
        state.note(path, note);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The path of an item, or of a name in it; `None` if it has none, or one
    /// that no view could have.
    fn path(&self, item: ItemId, name: Option<&OsStr>) -> Option<ViewPath> {
        let mut names: Vec<&OsStr> = name.into_iter().collect();
        let mut at = item;
        while at != ItemId::ROOT {
            let place = self.places.get(&at)?;
            if names.len() == DEPTH_MAX {
                return None;
            }
            names.push(&place.name);
            at = place.directory;
        }
        names.reverse();
        let path: Vec<u8> = names
            .iter()
            .map(|name| name.as_bytes())
            .collect::<Vec<_>>()
            .join(&b'/');
        match path.is_empty() {
            true => Some(ViewPath::root()),
            false => ViewPath::parse(&path).ok(),
        }
    }

    fn note(&mut self, path: Option<ViewPath>, note: impl FnOnce(&mut Facts)) {
        let Some(path) = path else { return };
        if self.names.len() >= NAMES_MAX && !self.names.contains_key(&path) {
            self.dropped += 1;
            return;
        }
        note(self.names.entry(path).or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const READ: OpenMode = OpenMode {
        read: true,
        write: false,
        truncate: false,
        append: false,
        direct: false,
        synchronous: false,
        drop_privileges: false,
    };
    const WRITE: OpenMode = OpenMode {
        read: false,
        write: true,
        ..READ
    };
    const REPLACE: OpenMode = OpenMode {
        truncate: true,
        ..WRITE
    };

    fn id(raw: u64) -> ItemId {
        ItemId::new(raw).unwrap()
    }

    /// As the volume does when a name is found.
    fn find(record: &Record, directory: u64, name: &str, item: u64, kind: ItemKind) {
        record.looked_up(id(directory), OsStr::new(name), kind);
        record.met(id(directory), OsStr::new(name), id(item));
    }

    fn facts(record: &Record, path: &str) -> Facts {
        let path = ViewPath::parse_inside(path.as_bytes()).unwrap();
        record.facts().0.remove(&path).unwrap_or_default()
    }

    #[test]
    fn what_happens_to_an_item_is_noted_where_it_was_met_last() {
        let record = Record::default();
        find(&record, 1, "a", 2, ItemKind::Directory);
        find(&record, 2, "b", 3, ItemKind::Directory);
        find(&record, 3, "file", 4, ItemKind::File);
        record.opened(id(4), READ);
        record.absent(id(3), OsStr::new("none"));
        record.absent(id(3), OsStr::new("none"));
        assert_eq!(facts(&record, "a/b/file").usage, Some(Use::Read));
        assert_eq!(facts(&record, "a/b").usage, Some(Use::LookedUp));
        assert_eq!(facts(&record, "a/b/none").probes, 2);

        // The directory is moved: what is in it is now found elsewhere.
        record.removed(id(2), OsStr::new("b"));
        record.made(ItemId::ROOT, OsStr::new("c"));
        record.met(ItemId::ROOT, OsStr::new("c"), id(3));
        record.opened(id(4), REPLACE);
        assert!(facts(&record, "c/file").written);
        assert!(!facts(&record, "a/b/file").written);
        assert!(facts(&record, "a/b").removed && facts(&record, "c").made);

        // Nobody has met it.
        record.opened(id(99), READ);
        assert_eq!(record.facts().0.len(), 6);
    }

    #[test]
    fn what_the_command_made_is_no_longer_what_was_there() {
        let record = Record::default();
        record.absent(ItemId::ROOT, OsStr::new("new"));
        record.made(ItemId::ROOT, OsStr::new("new"));
        find(&record, 1, "new", 2, ItemKind::File);
        record.opened(id(2), READ);
        let new = facts(&record, "new");
        assert_eq!((new.first, new.usage, new.updated), (None, None, false));

        // It comes into being by somebody else.
        record.absent(ItemId::ROOT, OsStr::new("late"));
        find(&record, 1, "late", 3, ItemKind::File);
        assert_eq!(facts(&record, "late").first, Some(ItemKind::File));
    }

    #[test]
    fn an_update_depends_on_what_was_there() {
        let ways: [(&str, &[OpenMode], bool); 6] = [
            ("replaced", &[REPLACE], false),
            ("replaced twice", &[REPLACE, WRITE], false),
            ("own content read", &[REPLACE, READ, REPLACE], false),
            ("appended", &[WRITE], true),
            ("read and replaced", &[READ, REPLACE], true),
            ("replaced and read", &[REPLACE, READ], false),
        ];
        let record = Record::default();
        for (item, (name, opens, is_updated)) in (2..).zip(ways) {
            find(&record, 1, name, item, ItemKind::File);
            for mode in opens {
                record.opened(id(item), *mode);
            }
            let facts = facts(&record, name);
            assert_eq!((facts.written, facts.updated), (true, is_updated), "{name}");
        }
        find(&record, 1, "renamed over", 20, ItemKind::File);
        record.opened(id(20), READ);
        record.made(ItemId::ROOT, OsStr::new("renamed over"));
        assert!(facts(&record, "renamed over").updated);

        let touched = AttributeChanges::default();
        find(&record, 1, "touched", 21, ItemKind::File);
        record.changed(id(21), &touched, ItemKind::File);
        assert!(facts(&record, "touched").updated);
        find(&record, 1, "directory", 22, ItemKind::Directory);
        record.changed(id(22), &touched, ItemKind::Directory);
        assert!(!facts(&record, "directory").is_own());
    }
}
