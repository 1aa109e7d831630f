//! The server's side: a listening socket, one thread per connection.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, geteuid};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::framing::{self as message, Call, Reader, Reply};
use crate::view::wire::{
    DescribeReply, ErrorParameters, ExplainCall, StatisticsReply, TraceReply, UpdateCall,
    UpdateReply,
};
use crate::{Change, Description, Explanation, INTERFACE, INTERFACE_TEXT, Refusal};

/// Most connections of one listener at a time; further ones are closed.
pub const CONNECTIONS_MAX: usize = 16;

/// A client that does not take its reply within this time is dropped.
const WRITE_PATIENCE: Duration = Duration::from_secs(5);

/// What serves the calls of `io.transom.View`.
pub trait Service: Send + Sync + 'static {
    /// The view itself.
    fn describe(&self) -> Description;

    /// Applies all changes or none; returns the new epoch.
    fn update(&self, changes: &[Change]) -> Result<u64, Refusal>;

    /// Why a path is there, or is not.
    fn explain(&self, path: &Value) -> Result<Explanation, Refusal>;

    /// Which inputs were used so far.
    fn trace(&self) -> Result<Value, Refusal>;

    /// Requests so far.
    fn statistics(&self) -> Value;
}

/// A listening socket and the thread that accepts from it. Dropping it closes
/// the socket and removes it; connections end with their clients.
#[derive(Debug)]
pub struct Listener {
    path: PathBuf,
    closing: Arc<AtomicBool>,
}

impl Listener {
    /// Listens at `path`. Its directory is made if need be, for our user
    /// alone; so is the socket, and callers who are neither our user nor root,
    /// or who run in a pid namespace below ours, are turned away. Sockets of
    /// servers that were killed are removed from the directory; where one
    /// listens, the error is `AddrInUse`.
    pub fn start(path: &Path, service: Arc<dyn Service>) -> io::Result<Self> {
        let mut turn = None;
        if let Some(directory) = path.parent() {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(directory)?;
            check_directory(directory)?;
            turn = Some(self::turn(directory)?);
            remove_abandoned(directory)?;
        }
        let socket = bind(path)?;
        drop(turn);
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
        let closing = Arc::new(AtomicBool::new(false));
        let listener = Self {
            path: path.to_owned(),
            closing: Arc::clone(&closing),
        };
        thread::Builder::new()
            .name("control".into())
            .spawn(move || accept(&socket, &service, &closing))?;
        Ok(listener)
    }

    /// Where it listens.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.closing.store(true, Ordering::Release);
        // Wakes the accepting thread.
        drop(UnixStream::connect(&self.path));
        // Failing means that somebody has removed it already.
        let _ = fs::remove_file(&self.path);
    }
}

/// Removes the sockets of servers that were killed from a directory of sockets.
///
/// One whose name is the number of a running process is taken to be that
/// process's, so that not everybody who sweeps knocks at every view.
pub fn sweep(directory: &Path) -> io::Result<()> {
    let _turn = turn(directory)?;
    remove_abandoned(directory)
}

/// Excludes others from binding and sweeping in that directory: a socket that
/// is bound and not listened at yet looks like an abandoned one.
fn turn(directory: &Path) -> io::Result<fs::File> {
    let directory = fs::File::open(directory)?;
    directory.lock()?;
    Ok(directory)
}

fn remove_abandoned(directory: &Path) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        let pid = name.to_str().and_then(|name| name.parse::<u32>().ok());
        let is_running = |pid: u32| Path::new("/proc").join(pid.to_string()).exists();
        if !pid.is_some_and(is_running) && is_abandoned(&entry.path()) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn bind(path: &Path) -> io::Result<UnixListener> {
    match UnixListener::bind(path) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && is_abandoned(path) => {
            fs::remove_file(path)?;
            UnixListener::bind(path)
        }
        other => other,
    }
}

/// Whether there is a socket at which nobody listens any more.
fn is_abandoned(path: &Path) -> bool {
    let is_socket = |metadata: fs::Metadata| metadata.file_type().is_socket();
    let is_refusal = |error: io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
    // Files of other kinds refuse connections too.
    fs::symlink_metadata(path).is_ok_and(is_socket)
        && UnixStream::connect(path).is_err_and(is_refusal)
}

fn accept(socket: &UnixListener, service: &Arc<dyn Service>, closing: &AtomicBool) {
    let open = Arc::new(AtomicUsize::new(0));
    for stream in socket.incoming() {
        if closing.load(Ordering::Acquire) {
            return;
        }
        let Ok(stream) = stream else { continue };
        if !may_connect(&stream) || open.fetch_add(1, Ordering::AcqRel) >= CONNECTIONS_MAX {
            open.fetch_sub(1, Ordering::AcqRel);
            continue;
        }
        let (service, of_thread) = (Arc::clone(service), Arc::clone(&open));
        let started = thread::Builder::new()
            .name("control-client".into())
            .spawn(move || {
                if let Err(error) = serve_connection(&stream, &*service) {
                    tracing::debug!(%error, "a control connection ended");
                }
                of_thread.fetch_sub(1, Ordering::AcqRel);
            });
        if started.is_err() {
            open.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

/// Refuses a directory in which somebody else could put a socket of theirs.
pub fn check_directory(directory: &Path) -> io::Result<()> {
    let metadata = fs::symlink_metadata(directory)?;
    let is_ours = metadata.uid() == geteuid().as_raw() && metadata.mode() & 0o022 == 0;
    if metadata.is_dir() && is_ours {
        return Ok(());
    }
    let message = format!(
        "{} is not a directory that only this user can write; remove it or set XDG_RUNTIME_DIR",
        directory.display()
    );
    Err(io::Error::new(io::ErrorKind::PermissionDenied, message))
}

/// Whether a caller may use the socket: our user or root, outside of every
/// action. An action that sees the host's root could otherwise change the view
/// of another, or its own.
fn may_connect(stream: &UnixStream) -> bool {
    let Ok(peer) = rustix::net::sockopt::socket_peercred(stream) else {
        return false;
    };
    let is_known = peer.uid.is_root() || peer.uid == geteuid();
    is_known && is_in_our_pid_namespace(peer.pid)
}

/// A process of a pid namespace below ours has a number in each of the two.
fn is_in_our_pid_namespace(pid: Pid) -> bool {
    let status = fs::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero()));
    let numbers = status.ok().and_then(|status| {
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("NSpid:"))?;
        Some(line.split_ascii_whitespace().count())
    });
    numbers == Some(1)
}

/// Serves one connection until its client closes it. For a descriptor that was
/// handed to the client, who then needs no right to connect.
pub fn serve_connection(stream: &UnixStream, service: &dyn Service) -> io::Result<()> {
    stream.set_write_timeout(Some(WRITE_PATIENCE))?;
    let mut reader = Reader::new(stream.try_clone()?);
    while let Some(bytes) = reader.next()? {
        let call: Call = serde_json::from_slice(&bytes)?;
        let reply = answer(&call, service);
        if !call.oneway {
            message::write(stream, &reply)?;
        }
    }
    Ok(())
}

fn answer(call: &Call, service: &dyn Service) -> Reply {
    let Some((interface, method)) = call.method.rsplit_once('.') else {
        return Reply::error(
            "org.varlink.service.InterfaceNotFound",
            &[("interface", &call.method)],
        );
    };
    let outcome = match (interface, method) {
        (INTERFACE, "Describe") => success(&DescribeReply {
            view: service.describe(),
        }),
        (INTERFACE, "Update") => with(call, |call: UpdateCall| {
            refusable(
                service
                    .update(&call.changes)
                    .map(|epoch| UpdateReply { epoch }),
            )
        }),
        (INTERFACE, "Explain") => with(call, |call: ExplainCall| {
            refusable(service.explain(&call.path))
        }),
        (INTERFACE, "Trace") => refusable(service.trace().map(|trace| TraceReply { trace })),
        (INTERFACE, "Statistics") => success(&StatisticsReply {
            statistics: service.statistics(),
        }),
        ("org.varlink.service", "GetInfo") => success(&json!({
            "vendor": "Transom",
            "product": "transom",
            "version": env!("CARGO_PKG_VERSION"),
            "url": "",
            "interfaces": ["org.varlink.service", INTERFACE],
        })),
        ("org.varlink.service", "GetInterfaceDescription") => {
            match call.parameters.get("interface").and_then(Value::as_str) {
                Some(INTERFACE) => success(&json!({ "description": INTERFACE_TEXT })),
                other => Err(Reply::error(
                    "org.varlink.service.InterfaceNotFound",
                    &[("interface", other.unwrap_or_default())],
                )),
            }
        }
        (INTERFACE | "org.varlink.service", _) => Err(Reply::error(
            "org.varlink.service.MethodNotFound",
            &[("method", method)],
        )),
        _ => Err(Reply::error(
            "org.varlink.service.InterfaceNotFound",
            &[("interface", interface)],
        )),
    };
    outcome.unwrap_or_else(|error| error)
}

type Outcome = Result<Reply, Reply>;

fn success(parameters: &impl Serialize) -> Outcome {
    serde_json::to_value(parameters)
        .map(|parameters| Reply {
            error: None,
            parameters,
        })
        .map_err(|error| {
            Reply::error(
                "io.transom.View.Unavailable",
                &[("message", &error.to_string())],
            )
        })
}

fn refusable<T: Serialize>(result: Result<T, Refusal>) -> Outcome {
    let (name, message) = match result {
        Ok(parameters) => return success(&parameters),
        Err(Refusal::Refused(message)) => ("Refused", message),
        Err(Refusal::Unavailable(message)) => ("Unavailable", message),
    };
    let parameters = serde_json::to_value(ErrorParameters { message }).unwrap_or_default();
    Err(Reply {
        error: Some(format!("{INTERFACE}.{name}")),
        parameters,
    })
}

fn with<P: DeserializeOwned>(call: &Call, then: impl FnOnce(P) -> Outcome) -> Outcome {
    match P::deserialize(&call.parameters) {
        Ok(parameters) => then(parameters),
        Err(error) => Err(Reply::error(
            "org.varlink.service.InvalidParameter",
            &[("parameter", &error.to_string())],
        )),
    }
}
