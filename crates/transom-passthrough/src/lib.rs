//! The passthrough module: a directory of the host as a volume of its own.
//!
//! It is also the sample of a complete module: every group of operations that
//! makes sense for it is claimed, each in a file that has the group's name.
//!
//! **An item is a descriptor.** Every item that the kernel knows of holds the
//! host's file open with `O_PATH`, which needs no permission, waits for no
//! pipe, touches no device, and names the file itself, whatever happens to its
//! name. So an item is found by one name in the descriptor of its directory,
//! no link is ever followed, and nothing that others do to the directories
//! meanwhile can lead out of the source. As long as the descriptor is open,
//! the host does not give the file's inode number to another one, so that the
//! number can serve as the item's id (`item.rs`).
//!
//! **The source is a mount of its own.** At loading, the mount at the source
//! directory is cloned, detached and without what is mounted below, like `mount
//! --bind` does. Nobody can mount on the clone, `..` ends at its root, and if
//! it is made read-only, nothing can be written through a descriptor that was
//! found below it, whoever opens it again.
//!
//! **A descriptor can be opened again.** What the kernel does not do to an
//! `O_PATH` descriptor directly, it does through the link that `/proc/self/fd`
//! has of it (`host.rs`).
//!
//! **Who makes something is its maker.** What a new file is like depends on
//! who makes it in more ways than its owner. So where something is made, the
//! thread takes the credentials of the caller (`changes.rs`). Elsewhere it acts
//! with its own: the kernel has checked the caller's rights, by the same
//! attributes and access control lists, before it asked.
//!
//! **The bytes of files are not our business.** [`open`] says which host file
//! has them, and who serves the volume lets the kernel move them.
//!
//! [`open`]: transom_module::Volume::open

mod changes;
mod controls;
mod directories;
mod extended_attributes;
mod host;
mod item;
mod module;
mod naming;
mod persistent_items;
mod source;
mod synchronization;
mod volume;

#[cfg(test)]
mod tests;

pub use directories::Listing;
pub use item::Item;
pub use module::PassthroughModule;
pub use source::Source;
pub use volume::{Handle, Passthrough};
