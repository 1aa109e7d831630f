use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use transom_module::{Volume, VolumeDefinition};

/// Open files whose bytes the volume serves. A handle is closed exactly once,
/// by the `Drop` of its last user: RELEASE, or the end of the session.
pub(crate) struct HandleTable<V: Volume> {
    definition: Arc<VolumeDefinition<V>>,
    next: AtomicU64,
    open: Mutex<HashMap<u64, Arc<OpenHandle<V>>>>,
}

pub(crate) struct OpenHandle<V: Volume> {
    handle: Option<V::Handle>,
    definition: Arc<VolumeDefinition<V>>,
}

impl<V: Volume> OpenHandle<V> {
    pub(crate) fn get(&self) -> &V::Handle {
        self.handle
            .as_ref()
            .expect("a handle leaves its place only when that is dropped")
    }
}

impl<V: Volume> Drop for OpenHandle<V> {
    fn drop(&mut self) {
        if let Some(handle) = self.handle.take() {
            self.definition.volume.close(handle);
        }
    }
}

impl<V: Volume> HandleTable<V> {
    pub(crate) fn new(definition: Arc<VolumeDefinition<V>>) -> Self {
        // 0 is what passthrough opens carry: they need no handle.
        Self {
            definition,
            next: AtomicU64::new(1),
            open: Mutex::default(),
        }
    }

    pub(crate) fn insert(&self, handle: V::Handle) -> u64 {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let handle = OpenHandle {
            handle: Some(handle),
            definition: Arc::clone(&self.definition),
        };
        self.lock().insert(number, Arc::new(handle));
        number
    }

    pub(crate) fn get(&self, number: u64) -> Option<Arc<OpenHandle<V>>> {
        self.lock().get(&number).cloned()
    }

    pub(crate) fn remove(&self, number: u64) {
        // Taken out under the lock, closed after it.
        let _closed = self.lock().remove(&number);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Arc<OpenHandle<V>>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
