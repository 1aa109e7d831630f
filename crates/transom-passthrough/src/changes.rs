//! Changing the tree and the attributes of items.

use std::ffi::OsStr;

use rustix::fs::{
    AtFlags, CWD, FileType, Gid, Mode, OFlags, RenameFlags, Timespec, Timestamps, UTIME_NOW,
    UTIME_OMIT, Uid,
};
use transom_module::{
    AttributeChanges, Attributes, Backing, Changes, Context, Created, Entry, Errno, Io, ItemKind,
    Lifetime, NewItem, NewKind, NewTime, OpenMode, Opened, Removed, RenameOptions, Result,
};
use transom_sys::credentials::Maker;
use transom_sys::file_status;

use crate::host::{self, check_name, magic_link, refused, reopen};
use crate::item::Item;
use crate::volume::{Handle, Passthrough};

const SET_USER_ID: u16 = 0o4000;
const SET_GROUP_ID: u16 = 0o2000;
const GROUP_EXECUTE: u16 = 0o0010;

impl Changes for Passthrough {
    /// What is likeliest to fail comes first, and times last, which everything
    /// else changes.
    fn set_attributes(
        &self,
        _: &Context<'_>,
        item: &Item,
        _: Option<&Handle>,
        changes: &AttributeChanges,
    ) -> Result<(Attributes, Lifetime)> {
        let file = &item.descriptor;
        if let Some(size) = changes.size {
            let file = reopen(file, OFlags::WRONLY)?;
            rustix::fs::ftruncate(file, size).map_err(refused)?;
        }
        if changes.uid.is_some() || changes.gid.is_some() {
            let (uid, gid) = (
                changes.uid.map(Uid::from_raw),
                changes.gid.map(Gid::from_raw),
            );
            rustix::fs::chownat(file, c"", uid, gid, AtFlags::EMPTY_PATH).map_err(refused)?;
        }
        if changes.drop_privileges {
            self.drop_privileges(item)?;
        }
        if let Some(permissions) = changes.permissions {
            set_permissions(item, permissions)?;
        }
        if changes.accessed.is_some() || changes.modified.is_some() {
            let times = Timestamps {
                last_access: timespec(changes.accessed),
                last_modification: timespec(changes.modified),
            };
            rustix::fs::utimensat(file, c"", &times, AtFlags::EMPTY_PATH).map_err(refused)?;
        }
        Ok((self.current(item)?, self.source.lifetime))
    }

    fn create(
        &self,
        context: &Context<'_>,
        directory: &Item,
        name: &OsStr,
        new: &NewItem<'_>,
    ) -> Result<Entry<Item>> {
        let name = check_name(name)?;
        let parent = &directory.descriptor;
        self.make_for(context, new, |mode| {
            let node =
                |kind, device: u32| rustix::fs::mknodat(parent, name, kind, mode, device.into());
            match new.kind {
                NewKind::File => node(FileType::RegularFile, 0),
                NewKind::Directory => rustix::fs::mkdirat(parent, name, mode),
                NewKind::Symlink(target) => rustix::fs::symlinkat(target, parent, name),
                NewKind::Fifo => node(FileType::Fifo, 0),
                NewKind::Socket => node(FileType::Socket, 0),
                NewKind::CharacterDevice(device) => node(FileType::CharacterDevice, device),
                NewKind::BlockDevice(device) => node(FileType::BlockDevice, device),
            }
        })?;
        // The host tells nobody what it made, so the name is looked up. Others
        // may have replaced it by now, which cannot be told if the kind is the
        // same, and is then as if they had been a little later.
        let entry = self.find(directory, name)?;
        if entry.attributes.kind != kind_of(new.kind) {
            return Err(Errno::ESTALE.into());
        }
        Ok(entry)
    }

    /// Never opens what is there already: the caller was not asked whether it
    /// may, since the kernel took the name for free. `ESTALE` makes the kernel
    /// look again, and open what it finds.
    fn create_open(
        &self,
        context: &Context<'_>,
        directory: &Item,
        name: &OsStr,
        new: &NewItem<'_>,
        mode: OpenMode,
        exclusive: bool,
    ) -> Result<Created<Item, Handle>> {
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
        match self.open_new(context, directory, check_name(name)?, flags, new, mode) {
            Err(error) if error.errno() == Errno::EEXIST && !exclusive => Err(Errno::ESTALE.into()),
            other => other,
        }
    }

    fn create_unnamed(
        &self,
        context: &Context<'_>,
        directory: &Item,
        new: &NewItem<'_>,
        mode: OpenMode,
    ) -> Result<Created<Item, Handle>> {
        let here = OsStr::new(".");
        self.open_new(context, directory, here, OFlags::TMPFILE, new, mode)
    }

    fn link(
        &self,
        _: &Context<'_>,
        item: &Item,
        directory: &Item,
        name: &OsStr,
    ) -> Result<Entry<Item>> {
        let file = magic_link(&item.descriptor);
        let follow = AtFlags::SYMLINK_FOLLOW;
        rustix::fs::linkat(CWD, file, &directory.descriptor, check_name(name)?, follow)
            .map_err(refused)?;
        self.entry(item.descriptor.clone())
    }

    fn remove(
        &self,
        _: &Context<'_>,
        directory: &Item,
        name: &OsStr,
        removed: Removed,
    ) -> Result<()> {
        let flags = match removed {
            Removed::File => AtFlags::empty(),
            Removed::Directory => AtFlags::REMOVEDIR,
        };
        rustix::fs::unlinkat(&directory.descriptor, check_name(name)?, flags).map_err(refused)
    }

    fn rename(
        &self,
        _: &Context<'_>,
        from: (&Item, &OsStr),
        to: (&Item, &OsStr),
        options: RenameOptions,
    ) -> Result<()> {
        let mut flags = RenameFlags::empty();
        flags.set(RenameFlags::NOREPLACE, options.no_replace);
        flags.set(RenameFlags::EXCHANGE, options.exchange);
        flags.set(RenameFlags::WHITEOUT, options.whiteout);
        rustix::fs::renameat_with(
            &from.0.descriptor,
            check_name(from.1)?,
            &to.0.descriptor,
            check_name(to.1)?,
            flags,
        )
        .map_err(refused)
    }
}

impl Passthrough {
    /// Takes away what gives whoever executes the file more rights. The file's
    /// capabilities the host has dropped by itself, when the content changed;
    /// the bits it leaves to those who have the right to set them, as we do.
    pub(crate) fn drop_privileges(&self, item: &Item) -> Result<()> {
        let permissions = self.current(item)?.permissions;
        let mut fewer = permissions & !SET_USER_ID;
        // Without the right to execute, the bit once stood for locking.
        if permissions & GROUP_EXECUTE != 0 {
            fewer &= !SET_GROUP_ID;
        }
        if fewer != permissions {
            set_permissions(item, fewer)?;
        }
        Ok(())
    }

    /// Calls `make` with the calling thread acting for the caller.
    fn make_for<T>(
        &self,
        context: &Context<'_>,
        new: &NewItem<'_>,
        make: impl Fn(Mode) -> rustix::io::Result<T>,
    ) -> Result<T> {
        let maker = Maker {
            uid: context.caller.uid,
            gid: context.caller.gid,
            group: context.caller.directory_group,
            umask: new.umask,
        };
        let mode = Mode::from_raw_mode(new.permissions.into());
        let made = self.source.own.make_for(maker, || make(mode));
        made.map_err(refused)
    }

    /// Makes a regular file and opens it.
    fn open_new(
        &self,
        context: &Context<'_>,
        directory: &Item,
        name: &OsStr,
        flags: OFlags,
        new: &NewItem<'_>,
        mode: OpenMode,
    ) -> Result<Created<Item, Handle>> {
        let mut flags = flags | OFlags::CLOEXEC | OFlags::NOCTTY;
        flags |= match (mode.read, mode.write) {
            (true, true) => OFlags::RDWR,
            (false, true) => OFlags::WRONLY,
            (_, false) => OFlags::RDONLY,
        };
        flags.set(OFlags::SYNC, mode.synchronous);
        let opened = self.make_for(context, new, |mode| {
            rustix::fs::openat(&directory.descriptor, name, flags, mode)
        })?;
        let entry = self.entry(host::name(&opened)?)?;
        let backing = Backing::new(entry.item.descriptor.clone()).with_opened(opened);
        Ok(Created {
            entry,
            opened: Opened {
                handle: Handle::File,
                io: Io::Passthrough(backing),
            },
        })
    }
}

fn kind_of(new: NewKind<'_>) -> ItemKind {
    match new {
        NewKind::File => ItemKind::File,
        NewKind::Directory => ItemKind::Directory,
        NewKind::Symlink(_) => ItemKind::Symlink,
        NewKind::Fifo => ItemKind::Fifo,
        NewKind::Socket => ItemKind::Socket,
        NewKind::CharacterDevice(_) => ItemKind::CharacterDevice,
        NewKind::BlockDevice(_) => ItemKind::BlockDevice,
    }
}

fn set_permissions(item: &Item, permissions: u16) -> Result<()> {
    let mode = Mode::from_raw_mode(permissions.into());
    file_status::set_permissions(&item.descriptor, mode).map_err(refused)
}

fn timespec(time: Option<NewTime>) -> Timespec {
    let (tv_sec, tv_nsec) = match time {
        None => (0, UTIME_OMIT),
        Some(NewTime::Now) => (0, UTIME_NOW),
        Some(NewTime::At(time)) => (time.seconds, time.nanoseconds.into()),
    };
    Timespec { tv_sec, tv_nsec }
}
