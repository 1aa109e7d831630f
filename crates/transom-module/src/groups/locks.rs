use crate::{Context, Result, Volume};

/// Advisory locks that reach beyond this mount. Not claimed, the kernel keeps
/// the locks of the mount's users by itself, which is enough where nobody else
/// has the files.
pub trait Locks: Volume {
    /// A lock that keeps `wanted` from being taken, if there is one.
    fn conflicting_lock(
        &self,
        context: &Context<'_>,
        item: &Self::Item,
        handle: &Self::Handle,
        owner: LockOwner,
        wanted: Lock,
    ) -> Result<Option<Lock>>;

    /// Takes a lock, or gives it back; replaces what the same owner has there.
    /// `EAGAIN` if another is in the way, unless `wait`: then waits, and gives
    /// up with `EINTR` when the request is cancelled.
    fn lock(
        &self,
        context: &Context<'_>,
        item: &Self::Item,
        handle: &Self::Handle,
        owner: LockOwner,
        wanted: Lock,
        wait: bool,
    ) -> Result<()>;
}

/// Whom a lock belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LockOwner {
    /// A process, by a number of the kernel's (`fcntl(F_SETLK)`).
    Process(u64),
    /// An open file (`flock(2)`).
    OpenFile(u64),
}

/// A lock on a range of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lock {
    /// First byte.
    pub start: u64,
    /// Last byte; `u64::MAX >> 1` stands for the end, wherever it is.
    pub last: u64,
    /// What it allows others.
    pub kind: LockKind,
    /// The process that holds it, 0 if unknown.
    pub pid: u32,
}

/// What a lock allows others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockKind {
    /// To read.
    Shared,
    /// Nothing.
    Exclusive,
    /// Everything: gives the range back.
    Unlocked,
}
