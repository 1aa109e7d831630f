//! The flags of files: `lsattr(1)`, `chattr(1)` and their likes.

use rustix::fs::OFlags;
use transom_module::{Context, Controls, Errno, ItemKind, Reply, Result};
use transom_sys::inode_flags;

use crate::host::{refused, reopen};
use crate::item::Item;
use crate::volume::{Handle, Passthrough};

impl Controls for Passthrough {
    fn control(
        &self,
        context: &Context<'_>,
        item: &Item,
        _: Option<&Handle>,
        command: u32,
        argument: &[u8],
        room: usize,
    ) -> Result<Reply> {
        // Other kinds have no flags, and to open them could have an effect.
        if !matches!(item.kind, ItemKind::File | ItemKind::Directory) {
            return Err(Errno::ENOTTY.into());
        }
        if inode_flags::is_change(command) {
            let uid = context.caller.uid;
            if uid != 0 && uid != self.current(item)?.uid {
                return Err(Errno::EPERM.into());
            }
        }
        let file = reopen(&item.descriptor, OFlags::RDONLY)?;
        let mut data = inode_flags::control(file, command, argument).map_err(refused)?;
        data.truncate(room);
        Ok(Reply { value: 0, data })
    }
}
