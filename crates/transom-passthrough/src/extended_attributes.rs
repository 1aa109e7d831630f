//! Extended attributes, access control lists among them.

use std::ffi::OsStr;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;

use rustix::buffer::spare_capacity;
use rustix::fs::XattrFlags;
use rustix::io::Errno as HostErrno;
use transom_module::{Context, ExtendedAttributes, Presence, Result};

use crate::host::{magic_link, refused};
use crate::item::Item;
use crate::volume::Passthrough;

/// `XATTR_SIZE_MAX` and `XATTR_LIST_MAX` of `<linux/limits.h>`.
const BYTES_MAX: usize = 65536;
/// Room for most values. The host allocates and clears as much as it is offered.
const USUAL_BYTES: usize = 256;

const ACCESS_CONTROL_LIST: &str = "system.posix_acl_access";
const ACCESS_CONTROL_LISTS: &[u8] = b"system.posix_acl_";
const FOR_ROOT: &[u8] = b"trusted.";

impl ExtendedAttributes for Passthrough {
    fn get_attribute(&self, _: &Context<'_>, item: &Item, name: &OsStr) -> Result<Vec<u8>> {
        let file = magic_link(&item.descriptor);
        let read = |room| {
            let mut value = Vec::with_capacity(room);
            rustix::fs::getxattr(&file, name, spare_capacity(&mut value)).map(|_| value)
        };
        let value = match read(USUAL_BYTES) {
            Err(HostErrno::RANGE) => read(BYTES_MAX),
            value => value,
        };
        match value {
            Ok(value) => Ok(value),
            // Another device below a source that has lists. To the kernel this
            // would mean that nobody but the owner can be let in.
            Err(HostErrno::OPNOTSUPP)
                if self.source.access_control_lists
                    && name.as_bytes().starts_with(ACCESS_CONTROL_LISTS) =>
            {
                Err(refused(HostErrno::NODATA))
            }
            Err(error) => Err(refused(error)),
        }
    }

    /// Those that only root may see are left out for others, since the host
    /// takes us for root.
    fn list_attributes(&self, context: &Context<'_>, item: &Item) -> Result<Vec<u8>> {
        let mut names = Vec::with_capacity(BYTES_MAX);
        let file = magic_link(&item.descriptor);
        rustix::fs::listxattr(file, spare_capacity(&mut names)).map_err(refused)?;
        if context.caller.uid == 0 {
            return Ok(names);
        }
        let visible = names
            .split_inclusive(|byte| *byte == 0)
            .filter(|name| !name.starts_with(FOR_ROOT));
        Ok(visible.flatten().copied().collect())
    }

    fn set_attribute(
        &self,
        _: &Context<'_>,
        item: &Item,
        name: &OsStr,
        value: &[u8],
        presence: Presence,
    ) -> Result<()> {
        let flags = match presence {
            Presence::Any => XattrFlags::empty(),
            Presence::MustNotExist => XattrFlags::CREATE,
            Presence::MustExist => XattrFlags::REPLACE,
        };
        let file = magic_link(&item.descriptor);
        rustix::fs::setxattr(file, name, value, flags).map_err(refused)
    }

    fn remove_attribute(&self, _: &Context<'_>, item: &Item, name: &OsStr) -> Result<()> {
        rustix::fs::removexattr(magic_link(&item.descriptor), name).map_err(refused)
    }
}

/// Whether the file system of `file` stores access control lists.
pub(crate) fn has_access_control_lists(file: impl AsFd) -> bool {
    let size = rustix::fs::getxattr_query(magic_link(file), ACCESS_CONTROL_LIST);
    !matches!(size, Err(HostErrno::OPNOTSUPP))
}
