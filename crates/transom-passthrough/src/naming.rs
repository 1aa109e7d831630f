//! The name of the volume, which the source directory carries.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use rustix::buffer::spare_capacity;
use rustix::fs::XattrFlags;
use rustix::io::Errno as HostErrno;
use transom_module::{Context, NAME_BYTES_MAX, Naming, Result};

use crate::host::refused;
use crate::volume::Passthrough;

/// The extended attribute of the source directory that has the name.
const ATTRIBUTE: &str = "user.transom.name";

impl Naming for Passthrough {
    fn name(&self, _: &Context<'_>) -> Result<OsString> {
        let mut name = Vec::with_capacity(NAME_BYTES_MAX);
        let root = &self.source.root_opened;
        match rustix::fs::fgetxattr(root, ATTRIBUTE, spare_capacity(&mut name)) {
            Ok(_) => Ok(OsString::from_vec(name)),
            Err(HostErrno::NODATA | HostErrno::OPNOTSUPP) => Ok(OsString::new()),
            Err(error) => Err(refused(error)),
        }
    }

    fn set_name(&self, _: &Context<'_>, name: &OsStr) -> Result<()> {
        if name.len() > NAME_BYTES_MAX {
            return Err(refused(HostErrno::NAMETOOLONG));
        }
        let (root, name) = (&self.source.root_opened, name.as_bytes());
        rustix::fs::fsetxattr(root, ATTRIBUTE, name, XattrFlags::empty()).map_err(refused)
    }
}
