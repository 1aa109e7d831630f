//! What is free, and what of it to take.

use crate::layout::{Extent, Space};

/// What of the space no extent takes, in order, and cut where the shares of
/// the members meet.
pub(crate) fn free<'a>(space: &Space, taken: impl IntoIterator<Item = &'a Extent>) -> Vec<Extent> {
    let mut taken: Vec<_> = taken.into_iter().copied().collect();
    taken.sort_unstable();
    let mut free = Vec::new();
    let mut taken = taken.into_iter().peekable();
    for share in space.shares() {
        let mut at = share.start;
        while at < share.end() {
            let Some(next) = taken
                .peek()
                .copied()
                .filter(|next| next.start < share.end())
            else {
                break;
            };
            free.extend(between(at, next.start));
            at = at.max(next.end());
            // It may go on in the next share.
            if next.end() > share.end() {
                break;
            }
            taken.next();
        }
        free.extend(between(at, share.end()));
    }
    free
}

/// Extents of `bytes` in all: one if any is large enough, otherwise several.
/// `None` if all together are too small.
pub(super) fn first_fit(free: &[Extent], bytes: u64) -> Option<Vec<Extent>> {
    let start_of = |extent: &Extent, bytes| Extent {
        start: extent.start,
        bytes,
    };
    if let Some(extent) = free.iter().find(|extent| extent.bytes >= bytes) {
        return Some(vec![start_of(extent, bytes)]);
    }
    let mut found = Vec::new();
    let mut missing = bytes;
    for extent in free {
        let part = missing.min(extent.bytes);
        super::append(&mut found, start_of(extent, part));
        missing -= part;
        if missing == 0 {
            return Some(found);
        }
    }
    None
}

fn between(start: u64, end: u64) -> Option<Extent> {
    let bytes = end.checked_sub(start).filter(|bytes| *bytes > 0)?;
    Some(Extent { start, bytes })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::layout::{BLOCK_BYTES, DATA_END, DATA_START, Layout};

    proptest! {
        #[test]
        fn free_is_what_is_not_taken(
            members in prop::collection::vec(1_u64..12, 1..4),
            blocks in prop::collection::vec(any::<bool>(), 36),
        ) {
            let used: Vec<_> = members
                .iter()
                .map(|blocks| DATA_START + blocks * BLOCK_BYTES + DATA_END)
                .collect();
            let space = Space::new(Layout::Linear, &used);
            let count: u64 = members.iter().sum();
            let mut taken = Vec::new();
            for (block, is_taken) in (0..count).zip(&blocks) {
                let extent = Extent { start: block * BLOCK_BYTES, bytes: BLOCK_BYTES };
                if *is_taken {
                    crate::table::append(&mut taken, extent);
                }
            }
            taken.reverse();
            let free = free(&space, &taken);
            for (block, is_taken) in (0..count).zip(&blocks) {
                let address = block * BLOCK_BYTES;
                let holders = free
                    .iter()
                    .filter(|extent| (extent.start..extent.end()).contains(&address));
                prop_assert_eq!(holders.count(), usize::from(!is_taken));
            }
            for extent in &free {
                prop_assert_eq!(space.spans(*extent).count(), 1);
            }
        }
    }
}
