//! A mounted volume being served.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::io::Errno;
use rustix::mount::MountAttrFlags;
use transom_module::{Context, Error, Invalidation, Volume, VolumeDefinition};
use transom_sys::fuse_abi as abi;
use transom_sys::fuse_device;

use crate::counters::{Counters, Statistics, add};
use crate::nearness::Nearness;
use crate::negotiation::{Negotiated, Wanted, negotiate};
use crate::notify::Notifier;
use crate::queue::{DeviceQueue, Handle, send};
use crate::reply::Answer;
use crate::request::{Malformed, Operation, Request};
use crate::server::{HandedOut, Server};
use crate::workers::{Crew, Kit};
use crate::{UnsupportedVersion, mount};

/// Largest answer in bytes: what the kernel reads at once at most.
const MAX_READ: usize = 1 << 20;
/// Default of [`Options::deadline`].
const DEADLINE: Duration = Duration::from_secs(120);
/// How long [`Session::end`] waits for the last user of the mount.
const END_PATIENCE: Duration = Duration::from_secs(5);

/// How a volume is mounted and served.
#[derive(Debug, Clone)]
pub struct Options {
    /// Shown as the source of the mount.
    pub source: String,
    /// What kind of file system it is: the type of the mount is `fuse.` and
    /// this, and mount(8) remounts with the helper of that type.
    pub subtype: String,
    /// Mount the superblock read-only. Volumes that can change need false.
    pub read_only: bool,
    /// What else is said of the mount, such as that device files do not work.
    /// Mounts of subtrees take it over.
    pub attributes: MountAttrFlags,
    /// What the kernel does on backing files by itself.
    pub passthrough: Passthrough,
    /// Let the mount be idmapped. The kernel then names the caller only where
    /// something is made.
    pub idmapped: bool,
    /// Items that the kernel may keep, about. When it has more, it is asked to
    /// give some back that nobody uses. For volumes that hold a descriptor for
    /// each item.
    pub items_max: usize,
    /// Threads that read requests. More are started while handlers hang.
    pub readers: usize,
    /// Requests that take longer are answered with `ETIMEDOUT`.
    pub deadline: Option<Duration>,
}

impl Default for Options {
    fn default() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            source: "transom".into(),
            subtype: "transom".into(),
            read_only: true,
            attributes: MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV,
            passthrough: Passthrough::On,
            idmapped: false,
            items_max: usize::MAX,
            readers: (processors / 2).max(1),
            deadline: Some(DEADLINE),
        }
    }
}

/// Which opens of files with a backing file the kernel does the I/O of, where
/// it can. The bytes of the others pass through the server; besides the
/// counters, nobody sees a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Passthrough {
    /// None.
    Off,
    /// Those that only read.
    ReadOnly,
    /// All.
    On,
}

/// Why a volume could not be mounted.
#[derive(Debug)]
#[non_exhaustive]
pub enum MountError {
    /// `/dev/fuse` could not be opened.
    Device(io::Error),
    /// The kernel's FUSE is too old.
    Version(UnsupportedVersion),
    /// The volume has no usable root.
    Root(Error),
    /// A system call failed.
    Mount(io::Error),
}

impl fmt::Display for MountError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Device(error) if error.kind() == io::ErrorKind::NotFound => {
                write!(
                    f,
                    "{} does not exist: the kernel lacks FUSE (try `modprobe fuse`), or /dev is \
                     not the host's, as in a view or a container",
                    fuse_device::DEVICE
                )
            }
            Self::Device(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                write!(f, "no permission to open {}", fuse_device::DEVICE)
            }
            Self::Device(_) => write!(f, "cannot open {}", fuse_device::DEVICE),
            Self::Version(_) => write!(f, "the kernel's FUSE is too old"),
            Self::Root(_) => write!(f, "the volume has no usable root"),
            Self::Mount(_) => write!(f, "cannot mount"),
        }
    }
}

impl std::error::Error for MountError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(match self {
            Self::Device(error) | Self::Mount(error) => error,
            Self::Version(error) => error,
            Self::Root(error) => error,
        })
    }
}

impl From<io::Error> for MountError {
    fn from(error: io::Error) -> Self {
        Self::Mount(error)
    }
}

/// A volume that is mounted and served by threads of this process.
///
/// The mount is detached: see [`mount`](Self::mount). Dropping a session
/// releases its hold on the mount; the threads end when nobody else holds it.
pub struct Session<V: Volume> {
    server: Arc<Server<V>>,
    crew: Arc<Crew>,
    connection: Arc<OwnedFd>,
    negotiated: Negotiated,
    mount: Option<OwnedFd>,
}

impl<V: Volume> Session<V> {
    /// Mounts a volume, detached, and begins to serve it.
    pub fn start(definition: VolumeDefinition<V>, options: &Options) -> Result<Self, MountError> {
        let connection = Arc::new(fuse_device::open().map_err(MountError::Device)?);
        let wanted = Wanted::new(&definition, options);
        let mut negotiated = None;
        let mount = mount::mount(&connection, options, || {
            negotiated = Some(answer_init(&connection, wanted)?);
            Ok::<_, MountError>(())
        })?;
        let negotiated =
            negotiated.ok_or(MountError::Mount(io::ErrorKind::UnexpectedEof.into()))?;
        Self::serve(definition, connection, negotiated, Some(mount), options)
    }

    /// Serves a connection whose mount somebody else has just made, such as
    /// fusermount3(1) for a user who may not mount. Of `options`, what is said
    /// of the mount is theirs to obey.
    pub fn on_connection(
        definition: VolumeDefinition<V>,
        connection: OwnedFd,
        options: &Options,
    ) -> Result<Self, MountError> {
        let wanted = Wanted::new(&definition, options);
        let negotiated = answer_init(&connection, wanted)?;
        Self::serve(definition, Arc::new(connection), negotiated, None, options)
    }

    /// Serves a connection that another server has initialised and left: the
    /// kernel sends again what that one has not answered.
    ///
    /// `negotiated` is what that server [agreed on](Self::negotiated). Nodes
    /// it handed out are unknown here; the kernel is told that they are stale
    /// and looks their names up again. The volume must mean the same items by
    /// the same ids as the one before: the kernel still has their pages.
    pub fn attach(
        definition: VolumeDefinition<V>,
        connection: OwnedFd,
        negotiated: Negotiated,
        options: &Options,
    ) -> Result<Self, MountError> {
        let session = Self::serve(definition, Arc::new(connection), negotiated, None, options)?;
        session.notifier()?.resend()?;
        Ok(session)
    }

    fn serve(
        definition: VolumeDefinition<V>,
        connection: Arc<OwnedFd>,
        negotiated: Negotiated,
        mount: Option<OwnedFd>,
        options: &Options,
    ) -> Result<Self, MountError> {
        let counters = Arc::new(Counters::new());
        let server = Server::new(
            definition,
            negotiated,
            options,
            Arc::clone(&connection),
            Some(Notifier::new(&connection)?),
            Arc::clone(&counters),
        )
        .map_err(MountError::Root)?;
        let server = Arc::new(server);
        let crew = Arc::new(Crew::new(options.readers, options.deadline, counters));
        let recruit = {
            let (server, crew, connection) = (
                Arc::clone(&server),
                Arc::clone(&crew),
                Arc::clone(&connection),
            );
            let original_taken = AtomicBool::new(false);
            move |index: usize| {
                // The first worker reads the original descriptor, each other
                // one a clone, which has a list of requests of its own.
                let own = if original_taken.swap(true, Ordering::Relaxed) {
                    Arc::new(fuse_device::clone_connection(&connection)?)
                } else {
                    Arc::clone(&connection)
                };
                let queue =
                    DeviceQueue::new(Arc::clone(&own), negotiated.max_write as usize, MAX_READ);
                let handler = Worker {
                    server: Arc::clone(&server),
                    crew: Arc::clone(&crew),
                    index,
                    out: HandedOut::default(),
                    nearness: Nearness::new(),
                };
                Ok(Kit {
                    queue: Box::new(queue),
                    handler: Box::new(handler),
                    connection: own,
                })
            }
        };
        let (shedding, finishing) = (Arc::clone(&server), Arc::clone(&server));
        crew.start(
            Box::new(recruit),
            move || shedding.shed_items(),
            move || finishing.finish(),
        )?;
        Ok(Self {
            server,
            crew,
            connection,
            negotiated,
            mount,
        })
    }

    /// The detached mount. Attach it, or a clone of it, with `move_mount(2)`;
    /// it also works as a directory descriptor. `None` for a session that
    /// [attached](Self::attach) to a connection.
    #[must_use]
    pub fn mount(&self) -> Option<BorrowedFd<'_>> {
        self.mount.as_ref().map(AsFd::as_fd)
    }

    /// The same for good. When nobody else has the mount either, the session
    /// is over.
    #[must_use]
    pub fn take_mount(&mut self) -> Option<OwnedFd> {
        self.mount.take()
    }

    /// Waits until nobody has the mount any more, and the threads have ended.
    /// False if that takes longer than `patience`.
    #[must_use]
    pub fn wait(&self, patience: Duration) -> bool {
        self.crew.wait(patience)
    }

    /// A further detached mount, of one directory of the volume. It shares
    /// all cached names and pages with the others.
    pub fn subtree(&self, path: &str) -> io::Result<OwnedFd> {
        let mount = self.mount.as_ref().ok_or(io::ErrorKind::NotFound)?;
        mount::subtree(mount, path)
    }

    /// The connection, for a supervisor that keeps it alive beyond this server.
    #[must_use]
    pub fn connection(&self) -> BorrowedFd<'_> {
        self.connection.as_fd()
    }

    /// What kernel and server agreed on.
    #[must_use]
    pub fn negotiated(&self) -> Negotiated {
        self.negotiated
    }

    /// Whether reads are done by the kernel: false if it does not offer it, or
    /// has refused it for lack of privilege.
    #[must_use]
    pub fn passthrough(&self) -> bool {
        self.negotiated.passthrough() && !self.server.passthrough_forbidden()
    }

    /// The volume being served.
    #[must_use]
    pub fn volume(&self) -> &V {
        &self.definition().volume
    }

    /// The same with what it claims.
    #[must_use]
    pub fn definition(&self) -> &VolumeDefinition<V> {
        &self.server.definition
    }

    /// Tells the kernel what no longer holds. Must not be called by a handler
    /// of the volume, nor while holding a lock that one needs: the kernel
    /// waits for handlers under way in the same directory.
    pub fn invalidate(&self, invalidations: &[Invalidation]) -> io::Result<()> {
        self.notifier()?.invalidate(invalidations)?;
        let sent = invalidations.len() as u64;
        add(&self.server.counters.notifications, sent);
        Ok(())
    }

    fn notifier(&self) -> io::Result<&Notifier> {
        self.server
            .notifier
            .as_ref()
            .ok_or_else(|| io::ErrorKind::Unsupported.into())
    }

    /// The counters at this moment.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        self.server.counters.snapshot()
    }

    /// Items the kernel refers to, the root included.
    #[must_use]
    pub fn live_items(&self) -> usize {
        self.server.nodes.len()
    }

    /// Changes [`Options::items_max`]. If the kernel has more, it is soon asked to
    /// give back what nobody uses.
    pub fn set_items_max(&self, items: usize) {
        self.server.set_items_max(items);
        self.crew.wake_monitor();
    }

    /// Gives the mount up and waits for the threads to end. Fails with
    /// `TimedOut` if somebody else still uses the mount; they are then served
    /// until they stop.
    pub fn end(mut self) -> io::Result<Statistics> {
        self.mount = None;
        if self.crew.wait(END_PATIENCE) {
            Ok(self.statistics())
        } else {
            Err(io::ErrorKind::TimedOut.into())
        }
    }
}

impl<V: Volume> fmt::Debug for Session<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("negotiated", &self.negotiated)
            .finish_non_exhaustive()
    }
}

/// Reads INIT, which the kernel sends as soon as the superblock is made, and
/// answers it.
fn answer_init(connection: &OwnedFd, wanted: Wanted) -> Result<Negotiated, MountError> {
    let mut buffer = vec![0; abi::READ_BUFFER_MIN];
    let length = loop {
        match rustix::io::read(connection, &mut buffer[..]) {
            Ok(length) => break length,
            Err(Errno::INTR) => {}
            Err(error) => return Err(MountError::Mount(error.into())),
        }
    };
    let request = Request::decode(&buffer[..length])
        .map_err(|malformed| io::Error::new(io::ErrorKind::InvalidData, malformed))?;
    let Operation::Init {
        major,
        minor,
        max_readahead,
        flags,
    } = request.operation
    else {
        return Err(MountError::Mount(io::Error::new(
            io::ErrorKind::InvalidData,
            "the first request is not INIT",
        )));
    };
    let head = abi::OutHeader {
        len: 0,
        error: 0,
        unique: request.unique,
    };
    match negotiate((major, minor), max_readahead, flags, wanted) {
        Ok((negotiated, answer)) => {
            send(connection, head, &[zerocopy::IntoBytes::as_bytes(&answer)])?;
            Ok(negotiated)
        }
        Err(unsupported) => {
            send(
                connection,
                abi::OutHeader {
                    error: -libc::EPROTO,
                    ..head
                },
                &[],
            )?;
            Err(MountError::Version(unsupported))
        }
    }
}

/// Handles the requests of one worker.
struct Worker<V: Volume> {
    server: Arc<Server<V>>,
    crew: Arc<Crew>,
    index: usize,
    /// What the answer under way hands out.
    out: HandedOut,
    nearness: Nearness,
}

impl<V: Volume> Handle for Worker<V> {
    fn request(&mut self, bytes: &[u8], payload: &mut [u8]) -> Answer {
        let counters = &self.server.counters;
        let request = match Request::decode(bytes) {
            Ok(request) => request,
            Err(malformed) => {
                add(&counters.malformed, 1);
                tracing::warn!(%malformed, length = bytes.len(), "malformed request");
                return match malformed {
                    Malformed::Truncated => Answer::Silence,
                    Malformed::UnknownOpcode { .. } => Answer::Error(transom_module::Errno::ENOSYS),
                    Malformed::Arguments { .. } => Answer::Error(transom_module::Errno::EIO),
                };
            }
        };
        counters.count_request(request.operation.opcode());
        self.out = HandedOut::default();
        match request.operation {
            Operation::Interrupt { unique } => {
                self.crew.interrupt(unique);
                Answer::Silence
            }
            Operation::NotifyReply { .. } => Answer::Silence,
            Operation::Forget { .. } | Operation::BatchForget { .. } => {
                self.server
                    .handle(&request, &Context::internal(), payload, &mut self.out)
            }
            _ => {
                self.nearness.note(request.caller.pid);
                let slot = self.crew.slot(self.index);
                let waits = matches!(request.operation, Operation::Setlkw(_));
                self.crew
                    .begin(slot, request.unique, request.caller.pid, waits);
                let context = Context::new(request.caller, &slot.cancelled);
                self.server
                    .handle(&request, &context, payload, &mut self.out)
            }
        }
    }

    fn may_answer(&mut self) -> bool {
        self.crew.slot(self.index).finish()
    }

    fn undelivered(&mut self) {
        self.server.take_back(&mut self.out);
    }
}
