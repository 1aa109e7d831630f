use std::collections::BTreeMap;
use std::collections::btree_map::Entry as MapEntry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use transom_control::ConnectionId;
use transom_control::views::Error;
use transom_projection::{View, ViewId};

use super::refusals::exists;

/// A view, and whose it is.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) owner: u32,
    pub(super) name: String,
    /// What it ends with; `None` for one that is kept.
    pub(super) connection: Option<ConnectionId>,
    pub(super) view: Arc<View>,
}

/// The views that have not ended.
#[derive(Debug, Default)]
pub(super) struct Table {
    by_id: BTreeMap<ViewId, Arc<Entry>>,
    /// By owner and name.
    by_name: BTreeMap<(u32, String), ViewId>,
}

impl Table {
    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<Entry>> {
        self.by_id.values()
    }

    /// No user has two views of one name.
    pub(super) fn insert(&mut self, entry: Arc<Entry>) -> Result<(), Error> {
        let id = entry.view.id();
        match self.by_name.entry((entry.owner, entry.name.clone())) {
            MapEntry::Occupied(_) => Err(exists(&entry.name)),
            MapEntry::Vacant(free) => {
                free.insert(id);
                self.by_id.insert(id, entry);
                Ok(())
            }
        }
    }

    /// A view by its number, or one of that user's by its name.
    pub(super) fn find(&self, text: &str, user: u32) -> Result<Arc<Entry>, Error> {
        let by_id = text.parse().ok().and_then(|id: ViewId| self.by_id.get(&id));
        let found = by_id.or_else(|| self.named(text, user));
        found.cloned().ok_or_else(|| Error::NotFound {
            name: text.into(),
            message: format!("there is no view {text:?}"),
        })
    }

    /// Removes it, unless somebody else has done so already.
    pub(super) fn remove(&mut self, id: ViewId) -> Option<Arc<Entry>> {
        let entry = self.by_id.remove(&id)?;
        self.by_name.remove(&(entry.owner, entry.name.clone()));
        Some(entry)
    }

    /// Removes those that end with a connection.
    pub(super) fn remove_of(&mut self, connection: ConnectionId) -> Vec<Arc<Entry>> {
        let ended: Vec<_> = self
            .all()
            .filter(|entry| entry.connection == Some(connection))
            .map(|entry| entry.view.id())
            .collect();
        ended.into_iter().filter_map(|id| self.remove(id)).collect()
    }

    fn named(&self, name: &str, user: u32) -> Option<&Arc<Entry>> {
        let id = self.by_name.get(&(user, name.to_owned()))?;
        self.by_id.get(id)
    }
}

pub(super) fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
