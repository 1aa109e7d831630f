//! What a server offers, and to whom.

use std::collections::{BTreeMap, HashMap};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use transom_module::{BlockVolume, Geometry};

use super::handshake::Exports;

/// What a server and its connections share.
#[derive(Default)]
pub(super) struct Shared {
    pub(super) exports: Mutex<BTreeMap<String, Arc<Export>>>,
    pub(super) connections: Mutex<HashMap<u64, Arc<UnixStream>>>,
    /// No connection is accepted any more.
    pub(super) closing: AtomicBool,
}

/// A volume that is offered.
pub(super) struct Export {
    pub(super) volume: Arc<dyn BlockVolume>,
    pub(super) requests: AtomicU64,
    /// The connections that use it. `None` when it was withdrawn.
    pub(super) users: Mutex<Option<HashMap<u64, Arc<UnixStream>>>>,
}

impl Export {
    pub(super) fn new(volume: Arc<dyn BlockVolume>) -> Self {
        Self {
            volume,
            requests: AtomicU64::new(0),
            users: Mutex::new(Some(HashMap::new())),
        }
    }

    /// How many connections use it.
    pub(super) fn connections(&self) -> usize {
        lock(&self.users).as_ref().map_or(0, HashMap::len)
    }

    /// Counts a connection of that number among its users. False if it was
    /// withdrawn meanwhile.
    pub(super) fn enter(&self, number: u64, stream: &Arc<UnixStream>) -> bool {
        let mut users = lock(&self.users);
        let entered = users
            .as_mut()
            .map(|users| users.insert(number, Arc::clone(stream)));
        entered.is_some()
    }

    pub(super) fn leave(&self, number: u64) {
        if let Some(users) = lock(&self.users).as_mut() {
            users.remove(&number);
        }
    }
}

impl Exports for Shared {
    type Export = Arc<Export>;

    fn names(&self) -> Vec<String> {
        lock(&self.exports).keys().cloned().collect()
    }

    fn find(&self, name: &str) -> Option<(String, Arc<Export>)> {
        let exports = lock(&self.exports);
        let (name, export) = match name {
            "" if exports.len() == 1 => exports.first_key_value()?,
            _ => exports.get_key_value(name)?,
        };
        Some((name.clone(), Arc::clone(export)))
    }

    fn geometry(&self, export: &Arc<Export>) -> Geometry {
        export.volume.geometry()
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
