//! Serving a socket: one thread that accepts, one for each connection.

use std::collections::HashMap;
use std::io;
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::io::Errno;

use crate::accounts::Accounts;
use crate::connection::Connection;
use crate::{Admission, ConnectionId, Peer, Services, Socket};

/// How long nothing is accepted after it failed, for want of descriptors for
/// example.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A socket that is served. Dropping it closes the socket; connections end with
/// their clients.
#[derive(Debug)]
pub struct Server {
    shared: Arc<Shared>,
    path: Option<PathBuf>,
    accepting: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    services: Services,
    admission: Admission,
    accounts: Arc<Accounts>,
    connections: Mutex<HashMap<ConnectionId, Arc<UnixStream>>>,
    connection_ended: Condvar,
    /// No call is answered any more.
    stopping: AtomicBool,
    /// Readable when no connection is accepted any more.
    closed: OwnedFd,
}

impl Server {
    /// Serves a socket.
    pub fn start(socket: Socket, admission: Admission, services: Services) -> io::Result<Self> {
        let path = socket.path().map(Path::to_owned);
        let shared = Arc::new(Shared {
            services,
            admission,
            accounts: Accounts::new(admission),
            connections: Mutex::default(),
            connection_ended: Condvar::new(),
            stopping: AtomicBool::new(false),
            closed: eventfd(0, EventfdFlags::CLOEXEC)?,
        });
        let of_thread = Arc::clone(&shared);
        let accepting = thread::Builder::new()
            .name("control".into())
            .spawn(move || of_thread.accept(&socket))?;
        Ok(Self {
            shared,
            path,
            accepting: Some(accepting),
        })
    }

    /// Where it listens, if that was bound by us.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// Closes the socket, lets the calls end that are being answered, and then
    /// all connections. Waits for that at most for `patience`; returns whether
    /// all have ended.
    #[must_use]
    pub fn stop(mut self, patience: Duration) -> bool {
        self.close();
        self.shared.stopping.store(true, Ordering::Release);
        let connections = self.shared.connections();
        // Who waits for a call is told that none will come.
        for stream in connections.values() {
            let _ = stream.shutdown(Shutdown::Read);
        }
        let (connections, _) = self
            .shared
            .connection_ended
            .wait_timeout_while(connections, patience, |connections| !connections.is_empty())
            .unwrap_or_else(PoisonError::into_inner);
        for stream in connections.values() {
            let _ = stream.shutdown(Shutdown::Both);
        }
        connections.is_empty()
    }

    fn close(&mut self) {
        // An eventfd takes 8 bytes of any value but 2^64 - 1.
        let _ = rustix::io::write(&self.shared.closed, &1u64.to_ne_bytes());
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.close();
    }
}

impl Shared {
    fn accept(self: &Arc<Self>, socket: &Socket) {
        loop {
            let mut polled = [
                PollFd::new(&socket.listener, PollFlags::IN),
                PollFd::new(&self.closed, PollFlags::IN),
            ];
            match poll(&mut polled, None) {
                Ok(_) if !polled[1].revents().is_empty() => return,
                Ok(_) => (),
                Err(Errno::INTR) => continue,
                Err(error) => return tracing::error!(%error, "the control socket is deaf"),
            }
            let begun = match socket.listener.accept() {
                Ok((stream, _)) => self.begin(stream),
                // Another process that listens has accepted it.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
                Err(error) => Err(error),
            };
            if let Err(error) = begun {
                tracing::warn!(%error, "a control connection was not accepted");
                thread::sleep(ACCEPT_PAUSE);
            }
        }
    }

    /// Serves a connection on a thread of its own.
    fn begin(self: &Arc<Self>, stream: UnixStream) -> io::Result<()> {
        // Who is gone already wants nothing.
        let Ok(peer) = Peer::of(&stream) else {
            return Ok(());
        };
        if !self.admission.admits(&peer) {
            tracing::debug!(?peer, "a control connection is not admitted");
            return Ok(());
        }
        let Some(share) = self.accounts.admit(peer.uid) else {
            tracing::debug!(?peer, "one control connection too many");
            return Ok(());
        };
        let open = OpenConnection::new(self, stream);
        thread::Builder::new()
            .name("control-client".into())
            .spawn(move || {
                let OpenConnection { shared, id, stream } = &open;
                let connection = Connection::new(&shared.services, *id, peer, share);
                if let Err(error) = connection.serve(stream, &shared.stopping) {
                    tracing::debug!(%error, "a control connection ended");
                }
            })?;
        Ok(())
    }

    fn connections(&self) -> MutexGuard<'_, HashMap<ConnectionId, Arc<UnixStream>>> {
        self.connections
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection that the server knows of. Dropping it closes it.
struct OpenConnection {
    shared: Arc<Shared>,
    id: ConnectionId,
    stream: Arc<UnixStream>,
}

impl OpenConnection {
    fn new(shared: &Arc<Shared>, stream: UnixStream) -> Self {
        let id = ConnectionId::next();
        let stream = Arc::new(stream);
        shared.connections().insert(id, Arc::clone(&stream));
        Self {
            shared: Arc::clone(shared),
            id,
            stream,
        }
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.shared.connections().remove(&self.id);
        self.shared.connection_ended.notify_all();
    }
}
