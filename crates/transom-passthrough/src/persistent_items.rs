//! Finding items by number.
//!
//! The host can find a file by a *handle* that it gave out: an inode number
//! and a *generation*, which tells the file from earlier ones of that number.
//! The kernel asks us by id alone, which has the inode number in it, and
//! compares the generation that we return by itself. So the generation is
//! lacking to ask the host. It is remembered for the items that were given
//! back last.
//!
//! But ext4 takes 0 for any generation. There the time at which a file was made
//! tells it from earlier ones as well; that comes with the attributes, while
//! asking for the handle of each item would cost a tenth of finding it.
//!
//! A handle can also stand for a file outside of the source, of which only
//! root could make one up. An item that was given back was inside once, which
//! is all that can be said of one that the kernel still knows, too. Beyond
//! that, numbers are only believed where the whole file system is the source.

use std::collections::HashMap;
use std::mem;
use std::os::fd::AsFd;
use std::sync::{Mutex, PoisonError};

use rustix::fs::{Mode, OFlags, Statx, StatxFlags};
use transom_module::{Context, Entry, Errno, ItemId, ItemKind, PersistentItems, Result};
use transom_sys::file_handle::FileHandle;

use crate::host::{refused, stat};
use crate::item::Item;
use crate::volume::Passthrough;

/// How many items are remembered that were given back: at least half as many.
const FORGOTTEN_MAX: usize = 65536;

/// The kinds of handles of `<linux/exportfs.h>` that are understood here.
const FILEID_INO32_GEN: i32 = 0x01;
const FILEID_INO64_GEN: i32 = 0x81;

/// From `<linux/magic.h>`.
const EXT4_MAGIC: u64 = 0xef53;
/// The inode number of the root of every ext4 file system.
const EXT4_ROOT: u64 = 2;
/// A generation that ext4 takes for any.
const EXT4_ANY: u32 = 0;

impl PersistentItems for Passthrough {
    fn by_id(&self, _: &Context<'_>, id: ItemId) -> Result<Entry<Item>> {
        let (Some(layout), Some(inode)) = (self.source.layout, self.numbering.inode(id)) else {
            return Err(Errno::ESTALE.into());
        };
        let remembered = self.forgotten.generation(id);
        if remembered.is_none() && !layout.is_whole {
            return Err(Errno::ESTALE.into());
        }
        let descriptor = layout
            .any_generation
            .or(remembered)
            .and_then(|generation| layout.handle(inode, generation))
            .ok_or(Errno::ESTALE)?
            .open(&self.source.root_opened, OFlags::PATH)
            .map_err(refused)?;
        let entry = self.entry(descriptor)?;
        let is_remembered = remembered.is_none() || remembered == entry.item.generation;
        if entry.item.id != id || !is_remembered {
            return Err(Errno::ESTALE.into());
        }
        Ok(entry)
    }

    fn parent(&self, _: &Context<'_>, directory: &Item) -> Result<Entry<Item>> {
        if directory.kind != ItemKind::Directory {
            return Err(Errno::ENOTDIR.into());
        }
        // The root's is itself, since it is the root of a mount.
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let parent = rustix::fs::openat(&directory.descriptor, c"..", flags, Mode::empty());
        self.entry(parent.map_err(refused)?)
    }
}

/// How a file system's handles are laid out.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Layout {
    kind: HandleKind,
    /// The generation that stands for any.
    any_generation: Option<u32>,
    /// All of the file system is inside of the source, so that numbers can be
    /// believed.
    is_whole: bool,
}

#[derive(Debug, Clone, Copy)]
enum HandleKind {
    /// Inode number and generation, 32 bits each: most file systems.
    Inode32,
    /// Generation, low and high half of the inode number: tmpfs.
    GenerationFirst,
    /// Inode number of 64 bits, generation: XFS.
    Inode64,
}

impl Layout {
    /// That of the file system whose directory `root` is open. `None` if it
    /// has no handles, none that are known here, or we may not use them.
    pub(crate) fn of_file_system(root: impl AsFd) -> Option<Self> {
        let handle = FileHandle::of(&root).ok()?;
        let inode = stat(&root).ok()?.stx_ino;
        let kind = match (handle.kind(), handle.bytes().len()) {
            (FILEID_INO32_GEN, 8) => HandleKind::Inode32,
            (FILEID_INO32_GEN, 12) => HandleKind::GenerationFirst,
            (FILEID_INO64_GEN, 12) => HandleKind::Inode64,
            _ => return None,
        };
        let is_ext4 = rustix::fs::fstatfs(&root).ok()?.f_type as u64 == EXT4_MAGIC;
        let layout = Self {
            kind,
            any_generation: is_ext4.then_some(EXT4_ANY),
            is_whole: is_ext4 && inode == EXT4_ROOT,
        };
        let again = layout.handle(inode, layout.host_generation(&root, inode)?)?;
        again.open(&root, OFlags::PATH).ok()?;
        Some(layout)
    }

    /// What tells a file from earlier ones of that number.
    pub(crate) fn generation(self, file: impl AsFd, stat: &Statx) -> Option<u32> {
        if self.any_generation.is_some() && stat.stx_mask & StatxFlags::BTIME.bits() != 0 {
            let seconds = stat.stx_btime.tv_sec.cast_unsigned();
            let birth = seconds.wrapping_mul(1 << 30) | u64::from(stat.stx_btime.tv_nsec);
            return Some((birth ^ (birth >> 32)) as u32);
        }
        self.host_generation(file, stat.stx_ino)
    }

    /// The generation in the handle of a file with that inode number.
    fn host_generation(self, file: impl AsFd, inode: u64) -> Option<u32> {
        let handle = FileHandle::of(file).ok()?;
        let at = match self.kind {
            HandleKind::Inode32 => 4..8,
            HandleKind::GenerationFirst => 0..4,
            HandleKind::Inode64 => 8..12,
        };
        let generation = u32::from_ne_bytes(handle.bytes().get(at)?.try_into().ok()?);
        // A handle of another kind would not come out the same.
        let same = self.handle(inode, generation)?;
        let is_same = (same.kind(), same.bytes()) == (handle.kind(), handle.bytes());
        is_same.then_some(generation)
    }

    fn handle(self, inode: u64, generation: u32) -> Option<FileHandle> {
        let (low, high) = (inode as u32, (inode >> 32) as u32);
        let words = |words: &[u32]| -> Vec<u8> {
            words.iter().flat_map(|word| word.to_ne_bytes()).collect()
        };
        match self.kind {
            HandleKind::Inode32 if high != 0 => None,
            HandleKind::Inode32 => FileHandle::new(FILEID_INO32_GEN, &words(&[low, generation])),
            HandleKind::GenerationFirst => {
                FileHandle::new(FILEID_INO32_GEN, &words(&[generation, low, high]))
            }
            HandleKind::Inode64 => {
                let mut bytes = inode.to_ne_bytes().to_vec();
                bytes.extend(generation.to_ne_bytes());
                FileHandle::new(FILEID_INO64_GEN, &bytes)
            }
        }
    }
}

/// The generations of items that were given back. When the newer half is full,
/// the older is dropped.
#[derive(Debug, Default)]
pub(crate) struct Forgotten(Mutex<Halves>);

#[derive(Debug, Default)]
struct Halves {
    newer: HashMap<ItemId, u32>,
    older: HashMap<ItemId, u32>,
}

impl Forgotten {
    pub(crate) fn remember(&self, item: &Item) {
        let Some(generation) = item.generation else {
            return;
        };
        let mut halves = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if halves.newer.len() >= FORGOTTEN_MAX / 2 {
            halves.older = mem::take(&mut halves.newer);
        }
        halves.newer.insert(item.id, generation);
    }

    fn generation(&self, id: ItemId) -> Option<u32> {
        let halves = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        halves
            .newer
            .get(&id)
            .or_else(|| halves.older.get(&id))
            .copied()
    }
}
