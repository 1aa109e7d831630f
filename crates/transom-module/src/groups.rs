//! The groups of operations that a volume may claim beyond the basic ones.
//!
//! One trait a group. A [`VolumeDefinition`](crate::VolumeDefinition) can only
//! claim a group its volume implements; what is not claimed is answered with
//! "not supported" once and for all, and the volume never hears of it.
//!
//! Of a file opened with [`Io::Passthrough`](crate::Io::Passthrough), the
//! operations on its bytes ([`Writes`], [`Allocation`], [`Regions`],
//! [`Copies`], synchronizing it) are done on the host file and do not come
//! here.

mod allocation;
mod attributes;
mod changes;
mod control;
mod copies;
mod deactivation;
mod directories;
mod identity;
mod locks;
mod naming;
mod regions;
mod synchronization;
mod writes;

pub use allocation::{Allocation, Space};
pub use attributes::{ExtendedAttributes, Presence};
pub use changes::{
    AttributeChanges, Changes, Created, NewItem, NewKind, NewTime, Removed, RenameOptions,
};
pub use control::{Controls, Reply};
pub use copies::Copies;
pub use deactivation::Deactivation;
pub use directories::OpenDirectories;
pub use identity::PersistentItems;
pub use locks::{Lock, LockKind, LockOwner, Locks};
pub use naming::Naming;
pub use regions::{Region, Regions};
pub use synchronization::{Synchronization, Synchronize};
pub use writes::{WriteMode, Writes};
