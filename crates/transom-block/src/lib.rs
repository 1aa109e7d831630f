//! Publishes block volumes, so that others use them as disks.
//!
//! * [`publish_loop`]: a device of this machine, by way of a file that is
//!   served to the kernel. Works wherever there is FUSE.
//! * [`publish_ublk`]: the same with less in between, where the kernel has ublk.
//! * [`NbdServer`]: disks by name on a unix socket, for programs that speak NBD.
//!   Needs no privilege.
//!
//! [`FileVolume`] is a block volume itself: any file of the host.

mod caught;
mod disk_file;
mod extent;
mod file_volume;
mod jobs;
mod loop_device;
pub mod nbd;
mod read_only;
mod ublk;

pub use file_volume::FileVolume;
pub use loop_device::{LoopDevice, LoopIdentity, LoopOptions, detach_abandoned, publish_loop};
pub use nbd::NbdServer;
pub use read_only::ReadOnly;
pub use ublk::{UblkDevice, publish_ublk};

/// How a block volume ceases to be published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Withdrawal {
    /// Not while somebody uses it: that is `EBUSY`.
    IfUnused,
    /// At once. Whoever uses it meets errors.
    Forced,
}
