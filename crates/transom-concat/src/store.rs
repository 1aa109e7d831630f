//! Where the table is kept, so that a crash or a power cut at any moment leaves
//! the old one or the new one.
//!
//! Every member has two **slots**, and all members have the same in them. A
//! commit writes the table as the next **generation** to the slot that the
//! generation before is not in, on all members, and is done when all have it on
//! stable storage:
//!
//! ```text
//!                     slot 0   slot 1
//!   member 0           6        5 ─► 7         generation 7 is being written:
//!   member 1           6        5              6 is whole everywhere
//! ```
//!
//! The newest whole generation that any member has is the table. So after a
//! power cut a member may be behind the others by one, and is brought up to
//! date before anything else is written.
//!
//! A member that is behind by more was not there when the others changed, an
//! old copy for instance, and is refused. So that this finds a copy also if
//! nothing was changed since, a container that is loaded to be changed commits
//! its table twice first. This fills both slots of all members, too. What a
//! power cut left half-written is erased before that: the same generation is
//! written there again, and a second power cut might else complete the one from
//! parts of the other.
//!
//! A commit that fails is taken back: the slot it was written to is erased
//! everywhere. If that fails too, nobody knows which of the two tables will be
//! found next time, and nothing is changed any more until then.

use std::fmt::Display;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use transom_module::{ContainerId, Errno, Error, Result};
use zerocopy::little_endian::U64;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::layout::Space;
use crate::table::Table;

/// Where the slots are on each member, by the parity of the generation.
pub(crate) const SLOT_OFFSETS: [u64; 2] = [1 << 20, 2 << 20];
/// The size of a slot.
pub(crate) const SLOT_BYTES: usize = 1 << 20;
const MAGIC: [u8; 16] = *b"transom-table\r\n\0";
/// Far from what any container gets to, and far from an overflow.
const GENERATION_MAX: u64 = 1 << 62;

/// What slots are written on: a member, or what a test puts in its place.
pub(crate) trait Medium {
    /// What to call it in messages.
    fn shown(&self) -> impl Display;
    fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<()>;
    fn write(&self, offset: u64, data: &[u8]) -> Result<()>;
    /// Makes all writes durable that have returned.
    fn synchronize(&self) -> Result<()>;
}

/// The head of a slot; the table follows. Numbers are little-endian.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Head {
    magic: [u8; 16],
    container: [u8; 16],
    generation: U64,
    /// The length of the table.
    bytes: U64,
    /// SHA-256 of all before and of the table.
    checksum: [u8; 32],
}

const HEAD_BYTES: usize = size_of::<Head>();

/// A whole slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Version {
    pub(crate) generation: u64,
    table: Vec<u8>,
}

/// What is in the two slots of a medium; of one that is not whole, why.
pub(crate) type Slots = [std::result::Result<Version, String>; 2];

/// Reads both slots.
pub(crate) fn read_slots(medium: &impl Medium, container: ContainerId) -> Slots {
    [0, 1].map(|slot| read_slot(medium, container, slot).map_err(|error| error.to_string()))
}

fn read_slot(medium: &impl Medium, container: ContainerId, slot: usize) -> Result<Version> {
    let damaged = |what: &str| Error::new(Errno::EIO, what);
    let offset = SLOT_OFFSETS[slot];
    let mut bytes = [0; HEAD_BYTES];
    medium.read(offset, &mut bytes)?;
    let head: Head = zerocopy::transmute!(bytes);
    if head.magic != MAGIC || head.container != container.to_bytes() {
        return Err(damaged("there is none of this container"));
    }
    let generation = head.generation.get();
    let table_bytes = usize::try_from(head.bytes.get()).unwrap_or(usize::MAX);
    if table_bytes > SLOT_BYTES - HEAD_BYTES
        || generation > GENERATION_MAX
        || slot_of(generation) != slot
    {
        return Err(damaged("it has impossible values"));
    }
    let mut table = vec![0; table_bytes];
    medium.read(offset + HEAD_BYTES as u64, &mut table)?;
    match checksum(&head, &table) == head.checksum {
        true => Ok(Version { generation, table }),
        false => Err(damaged("it has a wrong checksum")),
    }
}

fn checksum(head: &Head, table: &[u8]) -> [u8; 32] {
    let covered = HEAD_BYTES - head.checksum.len();
    let hash = Sha256::new().chain_update(&head.as_bytes()[..covered]);
    hash.chain_update(table).finalize().into()
}

fn slot_of(generation: u64) -> usize {
    usize::from(!generation.is_multiple_of(2))
}

/// The table of a container, on its members.
#[derive(Debug)]
pub(crate) struct Store<M> {
    members: Vec<Arc<M>>,
    container: ContainerId,
    generation: u64,
    table: Table,
    /// Members that a power cut left behind by one generation, or that are to
    /// be restored.
    behind: Vec<usize>,
    /// Why nothing can be changed any more.
    broken: Option<String>,
}

impl<M: Medium> Store<M> {
    /// An empty table for members that have none. It is nowhere before it is
    /// [settled](Self::settle).
    pub(crate) fn new(members: Vec<Arc<M>>, container: ContainerId) -> Self {
        Self {
            members,
            container,
            generation: 0,
            table: Table::default(),
            behind: Vec::new(),
            broken: None,
        }
    }

    /// The newest table that members have. With `restore`, members without one
    /// are given it when it is settled.
    ///
    /// `EIO` if it is damaged, or missing on a member that is not to be
    /// restored, `ESTALE` for a member that is behind; both name the member.
    pub(crate) fn open(
        members: Vec<Arc<M>>,
        container: ContainerId,
        space: &Space,
        restore: bool,
    ) -> Result<Self> {
        let newest = |member: &Arc<M>| {
            let slots = read_slots(&**member, container).into_iter().flatten();
            slots.max_by_key(|version| version.generation)
        };
        let versions: Vec<_> = members.iter().map(newest).collect();
        let top = versions
            .iter()
            .flatten()
            .max_by_key(|version| version.generation);
        let Some(top) = top.cloned() else {
            let message = "no member has a whole table of volumes";
            return Err(Error::new(Errno::EIO, message));
        };
        let mut behind = Vec::new();
        for (index, (member, version)) in members.iter().zip(&versions).enumerate() {
            let shown = member.shown();
            match version {
                Some(version) if *version == top => {}
                Some(version) if version.generation + 1 == top.generation => behind.push(index),
                Some(version) if version.generation == top.generation => {
                    let message = format!(
                        "{shown} has another table of volumes than the others, with the same \
                         generation {}",
                        top.generation
                    );
                    return Err(Error::new(Errno::EIO, message));
                }
                Some(version) => {
                    let message = format!(
                        "{shown} is out of date: its table of volumes has generation {}, that of \
                         the others {}; it is an old copy, or was not there when the others were \
                         used",
                        version.generation, top.generation
                    );
                    return Err(Error::new(Errno::ESTALE, message));
                }
                None if restore => behind.push(index),
                None => {
                    let message = format!(
                        "{shown} has no whole table of volumes; checking with `repair` copies it \
                         from another member"
                    );
                    return Err(Error::new(Errno::EIO, message));
                }
            }
        }
        Ok(Self {
            table: Table::decode(&top.table, space)?,
            generation: top.generation,
            behind,
            ..Self::new(members, container)
        })
    }

    pub(crate) fn table(&self) -> &Table {
        &self.table
    }

    /// Why nothing can be changed any more, if that is so.
    pub(crate) fn broken(&self) -> Option<&str> {
        self.broken.as_deref()
    }

    /// What is wrong with the slots of members: a sentence for each that is not
    /// as a commit leaves it.
    pub(crate) fn damage(&self) -> Vec<String> {
        let mut damage = Vec::new();
        for member in &self.members {
            let slots = read_slots(&**member, self.container);
            for (slot, version) in slots.into_iter().enumerate() {
                let why = match version {
                    Ok(version) if version.generation + 1 >= self.generation => continue,
                    Ok(version) => format!("it has generation {}", version.generation),
                    Err(why) => why,
                };
                let offset = SLOT_OFFSETS[slot];
                damage.push(format!(
                    "the table at {offset} of {}: {why}",
                    member.shown()
                ));
            }
        }
        damage
    }

    /// Brings all slots of all members up to date.
    pub(crate) fn settle(&mut self) -> Result<()> {
        let slot = self.slot(self.generation, &self.table)?;
        let behind = self.behind.iter().map(|index| &*self.members[*index]);
        write_slot(behind, self.generation, &slot)?;
        self.behind.clear();
        self.erase(self.generation + 1)?;
        for _ in SLOT_OFFSETS {
            self.commit(self.table.clone())?;
        }
        Ok(())
    }

    /// Makes `table` the table: it is on stable storage when this returns.
    ///
    /// `ENOSPC` if it is too long. After any error the table is the one before.
    pub(crate) fn commit(&mut self, table: Table) -> Result<()> {
        if let Some(reason) = &self.broken {
            return Err(Error::new(Errno::EROFS, reason.clone()));
        }
        let generation = self.generation + 1;
        let slot = self.slot(generation, &table)?;
        let members = self.members.iter().map(|member| &**member);
        if let Err(error) = write_slot(members, generation, &slot) {
            if let Err(second) = self.erase(generation) {
                self.broken = Some(format!(
                    "volumes cannot be changed until the container is loaded again: a change \
                     failed ({error}), and could not be taken back ({second})"
                ));
            }
            return Err(error);
        }
        self.generation = generation;
        self.table = table;
        Ok(())
    }

    /// Leaves nothing in the slots where that generation would be.
    fn erase(&self, generation: u64) -> Result<()> {
        let members = self.members.iter().map(|member| &**member);
        write_slot(members, generation, &[0; HEAD_BYTES])
    }

    fn slot(&self, generation: u64, table: &Table) -> Result<Vec<u8>> {
        let table = table.encode();
        if table.len() > SLOT_BYTES - HEAD_BYTES {
            let message = "the table of volumes is full: there are too many, or in too many pieces";
            return Err(Error::new(Errno::ENOSPC, message));
        }
        let mut head = Head {
            magic: MAGIC,
            container: self.container.to_bytes(),
            generation: generation.into(),
            bytes: (table.len() as u64).into(),
            checksum: [0; 32],
        };
        head.checksum = checksum(&head, &table);
        Ok([head.as_bytes(), &table].concat())
    }
}

/// Writes the same on members, and returns when all have it.
fn write_slot<'a, M: Medium + 'a>(
    mut members: impl Iterator<Item = &'a M> + Clone,
    generation: u64,
    bytes: &[u8],
) -> Result<()> {
    let offset = SLOT_OFFSETS[slot_of(generation)];
    let mut written = members.clone();
    members.try_for_each(|member| member.write(offset, bytes))?;
    written.try_for_each(M::synchronize)
}

#[cfg(test)]
mod tests;
