use crate::{Context, Result, Volume};

/// Writing the bytes of files that the volume serves itself.
pub trait Writes: Volume {
    /// Writes `data` at `offset`, or at the end if `mode` says so, and returns
    /// how many bytes of it were written: fewer than all if something went
    /// wrong after a part.
    fn write(
        &self,
        context: &Context<'_>,
        item: &Self::Item,
        handle: &Self::Handle,
        offset: u64,
        data: &[u8],
        mode: WriteMode,
    ) -> Result<usize>;

    /// A descriptor of the open file was closed; others may remain. An error
    /// is what `close(2)` returns.
    fn flush(
        &self,
        _context: &Context<'_>,
        _item: &Self::Item,
        _handle: &Self::Handle,
    ) -> Result<()> {
        Ok(())
    }
}

/// How to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WriteMode {
    /// At the end of the file, wherever that is by now.
    pub append: bool,
    /// The set-id bits and capabilities of the file must go with it.
    pub drop_privileges: bool,
    /// The page cache gives back what was written to a memory mapping: nobody
    /// in particular writes, and no bit changes.
    pub from_mapping: bool,
}
