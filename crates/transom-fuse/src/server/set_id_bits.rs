//! The bits that make a program act for its owner or group, and when a file
//! loses them.
//!
//! The kernel leaves it to us to take them away from a file whose content
//! changes. WRITE, OPEN and SETATTR tell that the caller lacks the right to keep
//! them all, but not its groups; FALLOCATE and COPY_FILE_RANGE tell nothing. So
//! where a file has such bits, which is rare, the caller's process is looked at.

use transom_module::{AttributeChanges, Attributes, Context, Error, Lifetime, Volume};

use super::{Server, host_error};
use crate::backing::HostFile;
use crate::caller::{Credentials, left_by_stranger};
use crate::nodes::Node;

const SET_GROUP_ID: u16 = 0o2000;

impl<V: Volume> Server<V> {
    /// Takes them away from a host file whose content the caller is going to
    /// change, unless it may keep them.
    pub(super) fn drop_set_id_bits(
        &self,
        context: &Context<'_>,
        node: &Node<V>,
        host: &HostFile,
    ) -> Result<(), Error> {
        let stat = host.stat().map_err(host_error)?;
        let left = left_by(context, stat.st_mode, stat.st_gid);
        if left != stat.st_mode {
            host.set_permissions(left).map_err(host_error)?;
            self.forget_attributes(node);
        }
        Ok(())
    }

    /// Takes the set-group-id bit away from an item that the volume truncates
    /// for the caller, if that is not in its group. What else has to go, the
    /// volume takes away.
    pub(super) fn drop_bit_of_foreign_group(
        &self,
        context: &Context<'_>,
        node: &Node<V>,
        told: (Attributes, Lifetime),
    ) -> Result<(Attributes, Lifetime), Error> {
        let (attributes, _) = told;
        let mode = u32::from(attributes.permissions);
        let loses = mode & !left_by(context, mode, attributes.gid);
        if loses & u32::from(SET_GROUP_ID) == 0 {
            return Ok(told);
        }
        Ok(self
            .drop_set_group_id(context, node, &attributes)?
            .unwrap_or(told))
    }

    /// Takes the set-group-id bit away, if there is one and the volume can be
    /// changed. Returns what the item is like then.
    pub(super) fn drop_set_group_id(
        &self,
        context: &Context<'_>,
        node: &Node<V>,
        attributes: &Attributes,
    ) -> Result<Option<(Attributes, Lifetime)>, Error> {
        let Some(group) = self.definition.changes() else {
            return Ok(None);
        };
        if attributes.permissions & SET_GROUP_ID == 0 {
            return Ok(None);
        }
        let changes = AttributeChanges {
            permissions: Some(attributes.permissions & !SET_GROUP_ID),
            ..AttributeChanges::default()
        };
        let changed = group.set_attributes(context, node.item(), None, &changes)?;
        Ok(Some(changed))
    }
}

/// What is left of `mode` when the caller changes the content of a regular file
/// of group `gid`.
fn left_by(context: &Context<'_>, mode: u32, gid: u32) -> u32 {
    let left = left_by_stranger(mode);
    if left == mode {
        return mode;
    }
    let caller = context.caller;
    // Where mounts can be idmapped, the group may be another one to the caller.
    let gid = (caller.uid != u32::MAX).then_some(gid);
    Credentials::of(caller.pid).map_or(left, |credentials| credentials.leave(mode, gid))
}
