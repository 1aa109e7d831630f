use std::ops::Range;

use crate::{Context, Result, Volume};

/// Reserving and releasing the space of files that the volume serves itself:
/// `fallocate(2)`.
pub trait Allocation: Volume {
    /// Does `what` to a range of bytes, which is never empty. `EOPNOTSUPP` for
    /// what the volume does not know.
    fn allocate(
        &self,
        context: &Context<'_>,
        item: &Self::Item,
        handle: &Self::Handle,
        what: Space,
        range: Range<u64>,
    ) -> Result<()>;
}

/// What [`Allocation::allocate`] does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Space {
    /// Reserve it; what was not there reads as zeroes.
    Reserve {
        /// The file does not become longer by it.
        keep_size: bool,
    },
    /// Give it back; it reads as zeroes. Never changes the size.
    Punch,
    /// Make it zeroes, as cheaply as possible, and keep it reserved.
    Zero {
        /// The file does not become longer by it.
        keep_size: bool,
    },
    /// Cut it out: what follows moves forward.
    Collapse,
    /// Insert a hole: what follows moves back.
    Insert,
    /// Make it private, where it is shared with other files.
    Unshare,
}
