//! The contract a file system is written against.
//!
//! A **module** implements [`Volume`]: it is given values and returns values.
//! It never sees a request, a reply object or the protocol that carries them;
//! the same volume could be served over another protocol. Who serves it (the
//! *transport*) owns the table of live items, counts their references and
//! gives every item back exactly once through [`Volume::reclaim`].
//!
//! ```text
//!            root()                      once, when the volume is mounted
//!              │
//!   lookup ─► item ─► attributes, enumerate, read_link
//!              │
//!              ├─► open ─► handle, with Io::Passthrough(backing)     the kernel reads the host file
//!              │                    or  Io::Cached, Io::Direct ─► read, write …
//!              │                 └─► close(handle)            exactly once, by value
//!              │
//!           reclaim(item)               exactly once, by value
//! ```
//!
//! Three of its ideas are worth knowing before reading further:
//!
//! * **Names are decided here, bytes need not pass through here.** `open` may
//!   return a [`Backing`]: a host file the kernel will do the I/O on.
//! * **Absence is an answer.** [`Lookup::Absent`] carries a [`Lifetime`], so a
//!   name that does not exist costs one question, not one per probe.
//! * **Abilities are claimed by type.** Optional groups of operations are
//!   traits ([`Changes`], [`ExtendedAttributes`], …); a [`VolumeDefinition`] can
//!   only claim a group its volume implements, and what is not claimed is
//!   answered once and for all with "not supported".
//!
//! A [`Module`] makes a [`Container`] of [`Resource`]s, and that has volumes. What
//! else a container may have, block volumes, long work, a cache, it says by
//! returning itself as that.
//!
//! The vocabulary is that of Apple's FSKit and of the Linux VFS; results are
//! values that can grow fields, and every operation knows its [`Caller`].

mod attributes;
mod backing;
mod block;
mod container;
mod context;
mod definition;
mod directory;
mod error;
mod groups;
mod module;
mod name;
mod probe;
mod resource;
mod task;
mod volume;

pub use attributes::{Attributes, ItemId, ItemKind, StatFs, Timestamp};
pub use backing::Backing;
pub use block::{BlockVolume, Geometry, write_zeroes_as_data};
pub use container::{BlockVolumes, Cache, Container, Jobs, Listing, VolumeManagement};
pub use context::{Caller, Context};
pub use definition::VolumeDefinition;
pub use directory::{Cookie, DirectoryEntry, DirectorySink, list_in_order, push_dots};
pub use error::{Errno, Error, Result};
pub use groups::{
    Allocation, AttributeChanges, Changes, Controls, Copies, Created, Deactivation,
    ExtendedAttributes, Lock, LockKind, LockOwner, Locks, Naming, NewItem, NewKind, NewTime,
    OpenDirectories, PersistentItems, Presence, Region, Regions, Removed, RenameOptions, Reply,
    Space, Synchronization, Synchronize, WriteMode, Writes,
};
pub use module::{AccessTimes, LoadOptions, Maintenance, Module, ModuleManifest};
pub use name::{InvalidName, NAME_BYTES_MAX, Name};
pub use probe::{ContainerId, Membership, Probe};
pub use resource::{Resource, ResourceKind, Resources};
pub use task::{Completed, Outcome, Stop, Task, TaskReporter};
pub use volume::{Entry, Invalidation, Io, Lifetime, Lookup, OpenMode, Opened, Volume};
