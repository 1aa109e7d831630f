//! Open files and directories, and how each item is open.
//!
//! The kernel's rules for passthrough, all measured (and asserted in
//! `tests/it/backing_files.rs`): a node keeps one backing id for as long as any
//! open of it exists, a second id is `EIO` even for the same host file; opens
//! through passthrough and through the page cache exclude each other, also
//! `EIO`; an open with passthrough may ask for direct I/O besides, then its
//! reads and writes come here and only its mappings go to the host file. So a
//! volume proposes, and how the item is open already decides:
//!
//! | wanted       | open now          | becomes                    |
//! |--------------|-------------------|----------------------------|
//! | passthrough  | cached            | cached                     |
//! | passthrough  | anything else     | passthrough                |
//! | cached       | passthrough       | passthrough and direct     |
//! | cached       | anything else     | cached                     |

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use transom_module::{Timestamp, Volume, VolumeDefinition};

use crate::backing::{BackingId, HostFile};
use crate::nodes::Node;

/// How an item is open, over all its opens.
#[derive(Debug, Default)]
pub(crate) struct NodeOpens {
    /// The backing file's number. `Some(None)` if the kernel refused it.
    pub(crate) registered: Option<Option<Arc<BackingId>>>,
    /// Opens of each route.
    by_route: [usize; 3],
    /// Those of them through whose mappings something may be written unheard.
    unheard_writers: usize,
    /// Size and time of change that the content had at the latest open.
    pub(crate) content: Option<(u64, Timestamp)>,
}

/// Which way the bytes of one open go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Route {
    /// From the backing file, by the kernel; here only if it was asked for
    /// direct I/O.
    Kernel = 0,
    /// Through us and the page cache.
    Cached = 1,
    /// Through us, uncached. Also directories.
    Direct = 2,
}

/// How one file is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Way {
    pub(crate) route: Route,
    /// The file can be written through a mapping, which takes the right to
    /// read as well.
    pub(crate) maps_to_write: bool,
}

impl Way {
    /// Whether something may be written of which neither the kernel nor we
    /// hear. Of all other writing to a backing file the kernel takes note.
    fn writes_unheard(self) -> bool {
        self.maps_to_write && self.route == Route::Kernel
    }
}

impl NodeOpens {
    /// Whether any open goes that way.
    pub(crate) fn any(&self, route: Route) -> bool {
        self.by_route[route as usize] > 0
    }

    /// Whether size and times may change without anybody's hearing of it.
    pub(crate) fn is_written_unheard(&self) -> bool {
        self.unheard_writers > 0
    }

    pub(crate) fn opened(&mut self, way: Way) {
        self.by_route[way.route as usize] += 1;
        self.unheard_writers += usize::from(way.writes_unheard());
    }

    /// True if nobody has the item open any more.
    fn closed(&mut self, way: Way) -> bool {
        let count = &mut self.by_route[way.route as usize];
        *count = count.saturating_sub(1);
        let writers = usize::from(way.writes_unheard());
        self.unheard_writers = self.unheard_writers.saturating_sub(writers);
        self.by_route.iter().all(|count| *count == 0)
    }
}

/// One open file or directory.
pub(crate) struct OpenFile<V: Volume> {
    handle: Option<V::Handle>,
    definition: Arc<VolumeDefinition<V>>,
    pub(crate) node: Arc<Node<V>>,
    way: Way,
    /// Set if the bytes are those of a host file.
    pub(crate) host: Option<HostFile>,
}

impl<V: Volume> OpenFile<V> {
    /// The open is counted with its node already.
    pub(crate) fn new(
        definition: &Arc<VolumeDefinition<V>>,
        node: &Arc<Node<V>>,
        handle: V::Handle,
        way: Way,
        host: Option<HostFile>,
    ) -> Self {
        Self {
            handle: Some(handle),
            definition: Arc::clone(definition),
            node: Arc::clone(node),
            way,
            host,
        }
    }

    /// Its node, if it was the last through which something could be written
    /// unheard. Lets go of the file.
    pub(crate) fn last_unheard_writer(self: Arc<Self>) -> Option<Arc<Node<V>>> {
        let (way, node) = (self.way, Arc::clone(&self.node));
        drop(self);
        let is_last = way.writes_unheard() && !node.opens().is_written_unheard();
        is_last.then_some(node)
    }

    pub(crate) fn handle(&self) -> &V::Handle {
        self.handle
            .as_ref()
            .expect("a handle leaves its place only when that is dropped")
    }
}

impl<V: Volume> Drop for OpenFile<V> {
    fn drop(&mut self) {
        if let Some(handle) = self.handle.take() {
            self.definition.volume.close(handle);
        }
        let nobody = self.node.opens().closed(self.way);
        if nobody && let Some(group) = self.definition.deactivation() {
            group.deactivate(self.node.item());
        }
    }
}

/// The open files by the numbers that the kernel knows them by. A handle is
/// closed exactly once, by the `Drop` of its last user: RELEASE, or the end of
/// the session.
pub(crate) struct OpenFiles<V: Volume> {
    next: AtomicU64,
    by_number: Mutex<HashMap<u64, Arc<OpenFile<V>>>>,
}

impl<V: Volume> OpenFiles<V> {
    pub(crate) fn new() -> Self {
        // The numbers of a server before us, of whose opens the kernel may
        // still tell, must not be ours. 0 stands for no open file.
        let start = RandomState::new().hash_one(()) >> 1;
        Self {
            next: AtomicU64::new(start.max(1)),
            by_number: Mutex::default(),
        }
    }

    pub(crate) fn insert(&self, file: OpenFile<V>) -> u64 {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        lock(&self.by_number).insert(number, Arc::new(file));
        number
    }

    pub(crate) fn get(&self, number: u64) -> Option<Arc<OpenFile<V>>> {
        lock(&self.by_number).get(&number).cloned()
    }

    /// Taken out under the lock; closed after it, by whoever lets go of it last.
    pub(crate) fn remove(&self, number: u64) -> Option<Arc<OpenFile<V>>> {
        lock(&self.by_number).remove(&number)
    }

    /// Closes everything: the kernel will not.
    pub(crate) fn clear(&self) {
        let _closed = std::mem::take(&mut *lock(&self.by_number));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
