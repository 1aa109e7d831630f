//! Runs one action inside a view.
//!
//! ```text
//!   Skeleton ──► Template ──clone_tree──┐
//!   (binds of host files)               ├─► detached mount tree: the input root
//!   a directory of a mounted volume ────┘            │
//!                                                    ▼
//!   Action ──────────────────────────────► Sandbox::new     scratch, /dev, /tmp are put on it
//!   Scratch ─────────────────────────────►           │
//!                                                    ▼ spawn(Stdio)
//!                                                 Running ──wait──► Finished
//!                                                                      │
//!   outputs::collect(scratch, action) ◄────────────────────────────────┘
//! ```
//!
//! The whole mount tree of an action is put together *detached*: nothing ever
//! appears in the host's mount table, so there is nothing to clean up there,
//! and whatever goes wrong, closing a descriptor undoes it. The processes that
//! run in it are described in [`transom_sys::launch`].
//!
//! A sandbox knows mount trees, not who makes them: an input root may be
//! composed here from binds or be a directory of a FUSE volume.

mod action;
mod compose;
mod device_files;
mod error;
mod graft;
mod host_base;
pub mod layout;
mod mixed;
pub mod outputs;
mod private_directories;
pub mod privilege;
mod running;
mod sandbox;
mod scratch;
mod skeleton;
mod stdio;
mod walk;

pub use action::{
    Action, Base, Exceptions, HostMount, Network, Output, OutputKind, TERMINATION_GRACE, Tmp,
    Writable,
};
pub use compose::{check_mounts, compose, host_tree, writable_host_tree};
pub use error::{Error, Result};
pub use graft::COPIED_FILE_BYTES_MAX;
pub use running::{Exit, Finished, Remote, Running};
pub use sandbox::Sandbox;
pub use scratch::Scratch;
pub use skeleton::{Skeleton, Template};
pub use stdio::{PassedFile, Stdio};
pub use transom_sys::launch::{Phases, Usage};
