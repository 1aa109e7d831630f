//! Several interfaces at one socket.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::net::UnixStream;
use std::sync::atomic::AtomicBool;

use crate::accounts::Accounts;
use crate::connection::Connection;
use crate::interface::{Answered, Entry};
use crate::message::{self, Call};
use crate::{Admission, ConnectionId, Exchange, Interface, Peer, ServiceError, introspection};

/// What a server answers: its interfaces, and `org.varlink.service`, which tells
/// of them.
#[derive(Debug)]
pub struct Services {
    interfaces: BTreeMap<&'static str, Interface>,
}

impl Services {
    /// These interfaces.
    #[must_use]
    pub fn new(interfaces: impl IntoIterator<Item = Interface>) -> Self {
        let mut interfaces: BTreeMap<_, _> = interfaces
            .into_iter()
            .map(|interface| (interface.name(), interface))
            .collect();
        let introspection = introspection::interface(interfaces.values());
        interfaces.insert(introspection.name(), introspection);
        Self { interfaces }
    }

    /// Serves one connection until its client closes it. For a descriptor that
    /// was handed to the client, who then needs no right to connect; the peer is
    /// whoever made the pair of sockets.
    pub fn serve(&self, stream: &UnixStream) -> io::Result<()> {
        let peer = Peer::of(stream)?;
        match Accounts::new(Admission::PRIVATE).admit(peer.uid) {
            Some(share) => {
                let connection = Connection::new(self, ConnectionId::next(), peer, share);
                connection.serve(stream, &AtomicBool::new(false))
            }
            None => Ok(()),
        }
    }

    /// Answers a call.
    pub(crate) fn answer(
        &self,
        call: &Call<'_>,
        exchange: &mut Exchange,
    ) -> serde_json::Result<Answered> {
        match self.find(call) {
            Ok(method) => (method.answer)(exchange, call.parameters()),
            Err(error) => Ok(Answered::Error(message::encode(&error)?)),
        }
    }

    /// Tells all that a connection is over.
    pub(crate) fn connection_ended(&self, connection: ConnectionId) {
        for interface in self.interfaces.values() {
            interface.connection_ended(connection);
        }
    }

    fn find(&self, call: &Call<'_>) -> Result<&Entry, ServiceError> {
        let (interface, method) = call.method.rsplit_once('.').unwrap_or_default();
        let interface = self.interfaces.get(interface).ok_or_else(|| {
            let interface = interface.into();
            ServiceError::InterfaceNotFound { interface }
        })?;
        let entry = interface.method(method).ok_or_else(|| {
            let method = method.into();
            ServiceError::MethodNotFound { method }
        })?;
        match entry.is_streamed && !call.more {
            true => Err(ServiceError::ExpectedMore {}),
            false if call.upgrade => {
                let method = method.into();
                Err(ServiceError::MethodNotImplemented { method })
            }
            false => Ok(entry),
        }
    }
}
