use crate::{Context, Result, Volume};

/// Bringing changes to stable storage. Not claimed, the kernel is told that
/// there is nothing to do.
pub trait Synchronization: Volume {
    /// Returns when all changes of an open file or directory are stable.
    fn synchronize_item(
        &self,
        context: &Context<'_>,
        item: &Self::Item,
        handle: &Self::Handle,
        what: Synchronize,
    ) -> Result<()>;

    /// Returns when all changes of the volume are stable: `syncfs(2)`, and
    /// before the volume is unmounted.
    fn synchronize(&self, context: &Context<'_>) -> Result<()>;
}

/// How much of an item is to be synchronized.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Synchronize {
    /// Its content, and of its attributes what is needed to find the content
    /// again (`fdatasync(2)`).
    Data,
    /// Its content and attributes (`fsync(2)`).
    All,
}
