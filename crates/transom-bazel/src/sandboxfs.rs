//! The protocol and the file system of sandboxfs 0.2.0, as Bazel 3 to 6 uses
//! them.
//!
//! One file system is mounted for a build. Bazel asks for a *sandbox*, a
//! directory of its root, for each action, and takes it away afterwards. A
//! sandbox is made of *mappings*: names that stand for host files and
//! directories, to be read or to be written. Bazel maps one writable directory
//! of the host, where the action works, and every input below it.
//!
//! ```text
//!   stdin ─► Frames ─► Decoder ─► Request ─► Sandboxes::create ─► Tree ─► View
//!            one JSON   prefixes              what is written: open directories
//!   stdout ◄─────────── Answer                         │
//!                                                      ▼
//!   kernel ◄────────────────────────── Sandboxes as a Volume
//! ```
//!
//! **Nothing in a sandbox leads out of it.** What is mapped is followed to what
//! it finally is: the action finds a file where sandboxfs had a link into the
//! workspace, so that `realpath` stays inside and the undeclared neighbours of
//! the file are not found. Inside a directory that is mapped as a whole, a
//! relative link stays a link, for it is resolved among the names of the
//! sandbox; an absolute one is followed, like what is mapped. Only a link that
//! leads to nothing stays what it is.
//!
//! **What is declared is a [projection]; what is written is passed through.**
//! The names of the mappings are the tree of a [view], whose files the kernel
//! reads by itself. A directory of that tree which lies in a writable mapping
//! has a *counterpart* in the host directory that is mapped: what is not
//! declared is found, made and written there. So outputs lie on the host where
//! Bazel takes them from, and no mount is needed to put inputs among them. A
//! declared name hides one of the counterpart, and cannot be changed. A
//! counterpart that does not exist is made when something is made in it.
//!
//! [projection]: transom_projection
//! [view]: transom_projection::View

mod changes;
mod directory;
mod frames;
mod ids;
mod listing;
mod mappings;
mod prefixes;
mod protocol;
mod sandboxes;
mod service;
mod volume;

pub use frames::MESSAGE_BYTES_MAX;
pub use mappings::MappingError;
pub use prefixes::{PREFIXES_BYTES_MAX, PREFIXES_MAX};
pub use protocol::{Answer, Decoder, Mapping, Rejected, Request};
pub use sandboxes::{CreateError, DestroyError, SANDBOXES_MAX, Sandboxes};
pub use service::{Ended, Handle as HandleRequests, serve};
pub use volume::{Handle, Item};
