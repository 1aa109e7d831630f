//! The concat module: several files or block devices as one container, which is
//! cut into sub-volumes at run time.
//!
//! ```text
//!   member 0   │ label │ table │ data ............ │ label │
//!   member 1   │ label │ table │ data ..... │ label │
//!                                 └──── address space of the container
//!                                       cut into sub-volumes, each a disk and
//!                                       a directory with one file, `content`
//! ```
//!
//! It shows what a module of many resources and many volumes looks like, and is
//! meant to be read in one sitting:
//!
//! * `label.rs`: which member of which container a resource is. Written once.
//! * `layout.rs`: what address is where on which member.
//! * `table.rs`: the sub-volumes, and what is free. A value that does no I/O.
//! * `store.rs`: where the table is kept, so that no crash loses it.
//! * `members.rs`, `member.rs`, `lock.rs`: the open resources.
//! * `sub_volume.rs`: the content of one; `block.rs` shows it as a disk, `tree.rs`
//!   as a directory.
//! * `container.rs`: what a loaded container is; `patrol.rs` is its long work.
//! * `module.rs`: what the host calls; `format.rs` and `check.rs` are the work
//!   on members that are not loaded.
//!
//! Members are read and written through the page cache of the host, so there is
//! no cache here.

mod block;
mod check;
mod container;
mod format;
mod label;
mod layout;
mod lock;
mod member;
mod members;
mod module;
mod options;
mod patrol;
mod signatures;
mod store;
mod sub_volume;
mod table;
mod tree;

pub use container::Concat;
pub use module::ConcatModule;
pub use sub_volume::SubVolume;
pub use tree::{Item, Tree};
