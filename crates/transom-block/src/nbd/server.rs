//! A listening socket, and what is offered on it.

use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::net::Shutdown;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use transom_module::{BlockVolume, Errno, Error, Result};
use transom_sys::io_flusher::starting_io_flushers;

use super::connection::Connection;
use super::exports::{Export, Shared, lock};
use super::socket::bind;
use super::wire::NAME_BYTES_MAX;
use crate::{Withdrawal, extent};

/// The most connections of one server; further ones are closed at once.
pub const CONNECTIONS_MAX: usize = 64;
/// The most exports of one server.
pub const EXPORTS_MAX: usize = 4096;
/// How long to wait when the process has no descriptor left for a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A socket on which block volumes are offered by name, over NBD. Dropping it
/// ends all connections; requests under way are still done.
pub struct NbdServer {
    shared: Arc<Shared>,
    listener: UnixListener,
    /// A socket that has to be removed.
    path: Option<PathBuf>,
}

/// An export, and how much it is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportStatus {
    /// Its name.
    pub name: String,
    /// Connections that use it now.
    pub connections: usize,
    /// Requests that it was ever sent.
    pub requests: u64,
}

impl NbdServer {
    /// Listens on a new socket at `path`, which our user alone may connect to.
    /// One that was left by a server that was killed is replaced; `EADDRINUSE`
    /// if somebody listens there.
    pub fn listen(path: &Path) -> Result<Self> {
        let listener = bind(path).map_err(|error| {
            Error::from_host(error, format!("cannot listen at {}", path.display()))
        })?;
        let mut server = Self::on_socket(listener)?;
        server.path = Some(path.to_owned());
        Ok(server)
    }

    /// Accepts connections from a socket that listens already.
    pub fn on_socket(listener: UnixListener) -> Result<Self> {
        let cannot = |error| Error::from_host(error, "cannot serve an NBD socket");
        let shared = Arc::new(Shared::default());
        let (accepting, served) = (listener.try_clone().map_err(cannot)?, Arc::clone(&shared));
        let thread = thread::Builder::new().name("nbd-accept".into());
        starting_io_flushers(|| thread.spawn(move || accept(&accepting, &served)))
            .map_err(cannot)?;
        Ok(Self {
            shared,
            listener,
            path: None,
        })
    }

    /// Offers a volume. If it is the only one, it is also the one that clients
    /// get who name none. Clients learn of its size when they connect.
    ///
    /// `EEXIST` if there is one of that name, `EINVAL` for a name that is empty
    /// or too long, or a volume with blocks of an odd size; `ENOSPC` with too
    /// many exports.
    pub fn export(&self, name: &str, volume: Arc<dyn BlockVolume>) -> Result<()> {
        let refused = |errno, message: &str| {
            let message = format!("the NBD export `{name}`: {message}");
            Err(Error::new(errno, message))
        };
        if name.is_empty() || name.len() > NAME_BYTES_MAX {
            let message = format!("a name has 1 to {NAME_BYTES_MAX} bytes");
            return refused(Errno::EINVAL, &message);
        }
        let block_bytes = volume.geometry().block_bytes;
        if !extent::is_block_size(block_bytes) {
            let message = format!("there cannot be blocks of {block_bytes} bytes");
            return refused(Errno::EINVAL, &message);
        }
        let mut exports = lock(&self.shared.exports);
        if exports.contains_key(name) {
            return refused(Errno::EEXIST, "there is one of that name");
        }
        if exports.len() >= EXPORTS_MAX {
            let message = format!("there are {EXPORTS_MAX}, which is the most");
            return refused(Errno::ENOSPC, &message);
        }
        exports.insert(name.into(), Arc::new(Export::new(volume)));
        Ok(())
    }

    /// Offers a volume no more. `ENOENT` if there is none of that name, `EBUSY`
    /// while somebody is connected to it; by force, these connections end, and
    /// what they have asked for is still done.
    pub fn withdraw(&self, name: &str, how: Withdrawal) -> Result<()> {
        let mut exports = lock(&self.shared.exports);
        let export = exports.get(name).ok_or(Errno::ENOENT)?;
        let mut users = lock(&export.users);
        let busy = users.as_ref().map_or(0, HashMap::len);
        if busy > 0 && how == Withdrawal::IfUnused {
            let message = format!("the NBD export `{name}` has {busy} connections");
            return Err(Error::new(Errno::EBUSY, message));
        }
        for stream in users.take().into_iter().flat_map(HashMap::into_values) {
            _ = stream.shutdown(Shutdown::Both);
        }
        drop(users);
        exports.remove(name);
        Ok(())
    }

    /// What is offered, by name.
    #[must_use]
    pub fn exports(&self) -> Vec<ExportStatus> {
        let exports = lock(&self.shared.exports);
        let status = |(name, export): (&String, &Arc<Export>)| ExportStatus {
            name: name.clone(),
            connections: export.connections(),
            requests: export.requests.load(Ordering::Relaxed),
        };
        exports.iter().map(status).collect()
    }
}

impl Drop for NbdServer {
    fn drop(&mut self) {
        self.shared.closing.store(true, Ordering::Release);
        // Wakes the thread that accepts.
        _ = rustix::net::shutdown(&self.listener, rustix::net::Shutdown::Both);
        for stream in lock(&self.shared.connections).values() {
            _ = stream.shutdown(Shutdown::Both);
        }
        if let Some(path) = &self.path {
            // Failing means that somebody has removed it already.
            _ = fs::remove_file(path);
        }
    }
}

impl fmt::Debug for NbdServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NbdServer")
            .field("exports", &self.exports())
            .finish_non_exhaustive()
    }
}

fn accept(listener: &UnixListener, shared: &Arc<Shared>) {
    for number in 0.. {
        let accepted = listener.accept();
        let mut connections = lock(&shared.connections);
        // Looked at with the lock, so that who closes all sees this one too.
        if shared.closing.load(Ordering::Acquire) {
            return;
        }
        let Ok((stream, _)) = accepted else {
            drop(connections);
            thread::sleep(ACCEPT_PAUSE);
            continue;
        };
        if connections.len() >= CONNECTIONS_MAX {
            continue;
        }
        let stream = Arc::new(stream);
        connections.insert(number, Arc::clone(&stream));
        drop(connections);
        let connection = Connection {
            shared: Arc::clone(shared),
            number,
            stream,
        };
        // Without a thread it is closed.
        let thread = thread::Builder::new().name("nbd".into());
        _ = thread.spawn(move || connection.serve());
    }
}
