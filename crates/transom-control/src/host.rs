//! `io.transom.Host`: containers, volumes, mounts, disks and tasks.

mod calls;
mod error;
mod service;
mod types;

pub use calls::*;
pub use error::{Error, Result};
pub use service::{HostService, interface};
pub use types::*;

/// The name of the interface.
pub const INTERFACE: &str = "io.transom.Host";

/// The interface as varlink's description language has it.
pub const INTERFACE_TEXT: &str = include_str!("io.transom.Host.varlink");
