//! `io.transom.Views`: trees of declared host files.

mod calls;
mod error;
mod service;

pub use calls::*;
pub use error::{Error, Result};
pub use service::{ViewsService, interface};

/// The name of the interface.
pub const INTERFACE: &str = "io.transom.Views";

/// The interface as varlink's description language has it.
pub const INTERFACE_TEXT: &str = include_str!("io.transom.Views.varlink");
