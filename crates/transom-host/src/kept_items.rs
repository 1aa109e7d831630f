//! Items as a cache.
//!
//! The kernel keeps items that nobody uses, so as not to ask for them again; and a
//! volume of host files keeps a descriptor for each, which keeps the host's inode in
//! memory, too. So the volumes of a container that has no cache of its own are its
//! cache: what they may use is so many items.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use transom_module::Cache;

use crate::volume::ServedVolume;

/// What one item takes, in bytes, about: inode and name in FUSE (`fuse_inode`,
/// `dentry` of `/proc/slabinfo`: 1.1 KiB), inode and name in the host's file system
/// (ext4: 1.3 KiB), an open file, and what we know of it.
const ITEM_BYTES: u64 = 3 << 10;

/// What a volume may keep however little memory there is.
const ITEMS_MIN: usize = 1000;

/// The served volumes of a container, by their keys; `None` while one is being
/// mounted for the first time.
#[derive(Clone, Default)]
pub(crate) struct ServedVolumes(Arc<Mutex<BTreeMap<String, Option<Arc<ServedVolume>>>>>);

impl ServedVolumes {
    pub(crate) fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Option<Arc<ServedVolume>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn all(&self) -> Vec<Arc<ServedVolume>> {
        self.lock().values().flatten().cloned().collect()
    }
}

impl Cache for ServedVolumes {
    fn wanted(&self) -> u64 {
        let volumes = self.all();
        let items = volumes.iter().map(|volume| volume.items_wanted() as u64);
        items.map(|items| items.saturating_mul(ITEM_BYTES)).sum()
    }

    fn used(&self) -> u64 {
        let volumes = self.all();
        let items = volumes.iter().map(|volume| volume.items() as u64);
        items.sum::<u64>() * ITEM_BYTES
    }

    fn limit(&self, bytes: u64) {
        let volumes = self.all();
        let each = bytes / ITEM_BYTES / (volumes.len() as u64).max(1);
        let each = usize::try_from(each).unwrap_or(usize::MAX).max(ITEMS_MIN);
        for volume in volumes {
            volume.limit_items(each);
        }
    }
}
