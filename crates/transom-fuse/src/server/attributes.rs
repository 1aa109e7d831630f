//! Extended attributes.

use std::ffi::OsStr;

use transom_module::{Context, Errno, ExtendedAttributes, Presence, Volume};
use transom_sys::fuse_abi as abi;
use zerocopy::IntoBytes;

use super::{Result, Server};
use crate::nodes::Node;
use crate::reply::Answer;

type Group<'a, V> =
    &'a dyn ExtendedAttributes<Item = <V as Volume>::Item, Handle = <V as Volume>::Handle>;

impl<V: Volume> Server<V> {
    fn extended_attributes(&self) -> std::result::Result<Group<'_, V>, Errno> {
        // The kernel then does not ask again.
        self.definition.extended_attributes().ok_or(Errno::ENOSYS)
    }

    pub(super) fn get_attribute(
        &self,
        context: &Context<'_>,
        node: &Node<V>,
        name: &OsStr,
        size: u32,
        payload: &mut [u8],
    ) -> Result {
        let value = self
            .extended_attributes()?
            .get_attribute(context, node.item(), name)?;
        sized(payload, &value, size)
    }

    pub(super) fn list_attributes(
        &self,
        context: &Context<'_>,
        node: &Node<V>,
        size: u32,
        payload: &mut [u8],
    ) -> Result {
        let names = self
            .extended_attributes()?
            .list_attributes(&self.identified(context), node.item())?;
        sized(payload, &names, size)
    }

    pub(super) fn set_attribute(
        &self,
        context: &Context<'_>,
        node: &Node<V>,
        name: &OsStr,
        value: &[u8],
        args: &abi::SetxattrIn,
    ) -> Result {
        let presence = match args.flags.cast_signed() {
            0 => Presence::Any,
            libc::XATTR_CREATE => Presence::MustNotExist,
            libc::XATTR_REPLACE => Presence::MustExist,
            _ => return Err(Errno::EINVAL.into()),
        };
        self.extended_attributes()?
            .set_attribute(context, node.item(), name, value, presence)?;
        if args.setxattr_flags & abi::flags::SETXATTR_ACL_KILL_SGID != 0 {
            // An access control list, by somebody outside of the file's group.
            let (attributes, _) = self.definition.volume.attributes(context, node.item())?;
            self.drop_set_group_id(context, node, &attributes)?;
        }
        Ok(Answer::EMPTY)
    }

    pub(super) fn remove_attribute(
        &self,
        context: &Context<'_>,
        node: &Node<V>,
        name: &OsStr,
    ) -> Result {
        self.extended_attributes()?
            .remove_attribute(context, node.item(), name)?;
        Ok(Answer::EMPTY)
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
