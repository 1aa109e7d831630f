//! Items and their numbers.
//!
//! The id of an item is the host's inode number, which is what users compare
//! and what finds the item again. Two things do not fit. The root of a volume
//! must have id 1, so it swaps numbers with whatever has inode number 1. And
//! where a source spans several devices (the subvolumes of btrfs do), an inode
//! number alone would be ambiguous: items of other devices have the top bit
//! set, then a number of ours for the device, then the inode number.

use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};

use transom_module::{Errno, Error, ItemId, ItemKind, Result};

/// A live item: an open file of the host.
#[derive(Debug)]
pub struct Item {
    /// Opened with `O_PATH`.
    pub(crate) descriptor: Arc<OwnedFd>,
    pub(crate) id: ItemId,
    pub(crate) kind: ItemKind,
    pub(crate) device: u64,
    /// What tells it from earlier files of the same number, where the host
    /// says so.
    pub(crate) generation: Option<u32>,
}

const OTHER_DEVICE: u64 = 1 << 63;
const INODE_BITS: u32 = 48;
/// How many devices a source can span besides the one of its root.
const OTHER_DEVICES_MAX: usize = 1 << (63 - INODE_BITS);

/// Numbers items. They keep their numbers as long as this lives.
#[derive(Debug)]
pub(crate) struct Numbering {
    device: u64,
    root: u64,
    others: Mutex<Vec<u64>>,
}

impl Numbering {
    /// For a source whose root has the inode number `root` on `device`.
    pub(crate) fn new(device: u64, root: u64) -> Self {
        Self {
            device,
            root,
            others: Mutex::default(),
        }
    }

    /// The id of what has the number `inode` on `device`.
    pub(crate) fn id(&self, device: u64, inode: u64) -> Result<ItemId> {
        let number = if device == self.device {
            self.swapped(inode)
        } else {
            OTHER_DEVICE | (self.other(device)? << INODE_BITS) | inode
        };
        let is_other = number & OTHER_DEVICE != 0;
        let fits = inode >> INODE_BITS == 0 || !is_other;
        if !fits || is_other != (device != self.device) {
            return Err(too_large(inode));
        }
        ItemId::new(number).ok_or_else(|| Errno::ESTALE.into())
    }

    /// The inode number on the root's device that an id stands for.
    pub(crate) fn inode(&self, id: ItemId) -> Option<u64> {
        (id.raw() & OTHER_DEVICE == 0).then(|| self.swapped(id.raw()))
    }

    fn swapped(&self, number: u64) -> u64 {
        match number {
            number if number == self.root => ItemId::ROOT.raw(),
            number if number == ItemId::ROOT.raw() => self.root,
            number => number,
        }
    }

    fn other(&self, device: u64) -> Result<u64> {
        let mut others = self.others.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(index) = others.iter().position(|other| *other == device) {
            return Ok(index as u64);
        }
        if others.len() == OTHER_DEVICES_MAX {
            return Err(Error::new(
                overflow(),
                format!("the source spans more than {OTHER_DEVICES_MAX} devices"),
            ));
        }
        others.push(device);
        Ok(others.len() as u64 - 1)
    }
}

fn too_large(inode: u64) -> Error {
    let message = format!("inode number {inode} of the host leaves no room to mark its device");
    Error::new(overflow(), message)
}

fn overflow() -> Errno {
    Errno::from_raw(rustix::io::Errno::OVERFLOW.raw_os_error())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_and_number_1_change_places() {
        let numbering = Numbering::new(7, 128);
        for (inode, id) in [(128, 1), (1, 128), (2, 2)] {
            assert_eq!(numbering.id(7, inode).unwrap().raw(), id);
            let id = ItemId::new(id).unwrap();
            assert_eq!(numbering.inode(id), Some(inode));
        }
    }

    #[test]
    fn items_of_other_devices_have_numbers_of_their_own() {
        let numbering = Numbering::new(7, 128);
        let ids = [(7, 5), (8, 5), (9, 5), (8, 128), (8, 1)]
            .map(|(device, inode)| numbering.id(device, inode).unwrap());
        for (index, id) in ids.iter().enumerate() {
            assert!(!ids[..index].contains(id), "{ids:?}");
        }
        assert_eq!(numbering.id(8, 5).unwrap(), ids[1]);
        assert_eq!(numbering.inode(ids[1]), None);
    }

    #[test]
    fn numbers_without_room_are_refused() {
        let numbering = Numbering::new(7, 128);
        assert!(numbering.id(7, 1 << 62).is_ok());
        assert!(numbering.id(7, 1 << 63).is_err());
        assert!(numbering.id(8, (1 << 48) - 1).is_ok());
        assert!(numbering.id(8, 1 << 48).is_err());
    }
}
