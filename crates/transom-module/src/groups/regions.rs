use crate::{Context, Result, Volume};

/// Finding the holes of files that the volume serves itself. Not claimed, a
/// file is all data.
pub trait Regions: Volume {
    /// The first offset at or after `offset` that lies in such a region; the
    /// end of the file counts as a hole. `ENXIO` if there is none, or if
    /// `offset` is at or past the end.
    fn seek(
        &self,
        context: &Context<'_>,
        item: &Self::Item,
        handle: &Self::Handle,
        offset: u64,
        region: Region,
    ) -> Result<u64>;
}

/// A part of a sparse file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Region {
    /// Bytes that were written (`SEEK_DATA`).
    Data,
    /// Nothing, which reads as zeroes (`SEEK_HOLE`).
    Hole,
}
