//! A sub-volume as a disk.

use std::ops::Range;

use transom_module::{BlockVolume, Geometry, Result};

use crate::layout::BLOCK_BYTES;
use crate::sub_volume::SubVolume;

/// What can be read and written at once: members are read and written through
/// the page cache, so any size will do, and this is the one that all know.
const SECTOR_BYTES: u32 = 512;

impl BlockVolume for SubVolume {
    fn geometry(&self) -> Geometry {
        Geometry {
            bytes: self.bytes(),
            block_bytes: SECTOR_BYTES,
            preferred_bytes: BLOCK_BYTES as u32,
            read_only: self.members().read_only(),
            discards: true,
        }
    }

    fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        self.read_content(offset, buffer)
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<()> {
        self.write_content(offset, data)
    }

    fn flush(&self) -> Result<()> {
        self.flush_content()
    }

    fn discard(&self, range: Range<u64>) -> Result<()> {
        self.discard_content(range)
    }

    fn write_zeroes(&self, range: Range<u64>) -> Result<()> {
        self.zero_content(range)
    }
}
