//! What the server tells the kernel unasked: that something cached no longer
//! holds.
//!
//! The kernel takes the lock of a directory to drop a name of it, and so waits
//! for the lookups under way there. A notification must therefore never be
//! sent by a handler, nor while a lock is held that a handler needs.

use std::io;
use std::os::fd::AsFd;

use transom_module::Invalidation;
use transom_sys::fuse_abi as abi;
use transom_sys::fuse_abi::NotifyCode;
use zerocopy::IntoBytes;

use crate::queue::send;

/// Tells the kernel of one invalidation. That the kernel had nothing cached is
/// success.
pub(crate) fn invalidate(connection: impl AsFd, invalidation: &Invalidation) -> io::Result<()> {
    let sent = match invalidation {
        Invalidation::Name { directory, name } => {
            let out = abi::NotifyInvalEntryOut {
                parent: directory.raw(),
                namelen: name.as_bytes().len() as u32,
                flags: 0,
            };
            notify(
                connection,
                NotifyCode::InvalEntry,
                &[out.as_bytes(), name.as_bytes(), b"\0"],
            )
        }
        Invalidation::Listing(item) | Invalidation::Content(item) => {
            // From the start, with no end: attributes and every cached page.
            // The pages of a directory are its listing.
            let out = abi::NotifyInvalInodeOut {
                ino: item.raw(),
                off: 0,
                len: 0,
            };
            notify(connection, NotifyCode::InvalInode, &[out.as_bytes()])
        }
        Invalidation::Epoch => notify(connection, NotifyCode::IncEpoch, &[]),
    };
    match sent {
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(()),
        other => other,
    }
}

/// Asks the kernel to send again what it has sent to a server that is gone.
pub(crate) fn resend(connection: impl AsFd) -> io::Result<()> {
    notify(connection, NotifyCode::Resend, &[])
}

fn notify(connection: impl AsFd, code: NotifyCode, parts: &[&[u8]]) -> io::Result<()> {
    // A notification is an answer to request 0; its code stands where an
    // answer has its error.
    send(
        connection,
        abi::OutHeader {
            len: 0,
            error: code as i32,
            unique: 0,
        },
        parts,
    )
}
