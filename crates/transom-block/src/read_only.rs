use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use transom_module::{Backing, BlockVolume, Errno, Geometry, Result};

/// A block volume that cannot be written by this way.
pub struct ReadOnly(Arc<dyn BlockVolume>);

impl fmt::Debug for ReadOnly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ReadOnly").field(&self.0.geometry()).finish()
    }
}

impl ReadOnly {
    /// The same content.
    #[must_use]
    pub fn new(volume: Arc<dyn BlockVolume>) -> Self {
        Self(volume)
    }
}

impl BlockVolume for ReadOnly {
    fn geometry(&self) -> Geometry {
        Geometry {
            read_only: true,
            discards: false,
            ..self.0.geometry()
        }
    }

    fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        self.0.read(offset, buffer)
    }

    fn write(&self, _: u64, _: &[u8]) -> Result<()> {
        Err(Errno::EROFS.into())
    }

    fn flush(&self) -> Result<()> {
        Ok(())
    }

    fn write_zeroes(&self, _: Range<u64>) -> Result<()> {
        Err(Errno::EROFS.into())
    }

    fn backing(&self) -> Option<Backing> {
        self.0.backing()
    }
}
