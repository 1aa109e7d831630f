use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use transom_module::ItemId;

use crate::descriptors::Budget;
use crate::version::VersionTable;

/// What all views of a projection have in common.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) versions: Arc<VersionTable>,
    /// For the descriptors that are kept for files and directories.
    pub(crate) budget: Arc<Budget>,
    pub(crate) owners: Option<OwnerMap>,
    next_id: AtomicU64,
}

impl Shared {
    pub(crate) fn new(descriptors: usize, owners: Option<OwnerMap>) -> Self {
        Self {
            versions: Arc::default(),
            budget: Arc::new(Budget::new(descriptors)),
            owners,
            next_id: AtomicU64::new(ItemId::ROOT.raw() + 1),
        }
    }

    /// A number no item of the projection has had.
    pub(crate) fn next_id(&self) -> ItemId {
        self.next_ids(1).id(0)
    }

    /// A block of `count` such numbers.
    pub(crate) fn next_ids(&self, count: usize) -> IdBlock {
        IdBlock(self.next_id.fetch_add(count as u64, Ordering::Relaxed))
    }
}

/// Consecutive item numbers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct IdBlock(u64);

impl IdBlock {
    pub(crate) fn id(self, index: usize) -> ItemId {
        ItemId::new(self.0 + index as u64).expect("numbers start above zero")
    }
}

/// Which owners can be shown.
///
/// In a user namespace a file whose owner is not mapped could be neither
/// looked at nor opened (`EOVERFLOW`); it is shown as owned by somebody who
/// is.
#[derive(Debug, Clone)]
pub struct OwnerMap {
    /// User ids that are mapped.
    pub uids: Vec<RangeInclusive<u32>>,
    /// Group ids that are mapped.
    pub gids: Vec<RangeInclusive<u32>>,
    /// The user that others are shown as; has to be mapped.
    pub overflow_uid: u32,
    /// The group that others are shown as; has to be mapped.
    pub overflow_gid: u32,
}

impl OwnerMap {
    pub(crate) fn shown(&self, uid: u32, gid: u32) -> (u32, u32) {
        let is_mapped =
            |ranges: &[RangeInclusive<u32>], id| ranges.iter().any(|range| range.contains(&id));
        (
            if is_mapped(&self.uids, uid) {
                uid
            } else {
                self.overflow_uid
            },
            if is_mapped(&self.gids, gid) {
                gid
            } else {
                self.overflow_gid
            },
        )
    }
}
