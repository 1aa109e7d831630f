use std::collections::BTreeMap;
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
pub(super) struct Table(BTreeMap<ViewId, Arc<Entry>>);

impl Table {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<Entry>> {
        self.0.values()
    }

    /// No user has two views of one name.
    pub(super) fn insert(&mut self, entry: Arc<Entry>) -> Result<(), Error> {
        if self.named(&entry.name, entry.owner).is_some() {
            return Err(exists(&entry.name));
        }
        self.0.insert(entry.view.id(), entry);
        Ok(())
    }

    /// A view by its number, or one of that user's by its name.
    pub(super) fn find(&self, text: &str, user: u32) -> Result<Arc<Entry>, Error> {
        let by_id = text.parse().ok().and_then(|id: ViewId| self.0.get(&id));
        let found = by_id.or_else(|| self.named(text, user));
        found.cloned().ok_or_else(|| Error::NotFound {
            name: text.into(),
            message: format!("there is no view {text:?}"),
        })
    }

    /// Removes it, unless somebody else has done so already.
    pub(super) fn remove(&mut self, id: ViewId) -> Option<Arc<Entry>> {
        self.0.remove(&id)
    }

    /// Removes those that end with a connection.
    pub(super) fn remove_of(&mut self, connection: ConnectionId) -> Vec<Arc<Entry>> {
        self.0
            .extract_if(.., |_, entry| entry.connection == Some(connection))
            .map(|(_, entry)| entry)
            .collect()
    }

    fn named(&self, name: &str, user: u32) -> Option<&Arc<Entry>> {
        self.all()
            .find(|entry| entry.owner == user && entry.name == name)
    }
}

pub(super) fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
