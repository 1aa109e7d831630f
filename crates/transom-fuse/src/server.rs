//! From requests to calls of the volume, and back.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};

use transom_module::{
    Backing, Context, Cookie, DirectoryEntry, DirectorySink, Entry, Errno, Error, ItemId, Lookup,
    NAME_BYTES_MAX, OpenMode, Opened, Volume, VolumeDefinition,
};
use transom_sys::fuse_abi as abi;
use zerocopy::{FromZeros, IntoBytes};

use crate::backing::{BackingId, NodeBacking};
use crate::counters::{Counters, add};
use crate::handles::HandleTable;
use crate::negotiation::Negotiated;
use crate::nodes::{Node, NodeTable};
use crate::reply::{Answer, ListingWriter, absent_out, attr_out, entry_out, statfs_out};
use crate::request::{Operation, Request};

type Result = std::result::Result<Answer, Error>;

/// What all workers of a session share.
pub(crate) struct Server<V: Volume> {
    pub(crate) definition: Arc<VolumeDefinition<V>>,
    pub(crate) nodes: NodeTable<V>,
    pub(crate) counters: Arc<Counters>,
    handles: HandleTable<V>,
    negotiated: Negotiated,
    connection: Arc<OwnedFd>,
    /// Set once the kernel has refused a backing file for lack of privilege:
    /// it will refuse them all.
    passthrough_forbidden: AtomicBool,
}

/// What an answer handed out, to be taken back if it is not delivered.
#[derive(Debug, Default)]
pub(crate) struct HandedOut {
    /// Nodes, one lookup each.
    nodes: Vec<u64>,
    handle: Option<u64>,
}

impl<V: Volume> Server<V> {
    pub(crate) fn new(
        definition: VolumeDefinition<V>,
        negotiated: Negotiated,
        connection: Arc<OwnedFd>,
        counters: Arc<Counters>,
    ) -> std::result::Result<Self, Error> {
        let definition = Arc::new(definition);
        let nodes = NodeTable::new(Arc::clone(&definition));
        let root = definition.volume.root()?;
        if root.attributes.id != ItemId::ROOT {
            return Err(Error::new(
                Errno::EINVAL,
                format!("the root of a volume must be item {:?}", ItemId::ROOT),
            ));
        }
        nodes.acquire(root);
        Ok(Self {
            handles: HandleTable::new(Arc::clone(&definition)),
            definition,
            nodes,
            counters,
            negotiated,
            connection,
            passthrough_forbidden: AtomicBool::new(false),
        })
    }

    pub(crate) fn passthrough_forbidden(&self) -> bool {
        self.passthrough_forbidden.load(Ordering::Relaxed)
    }

    /// Handles one request. What the answer hands out is added to `out`.
    pub(crate) fn handle(
        &self,
        request: &Request<'_>,
        context: &Context<'_>,
        payload: &mut [u8],
        out: &mut HandedOut,
    ) -> Answer {
        // A bug in a module must cost the caller one error, not the mount: the
        // worker would end and its request would never be answered.
        let outcome = panic::catch_unwind(AssertUnwindSafe(|| {
            self.dispatch(request, context, payload, out)
        }))
        .unwrap_or_else(|_| Err(Error::new(Errno::EIO, "the module panicked")));
        match outcome {
            Ok(answer) => answer,
            Err(error) => {
                if error.is_notable() {
                    let source = std::error::Error::source(&error);
                    tracing::warn!(
                        errno = ?error.errno(),
                        opcode = ?request.operation.opcode(),
                        node = request.node,
                        source = source.map(tracing::field::display),
                        "{error}"
                    );
                }
                Answer::Error(error.errno())
            }
        }
    }

    /// Takes back what an undelivered answer handed out.
    pub(crate) fn take_back(&self, out: &mut HandedOut) {
        for node in out.nodes.drain(..) {
            self.nodes.forget(node, 1);
        }
        if let Some(handle) = out.handle.take() {
            self.handles.remove(handle);
        }
    }

    fn dispatch(
        &self,
        request: &Request<'_>,
        context: &Context<'_>,
        payload: &mut [u8],
        out: &mut HandedOut,
    ) -> Result {
        let volume = &self.definition.volume;
        let node = || self.nodes.get(request.node).ok_or(Errno::ESTALE);
        match &request.operation {
            Operation::Lookup { name } => {
                // `.` and `..` are asked for only by exporters of the mount.
                if matches!(name.as_bytes(), b"." | b"..") {
                    return Err(Errno::EINVAL.into());
                }
                if name.len() > NAME_BYTES_MAX {
                    return Err(Errno::ENAMETOOLONG.into());
                }
                match volume.lookup(context, node()?.item(), name)? {
                    Lookup::Found(entry) => {
                        let answer = Answer::value(payload, &entry_out(&entry));
                        out.nodes.push(entry.attributes.id.raw());
                        self.nodes.acquire(entry);
                        Ok(answer)
                    }
                    Lookup::Absent(lifetime) => Ok(Answer::value(payload, &absent_out(lifetime))),
                }
            }
            Operation::Forget { lookups } => {
                self.nodes.forget(request.node, *lookups);
                Ok(Answer::Silence)
            }
            Operation::BatchForget { forgets } => {
                for forget in forgets {
                    self.nodes.forget(forget.nodeid, forget.nlookup);
                }
                Ok(Answer::Silence)
            }
            Operation::Getattr(_) => {
                let (attributes, lifetime) = volume.attributes(context, node()?.item())?;
                Ok(Answer::value(payload, &attr_out(&attributes, lifetime)))
            }
            Operation::Readlink => {
                let target = volume.read_link(context, node()?.item())?;
                Ok(Answer::bytes(payload, &target.into_vec()))
            }
            Operation::Open(args) => self.open(context, &*node()?, args.flags, payload, out),
            Operation::Read(args) => self.read(context, &*node()?, args, payload),
            Operation::Release(args) => {
                self.handles.remove(args.fh);
                Ok(Answer::EMPTY)
            }
            Operation::Opendir(_)
                if V::STATELESS_DIRECTORIES && self.negotiated.stateless_directories() =>
            {
                Err(Errno::ENOSYS.into())
            }
            Operation::Opendir(_) => Ok(Answer::value(payload, &abi::OpenOut::new_zeroed())),
            Operation::Releasedir(_) => Ok(Answer::EMPTY),
            Operation::Readdir(args) => self.list(context, &*node()?, args, false, payload, out),
            Operation::Readdirplus(args) => self.list(context, &*node()?, args, true, payload, out),
            Operation::Statfs => Ok(Answer::value(payload, &statfs_out(&volume.statfs()?))),
            Operation::Getxattr { args, name } => match &self.definition.extended_attributes {
                Some(table) => {
                    let value = (table.get)(volume, context, node()?.item(), name)?;
                    sized(payload, &value, args.size)
                }
                None => Err(Errno::ENOSYS.into()),
            },
            Operation::Listxattr(args) => match &self.definition.extended_attributes {
                Some(table) => sized(
                    payload,
                    &(table.list)(volume, context, node()?.item())?,
                    args.size,
                ),
                None => Err(Errno::ENOSYS.into()),
            },
            Operation::Destroy => Ok(Answer::EMPTY),
            // ENOSYS makes the kernel answer these by itself from then on:
            // success for FLUSH, FSYNC and SYNCFS, the mode bits for ACCESS,
            // its own walk over the size for LSEEK, GETATTR instead of STATX.
            Operation::Flush(_)
            | Operation::Fsync(_)
            | Operation::Fsyncdir(_)
            | Operation::Syncfs
            | Operation::Access(_)
            | Operation::Lseek(_)
            | Operation::Statx(_)
            | Operation::Poll(_)
            | Operation::Bmap(_)
            | Operation::CopyFileRange(_)
            | Operation::CopyFileRange64(_)
            | Operation::Fallocate(_)
            | Operation::Setxattr { .. }
            | Operation::Removexattr { .. }
            | Operation::Setupmapping(_)
            | Operation::Removemapping { .. } => Err(Errno::ENOSYS.into()),
            // Terminals ask every file they open whether it is one.
            Operation::Ioctl { .. } => Err(Errno::from_raw(libc::ENOTTY).into()),
            Operation::Setattr(_)
            | Operation::Symlink { .. }
            | Operation::Mknod { .. }
            | Operation::Mkdir { .. }
            | Operation::Unlink { .. }
            | Operation::Rmdir { .. }
            | Operation::Rename { .. }
            | Operation::Link { .. }
            | Operation::Write { .. }
            | Operation::Create { .. }
            | Operation::Tmpfile(_) => Err(Errno::EROFS.into()),
            // Not negotiated, hence answered by the kernel itself.
            Operation::Getlk(_) | Operation::Setlk(_) | Operation::Setlkw(_) => {
                Err(Errno::ENOSYS.into())
            }
            // INIT comes once, before there are workers; INTERRUPT is for the
            // worker itself; nothing is ever retrieved.
            Operation::Init { .. } => Err(Errno::EIO.into()),
            Operation::Interrupt { .. } | Operation::NotifyReply { .. } => Ok(Answer::Silence),
        }
    }

    fn open(
        &self,
        context: &Context<'_>,
        node: &Node<V>,
        flags: u32,
        payload: &mut [u8],
        out: &mut HandedOut,
    ) -> Result {
        let flags = flags.cast_signed();
        let access = flags & libc::O_ACCMODE;
        let mode = OpenMode {
            read: access != libc::O_WRONLY,
            write: access != libc::O_RDONLY,
            truncate: flags & libc::O_TRUNC != 0,
        };
        let mut reply = abi::OpenOut {
            fh: 0,
            open_flags: abi::open::NOFLUSH,
            backing_id: 0,
        };
        match self.definition.volume.open(context, node.item(), mode)? {
            Opened::Passthrough(file) => {
                let backing = self.backing(node, file);
                if let Some(id) = backing.id() {
                    add(&self.counters.passthrough_opens, 1);
                    reply.open_flags |= abi::open::PASSTHROUGH;
                    reply.backing_id = id.number();
                } else {
                    add(&self.counters.served_opens, 1);
                    // The kernel's cache ends where it was told that the file
                    // ends: what lies beyond can only be read past it.
                    let is_as_told = backing.size().is_ok_and(|size| size == node.size);
                    reply.open_flags |= if is_as_told {
                        abi::open::KEEP_CACHE
                    } else {
                        abi::open::DIRECT_IO
                    };
                }
            }
            Opened::Cached { handle, keep } => {
                add(&self.counters.served_opens, 1);
                reply.open_flags |= if keep { abi::open::KEEP_CACHE } else { 0 };
                reply.fh = self.handles.insert(handle);
            }
            Opened::Direct(handle) => {
                add(&self.counters.served_opens, 1);
                reply.open_flags |= abi::open::DIRECT_IO;
                reply.fh = self.handles.insert(handle);
            }
        }
        out.handle = (reply.fh != 0).then_some(reply.fh);
        Ok(Answer::value(payload, &reply))
    }

    /// The backing file of a node, registered with the kernel at its first
    /// open if the kernel takes it.
    fn backing(&self, node: &Node<V>, file: Backing) -> Arc<NodeBacking> {
        let mut settled = node.backing.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(settled.get_or_insert_with(|| {
            let id = self.register(&file);
            Arc::new(NodeBacking::new(file, id))
        }))
    }

    fn register(&self, file: &Backing) -> Option<BackingId> {
        if !self.negotiated.passthrough() || self.passthrough_forbidden() {
            return None;
        }
        match BackingId::register(&self.connection, file.as_fd()) {
            Ok(id) => Some(id),
            Err(error) => {
                add(&self.counters.backing_refused, 1);
                if error.raw_os_error() == Some(libc::EPERM) {
                    self.passthrough_forbidden.store(true, Ordering::Relaxed);
                }
                tracing::debug!(%error, "the kernel refused a backing file, its bytes are read here");
                None
            }
        }
    }

    fn read(
        &self,
        context: &Context<'_>,
        node: &Node<V>,
        args: &abi::ReadIn,
        payload: &mut [u8],
    ) -> Result {
        let size = payload.len().min(args.size as usize);
        let buffer = &mut payload[..size];
        let length = if args.fh == 0 {
            let backing = node
                .backing
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone();
            let backing = backing.ok_or(Errno::EBADF)?;
            backing
                .read(args.offset, buffer)
                .map_err(|error| host_error(error, "reading a backing file failed"))?
        } else {
            let handle = self.handles.get(args.fh).ok_or(Errno::EBADF)?;
            self.definition
                .volume
                .read(context, node.item(), handle.get(), args.offset, buffer)?
        };
        add(&self.counters.bytes_read, length as u64);
        Ok(Answer::Payload(length))
    }

    fn list(
        &self,
        context: &Context<'_>,
        node: &Node<V>,
        args: &abi::ReadIn,
        plus: bool,
        payload: &mut [u8],
        out: &mut HandedOut,
    ) -> Result {
        let size = payload.len().min(args.size as usize);
        let mut sink = Sink {
            server: self,
            plus,
            listing: ListingWriter::new(&mut payload[..size]),
            out,
        };
        self.definition
            .volume
            .enumerate(context, node.item(), Cookie(args.offset), &mut sink)?;
        Ok(Answer::Payload(sink.listing.used()))
    }
}

/// Collects the answer to READDIR or READDIRPLUS.
struct Sink<'a, V: Volume> {
    server: &'a Server<V>,
    plus: bool,
    listing: ListingWriter<'a>,
    out: &'a mut HandedOut,
}

impl<V: Volume> DirectorySink<V::Item> for Sink<'_, V> {
    fn wants_attributes(&self) -> bool {
        self.plus
    }

    fn push(&mut self, entry: DirectoryEntry<'_>) -> bool {
        if self.plus {
            self.listing.push_plus(&abi::EntryOut::new_zeroed(), &entry)
        } else {
            self.listing.push(&entry)
        }
    }

    fn push_found(&mut self, name: &std::ffi::OsStr, found: Entry<V::Item>, next: Cookie) -> bool {
        let entry = DirectoryEntry {
            name,
            id: found.attributes.id,
            kind: found.attributes.kind,
            next,
        };
        let fits = if self.plus {
            self.listing.push_plus(&entry_out(&found), &entry)
        } else {
            self.listing.push(&entry)
        };
        if fits && self.plus {
            self.out.nodes.push(found.attributes.id.raw());
            self.server.nodes.acquire(found);
        } else {
            self.server.definition.volume.reclaim(found.item);
        }
        fits
    }
}

/// The answer to a question for an attribute: its size if the caller gave no
/// buffer, `ERANGE` if the buffer is too small.
fn sized(payload: &mut [u8], value: &[u8], size: u32) -> Result {
    match size as usize {
        0 => {
            let size = abi::GetxattrOut {
                size: value.len() as u32,
                padding: 0,
            };
            Ok(Answer::bytes(payload, size.as_bytes()))
        }
        size if size < value.len() => Err(Errno::ERANGE.into()),
        _ => Ok(Answer::bytes(payload, value)),
    }
}

fn host_error(error: io::Error, message: &str) -> Error {
    Error::from_host(error, message)
}
