//! One connection: calls are answered one after the other.
//!
//! So a client has at most one reply that it has not read: further calls stay in
//! the socket, which the kernel limits, until that one is taken.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::accounts::Share;
use crate::interface::{Answered, Messages};
use crate::message::{Call, Message};
use crate::transport::{Received, Receiver, has_hung_up, send};
use crate::{ConnectionId, Exchange, Peer, Services};

/// A client that does not take a reply within this time is dropped.
const WRITE_PATIENCE: Duration = Duration::from_secs(5);

/// A client that does not send the rest of a message within this time is
/// dropped.
const READ_PATIENCE: Duration = Duration::from_secs(10);

/// How long a stream is waited for at a time. So late it is noticed that its
/// client is gone.
const STREAM_PATIENCE: Duration = Duration::from_millis(500);

/// A connection that is served. Dropping it tells the services that it is over.
pub(crate) struct Connection<'s> {
    services: &'s Services,
    id: ConnectionId,
    peer: Arc<Peer>,
    share: Share,
}

impl<'s> Connection<'s> {
    pub(crate) fn new(services: &'s Services, id: ConnectionId, peer: Peer, share: Share) -> Self {
        Self {
            services,
            id,
            peer: Arc::new(peer),
            share,
        }
    }

    /// Answers until the client has closed it, or a message is none, or the
    /// server stops.
    pub(crate) fn serve(mut self, stream: &UnixStream, stopping: &AtomicBool) -> io::Result<()> {
        let mut receiver = Receiver::default();
        while !stopping.load(Ordering::Acquire)
            && let Some(received) = receiver.next(stream, Some(READ_PATIENCE), &mut self.share)?
        {
            let descriptors = received.descriptors.len();
            let messages = self.answer(stream, received)?;
            self.share.answered(descriptors);
            if let Some(messages) = messages {
                forward(stream, messages, stopping)?;
            }
        }
        Ok(())
    }

    /// Answers one call; returns what is to be streamed.
    fn answer(&self, stream: &UnixStream, received: Received) -> io::Result<Option<Messages>> {
        let call: Call<'_> = serde_json::from_slice(&received.bytes)?;
        let mut exchange = Exchange::new(Arc::clone(&self.peer), self.id, received.descriptors);
        let answered = self.services.answer(&call, &mut exchange)?;
        let given = exchange.into_given();
        let reply = |message: &Message, descriptors: &[_]| {
            send(stream, message, descriptors, Some(WRITE_PATIENCE))
        };
        match answered {
            _ if call.oneway => (),
            Answered::Reply(message) => {
                let given: Vec<_> = given.iter().map(AsFd::as_fd).collect();
                reply(&message, &given)?;
            }
            Answered::Error(message) => reply(&message, &[])?,
            Answered::Stream(messages) => return Ok(Some(messages)),
        }
        Ok(None)
    }
}

impl Drop for Connection<'_> {
    fn drop(&mut self) {
        self.services.connection_ended(self.id);
    }
}

/// Sends what a stream has until it ends, the client is gone, or the server
/// stops.
fn forward(stream: &UnixStream, mut messages: Messages, stopping: &AtomicBool) -> io::Result<()> {
    while !stopping.load(Ordering::Acquire) {
        match messages(STREAM_PATIENCE)? {
            Some(streamed) => {
                send(stream, &streamed.message, &[], Some(WRITE_PATIENCE))?;
                if streamed.is_last {
                    break;
                }
            }
            None if has_hung_up(stream)? => break,
            None => (),
        }
    }
    Ok(())
}
