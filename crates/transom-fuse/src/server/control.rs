//! `ioctl(2)`: what concerns the whole volume is answered here, the rest by the
//! volume.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use transom_module::{Context, Errno, Reply, Volume};
use transom_sys::fuse_abi as abi;
use transom_sys::volume_requests as requests;
use zerocopy::IntoBytes;

use super::{Result, Server};
use crate::nodes::Node;
use crate::reply::Answer;

impl<V: Volume> Server<V> {
    pub(super) fn control(
        &self,
        context: &Context<'_>,
        node: &Arc<Node<V>>,
        args: &abi::IoctlIn,
        argument: &[u8],
        payload: &mut [u8],
    ) -> Result {
        let room = args.out_size as usize;
        let context = &self.identified(context);
        let reply = match (
            args.cmd,
            self.definition.naming(),
            self.definition.controls(),
        ) {
            (requests::SYNCHRONIZE, ..) => {
                if let Some(group) = self.definition.synchronization() {
                    group.synchronize(context)?;
                }
                Reply::default()
            }
            (requests::GET_LABEL, Some(group), _) => {
                let mut label = group.name(context)?.as_bytes().to_vec();
                label.truncate(requests::LABEL_BYTES - 1);
                label.resize(requests::LABEL_BYTES, 0);
                Reply {
                    value: 0,
                    data: label,
                }
            }
            (requests::SET_LABEL, Some(group), _) => {
                if context.caller.uid != 0 {
                    return Err(Errno::EPERM.into());
                }
                if self.read_only {
                    return Err(Errno::EROFS.into());
                }
                let end = argument.iter().position(|byte| *byte == 0);
                let label = &argument[..end.ok_or(Errno::EINVAL)?];
                group.set_name(context, OsStr::from_bytes(label))?;
                Reply::default()
            }
            (command, _, Some(group)) => {
                let file = self.open_files.get(args.fh);
                let handle = file.as_ref().map(|file| file.handle());
                let reply = group.control(context, node.item(), handle, command, argument, room)?;
                // It may have changed anything about the item.
                self.forget_attributes(node);
                reply
            }
            // Terminals ask every file they open whether it is one.
            _ => return Err(Errno::ENOTTY.into()),
        };
        if reply.data.len() > room {
            return Err(Errno::EINVAL.into());
        }
        let head = abi::IoctlOut {
            result: reply.value,
            flags: 0,
            in_iovs: 0,
            out_iovs: 0,
        };
        Ok(Answer::bytes(
            payload,
            &[head.as_bytes(), &reply.data].concat(),
        ))
    }
}
