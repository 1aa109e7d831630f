//! The kernel's part, played in this process.
//!
//! A module's tests want no mount and no root. [`Driver`] asks a volume what
//! the kernel would ask, by the same dispatch that serves a mount: it walks
//! paths name by name, counts the lookups it was answered, gives each of them
//! back, and closes what it opened. What it does not play is the kernel's
//! cache, its checks of rights, and passthrough: bytes pass through the
//! transport.
//!
//! ```text
//!   Driver::stat("a/b")  ─►  LOOKUP a, LOOKUP b, GETATTR  ─►  the volume
//!                            FORGET b, FORGET a
//! ```

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{Mode, OFlags};
use transom_module::{
    AttributeChanges, Caller, Context, Errno, ItemId, ItemKind, NewTime, Timestamp, Volume,
    VolumeDefinition,
};
use transom_sys::fuse_abi as abi;
use zerocopy::{FromBytes, FromZeros, Immutable, KnownLayout};

use crate::counters::Counters;
use crate::negotiation::Negotiated;
use crate::reply::Answer;
use crate::request::{Operation, Request};
use crate::server::{HandedOut, Server};
use crate::{Options, Passthrough, Statistics};

/// Largest answer and largest write in bytes.
const MAX_BYTES: usize = 1 << 20;

/// A volume that is asked by calls of this type instead of a kernel.
///
/// Paths are relative to the root of the volume and walked as they are:
/// symbolic links are not followed, and there is no `..`. Every error is the
/// number that a caller of the kernel would be given.
pub struct Driver<V: Volume> {
    server: Server<V>,
    caller: Caller,
}

type Result<T> = std::result::Result<T, Errno>;

/// What [`Driver::stat`] tells: the fields of `stat(2)` that mean the same on
/// every file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are those of stat(2)")]
pub struct Status {
    pub number: u64,
    pub kind: ItemKind,
    pub permissions: u16,
    pub links: u32,
    pub uid: u32,
    pub gid: u32,
    pub size: u64,
    pub accessed: Timestamp,
    pub modified: Timestamp,
}

/// An item the driver refers to, with one lookup to give back.
struct Reference<'a, V: Volume> {
    driver: &'a Driver<V>,
    node: u64,
    attributes: abi::Attr,
}

impl<V: Volume> Drop for Reference<'_, V> {
    fn drop(&mut self) {
        // The root is not looked up.
        if self.node != ItemId::ROOT.raw() {
            let _ = self.driver.ask(self.node, Operation::Forget { lookups: 1 });
        }
    }
}

impl<V: Volume> Driver<V> {
    /// Begins to drive a volume. Errors are those of [`Volume::root`].
    pub fn new(definition: VolumeDefinition<V>) -> io::Result<Self> {
        // Nothing is ever registered with this connection.
        let connection =
            rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty());
        let negotiated = Negotiated {
            minor: abi::MINOR,
            offered: 0,
            granted: 0,
            max_write: MAX_BYTES as u32,
        };
        let options = Options {
            read_only: false,
            passthrough: Passthrough::Off,
            ..Options::default()
        };
        let server = Server::new(
            definition,
            negotiated,
            &options,
            Arc::new(connection?),
            None,
            Arc::new(Counters::new()),
        );
        Ok(Self {
            server: server.map_err(io::Error::other)?,
            caller: Context::internal().caller,
        })
    }

    /// Asks as somebody else from now on.
    pub fn act_as(&mut self, caller: Caller) {
        self.caller = caller;
    }

    /// The volume.
    #[must_use]
    pub fn volume(&self) -> &V {
        &self.server.definition.volume
    }

    /// Items that the volume has handed out and not been given back, the root
    /// included: 1 between two calls, unless the volume or we count wrongly.
    #[must_use]
    pub fn live_items(&self) -> usize {
        self.server.nodes.len()
    }

    /// What was asked so far.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        self.server.counters.snapshot()
    }

    /// `lstat(2)`.
    pub fn stat(&self, path: impl AsRef<Path>) -> Result<Status> {
        let found = self.walk(path.as_ref())?;
        let out: abi::AttrOut =
            self.answer(found.node, Operation::Getattr(abi::GetattrIn::new_zeroed()))?;
        Ok(status(&out.attr))
    }

    /// The target of a symbolic link.
    pub fn read_link(&self, path: impl AsRef<Path>) -> Result<OsString> {
        let found = self.walk(path.as_ref())?;
        Ok(OsString::from_vec(
            self.ask(found.node, Operation::Readlink)?,
        ))
    }

    /// The entries of a directory but `.` and `..`, in the order they are
    /// listed, asked for `room` bytes at a time.
    pub fn list(&self, path: impl AsRef<Path>, room: u32) -> Result<Vec<(OsString, ItemKind)>> {
        let found = self.walk(path.as_ref())?;
        let open = self.open_node(found.node, Operation::Opendir(abi::OpenIn::new_zeroed()));
        let handle = match open {
            Ok(out) => out.fh,
            Err(Errno::ENOSYS) => 0,
            Err(error) => return Err(error),
        };
        let mut entries = Vec::new();
        let mut offset = 0;
        let listed = loop {
            let args = abi::ReadIn {
                fh: handle,
                offset,
                size: room,
                ..abi::ReadIn::new_zeroed()
            };
            let part = match self.ask(found.node, Operation::Readdir(args)) {
                Ok(part) if part.is_empty() => break Ok(()),
                Ok(part) => part,
                Err(error) => break Err(error),
            };
            let mut rest = &part[..];
            while let Ok((entry, tail)) = abi::Dirent::read_from_prefix(rest) {
                let length = entry.namelen as usize;
                let name = OsStr::from_bytes(&tail[..length]).to_owned();
                let kind = ItemKind::from_mode(entry.kind << 12).ok_or(Errno::EIO)?;
                if name != "." && name != ".." {
                    entries.push((name, kind));
                }
                offset = entry.off;
                let size = (size_of::<abi::Dirent>() + length).next_multiple_of(8);
                rest = rest.get(size..).unwrap_or_default();
            }
        };
        if handle != 0 {
            self.release(found.node, handle, Operation::Releasedir)?;
        }
        listed.map(|()| entries)
    }

    /// Makes a regular file, or a special one if `mode` says so.
    pub fn make_node(&self, path: impl AsRef<Path>, mode: u32) -> Result<()> {
        let args = abi::MknodIn {
            mode,
            ..abi::MknodIn::new_zeroed()
        };
        self.make(path.as_ref(), |name| Operation::Mknod { args, name })
    }

    /// Makes a directory.
    pub fn make_directory(&self, path: impl AsRef<Path>, mode: u32) -> Result<()> {
        let args = abi::MkdirIn { mode, umask: 0 };
        self.make(path.as_ref(), |name| Operation::Mkdir { args, name })
    }

    /// Makes a symbolic link.
    pub fn make_symlink(&self, path: impl AsRef<Path>, target: &OsStr) -> Result<()> {
        self.make(path.as_ref(), |name| Operation::Symlink { name, target })
    }

    /// Gives the item at `old` the further name `new`.
    pub fn link(&self, old: impl AsRef<Path>, new: impl AsRef<Path>) -> Result<()> {
        let item = self.walk(old.as_ref())?;
        let args = abi::LinkIn {
            oldnodeid: item.node,
        };
        self.make(new.as_ref(), |name| Operation::Link { args, name })
    }

    /// Removes the name of anything but a directory.
    pub fn unlink(&self, path: impl AsRef<Path>) -> Result<()> {
        let (directory, name) = self.parent(path.as_ref())?;
        self.ask(directory.node, Operation::Unlink { name: &name })
            .map(drop)
    }

    /// Removes an empty directory.
    pub fn remove_directory(&self, path: impl AsRef<Path>) -> Result<()> {
        let (directory, name) = self.parent(path.as_ref())?;
        self.ask(directory.node, Operation::Rmdir { name: &name })
            .map(drop)
    }

    /// Moves an item; `flags` are those of `renameat2(2)`.
    pub fn rename(&self, old: impl AsRef<Path>, new: impl AsRef<Path>, flags: u32) -> Result<()> {
        let (from, name) = self.parent(old.as_ref())?;
        let (to, new_name) = self.parent(new.as_ref())?;
        let operation = Operation::Rename {
            new_directory: to.node,
            flags,
            name: &name,
            new_name: &new_name,
        };
        self.ask(from.node, operation).map(drop)
    }

    /// Changes attributes.
    pub fn set_attributes(
        &self,
        path: impl AsRef<Path>,
        changes: &AttributeChanges,
    ) -> Result<Status> {
        let found = self.walk(path.as_ref())?;
        let out: abi::AttrOut = self.answer(found.node, Operation::Setattr(setattr_in(changes)))?;
        Ok(status(&out.attr))
    }

    /// Up to `length` bytes of a file from `offset` on.
    pub fn read(&self, path: impl AsRef<Path>, offset: u64, length: u32) -> Result<Vec<u8>> {
        self.with_open(path.as_ref(), libc::O_RDONLY, |node, fh| {
            let args = abi::ReadIn {
                fh,
                offset,
                size: length.min(MAX_BYTES as u32),
                ..abi::ReadIn::new_zeroed()
            };
            self.ask(node, Operation::Read(args))
        })
    }

    /// Writes `data` at `offset`; at most 1 MiB.
    pub fn write(&self, path: impl AsRef<Path>, offset: u64, data: &[u8]) -> Result<usize> {
        self.with_open(path.as_ref(), libc::O_WRONLY, |node, fh| {
            let data = &data[..data.len().min(MAX_BYTES)];
            let args = abi::WriteIn {
                fh,
                offset,
                size: data.len() as u32,
                ..abi::WriteIn::new_zeroed()
            };
            let out: abi::WriteOut = self.answer(node, Operation::Write { args, data })?;
            Ok(out.size as usize)
        })
    }

    /// The value of an extended attribute.
    pub fn get_attribute(&self, path: impl AsRef<Path>, name: &OsStr) -> Result<Vec<u8>> {
        let found = self.walk(path.as_ref())?;
        let args = abi::GetxattrIn {
            size: 1 << 16,
            padding: 0,
        };
        self.ask(found.node, Operation::Getxattr { args, name })
    }

    /// Sets an extended attribute; `flags` are those of `setxattr(2)`.
    pub fn set_attribute(
        &self,
        path: impl AsRef<Path>,
        name: &OsStr,
        value: &[u8],
        flags: u32,
    ) -> Result<()> {
        let found = self.walk(path.as_ref())?;
        let args = abi::SetxattrIn {
            size: value.len() as u32,
            flags,
            setxattr_flags: 0,
            padding: 0,
        };
        self.ask(found.node, Operation::Setxattr { args, name, value })
            .map(drop)
    }

    /// Asks one thing of the item at `path`, for what has no call of its own.
    /// The answer is what the kernel would be sent.
    pub fn request(&self, path: impl AsRef<Path>, operation: Operation<'_>) -> Result<Vec<u8>> {
        let found = self.walk(path.as_ref())?;
        self.ask(found.node, operation)
    }

    fn make<'n>(
        &self,
        path: &'n Path,
        operation: impl FnOnce(&'n OsStr) -> Operation<'n>,
    ) -> Result<()> {
        let (directory, _) = self.parent(path)?;
        let name = path.file_name().ok_or(Errno::EINVAL)?;
        let made: abi::EntryOut = self.answer(directory.node, operation(name))?;
        drop(self.reference(&made));
        Ok(())
    }

    fn with_open<T>(
        &self,
        path: &Path,
        flags: i32,
        work: impl FnOnce(u64, u64) -> Result<T>,
    ) -> Result<T> {
        let found = self.walk(path)?;
        let args = abi::OpenIn {
            flags: flags.cast_unsigned(),
            open_flags: 0,
        };
        let open = self.open_node(found.node, Operation::Open(args))?;
        let done = work(found.node, open.fh);
        self.release(found.node, open.fh, Operation::Release)?;
        done
    }

    fn open_node(&self, node: u64, operation: Operation<'_>) -> Result<abi::OpenOut> {
        self.answer(node, operation)
    }

    fn release(
        &self,
        node: u64,
        fh: u64,
        operation: impl FnOnce(abi::ReleaseIn) -> Operation<'static>,
    ) -> Result<()> {
        let args = abi::ReleaseIn {
            fh,
            ..abi::ReleaseIn::new_zeroed()
        };
        self.ask(node, operation(args)).map(drop)
    }

    /// Walks to the directory that the last name of `path` lies in.
    fn parent(&self, path: &Path) -> Result<(Reference<'_, V>, OsString)> {
        let name = path.file_name().ok_or(Errno::EINVAL)?.to_owned();
        let directory = path.parent().map(PathBuf::from).unwrap_or_default();
        let directory = self.walk(&directory)?;
        if ItemKind::from_mode(directory.attributes.mode) != Some(ItemKind::Directory) {
            return Err(Errno::ENOTDIR);
        }
        Ok((directory, name))
    }

    fn walk(&self, path: &Path) -> Result<Reference<'_, V>> {
        let root: abi::AttrOut = self.answer(
            ItemId::ROOT.raw(),
            Operation::Getattr(abi::GetattrIn::new_zeroed()),
        )?;
        let mut at = Reference {
            driver: self,
            node: ItemId::ROOT.raw(),
            attributes: root.attr,
        };
        for component in path.components() {
            let name = match component {
                Component::Normal(name) => name,
                Component::RootDir | Component::CurDir => continue,
                Component::ParentDir | Component::Prefix(_) => return Err(Errno::EINVAL),
            };
            if ItemKind::from_mode(at.attributes.mode) != Some(ItemKind::Directory) {
                return Err(Errno::ENOTDIR);
            }
            let found: abi::EntryOut = self.answer(at.node, Operation::Lookup { name })?;
            at = self.reference(&found).ok_or(Errno::ENOENT)?;
        }
        Ok(at)
    }

    /// `None` for an answer that says that a name does not exist.
    fn reference(&self, found: &abi::EntryOut) -> Option<Reference<'_, V>> {
        (found.nodeid != 0).then_some(Reference {
            driver: self,
            node: found.nodeid,
            attributes: found.attr,
        })
    }

    fn answer<T: FromBytes + KnownLayout + Immutable>(
        &self,
        node: u64,
        operation: Operation<'_>,
    ) -> Result<T> {
        let bytes = self.ask(node, operation)?;
        T::read_from_prefix(&bytes)
            .map(|(value, _)| value)
            .map_err(|_| Errno::EIO)
    }

    fn ask(&self, node: u64, operation: Operation<'_>) -> Result<Vec<u8>> {
        self.server.counters.count_request(operation.opcode());
        let request = Request {
            unique: 2,
            node,
            caller: self.caller,
            operation,
        };
        let never = std::sync::atomic::AtomicBool::new(false);
        let context = Context::new(self.caller, &never);
        let mut payload = vec![0; MAX_BYTES];
        let mut out = HandedOut::default();
        match self
            .server
            .handle(&request, &context, &mut payload, &mut out)
        {
            Answer::Payload(length) => {
                payload.truncate(length);
                Ok(payload)
            }
            Answer::Silence => Ok(Vec::new()),
            Answer::Error(errno) => Err(errno),
        }
    }
}

impl<V: Volume> Drop for Driver<V> {
    fn drop(&mut self) {
        self.server.finish();
    }
}

impl<V: Volume> fmt::Debug for Driver<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver")
            .field("live_items", &self.live_items())
            .finish_non_exhaustive()
    }
}

fn status(attr: &abi::Attr) -> Status {
    let time = |seconds: u64, nanoseconds| Timestamp {
        seconds: seconds.cast_signed(),
        nanoseconds,
    };
    Status {
        number: attr.ino,
        // The transport made it of a kind.
        kind: ItemKind::from_mode(attr.mode).unwrap_or(ItemKind::File),
        permissions: (attr.mode & 0o7777) as u16,
        links: attr.nlink,
        uid: attr.uid,
        gid: attr.gid,
        size: attr.size,
        accessed: time(attr.atime, attr.atimensec),
        modified: time(attr.mtime, attr.mtimensec),
    }
}

fn setattr_in(changes: &AttributeChanges) -> abi::SetattrIn {
    use abi::fattr;
    let mut args = abi::SetattrIn::new_zeroed();
    let mut valid = |flag: u32, set: bool| args.valid |= if set { flag } else { 0 };
    valid(fattr::MODE, changes.permissions.is_some());
    valid(fattr::UID, changes.uid.is_some());
    valid(fattr::GID, changes.gid.is_some());
    valid(fattr::SIZE, changes.size.is_some());
    valid(fattr::ATIME, changes.accessed.is_some());
    valid(fattr::MTIME, changes.modified.is_some());
    valid(fattr::ATIME_NOW, changes.accessed == Some(NewTime::Now));
    valid(fattr::MTIME_NOW, changes.modified == Some(NewTime::Now));
    valid(fattr::KILL_SUIDGID, changes.drop_privileges);
    args.mode = changes.permissions.unwrap_or_default().into();
    args.uid = changes.uid.unwrap_or_default();
    args.gid = changes.gid.unwrap_or_default();
    args.size = changes.size.unwrap_or_default();
    if let Some(NewTime::At(time)) = changes.accessed {
        (args.atime, args.atimensec) = (time.seconds.cast_unsigned(), time.nanoseconds);
    }
    if let Some(NewTime::At(time)) = changes.modified {
        (args.mtime, args.mtimensec) = (time.seconds.cast_unsigned(), time.nanoseconds);
    }
    args
}
