//! Opening and closing.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use transom_module::{
    Context, Created, Errno, Error, Io, LockOwner, OpenMode, Opened, Timestamp, Volume,
};
use transom_sys::fuse_abi as abi;
use zerocopy::FromZeros;

use super::{Asked, HandedOut, Result, Server, host_error};
use crate::Passthrough;
use crate::backing::{BackingId, HostFile};
use crate::counters::add;
use crate::nodes::Node;
use crate::open_files::{NodeOpens, OpenFile, Route, Way};
use crate::reply::Answer;

impl<V: Volume> Server<V> {
    pub(super) fn open(
        &self,
        context: &Context<'_>,
        node: &Arc<Node<V>>,
        args: &abi::OpenIn,
        payload: &mut [u8],
        out: &mut HandedOut,
    ) -> Result {
        let mode = open_mode(args.flags, args.open_flags);
        let was_written = node.opens().is_written_unheard();
        let volume = &self.definition.volume;
        if mode.truncate && mode.drop_privileges {
            let told = volume.attributes(context, node.item())?;
            self.drop_bit_of_foreign_group(context, node, told)?;
        }
        let opened = volume.open(context, node.item(), mode)?;
        let reply = self.admit(node, opened, mode, None, out)?;
        if !was_written && node.opens().is_written_unheard() {
            // What the kernel knows is not to be believed from now on; see
            // `Node::bound`.
            self.forget_attributes(node);
        }
        Ok(Answer::value(payload, &reply))
    }

    /// Answers CREATE or TMPFILE. What is told of the new file holds: nobody has
    /// written to it yet. If somebody does through a mapping, that is seen when
    /// the file is closed.
    pub(super) fn opened_new(
        &self,
        created: Created<V::Item, V::Handle>,
        asked: Asked,
        mode: OpenMode,
        payload: &mut [u8],
        out: &mut HandedOut,
    ) -> Result {
        let Created { entry, opened } = created;
        let permissions = Some(entry.attributes.permissions);
        let (node, entry_out) = self.acquire(entry, asked, out);
        // An error here is no error of the item, which was made.
        let open_out = self
            .admit(&node, opened, mode, permissions, out)
            .inspect_err(|_| self.take_back(out))?;
        let parts = [
            zerocopy::IntoBytes::as_bytes(&entry_out),
            zerocopy::IntoBytes::as_bytes(&open_out),
        ];
        Ok(Answer::bytes(payload, &parts.concat()))
    }

    pub(super) fn open_directory(
        &self,
        context: &Context<'_>,
        node: &Arc<Node<V>>,
        payload: &mut [u8],
        out: &mut HandedOut,
    ) -> Result {
        if self.definition.stateless_directories && self.negotiated.stateless_directories() {
            return Err(Errno::ENOSYS.into());
        }
        let mut reply = abi::OpenOut::new_zeroed();
        if let Some(group) = self.definition.open_directories() {
            let handle = group.open_directory(context, node.item())?;
            let way = Way {
                route: Route::Direct,
                maps_to_write: false,
            };
            node.opens().opened(way);
            let file = OpenFile::new(&self.definition, node, handle, way, None);
            reply.fh = self.open_files.insert(file);
            out.handle = Some(reply.fh);
        }
        Ok(Answer::value(payload, &reply))
    }

    pub(super) fn release(&self, context: &Context<'_>, args: &abi::ReleaseIn) -> Result {
        if args.release_flags & abi::flags::RELEASE_FLOCK_UNLOCK != 0
            && let Some(file) = self.open_files.get(args.fh)
        {
            self.give_locks_back(context, &file, LockOwner::OpenFile(args.lock_owner))?;
        }
        let closed = self.open_files.remove(args.fh);
        if let Some(node) = closed.and_then(OpenFile::last_unheard_writer) {
            self.forget_attributes(&node);
        }
        Ok(Answer::EMPTY)
    }

    /// Remembers an open file and decides which way its bytes go. The
    /// permissions are those of a file that was just made.
    fn admit(
        &self,
        node: &Arc<Node<V>>,
        opened: Opened<V::Handle>,
        mode: OpenMode,
        permissions: Option<u16>,
        out: &mut HandedOut,
    ) -> std::result::Result<abi::OpenOut, Error> {
        let mut reply = abi::OpenOut::new_zeroed();
        // Otherwise every close(2) asks.
        let closing_matters = self.definition.locks().is_some()
            || (self.definition.writes().is_some() && !matches!(opened.io, Io::Passthrough(_)));
        if !closing_matters {
            reply.open_flags |= abi::open::NOFLUSH;
        }
        let keep_if = |keep: bool| if keep { abi::open::KEEP_CACHE } else { 0 };
        let mut opens = node.opens();
        let (route, host) = match opened.io {
            Io::Passthrough(backing) => {
                let host = HostFile::new(backing, mode);
                // The kernel writes with our credentials, and could not tell whose
                // writes leave the bits alone.
                let is_delicate = mode.write && has_set_id_bits(permissions, &host)?;
                let by_kernel =
                    self.passthrough.covers(mode) && !is_delicate && !opens.any(Route::Cached);
                if (by_kernel || opens.any(Route::Kernel))
                    && let Some(id) = self.backing_id(&mut opens, &host)
                {
                    reply.open_flags |= abi::open::PASSTHROUGH;
                    reply.backing_id = id.number();
                    if !by_kernel {
                        reply.open_flags |= abi::open::DIRECT_IO;
                    }
                    (Route::Kernel, Some(host))
                } else if self.may_be_cached(node, &host).map_err(host_error)? {
                    let keep = self.is_unchanged(&mut opens, &host);
                    reply.open_flags |= keep_if(keep.map_err(host_error)?);
                    (Route::Cached, Some(host))
                } else {
                    reply.open_flags |= abi::open::DIRECT_IO;
                    (Route::Direct, Some(host))
                }
            }
            Io::Cached { keep } => {
                reply.open_flags |= keep_if(keep);
                (Route::Cached, None)
            }
            Io::Direct => {
                reply.open_flags |= abi::open::DIRECT_IO | abi::open::PARALLEL_DIRECT_WRITES;
                (Route::Direct, None)
            }
        };
        let way = Way {
            route,
            maps_to_write: mode.read && mode.write,
        };
        opens.opened(way);
        drop(opens);
        add(
            match route {
                Route::Kernel => &self.counters.passthrough_opens,
                Route::Cached | Route::Direct => &self.counters.served_opens,
            },
            1,
        );
        let file = OpenFile::new(&self.definition, node, opened.handle, way, host);
        if (route != Route::Kernel || mode.write)
            && let Some(host) = &file.host
        {
            // Now, while it is as the caller was allowed to open it. And where
            // the kernel writes, synchronizing tells of what got lost since.
            host.open().map_err(host_error)?;
        }
        reply.fh = self.open_files.insert(file);
        out.handle = Some(reply.fh);
        Ok(reply)
    }

    /// The number of a node's backing file, registered at the first open that
    /// wants it, if the kernel takes it.
    fn backing_id(&self, opens: &mut NodeOpens, host: &HostFile) -> Option<Arc<BackingId>> {
        if !self.negotiated.passthrough() {
            return None;
        }
        let registered = opens.registered.get_or_insert_with(|| {
            if self.passthrough_forbidden() {
                return None;
            }
            self.register(host).map(Arc::new)
        });
        registered.clone()
    }

    fn register(&self, host: &HostFile) -> Option<BackingId> {
        let registered = if self.read_only {
            BackingId::register(&self.connection, host.file())
        } else {
            BackingId::register_writable(&self.connection, host.file())
        };
        match registered {
            Ok(id) => Some(id),
            Err(error) => {
                add(&self.counters.backing_refused, 1);
                if error.raw_os_error() == Some(libc::EPERM) {
                    self.passthrough_forbidden.store(true, Ordering::Relaxed);
                }
                tracing::debug!(%error, "the kernel refused a backing file, its bytes pass here");
                None
            }
        }
    }

    /// The kernel's cache ends where it was told that the file ends. Where the
    /// volume answers for what never changes, a file that changed all the same
    /// can only be read past the cache.
    fn may_be_cached(&self, node: &Node<V>, host: &HostFile) -> io::Result<bool> {
        Ok(self.definition.changed_by_others || host.stat()?.st_size.cast_unsigned() == node.size)
    }

    /// Whether the content is what it was at the last open, so that the pages
    /// of that time are good.
    fn is_unchanged(&self, opens: &mut NodeOpens, host: &HostFile) -> io::Result<bool> {
        if !self.definition.changed_by_others {
            return Ok(true);
        }
        let stat = host.stat()?;
        let content = (
            stat.st_size.cast_unsigned(),
            Timestamp {
                seconds: stat.st_mtime,
                nanoseconds: stat.st_mtime_nsec as u32,
            },
        );
        Ok(opens.content.replace(content) == Some(content))
    }
}

impl Passthrough {
    /// Whether the kernel is to do the I/O of an open like that.
    fn covers(self, mode: OpenMode) -> bool {
        match self {
            Self::Off => false,
            Self::ReadOnly => !mode.write,
            Self::On => true,
        }
    }
}

/// Whether whoever executes the file acts for somebody else.
fn has_set_id_bits(permissions: Option<u16>, host: &HostFile) -> std::result::Result<bool, Error> {
    let permissions = match permissions {
        Some(permissions) => permissions.into(),
        None => host.stat().map_err(host_error)?.st_mode,
    };
    Ok(permissions & (libc::S_ISUID | libc::S_ISGID) != 0)
}

/// From the flags of `open(2)`, and those of the request.
pub(super) fn open_mode(flags: u32, request_flags: u32) -> OpenMode {
    let flags = flags.cast_signed();
    let access = flags & libc::O_ACCMODE;
    OpenMode {
        read: access != libc::O_WRONLY,
        write: access != libc::O_RDONLY,
        truncate: flags & libc::O_TRUNC != 0,
        append: flags & libc::O_APPEND != 0,
        direct: flags & libc::O_DIRECT != 0,
        // O_SYNC includes O_DSYNC.
        synchronous: flags & libc::O_DSYNC != 0,
        drop_privileges: request_flags & abi::flags::OPEN_KILL_SUIDGID != 0,
    }
}
