//! Changing what can be written: everything is done in the host directory.

use std::ffi::OsStr;

use transom_module::{
    AttributeChanges, Attributes, Changes, Context, Created, Entry, Errno, Lifetime, Lookup,
    NewItem, OpenMode, Removed, RenameOptions, Result,
};
use transom_passthrough::{Handle as HostHandle, Item as HostItem};

use super::sandboxes::Sandboxes;
use super::volume::{Handle, Inner, Item, Open, host_entry, host_opened, hosts};

impl Changes for Sandboxes {
    fn set_attributes(
        &self,
        context: &Context<'_>,
        item: &Item,
        handle: Option<&Handle>,
        changes: &AttributeChanges,
    ) -> Result<(Attributes, Lifetime)> {
        let host = &self.shared().host;
        match &item.0 {
            Inner::Host(item) => {
                let handle = handle.and_then(of_host);
                let (attributes, lifetime) = host.set_attributes(context, item, handle, changes)?;
                Ok((hosts(attributes)?, lifetime))
            }
            Inner::Directory(directory) => {
                let counterpart = directory.counterpart_to_change(context, host)?;
                host.set_attributes(context, counterpart, None, changes)?;
                self.directory_attributes(directory)
            }
            Inner::Root | Inner::Projected(_) | Inner::Empty(_) => Err(Errno::EROFS.into()),
        }
    }

    fn create(
        &self,
        context: &Context<'_>,
        directory: &Item,
        name: &OsStr,
        new: &NewItem<'_>,
    ) -> Result<Entry<Item>> {
        let place = self.free_place(context, directory, name, Errno::EEXIST)?;
        host_entry(self.shared().host.create(context, place, name, new)?)
    }

    fn create_open(
        &self,
        context: &Context<'_>,
        directory: &Item,
        name: &OsStr,
        new: &NewItem<'_>,
        mode: OpenMode,
        exclusive: bool,
    ) -> Result<Created<Item, Handle>> {
        let taken = match exclusive {
            true => Errno::EEXIST,
            false => Errno::ESTALE,
        };
        let place = self.free_place(context, directory, name, taken)?;
        let host = &self.shared().host;
        created(host.create_open(context, place, name, new, mode, exclusive)?)
    }

    fn create_unnamed(
        &self,
        context: &Context<'_>,
        directory: &Item,
        new: &NewItem<'_>,
        mode: OpenMode,
    ) -> Result<Created<Item, Handle>> {
        let place = self.place(context, directory)?;
        let host = &self.shared().host;
        created(host.create_unnamed(context, place, new, mode)?)
    }

    fn link(
        &self,
        context: &Context<'_>,
        item: &Item,
        directory: &Item,
        name: &OsStr,
    ) -> Result<Entry<Item>> {
        let Inner::Host(item) = &item.0 else {
            return Err(Errno::EXDEV.into());
        };
        let place = self.free_place(context, directory, name, Errno::EEXIST)?;
        host_entry(self.shared().host.link(context, item, place, name)?)
    }

    fn remove(
        &self,
        context: &Context<'_>,
        directory: &Item,
        name: &OsStr,
        removed: Removed,
    ) -> Result<()> {
        let place = self.free_place(context, directory, name, Errno::EROFS)?;
        let host = &self.shared().host;
        host.remove(context, place, name, removed)
    }

    fn rename(
        &self,
        context: &Context<'_>,
        from: (&Item, &OsStr),
        to: (&Item, &OsStr),
        options: RenameOptions,
    ) -> Result<()> {
        let old = self.free_place(context, from.0, from.1, Errno::EROFS)?;
        let new = self.free_place(context, to.0, to.1, Errno::EROFS)?;
        let host = &self.shared().host;
        host.rename(context, (old, from.1), (new, to.1), options)
    }
}

impl Sandboxes {
    /// The host directory where the names of `directory` are that can be
    /// changed.
    fn place<'a>(&'a self, context: &Context<'_>, directory: &'a Item) -> Result<&'a HostItem> {
        match &directory.0 {
            Inner::Host(item) => Ok(item),
            Inner::Directory(directory) => {
                directory.counterpart_to_change(context, &self.shared().host)
            }
            Inner::Root | Inner::Projected(_) | Inner::Empty(_) => Err(Errno::EROFS.into()),
        }
    }

    /// The same, or the error `taken` if `name` is a declared one.
    fn free_place<'a>(
        &'a self,
        context: &Context<'_>,
        directory: &'a Item,
        name: &OsStr,
        taken: Errno,
    ) -> Result<&'a HostItem> {
        if let Inner::Directory(directory) = &directory.0
            && let Lookup::Found(_) = self.find_declared(context, directory, name)?
        {
            return Err(taken.into());
        }
        self.place(context, directory)
    }
}

fn of_host(handle: &Handle) -> Option<&HostHandle> {
    match &handle.0 {
        Open::Host(handle) => Some(handle),
        Open::Projected | Open::Listing(_) => None,
    }
}

fn created(created: Created<HostItem, HostHandle>) -> Result<Created<Item, Handle>> {
    Ok(Created {
        entry: host_entry(created.entry)?,
        opened: host_opened(created.opened),
    })
}
