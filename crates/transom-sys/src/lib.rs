//! What the rest of the workspace needs from the kernel and no safe crate
//! offers: the FUSE wire structures, the ioctls of `/dev/fuse`, a mount call,
//! loop devices, ublk, the credentials of a thread, handles and flags of files, and the
//! start of a process in namespaces of its own.
//!
//! This is the only crate of the workspace that may contain `unsafe` (the
//! OpenZFS bindings will be the other). Everything it exports is safe to call.

#![expect(
    unsafe_code,
    reason = "the one door to the kernel; every block says why it is sound"
)]

mod apart;
mod children;
pub mod confinement;
pub mod credentials;
pub mod file_handle;
pub mod file_status;
pub mod fuse_abi;
pub mod fuse_control;
pub mod fuse_device;
pub mod inode_flags;
pub mod io_flusher;
pub mod launch;
mod look_ahead;
pub mod loop_device;
pub mod mount;
pub mod namespaces;
pub mod peer;
mod system_call_filter;
pub mod ublk;
pub mod unlink;
pub mod volume_requests;

pub use apart::{write_apart, write_back_apart};
pub use children::keep_descriptors_from_children;
pub use look_ahead::{Place, look_ahead};
