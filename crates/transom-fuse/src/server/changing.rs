//! Changes of the tree and of attributes.

use std::ffi::OsStr;
use std::mem;

use transom_module::{
    AttributeChanges, Changes, Context, Errno, ItemKind, Lifetime, NewItem, NewKind, NewTime,
    Removed, RenameOptions, Timestamp, Volume,
};
use transom_sys::fuse_abi as abi;
use transom_sys::fuse_abi::fattr;

use super::opening::open_mode;
use super::{HandedOut, Result, Server, check_name, host_error};
use crate::nodes::Node;
use crate::reply::{Answer, attr_out};

type Group<'a, V> = &'a dyn Changes<Item = <V as Volume>::Item, Handle = <V as Volume>::Handle>;

impl<V: Volume> Server<V> {
    fn changes(&self) -> std::result::Result<Group<'_, V>, Errno> {
        self.definition.changes().ok_or(Errno::EROFS)
    }

    pub(super) fn set_attributes(
        &self,
        context: &Context<'_>,
        node: &Node<V>,
        args: &abi::SetattrIn,
        payload: &mut [u8],
    ) -> Result {
        let (group, asked) = (self.changes()?, self.asked(context));
        let mut changes = attribute_changes(args);
        // The kernel sends this before it writes for somebody by whom the file
        // loses its set-id bits: what it is told now will not hold then.
        let changes_nothing = changes == AttributeChanges::default();
        let file = (args.valid & fattr::FH != 0)
            .then(|| self.file(args.fh))
            .transpose()?;
        // The length of an open host file is changed through it: the caller may
        // have had no right to open it again.
        if let Some(host) = file.as_ref().and_then(|file| file.host.as_ref())
            && let Some(size) = changes.size.take()
        {
            if mem::take(&mut changes.drop_privileges) {
                self.drop_set_id_bits(context, node, host)?;
            }
            host.resize(size).map_err(host_error)?;
        }
        let handle = file.as_ref().map(|file| file.handle());
        let mut told = group.set_attributes(context, node.item(), handle, &changes)?;
        if changes.drop_privileges && changes.size.is_some() {
            told = self.drop_bit_of_foreign_group(context, node, told)?;
        }
        let (attributes, lifetime) = told;
        let lifetime = if changes_nothing {
            Lifetime::NONE
        } else {
            self.believed(node, lifetime, asked)
        };
        Ok(Answer::value(payload, &attr_out(&attributes, lifetime)))
    }

    pub(super) fn create(
        &self,
        context: &Context<'_>,
        directory: &Node<V>,
        name: &OsStr,
        new: &NewItem<'_>,
        payload: &mut [u8],
        out: &mut HandedOut,
    ) -> Result {
        check_name(name)?;
        let asked = self.asked(context);
        let entry = self
            .changes()?
            .create(context, directory.item(), name, new)?;
        self.entry_changed(context, directory);
        Ok(self.found(payload, entry, asked.after_own_change(), out))
    }

    pub(super) fn create_open(
        &self,
        context: &Context<'_>,
        directory: &Node<V>,
        name: &OsStr,
        args: &abi::CreateIn,
        payload: &mut [u8],
        out: &mut HandedOut,
    ) -> Result {
        check_name(name)?;
        let new = new_item(NewKind::File, args.mode, args.umask);
        let mode = open_mode(args.flags, args.open_flags);
        let exclusive = args.flags.cast_signed() & libc::O_EXCL != 0;
        let asked = self.asked(context);
        let created =
            self.changes()?
                .create_open(context, directory.item(), name, &new, mode, exclusive)?;
        self.entry_changed(context, directory);
        self.opened_new(created, asked.after_own_change(), mode, payload, out)
    }

    pub(super) fn create_unnamed(
        &self,
        context: &Context<'_>,
        directory: &Node<V>,
        args: &abi::CreateIn,
        payload: &mut [u8],
        out: &mut HandedOut,
    ) -> Result {
        let new = new_item(NewKind::File, args.mode, args.umask);
        let mode = open_mode(args.flags, args.open_flags);
        let asked = self.asked(context);
        let created = self
            .changes()?
            .create_unnamed(context, directory.item(), &new, mode)?;
        self.opened_new(created, asked, mode, payload, out)
    }

    pub(super) fn link(
        &self,
        context: &Context<'_>,
        item: u64,
        directory: &Node<V>,
        name: &OsStr,
        payload: &mut [u8],
        out: &mut HandedOut,
    ) -> Result {
        check_name(name)?;
        let (item, asked) = (self.node(item)?, self.asked(context));
        let entry = self
            .changes()?
            .link(context, item.item(), directory.item(), name)?;
        self.entry_changed(context, directory);
        Ok(self.found(payload, entry, asked.after_own_change(), out))
    }

    pub(super) fn remove(
        &self,
        context: &Context<'_>,
        directory: &Node<V>,
        name: &OsStr,
        removed: Removed,
    ) -> Result {
        check_name(name)?;
        self.changes()?
            .remove(context, directory.item(), name, removed)?;
        self.entry_changed(context, directory);
        Ok(Answer::EMPTY)
    }

    pub(super) fn rename(
        &self,
        context: &Context<'_>,
        (from, name): (&Node<V>, &OsStr),
        (to, new_name): (&Node<V>, &OsStr),
        flags: u32,
    ) -> Result {
        check_name(name)?;
        check_name(new_name)?;
        self.changes()?.rename(
            context,
            (from.item(), name),
            (to.item(), new_name),
            rename_options(flags)?,
        )?;
        self.entry_changed(context, from);
        if from.id != to.id {
            self.entry_changed(context, to);
        }
        Ok(Answer::EMPTY)
    }
}

pub(super) fn new_item(kind: NewKind<'_>, mode: u32, umask: u32) -> NewItem<'_> {
    NewItem {
        kind,
        permissions: (mode & 0o7777) as u16,
        umask: (umask & 0o7777) as u16,
    }
}

/// What MKNOD is to make.
pub(super) fn special_kind(args: &abi::MknodIn) -> std::result::Result<NewKind<'static>, Errno> {
    match ItemKind::from_mode(args.mode) {
        Some(ItemKind::File) => Ok(NewKind::File),
        Some(ItemKind::Fifo) => Ok(NewKind::Fifo),
        Some(ItemKind::Socket) => Ok(NewKind::Socket),
        Some(ItemKind::CharacterDevice) => Ok(NewKind::CharacterDevice(args.rdev)),
        Some(ItemKind::BlockDevice) => Ok(NewKind::BlockDevice(args.rdev)),
        Some(ItemKind::Directory | ItemKind::Symlink) | None => Err(Errno::EINVAL),
    }
}

fn attribute_changes(args: &abi::SetattrIn) -> AttributeChanges {
    let has = |flag: u32| args.valid & flag != 0;
    let time = |set: u32, now: u32, seconds: u64, nanoseconds: u32| {
        has(set).then(|| {
            if has(now) {
                NewTime::Now
            } else {
                NewTime::At(Timestamp {
                    seconds: seconds.cast_signed(),
                    nanoseconds,
                })
            }
        })
    };
    AttributeChanges {
        permissions: has(fattr::MODE).then_some((args.mode & 0o7777) as u16),
        uid: has(fattr::UID).then_some(args.uid),
        gid: has(fattr::GID).then_some(args.gid),
        size: has(fattr::SIZE).then_some(args.size),
        accessed: time(fattr::ATIME, fattr::ATIME_NOW, args.atime, args.atimensec),
        modified: time(fattr::MTIME, fattr::MTIME_NOW, args.mtime, args.mtimensec),
        drop_privileges: has(fattr::KILL_SUIDGID),
    }
}

/// From the flags of `renameat2(2)`.
fn rename_options(flags: u32) -> std::result::Result<RenameOptions, Errno> {
    let known = libc::RENAME_NOREPLACE | libc::RENAME_EXCHANGE | libc::RENAME_WHITEOUT;
    if flags & !known != 0 {
        return Err(Errno::EINVAL);
    }
    Ok(RenameOptions {
        no_replace: flags & libc::RENAME_NOREPLACE != 0,
        exchange: flags & libc::RENAME_EXCHANGE != 0,
        whiteout: flags & libc::RENAME_WHITEOUT != 0,
    })
}
