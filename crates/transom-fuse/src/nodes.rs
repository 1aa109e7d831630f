//! The table of live nodes: which items the kernel refers to, and how often.
//!
//! A node enters the table with the first lookup that finds its item and
//! leaves it when the kernel has forgotten as many lookups as it was answered.
//! The kernel sends no FORGET at unmount, so dropping the table is what gives
//! the last items back. Whichever way it goes, an item is reclaimed exactly
//! once, by the `Drop` of its node, after the last handler that uses it.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use transom_module::{Entry, ItemId, ItemKind, Lifetime, Volume, VolumeDefinition};

use crate::directory_times::ToldTo;
use crate::open_files::NodeOpens;

/// One live item.
pub(crate) struct Node<V: Volume> {
    pub(crate) id: ItemId,
    /// What tells it from earlier items of that id.
    pub(crate) generation: u64,
    /// In bytes, as the kernel was told when the item was found.
    pub(crate) size: u64,
    /// Who was told its attributes, if it is a directory.
    pub(crate) told_to: Option<ToldTo>,
    /// How the item is open now.
    opens: Mutex<NodeOpens>,
    item: Option<V::Item>,
    definition: Arc<VolumeDefinition<V>>,
}

impl<V: Volume> Node<V> {
    pub(crate) fn item(&self) -> &V::Item {
        self.item
            .as_ref()
            .expect("an item leaves its node only when the node is dropped")
    }
}

impl<V: Volume> Node<V> {
    /// How the item is open, locked.
    pub(crate) fn opens(&self) -> MutexGuard<'_, NodeOpens> {
        self.opens.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For how long attributes of that lifetime hold: not at all while the host
    /// file may be written through a mapping.
    pub(crate) fn bound(&self, lifetime: Lifetime) -> Lifetime {
        if self.opens().is_written_unheard() {
            Lifetime::NONE
        } else {
            lifetime
        }
    }
}

impl<V: Volume> Drop for Node<V> {
    fn drop(&mut self) {
        if let Some(item) = self.item.take() {
            self.definition.volume.reclaim(item);
        }
    }
}

/// Shards of the table, so that lookups in different directories rarely wait
/// for each other. A power of two.
const SHARDS: usize = 16;

type Shard<V> = Mutex<HashMap<u64, Counted<V>>>;

struct Counted<V: Volume> {
    node: Arc<Node<V>>,
    /// Lookups answered and not yet forgotten.
    lookups: u64,
}

pub(crate) struct NodeTable<V: Volume> {
    definition: Arc<VolumeDefinition<V>>,
    shards: [Shard<V>; SHARDS],
    /// Nodes of each shard that were told as the next ones.
    passed: AtomicUsize,
}

impl<V: Volume> NodeTable<V> {
    pub(crate) fn new(definition: Arc<VolumeDefinition<V>>) -> Self {
        Self {
            definition,
            shards: std::array::from_fn(|_| Mutex::default()),
            passed: AtomicUsize::new(0),
        }
    }

    /// Counts one lookup of the item in `found`, which the kernel is about to
    /// be told. Undone by [`forget`](Self::forget) if the answer is lost.
    pub(crate) fn acquire(&self, found: Entry<V::Item>) -> Arc<Node<V>> {
        let id = found.attributes.id;
        let node = Arc::new(Node {
            id,
            generation: found.generation,
            size: found.attributes.size,
            told_to: (found.attributes.kind == ItemKind::Directory).then(ToldTo::default),
            opens: Mutex::default(),
            item: Some(found.item),
            definition: Arc::clone(&self.definition),
        });
        // A second item of the same id is the same item: then `node` is dropped
        // at the end, after the lock, and gives it back.
        match self.shard(id.raw()).entry(id.raw()) {
            Slot::Occupied(mut slot) => {
                slot.get_mut().lookups += 1;
                Arc::clone(&slot.get().node)
            }
            Slot::Vacant(slot) => {
                slot.insert(Counted {
                    node: Arc::clone(&node),
                    lookups: 1,
                });
                node
            }
        }
    }

    /// Counts one more lookup of a node that the kernel may still refer to.
    pub(crate) fn acquire_known(&self, id: u64) -> Option<Arc<Node<V>>> {
        let mut shard = self.shard(id);
        let counted = shard.get_mut(&id)?;
        counted.lookups += 1;
        Some(Arc::clone(&counted.node))
    }

    /// The node of that number, if the kernel may still refer to it.
    pub(crate) fn get(&self, id: u64) -> Option<Arc<Node<V>>> {
        self.shard(id)
            .get(&id)
            .map(|counted| Arc::clone(&counted.node))
    }

    /// The kernel forgets `lookups` lookups of a node. The root stays for as
    /// long as the volume is mounted. Forgetting more than was counted is a
    /// kernel's error that must not become ours: the count stops at 0.
    pub(crate) fn forget(&self, id: u64, lookups: u64) {
        if id == ItemId::ROOT.raw() {
            return;
        }
        let _last = match self.shard(id).entry(id) {
            Slot::Occupied(mut slot) if slot.get().lookups > lookups => {
                slot.get_mut().lookups -= lookups;
                None
            }
            Slot::Occupied(slot) => Some(slot.remove()),
            Slot::Vacant(_) => None,
        };
    }

    /// About `count` nodes, others than the last time, in no order; not the
    /// root.
    pub(crate) fn next(&self, count: usize) -> Vec<u64> {
        let each = count.div_ceil(SHARDS);
        let passed = self.passed.fetch_add(each, Ordering::Relaxed);
        let root = ItemId::ROOT.raw();
        (0..SHARDS)
            .flat_map(|shard| {
                let shard = self.shard(shard as u64);
                let passed = passed % shard.len().max(1);
                let next = shard
                    .keys()
                    .cycle()
                    .skip(passed)
                    .take(each.min(shard.len()));
                let next = next.copied().filter(|id| *id != root);
                next.collect::<Vec<_>>()
            })
            .collect()
    }

    /// Live nodes, the root included.
    pub(crate) fn len(&self) -> usize {
        (0..SHARDS)
            .map(|shard| self.shard(shard as u64).len())
            .sum()
    }

    fn shard(&self, id: u64) -> std::sync::MutexGuard<'_, HashMap<u64, Counted<V>>> {
        self.shards[id as usize % SHARDS]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
