use std::ffi::OsStr;

use crate::{Context, Errno, Result, Volume};

/// Extended attributes. POSIX access control lists are two of them
/// (`system.posix_acl_access` and `system.posix_acl_default`); a volume that
/// stores those as they are, and obeys the default list where something is
/// made, also claims
/// [`access_control_lists`](crate::VolumeDefinition::access_control_lists).
///
/// The kernel keeps the limits of Linux before anything arrives: 255 bytes for
/// a name, 64 KiB for a value and for a list of names.
pub trait ExtendedAttributes: Volume {
    /// The value of one attribute; `ENODATA` if the item has none of that
    /// name.
    fn get_attribute(
        &self,
        context: &Context<'_>,
        item: &Self::Item,
        name: &OsStr,
    ) -> Result<Vec<u8>>;

    /// The names of all attributes, each followed by a NUL byte.
    fn list_attributes(&self, context: &Context<'_>, item: &Self::Item) -> Result<Vec<u8>>;

    /// Sets an attribute; `EEXIST` or `ENODATA` if `presence` is not met.
    fn set_attribute(
        &self,
        _context: &Context<'_>,
        _item: &Self::Item,
        _name: &OsStr,
        _value: &[u8],
        _presence: Presence,
    ) -> Result<()> {
        Err(Errno::EROFS.into())
    }

    /// Removes an attribute; `ENODATA` if the item has none of that name.
    fn remove_attribute(
        &self,
        _context: &Context<'_>,
        _item: &Self::Item,
        _name: &OsStr,
    ) -> Result<()> {
        Err(Errno::EROFS.into())
    }
}

/// What must hold of an attribute that is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// Nothing.
    Any,
    /// It does not exist yet (`XATTR_CREATE`).
    MustNotExist,
    /// It exists (`XATTR_REPLACE`).
    MustExist,
}
