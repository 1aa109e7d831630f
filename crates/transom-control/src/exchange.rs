use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

use crate::Peer;

/// Most descriptors that travel with one message: what the kernel takes at once
/// (`SCM_MAX_FD`, `include/net/scm.h`), which is also sd-varlink's limit.
pub const DESCRIPTORS_MAX: usize = 253;

/// A parameter that names a descriptor: its position among those that were sent
/// with the message, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Descriptor(pub u32);

/// No descriptor was sent at the position that a parameter names, or it was
/// named twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no descriptor {} came with the call, or it was named before", (.0).0)]
pub struct MissingDescriptor(pub Descriptor);

/// The descriptors that were sent with a message. Those that are not taken are
/// closed with this.
#[derive(Debug, Default)]
pub struct Descriptors(Vec<Option<OwnedFd>>);

impl Descriptors {
    /// One of them, for good.
    pub fn take(&mut self, descriptor: Descriptor) -> Result<OwnedFd, MissingDescriptor> {
        let position = usize::try_from(descriptor.0).ok();
        position
            .and_then(|position| self.0.get_mut(position)?.take())
            .ok_or(MissingDescriptor(descriptor))
    }
}

impl From<Vec<OwnedFd>> for Descriptors {
    fn from(received: Vec<OwnedFd>) -> Self {
        Self(received.into_iter().map(Some).collect())
    }
}

/// One connection among all of a process. Never another's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(u64);

impl ConnectionId {
    pub(crate) fn next() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        Self(COUNT.fetch_add(1, Ordering::Relaxed))
    }
}

/// A call that is being answered: who calls, and the descriptors that travel
/// with the call and with its reply.
#[derive(Debug)]
pub struct Exchange {
    peer: Arc<Peer>,
    connection: ConnectionId,
    received: Descriptors,
    given: Vec<OwnedFd>,
}

impl Exchange {
    pub(crate) fn new(peer: Arc<Peer>, connection: ConnectionId, received: Vec<OwnedFd>) -> Self {
        Self {
            peer,
            connection,
            received: received.into(),
            given: Vec::new(),
        }
    }

    /// Who calls.
    #[must_use]
    pub fn peer(&self) -> &Arc<Peer> {
        &self.peer
    }

    /// Over which connection.
    #[must_use]
    pub fn connection(&self) -> ConnectionId {
        self.connection
    }

    /// A descriptor that was sent with the call, for good. Those that are not
    /// taken are closed.
    pub fn take(&mut self, descriptor: Descriptor) -> Result<OwnedFd, MissingDescriptor> {
        self.received.take(descriptor)
    }

    /// Sends a descriptor with the reply, which has at most [`DESCRIPTORS_MAX`]
    /// of them. None is sent with an error, nor while replies are streamed.
    pub fn give(&mut self, descriptor: impl Into<OwnedFd>) -> Descriptor {
        self.given.push(descriptor.into());
        Descriptor(u32::try_from(self.given.len() - 1).unwrap_or(u32::MAX))
    }

    pub(crate) fn into_given(self) -> Vec<OwnedFd> {
        self.given
    }
}
