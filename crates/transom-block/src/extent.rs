//! Which parts of a block volume may be asked for.

use std::ops::Range;

use transom_module::{Errno, Geometry};

/// The smallest block there is, in bytes.
pub(crate) const BLOCK_BYTES_MIN: u32 = 512;
/// The largest, in bytes.
pub(crate) const BLOCK_BYTES_MAX: u32 = 4096;

/// Whether blocks can have that size.
pub(crate) fn is_block_size(bytes: u32) -> bool {
    bytes.is_power_of_two() && (BLOCK_BYTES_MIN..=BLOCK_BYTES_MAX).contains(&bytes)
}

/// Why a part of a volume cannot be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// It does not begin and end where blocks do.
    Unaligned,
    /// It leads beyond the end.
    Beyond,
}

impl From<Refused> for Errno {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Unaligned => Self::EINVAL,
            Refused::Beyond => Self::ENXIO,
        }
    }
}

/// The part of a volume from `offset` on, of `length` bytes, if it may be asked
/// for: that is, if it is as [`BlockVolume`](transom_module::BlockVolume) promises its implementations.
pub(crate) fn part(geometry: &Geometry, offset: u64, length: u64) -> Result<Range<u64>, Refused> {
    let block = u64::from(geometry.block_bytes.max(1));
    let end = offset.checked_add(length).ok_or(Refused::Beyond)?;
    if end > geometry.bytes {
        return Err(Refused::Beyond);
    }
    if !offset.is_multiple_of(block) || !length.is_multiple_of(block) {
        return Err(Refused::Unaligned);
    }
    Ok(offset..end)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GEOMETRY: Geometry = Geometry {
        bytes: 8192,
        block_bytes: 1024,
        preferred_bytes: 4096,
        read_only: false,
        discards: true,
    };

    #[test]
    fn parts_are_whole_blocks_inside() {
        assert_eq!(part(&GEOMETRY, 1024, 2048), Ok(1024..3072));
        assert_eq!(part(&GEOMETRY, 0, 8192), Ok(0..8192));
        assert_eq!(part(&GEOMETRY, 8192, 0), Ok(8192..8192));
        assert_eq!(part(&GEOMETRY, 512, 1024), Err(Refused::Unaligned));
        assert_eq!(part(&GEOMETRY, 0, 1), Err(Refused::Unaligned));
        assert_eq!(part(&GEOMETRY, 1024, 8192), Err(Refused::Beyond));
        assert_eq!(part(&GEOMETRY, u64::MAX, 1024), Err(Refused::Beyond));
        assert_eq!(part(&GEOMETRY, 1024, u64::MAX), Err(Refused::Beyond));
    }
}
