//! How the action that Bazel starts gets into its sandbox.
//!
//! Bazel puts a wrapper before the command. The wrapper sends the command and
//! its own standard files to the backend, over a socket, and ends as the action
//! ends. So nothing has to be mounted where Bazel could see it, and the wrapper
//! needs no privilege, whatever the backend has.
//!
//! If the wrapper is killed, its connection ends, and the action is killed. If
//! the backend is killed, the action is killed by the kernel, and the wrapper
//! fails.
//!
//! The socket has no place in the file system, where it would stay behind: its
//! name is abstract, and made by chance. Only the same user is let in.

use std::ffi::OsString;
use std::io::{self, IoSlice, IoSliceMut, Read};
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::os::fd::{AsFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;

use prost::Message;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};
use rustix::process::Signal;
use transom_sandbox::{Exit, Stdio};

use crate::backend::framing::{self, FrameError};
use crate::backend::sandboxes::{RunError, SANDBOXES_MAX, Sandboxes};

/// The most wrappers at a time. One that has no sandbox is told so, and goes.
const ENTERING_MAX: usize = 2 * SANDBOXES_MAX;

/// The standard files.
const FILES: usize = 3;

/// What a wrapper was given to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// The program and its arguments.
    pub arguments: Vec<OsString>,
    /// The whole environment.
    pub environment: Vec<(OsString, OsString)>,
    /// Where it starts.
    pub working_directory: PathBuf,
}

/// How an action ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// It exited with this code.
    Exited(u8),
    /// This signal ended it.
    Signalled(i32),
    /// It did not run, or not to its end.
    Failed {
        /// Why.
        message: String,
        /// What a shell would exit with, if the command itself is to blame.
        exit_code: Option<u8>,
    },
}

/// Why a wrapper could not do its work.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EntranceError {
    /// Nobody listens.
    #[error("the sandbox backend is not there any more: {0}")]
    Connect(io::Error),
    /// The connection failed.
    #[error("the sandbox backend cannot be told what to run: {0}")]
    Send(io::Error),
    /// No answer came.
    #[error("the sandbox backend ended before the action did")]
    Gone,
    /// An answer that is none.
    #[error("the answer of the sandbox backend cannot be read: {0}")]
    Answer(#[from] FrameError),
}

/// Runs `command` in the sandbox `id` of the backend that listens at `address`,
/// and waits for its end.
pub fn enter(
    address: &str,
    id: &str,
    command: &Command,
    files: &Stdio,
) -> Result<Ended, EntranceError> {
    let address = SocketAddr::from_abstract_name(address).map_err(EntranceError::Connect)?;
    let mut stream = UnixStream::connect_addr(&address).map_err(EntranceError::Connect)?;
    let entering = Entering {
        sandbox_id: id.into(),
        arguments: command
            .arguments
            .iter()
            .map(|argument| argument.as_bytes().into())
            .collect(),
        environment: command
            .environment
            .iter()
            .map(|(name, value)| [name.as_bytes(), b"=", value.as_bytes()].concat())
            .collect(),
        working_directory: command.working_directory.as_os_str().as_bytes().into(),
    };
    send_files(&stream, files)
        .and_then(|()| framing::write(&mut stream, &entering))
        .map_err(EntranceError::Send)?;
    match framing::read::<Left>(&mut stream) {
        Ok(Some(left)) => Ok(left.into()),
        Ok(None) => Err(EntranceError::Gone),
        Err(FrameError::Read(error)) => {
            tracing::debug!(%error, "the connection ended");
            Err(EntranceError::Gone)
        }
        Err(error) => Err(error.into()),
    }
}

/// Listens for wrappers as long as it lives.
#[derive(Debug)]
pub(crate) struct Entrance {
    name: String,
    listener: Arc<UnixListener>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Entrance {
    pub(crate) fn open(sandboxes: &Arc<Sandboxes>) -> io::Result<Self> {
        let name = format!("transom-bazel-{}-{}", std::process::id(), random_name()?);
        let address = SocketAddr::from_abstract_name(&name)?;
        let listener = Arc::new(UnixListener::bind_addr(&address)?);
        let (accepting, sandboxes) = (listener.clone(), sandboxes.clone());
        let thread = thread::Builder::new()
            .name("entrance".into())
            .spawn(move || {
                while let Ok((stream, _)) = accepting.accept() {
                    // Each that is being served holds one.
                    if Arc::strong_count(&sandboxes) > ENTERING_MAX {
                        tracing::warn!("too many actions are entering their sandboxes");
                        continue;
                    }
                    let sandboxes = sandboxes.clone();
                    let thread = thread::Builder::new().name("action".into());
                    let spawned = thread.spawn(move || serve(stream, &sandboxes));
                    if let Err(error) = spawned {
                        tracing::warn!(%error, "an action cannot be started");
                    }
                }
            })?;
        Ok(Self {
            name,
            listener,
            thread: Some(thread),
        })
    }

    /// Where it listens, for [`enter`].
    pub(crate) fn name(&self) -> &str {
        &self.name
    }
}

impl Drop for Entrance {
    fn drop(&mut self) {
        // Whoever waits in `accept` is told so.
        let _ = rustix::net::shutdown(&*self.listener, rustix::net::Shutdown::Both);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Serves one wrapper.
fn serve(mut stream: UnixStream, sandboxes: &Sandboxes) {
    let left = match run(&mut stream, sandboxes) {
        Ok(Some(finished)) => finished,
        Ok(None) => return,
        Err(error) => Left::failed(error.to_string(), None),
    };
    if let Err(error) = framing::write(&mut stream, &left) {
        tracing::debug!(%error, "the wrapper of an action is gone");
    }
}

/// `None` if it is nobody whom to answer.
fn run(stream: &mut UnixStream, sandboxes: &Sandboxes) -> Result<Option<Left>, FrameError> {
    let peer = rustix::net::sockopt::socket_peercred(&*stream).map_err(io::Error::from)?;
    if peer.uid != rustix::process::geteuid() {
        tracing::warn!(
            "another user (process {:?}) tried to enter a sandbox",
            peer.pid
        );
        return Ok(None);
    }
    let stdio = receive_files(stream)?;
    let Some(entering) = framing::read::<Entering>(stream)? else {
        return Ok(None);
    };
    let id = entering.sandbox_id.clone();
    let watched = stream.try_clone()?;
    let mut watcher = None;
    let ran = sandboxes.run(&id, entering.into(), stdio, |action| {
        let watch = move || {
            // It has nothing more to say: this waits for its end, or for ours.
            let _ = (&watched).read(&mut [0]);
            let _ = action.signal(Signal::KILL);
        };
        watcher = thread::Builder::new()
            .name("watch".into())
            .spawn(watch)
            .ok();
    });
    // The answer goes the other way.
    let _ = stream.shutdown(Shutdown::Read);
    if let Some(watcher) = watcher {
        let _ = watcher.join();
    }
    Ok(Some(match ran {
        Ok(finished) => match finished.exit {
            Exit::Exited(code) => Left {
                exit_code: u32::from(code),
                ..Left::default()
            },
            Exit::Signalled { signal, .. } => Left {
                signal,
                ..Left::default()
            },
            Exit::TimedOut => Left::failed("the action ran out of time".into(), None),
        },
        Err(RunError::Refused(message)) => Left::failed(message, None),
        Err(RunError::Sandbox(error)) => {
            let exit_code = error.shell_exit_code();
            Left::failed(error.to_string(), exit_code)
        }
    }))
}

/// The files come with one byte of their own, before the message.
fn send_files(stream: &UnixStream, files: &Stdio) -> io::Result<()> {
    let files = [
        files.stdin.as_fd(),
        files.stdout.as_fd(),
        files.stderr.as_fd(),
    ];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FILES))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let fits = control.push(SendAncillaryMessage::ScmRights(&files));
    assert!(fits, "the space is made for it");
    rustix::net::sendmsg(
        stream,
        &[IoSlice::new(&[0])],
        &mut control,
        SendFlags::NOSIGNAL,
    )?;
    Ok(())
}

fn receive_files(stream: &UnixStream) -> io::Result<Stdio> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FILES))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let flags = RecvFlags::CMSG_CLOEXEC;
    rustix::net::recvmsg(
        stream,
        &mut [IoSliceMut::new(&mut byte)],
        &mut control,
        flags,
    )?;
    let files: Vec<OwnedFd> = control
        .drain()
        .flat_map(|message| match message {
            RecvAncillaryMessage::ScmRights(files) => files.collect(),
            _ => Vec::new(),
        })
        .collect();
    let [stdin, stdout, stderr] = <[OwnedFd; FILES]>::try_from(files)
        .map_err(|_| io::Error::other("a wrapper did not send its standard files"))?;
    Ok(Stdio {
        stdin,
        stdout,
        stderr,
        passed: Vec::new(),
    })
}

fn random_name() -> io::Result<String> {
    let mut bytes = [0; 16];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// From a wrapper to the backend. Nobody else speaks this, so it is not part
/// of `wire`.
#[derive(Clone, PartialEq, Message)]
struct Entering {
    #[prost(string, tag = "1")]
    sandbox_id: String,
    #[prost(bytes, repeated, tag = "2")]
    arguments: Vec<Vec<u8>>,
    /// Like `NAME=value`.
    #[prost(bytes, repeated, tag = "3")]
    environment: Vec<Vec<u8>>,
    #[prost(bytes, tag = "4")]
    working_directory: Vec<u8>,
}

/// And back.
#[derive(Clone, PartialEq, Message)]
struct Left {
    #[prost(uint32, tag = "1")]
    exit_code: u32,
    /// If it is not zero, the signal that ended the action.
    #[prost(int32, tag = "2")]
    signal: i32,
    /// If it is not empty, why there is no exit code.
    #[prost(string, tag = "3")]
    failure: String,
    /// What a shell would exit with then, if it is not zero.
    #[prost(uint32, tag = "4")]
    shell_exit_code: u32,
}

impl Left {
    fn failed(message: String, exit_code: Option<u8>) -> Self {
        Self {
            failure: message,
            shell_exit_code: exit_code.unwrap_or(0).into(),
            ..Self::default()
        }
    }
}

impl From<Left> for Ended {
    fn from(left: Left) -> Self {
        let code = |code: u32| u8::try_from(code).unwrap_or(u8::MAX);
        match left {
            Left {
                failure,
                shell_exit_code,
                ..
            } if !failure.is_empty() => Self::Failed {
                message: failure,
                exit_code: (shell_exit_code > 0).then(|| code(shell_exit_code)),
            },
            Left { signal, .. } if signal != 0 => Self::Signalled(signal),
            Left { exit_code, .. } => Self::Exited(code(exit_code)),
        }
    }
}

impl From<Entering> for Command {
    fn from(entering: Entering) -> Self {
        let environment = entering.environment.into_iter().filter_map(|variable| {
            let separator = variable.iter().position(|byte| *byte == b'=')?;
            let (name, value) = variable.split_at(separator);
            Some((
                OsString::from_vec(name.into()),
                OsString::from_vec(value[1..].into()),
            ))
        });
        Self {
            environment: environment.collect(),
            arguments: entering
                .arguments
                .into_iter()
                .map(OsString::from_vec)
                .collect(),
            working_directory: OsString::from_vec(entering.working_directory).into(),
        }
    }
}
