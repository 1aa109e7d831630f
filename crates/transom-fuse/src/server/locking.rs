//! Advisory locks, for a volume that keeps them itself. Otherwise they are not
//! negotiated, and the kernel keeps them.

use transom_module::{Context, Errno, Error, Lock, LockKind, LockOwner, Volume};
use transom_sys::fuse_abi as abi;

use super::{Result, Server};
use crate::open_files::OpenFile;
use crate::reply::Answer;

impl<V: Volume> Server<V> {
    pub(super) fn conflicting_lock(
        &self,
        context: &Context<'_>,
        args: &abi::LkIn,
        payload: &mut [u8],
    ) -> Result {
        let group = self.definition.locks().ok_or(Errno::ENOSYS)?;
        let file = self.file(args.fh)?;
        let (owner, wanted) = decode(args)?;
        let found =
            group.conflicting_lock(context, file.node.item(), file.handle(), owner, wanted)?;
        let lock = found.unwrap_or(Lock {
            kind: LockKind::Unlocked,
            ..wanted
        });
        let kind = match lock.kind {
            LockKind::Shared => libc::F_RDLCK,
            LockKind::Exclusive => libc::F_WRLCK,
            LockKind::Unlocked => libc::F_UNLCK,
        };
        let out = abi::LkOut {
            start: lock.start,
            end: lock.last,
            kind: kind as u32,
            pid: lock.pid,
        };
        Ok(Answer::value(payload, &out))
    }

    pub(super) fn lock(&self, context: &Context<'_>, args: &abi::LkIn, wait: bool) -> Result {
        let group = self.definition.locks().ok_or(Errno::ENOSYS)?;
        let file = self.file(args.fh)?;
        let (owner, wanted) = decode(args)?;
        group.lock(
            context,
            file.node.item(),
            file.handle(),
            owner,
            wanted,
            wait,
        )?;
        Ok(Answer::EMPTY)
    }

    /// Gives back every lock that an owner has on a file.
    pub(super) fn give_locks_back(
        &self,
        context: &Context<'_>,
        file: &OpenFile<V>,
        owner: LockOwner,
    ) -> std::result::Result<(), Error> {
        let Some(group) = self.definition.locks() else {
            return Ok(());
        };
        let (item, handle) = (file.node.item(), file.handle());
        group.lock(context, item, handle, owner, EVERYTHING, false)
    }
}

/// All that an owner has.
const EVERYTHING: Lock = Lock {
    start: 0,
    last: u64::MAX >> 1,
    kind: LockKind::Unlocked,
    pid: 0,
};

fn decode(args: &abi::LkIn) -> std::result::Result<(LockOwner, Lock), Errno> {
    let owner = if args.lk_flags & abi::flags::LK_FLOCK != 0 {
        LockOwner::OpenFile(args.owner)
    } else {
        LockOwner::Process(args.owner)
    };
    let kind = match args.kind.cast_signed() {
        libc::F_RDLCK => LockKind::Shared,
        libc::F_WRLCK => LockKind::Exclusive,
        libc::F_UNLCK => LockKind::Unlocked,
        _ => return Err(Errno::EINVAL),
    };
    let lock = Lock {
        start: args.start,
        last: args.end,
        kind,
        pid: args.pid,
    };
    Ok((owner, lock))
}
