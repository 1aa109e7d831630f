//! From requests to calls of the volume, and back.
//!
//! This file knows every request; what takes more than a line to answer is in
//! the files below it: `opening`, `bytes`, `changing`, `listing`,
//! `attributes`, `set_id_bits`, `control`, `locking`.

mod attributes;
mod bytes;
mod changing;
mod control;
mod listing;
mod locking;
mod opening;
mod set_id_bits;

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use transom_module::{
    Context, Entry, Errno, Error, ItemId, ItemKind, Lifetime, Lookup, NAME_BYTES_MAX, NewKind,
    Removed, Volume, VolumeDefinition,
};
use transom_sys::fuse_abi as abi;

use crate::caller::Credentials;
use crate::counters::Counters;
use crate::directory_times::{Changes, Moment};
use crate::listing_habits::ListingHabits;
use crate::negotiation::Negotiated;
use crate::nodes::{Node, NodeTable};
use crate::notify::Notifier;
use crate::open_files::OpenFiles;
use crate::reply::{Answer, absent_out, attr_out, entry_out, statfs_out, statx_out};
use crate::request::{Operation, Request};
use crate::{Options, Passthrough};

/// Items that the kernel is asked to give back besides those that are too many:
/// many are in use.
const PRUNED_BESIDES: usize = 1024;
/// The most that it is asked for at once.
const PRUNED_MAX: usize = 16384;

type Result = std::result::Result<Answer, Error>;

/// What all workers of a session share.
pub(crate) struct Server<V: Volume> {
    pub(crate) definition: Arc<VolumeDefinition<V>>,
    pub(crate) nodes: NodeTable<V>,
    pub(crate) counters: Arc<Counters>,
    open_files: OpenFiles<V>,
    listing_habits: ListingHabits,
    entry_changes: Changes,
    negotiated: Negotiated,
    passthrough: Passthrough,
    read_only: bool,
    items_max: AtomicUsize,
    connection: Arc<OwnedFd>,
    /// Present if there is a kernel to notify.
    pub(crate) notifier: Option<Notifier>,
    /// Set once the kernel has refused a backing file for lack of privilege:
    /// it will refuse them all.
    passthrough_forbidden: AtomicBool,
}

/// Who asks for attributes, and since when what is found out is new enough.
#[derive(Debug, Clone, Copy)]
struct Asked {
    thread: u32,
    since: Moment,
}

impl Asked {
    fn after_own_change(self) -> Self {
        Self {
            since: self.since.after_own_change(),
            ..self
        }
    }
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
        options: &Options,
        connection: Arc<OwnedFd>,
        notifier: Option<Notifier>,
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
            open_files: OpenFiles::new(),
            listing_habits: ListingHabits::new(),
            entry_changes: Changes::default(),
            definition,
            nodes,
            counters,
            negotiated,
            passthrough: options.passthrough,
            read_only: options.read_only,
            items_max: AtomicUsize::new(options.items_max),
            connection,
            notifier,
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
            self.open_files.remove(handle);
        }
    }

    /// The volume is unmounted: closes what the kernel will not close any more
    /// and brings everything to stable storage.
    pub(crate) fn finish(&self) {
        self.open_files.clear();
        if !self.read_only
            && let Some(group) = self.definition.synchronization()
            && let Err(error) = group.synchronize(&Context::internal())
        {
            tracing::error!(%error, "the volume could not be synchronized at its end");
        }
    }

    pub(crate) fn set_items_max(&self, items: usize) {
        self.items_max.store(items, Ordering::Relaxed);
    }

    /// Asks the kernel to give items back if it has more than it should.
    pub(crate) fn shed_items(&self) {
        let items_max = self.items_max.load(Ordering::Relaxed);
        let too_many = self.nodes.len().saturating_sub(items_max);
        if too_many > 0
            && let Some(notifier) = &self.notifier
        {
            let count = (too_many + PRUNED_BESIDES).min(PRUNED_MAX);
            if let Err(error) = notifier.prune(&self.nodes.next(count)) {
                tracing::debug!(%error, "the kernel does not give items back");
            }
        }
    }

    /// Who asked, also where the kernel maps users for some mounts and names
    /// nobody: the caller's process still says. Costs a look at it, so only
    /// what depends on the caller asks.
    fn identified<'c>(&self, context: &Context<'c>) -> Context<'c> {
        let mut context = *context;
        if context.caller.uid == u32::MAX
            && context.caller.pid != 0
            && let Some(credentials) = Credentials::of(context.caller.pid)
        {
            (context.caller.uid, context.caller.gid) = (credentials.uid, credentials.gid);
        }
        context
    }

    fn node(&self, id: u64) -> std::result::Result<Arc<Node<V>>, Errno> {
        self.nodes.get(id).ok_or(Errno::ESTALE)
    }

    /// Has the kernel ask for the attributes of a node before it believes any.
    fn forget_attributes(&self, node: &Node<V>) {
        if let Some(notifier) = &self.notifier {
            // If it has forgotten the node, all the better.
            let _ = notifier.forget_attributes(node.id.raw());
        }
    }

    /// Answers with an entry that the kernel then refers to.
    fn found(
        &self,
        payload: &mut [u8],
        entry: Entry<V::Item>,
        asked: Asked,
        out: &mut HandedOut,
    ) -> Answer {
        Answer::value(payload, &self.acquire(entry, asked, out).1)
    }

    /// Counts a lookup and says what the kernel is to be told.
    fn acquire(
        &self,
        entry: Entry<V::Item>,
        asked: Asked,
        out: &mut HandedOut,
    ) -> (Arc<Node<V>>, abi::EntryOut) {
        let lifetime = entry.attributes_lifetime;
        let mut told = entry_out(&entry);
        out.nodes.push(entry.attributes.id.raw());
        let node = self.nodes.acquire(entry);
        if self.believed(&node, lifetime, asked) != lifetime {
            (told.attr_valid, told.attr_valid_nsec) = (0, 0);
        }
        (node, told)
    }

    /// A question that is asked now.
    fn asked(&self, context: &Context<'_>) -> Asked {
        Asked {
            thread: context.caller.pid,
            since: self.entry_changes.now(),
        }
    }

    /// For how long the kernel may believe what was found out for a question.
    fn believed(&self, node: &Node<V>, lifetime: Lifetime, asked: Asked) -> Lifetime {
        if let Some(told_to) = &node.told_to {
            told_to.tell(asked.thread);
            if self.entry_changes.now() != asked.since {
                return Lifetime::NONE;
            }
        }
        node.bound(lifetime)
    }

    /// An entry of a directory was changed for the caller.
    fn entry_changed(&self, context: &Context<'_>, directory: &Node<V>) {
        self.entry_changes.note();
        let told_to = directory.told_to.as_ref();
        if told_to.is_some_and(|told_to| told_to.is_outdated_by(context.caller.pid)) {
            self.forget_attributes(directory);
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
        let node = || self.node(request.node);
        match &request.operation {
            Operation::Lookup { name } => self.lookup(context, request.node, name, payload, out),
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
                let (node, asked) = (node()?, self.asked(context));
                let (attributes, lifetime) = volume.attributes(context, node.item())?;
                let lifetime = self.believed(&node, lifetime, asked);
                Ok(Answer::value(payload, &attr_out(&attributes, lifetime)))
            }
            Operation::Readlink => {
                let target = volume.read_link(context, node()?.item())?;
                Ok(Answer::bytes(payload, &target.into_vec()))
            }
            Operation::Statx(_) => {
                let (node, asked) = (node()?, self.asked(context));
                let (attributes, lifetime) = volume.attributes(context, node.item())?;
                // All it adds is the time of creation, and it is asked for each
                // item anew. GETATTR came with the lookup.
                if attributes.created.is_none() {
                    return Err(Errno::ENOSYS.into());
                }
                let lifetime = self.believed(&node, lifetime, asked);
                Ok(Answer::value(payload, &statx_out(&attributes, lifetime)))
            }
            Operation::Statfs => Ok(Answer::value(payload, &statfs_out(&volume.statfs()?))),

            Operation::Open(args) => self.open(context, &node()?, args, payload, out),
            Operation::Release(args) => self.release(context, args),
            Operation::Opendir(_) => self.open_directory(context, &node()?, payload, out),
            Operation::Releasedir(args) => {
                self.open_files.remove(args.fh);
                Ok(Answer::EMPTY)
            }
            Operation::Readdir(args) => self.list(context, &node()?, args, false, payload, out),
            Operation::Readdirplus(args) => self.list(context, &node()?, args, true, payload, out),

            Operation::Read(args) => self.read(context, args, payload),
            Operation::Write { args, data } => self.write(context, args, data, payload),
            Operation::Flush(args) => self.flush(context, args),
            Operation::Fsync(args) | Operation::Fsyncdir(args) => self.synchronize(context, args),
            Operation::Syncfs => self.synchronize_volume(context),
            Operation::Fallocate(args) => self.allocate(context, args),
            Operation::Lseek(args) => self.seek(context, args, payload),
            Operation::CopyFileRange(args) => {
                let copied = self.copy_range(context, args)?;
                let size = copied.min(u64::from(u32::MAX)) as u32;
                Ok(Answer::value(payload, &abi::WriteOut { size, padding: 0 }))
            }
            Operation::CopyFileRange64(args) => {
                let bytes_copied = self.copy_range(context, args)?;
                Ok(Answer::value(
                    payload,
                    &abi::CopyFileRangeOut { bytes_copied },
                ))
            }

            Operation::Setattr(args) => self.set_attributes(context, &*node()?, args, payload),
            Operation::Mknod { args, name } => {
                let kind = changing::special_kind(args)?;
                let new = changing::new_item(kind, args.mode, args.umask);
                self.create(context, &*node()?, name, &new, payload, out)
            }
            Operation::Mkdir { args, name } => {
                let new = changing::new_item(NewKind::Directory, args.mode, args.umask);
                self.create(context, &*node()?, name, &new, payload, out)
            }
            Operation::Symlink { name, target } => {
                let new = changing::new_item(NewKind::Symlink(target), 0o777, 0);
                self.create(context, &*node()?, name, &new, payload, out)
            }
            Operation::Create { args, name } => {
                self.create_open(context, &*node()?, name, args, payload, out)
            }
            Operation::Tmpfile(args) => self.create_unnamed(context, &*node()?, args, payload, out),
            Operation::Link { args, name } => {
                self.link(context, args.oldnodeid, &*node()?, name, payload, out)
            }
            Operation::Unlink { name } => self.remove(context, &*node()?, name, Removed::File),
            Operation::Rmdir { name } => self.remove(context, &*node()?, name, Removed::Directory),
            Operation::Rename {
                new_directory,
                flags,
                name,
                new_name,
            } => {
                let to = self.node(*new_directory)?;
                self.rename(context, (&*node()?, name), (&*to, new_name), *flags)
            }

            Operation::Getxattr { args, name } => {
                self.get_attribute(context, &*node()?, name, args.size, payload)
            }
            Operation::Listxattr(args) => {
                self.list_attributes(context, &*node()?, args.size, payload)
            }
            Operation::Setxattr { args, name, value } => {
                self.set_attribute(context, &*node()?, name, value, args)
            }
            Operation::Removexattr { name } => self.remove_attribute(context, &*node()?, name),

            Operation::Ioctl { args, data } => self.control(context, &node()?, args, data, payload),
            Operation::Getlk(args) => self.conflicting_lock(context, args, payload),
            Operation::Setlk(args) => self.lock(context, args, false),
            Operation::Setlkw(args) => self.lock(context, args, true),

            Operation::Destroy => Ok(Answer::EMPTY),
            // ENOSYS makes the kernel answer these by itself from then on: the
            // mode bits for ACCESS, "always ready" for POLL.
            Operation::Access(_)
            | Operation::Poll(_)
            | Operation::Bmap(_)
            | Operation::Setupmapping(_)
            | Operation::Removemapping { .. } => Err(Errno::ENOSYS.into()),
            // INIT comes once, before there are workers; INTERRUPT is for the
            // worker itself; nothing is ever retrieved.
            Operation::Init { .. } => Err(Errno::EIO.into()),
            Operation::Interrupt { .. } | Operation::NotifyReply { .. } => Ok(Answer::Silence),
        }
    }

    fn lookup(
        &self,
        context: &Context<'_>,
        directory: u64,
        name: &std::ffi::OsStr,
        payload: &mut [u8],
        out: &mut HandedOut,
    ) -> Result {
        match name.as_bytes() {
            b"." => return self.lookup_number(context, directory, payload, out),
            b".." => return self.lookup_parent(context, directory, payload, out),
            _ => {}
        }
        check_name(name)?;
        let (directory, asked) = (self.node(directory)?, self.asked(context));
        match self
            .definition
            .volume
            .lookup(context, directory.item(), name)?
        {
            Lookup::Found(entry) => {
                if entry.attributes.kind != ItemKind::Directory {
                    self.listing_habits
                        .looks_up(context.caller.pid, directory.id.raw());
                }
                Ok(self.found(payload, entry, asked, out))
            }
            Lookup::Absent(lifetime) => Ok(Answer::value(payload, &absent_out(lifetime))),
        }
    }

    /// Finds what the kernel has a handle of and has forgotten. It may ask
    /// before it has said that it forgot: what is still here is not the
    /// volume's to find.
    fn lookup_number(
        &self,
        context: &Context<'_>,
        number: u64,
        payload: &mut [u8],
        out: &mut HandedOut,
    ) -> Result {
        let group = self.definition.persistent_items().ok_or(Errno::EINVAL)?;
        let asked = self.asked(context);
        let Some(node) = self.nodes.acquire_known(number) else {
            let id = ItemId::new(number).ok_or(Errno::ESTALE)?;
            return Ok(self.found(payload, group.by_id(context, id)?, asked, out));
        };
        out.nodes.push(number);
        let volume = &self.definition.volume;
        let (attributes, lifetime) = volume
            .attributes(context, node.item())
            .inspect_err(|_| self.take_back(out))?;
        let entry = Entry {
            item: (),
            attributes,
            generation: node.generation,
            name_lifetime: Lifetime::NONE,
            attributes_lifetime: self.believed(&node, lifetime, asked),
        };
        Ok(Answer::value(payload, &entry_out(&entry)))
    }

    fn lookup_parent(
        &self,
        context: &Context<'_>,
        number: u64,
        payload: &mut [u8],
        out: &mut HandedOut,
    ) -> Result {
        let group = self.definition.persistent_items().ok_or(Errno::EINVAL)?;
        let asked = self.asked(context);
        let parent = if let Some(node) = self.nodes.get(number) {
            group.parent(context, node.item())?
        } else {
            let id = ItemId::new(number).ok_or(Errno::ESTALE)?;
            let directory = group.by_id(context, id)?.item;
            let parent = group.parent(context, &directory);
            self.definition.volume.reclaim(directory);
            parent?
        };
        Ok(self.found(payload, parent, asked, out))
    }
}

/// The kernel never sends longer names; a volume may rely on it.
fn check_name(name: &std::ffi::OsStr) -> std::result::Result<(), Errno> {
    match name.as_bytes() {
        b"." | b".." => Err(Errno::EINVAL),
        bytes if bytes.len() > NAME_BYTES_MAX => Err(Errno::ENAMETOOLONG),
        _ => Ok(()),
    }
}

/// What a host operation on behalf of a caller came to: the caller's business,
/// not the operator's.
#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn host_error(error: io::Error) -> Error {
    Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO)).into()
}
