use crate::{Context, Result, Volume};

/// Copying between files that the volume serves itself, without the bytes
/// passing through the caller: `copy_file_range(2)`. Not claimed, the kernel
/// copies by reading and writing.
pub trait Copies: Volume {
    /// Copies up to `length` bytes, each side given by item, handle and
    /// offset, and returns how many; 0 at the end of the source.
    fn copy_range(
        &self,
        context: &Context<'_>,
        from: (&Self::Item, &Self::Handle, u64),
        to: (&Self::Item, &Self::Handle, u64),
        length: u64,
    ) -> Result<u64>;
}
