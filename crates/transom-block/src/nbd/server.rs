//! A listening socket, the exports behind it, and who uses them.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::fs;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use transom_module::{BlockVolume, Errno, Error, Geometry, Result};
use transom_sys::io_flusher::starting_io_flushers;

use super::handshake::{Exports, negotiate};
use super::transmission;
use super::wire::NAME_BYTES_MAX;
use crate::{Withdrawal, extent};

/// The most connections of one server; further ones are closed at once.
pub const CONNECTIONS_MAX: usize = 64;
/// The most exports of one server.
pub const EXPORTS_MAX: usize = 4096;
/// How long a client may take to choose an export.
pub const HANDSHAKE_PATIENCE: Duration = Duration::from_secs(10);

/// Connections that wait to be accepted.
const BACKLOG: i32 = 64;
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
        let export = Export {
            volume,
            requests: AtomicU64::new(0),
            users: Mutex::new(Some(HashMap::new())),
        };
        exports.insert(name.into(), Arc::new(export));
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
            connections: lock(&export.users).as_ref().map_or(0, HashMap::len),
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

#[derive(Default)]
struct Shared {
    exports: Mutex<BTreeMap<String, Arc<Export>>>,
    connections: Mutex<HashMap<u64, Arc<UnixStream>>>,
    closing: AtomicBool,
}

struct Export {
    volume: Arc<dyn BlockVolume>,
    requests: AtomicU64,
    /// The connections that use it. `None` when it was withdrawn.
    users: Mutex<Option<HashMap<u64, Arc<UnixStream>>>>,
}

impl Exports for Shared {
    type Export = Arc<Export>;

    fn names(&self) -> Vec<String> {
        lock(&self.exports).keys().cloned().collect()
    }

    fn find(&self, name: &str) -> Option<(String, Arc<Export>)> {
        let exports = lock(&self.exports);
        let (name, export) = match name {
            "" if exports.len() == 1 => exports.first_key_value()?,
            _ => exports.get_key_value(name)?,
        };
        Some((name.clone(), Arc::clone(export)))
    }

    fn geometry(&self, export: &Arc<Export>) -> Geometry {
        export.volume.geometry()
    }
}

fn accept(listener: &UnixListener, shared: &Arc<Shared>) {
    for number in 0.. {
        let accepted = listener.accept();
        if shared.closing.load(Ordering::Acquire) {
            return;
        }
        let Ok((stream, _)) = accepted else {
            thread::sleep(ACCEPT_PAUSE);
            continue;
        };
        let stream = Arc::new(stream);
        let mut connections = lock(&shared.connections);
        if connections.len() >= CONNECTIONS_MAX {
            continue;
        }
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

/// A connection that is remembered until this is dropped.
struct Connection {
    shared: Arc<Shared>,
    number: u64,
    stream: Arc<UnixStream>,
}

impl Connection {
    fn serve(&self) {
        let mut haggling = Hurried {
            stream: &self.stream,
            end: Instant::now() + HANDSHAKE_PATIENCE,
        };
        let export = match negotiate(&mut haggling, &*self.shared) {
            Ok(Some(export)) => export,
            Ok(None) => return,
            Err(error) => {
                tracing::debug!(%error, "an NBD client did not choose an export");
                return;
            }
        };
        if haggling.end_of_hurry().is_err() || !export.enter(self) {
            return;
        }
        transmission::serve(&self.stream, &*export.volume, &|_| {
            export.requests.fetch_add(1, Ordering::Relaxed);
        });
        export.leave(self);
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        lock(&self.shared.connections).remove(&self.number);
    }
}

impl Export {
    /// False if it was withdrawn meanwhile.
    fn enter(&self, connection: &Connection) -> bool {
        let mut users = lock(&self.users);
        let stream = Arc::clone(&connection.stream);
        let entered = users
            .as_mut()
            .map(|users| users.insert(connection.number, stream));
        entered.is_some()
    }

    fn leave(&self, connection: &Connection) {
        if let Some(users) = lock(&self.users).as_mut() {
            users.remove(&connection.number);
        }
    }
}

/// A connection that has to come to an end in time.
struct Hurried<'a> {
    stream: &'a UnixStream,
    end: Instant,
}

impl Hurried<'_> {
    fn rest(&self) -> io::Result<Option<Duration>> {
        let rest = self.end.saturating_duration_since(Instant::now());
        match rest.is_zero() {
            true => Err(io::ErrorKind::TimedOut.into()),
            false => Ok(Some(rest)),
        }
    }

    fn end_of_hurry(&self) -> io::Result<()> {
        self.stream.set_read_timeout(None)?;
        self.stream.set_write_timeout(None)
    }
}

impl Read for Hurried<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(self.rest()?)?;
        self.stream.read(buffer)
    }
}

impl Write for Hurried<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(self.rest()?)?;
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Makes a socket for our user alone.
fn bind(path: &Path) -> io::Result<UnixListener> {
    // Two servers that both find an abandoned socket must not both remove it.
    let directory = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    let turn = fs::File::open(directory.unwrap_or(Path::new(".")))?;
    turn.lock()?;

    let address = SocketAddrUnix::new(path)?;
    let flags = SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    // What is bound has the permissions of the socket itself.
    rustix::fs::fchmod(&socket, rustix::fs::Mode::from_raw_mode(0o600))?;
    match rustix::net::bind(&socket, &address) {
        Err(rustix::io::Errno::ADDRINUSE) if is_abandoned(path) => {
            fs::remove_file(path)?;
            rustix::net::bind(&socket, &address)?;
        }
        bound => bound?,
    }
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(socket.into())
}

/// Whether it is a socket that nobody listens at.
fn is_abandoned(path: &Path) -> bool {
    let refused = |error: io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
    fs::symlink_metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket())
        && UnixStream::connect(path).is_err_and(refused)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
