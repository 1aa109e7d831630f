//! What the server tells the kernel unasked: that something cached no longer
//! holds.
//!
//! The kernel takes the lock of a directory to drop a name of it, and so waits
//! for the lookups under way there; nothing can interrupt that. A notification
//! must therefore never be sent by a handler, nor while a lock is held that a
//! handler needs. And if the process is killed just then, those lookups must
//! fail rather than wait for its answers, or neither they nor it would ever
//! end. So notifications are written apart (see `transom_sys::write_apart`),
//! through a descriptor of their own: the kernel ends the requests that were
//! read through the others as soon as those are closed.
//!
//! That ends all waiting for names but by callers whose lookup was not read
//! yet. For contents it ends that of the request under way; a reader of a page
//! then asks again, and nobody is there. Such callers can be killed, and when
//! they are the notification returns, and the connection ends.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::io::Errno;
use transom_module::Invalidation;
use transom_sys::fuse_abi as abi;
use transom_sys::fuse_abi::NotifyCode;
use transom_sys::{fuse_device, write_apart};
use zerocopy::IntoBytes;

/// Tells the kernel what no longer holds.
#[derive(Debug)]
pub(crate) struct Notifier {
    /// A clone that no request is read from.
    connection: OwnedFd,
}

impl Notifier {
    pub(crate) fn new(connection: impl AsFd) -> io::Result<Self> {
        Ok(Self {
            connection: fuse_device::clone_connection(connection)?,
        })
    }

    /// Tells the kernel of all invalidations, in order, and fails if one of
    /// them did. That the kernel had nothing cached is success.
    pub(crate) fn invalidate(&self, invalidations: &[Invalidation]) -> io::Result<()> {
        if invalidations.is_empty() {
            return Ok(());
        }
        let messages: Vec<_> = invalidations.iter().map(message_of).collect();
        for written in write_apart(&self.connection, &messages)? {
            match written {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Tells the kernel that it does not know a node's attributes any more. Takes
    /// no lock, so a handler may do it.
    pub(crate) fn forget_attributes(&self, node: u64) -> io::Result<()> {
        // A negative offset spares the pages.
        let out = abi::NotifyInvalInodeOut {
            ino: node,
            off: -1,
            len: 0,
        };
        self.write(&message(NotifyCode::InvalInode, &[out.as_bytes()]))
    }

    /// Asks the kernel to give nodes back, as far as nobody uses them: it drops
    /// them from its cache and sends their FORGETs (Linux 6.18).
    pub(crate) fn prune(&self, nodes: &[u64]) -> io::Result<()> {
        let out = abi::NotifyPruneOut {
            count: nodes.len() as u32,
            padding: 0,
            spare: 0,
        };
        self.write(&message(
            NotifyCode::Prune,
            &[out.as_bytes(), nodes.as_bytes()],
        ))
    }

    /// Asks the kernel to send again what it has sent to a server that is gone.
    pub(crate) fn resend(&self) -> io::Result<()> {
        self.write(&message(NotifyCode::Resend, &[]))
    }

    fn write(&self, message: &[u8]) -> io::Result<()> {
        rustix::io::write(&self.connection, message)?;
        Ok(())
    }
}

fn message_of(invalidation: &Invalidation) -> Vec<u8> {
    match invalidation {
        Invalidation::Name { directory, name } => {
            let out = abi::NotifyInvalEntryOut {
                parent: directory.raw(),
                namelen: name.as_bytes().len() as u32,
                flags: 0,
            };
            message(
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
            message(NotifyCode::InvalInode, &[out.as_bytes()])
        }
        Invalidation::Epoch => message(NotifyCode::IncEpoch, &[]),
    }
}

/// A notification is an answer to request 0; its code stands where an answer
/// has its error.
fn message(code: NotifyCode, parts: &[&[u8]]) -> Vec<u8> {
    let length = size_of::<abi::OutHeader>() + parts.iter().map(|part| part.len()).sum::<usize>();
    let head = abi::OutHeader {
        len: length as u32,
        error: code as i32,
        unique: 0,
    };
    let mut message = Vec::with_capacity(length);
    message.extend(head.as_bytes());
    for part in parts {
        message.extend_from_slice(part);
    }
    message
}
