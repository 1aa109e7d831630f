//! Item numbers of the two volumes that sandboxes are made of, in one range.
//!
//! Numbers of host files are left as they are, for users compare them: the
//! passthrough module makes them of inode numbers. Those of the projection,
//! which count up from 2, are put where hardly an inode number is. What is
//! number 1 there, the directory that host files are counted from, gets the one
//! number in between that the projection leaves free.

use transom_module::{Errno, Error, ItemId, Result};

const PROJECTED: u64 = 1 << 62;

/// The root of the projection, which is above all views, is ours.
pub(crate) fn of_projected(id: ItemId) -> ItemId {
    match id {
        ItemId::ROOT => ItemId::ROOT,
        id => marked(id),
    }
}

pub(crate) fn of_host(id: ItemId) -> Result<ItemId> {
    match id {
        ItemId::ROOT => Ok(marked(id)),
        id if id.raw() & PROJECTED == 0 => Ok(id),
        id => Err(Error::new(
            Errno::from_raw(rustix::io::Errno::OVERFLOW.raw_os_error()),
            format!(
                "a host file has the number {}, which is too large",
                id.raw()
            ),
        )),
    }
}

fn marked(id: ItemId) -> ItemId {
    ItemId::new(PROJECTED | id.raw()).expect("a bit is set")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_volumes_never_share_a_number() {
        let id = |raw| ItemId::new(raw).unwrap();
        let host: Vec<_> = [1, 2, 3, 1 << 48]
            .map(|raw| of_host(id(raw)).unwrap())
            .into();
        let projected = [2, 3, 1 << 48].map(|raw| of_projected(id(raw)));
        assert!(host.iter().all(|id| !projected.contains(id)));
        assert!(host.iter().all(|id| *id != ItemId::ROOT));
        assert!(of_host(id(PROJECTED | 5)).is_err());
    }
}
