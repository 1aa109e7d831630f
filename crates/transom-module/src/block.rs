//! Block volumes: what a container offers as a disk.

use std::ops::Range;

use crate::{Backing, Errno, Result};

/// A disk whose content a module holds.
///
/// Offsets and lengths are in bytes and multiples of [`Geometry::block_bytes`];
/// whoever serves it has checked that they are, and that they lie inside. Calls
/// come from several threads at once. Those that overlap may take effect in any
/// order, also block by block.
pub trait BlockVolume: Send + Sync + 'static {
    /// How large it is at this moment, and how it wants to be used.
    fn geometry(&self) -> Geometry;

    /// Reads all of `buffer`.
    fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<()>;

    /// Writes all of `data`. It need not be durable yet. `EROFS` if it cannot be
    /// written.
    fn write(&self, offset: u64, data: &[u8]) -> Result<()>;

    /// Makes all writes durable that had returned when this was called.
    fn flush(&self) -> Result<()>;

    /// Says that the content is not needed any more. What is read there
    /// afterwards is zeroes or what was there before.
    fn discard(&self, range: Range<u64>) -> Result<()> {
        let _ = range;
        Err(Errno::EOPNOTSUPP.into())
    }

    /// Makes the content zeroes, without using space where it can.
    fn write_zeroes(&self, range: Range<u64>) -> Result<()> {
        write_zeroes_as_data(self, range)
    }

    /// The host file that holds the whole content, if it is one: from its first
    /// byte, and of the same size. Who publishes it may then let the kernel read
    /// and write that.
    fn backing(&self) -> Option<Backing> {
        None
    }
}

/// What a block volume is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Geometry {
    /// Its size in bytes: a multiple of `block_bytes`.
    pub bytes: u64,
    /// The smallest unit that can be read and written, in bytes: a power of 2
    /// from 512 to 4096.
    pub block_bytes: u32,
    /// The unit in which reading and writing costs least, in bytes: a power of
    /// 2, at least `block_bytes`.
    pub preferred_bytes: u32,
    /// It cannot be written.
    pub read_only: bool,
    /// [`BlockVolume::discard`] does something.
    pub discards: bool,
}

/// Writes zeroes as any other data, for volumes that know nothing better.
pub fn write_zeroes_as_data(volume: &(impl BlockVolume + ?Sized), range: Range<u64>) -> Result<()> {
    const ZEROES: &[u8] = &[0; 1 << 16];
    let mut offset = range.start;
    while offset < range.end {
        let length = (range.end - offset).min(ZEROES.len() as u64);
        volume.write(offset, &ZEROES[..length as usize])?;
        offset += length;
    }
    Ok(())
}
