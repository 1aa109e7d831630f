//! The host as a service: its control plane, and who may do what.
//!
//! ```text
//!   clients ── varlink, descriptors ──► transom-control
//!                                            │ calls, with who calls
//!                                            ▼
//!                    HostService for Daemon: is it theirs? opened with their rights?
//!                                            │
//!                                            ▼
//!                                      transom-host
//! ```
//!
//! Whatever a client names is opened with the client's own rights, by a thread
//! that has taken its credentials, or comes as a descriptor from the client; and
//! a client sees and steers what it has loaded itself. So a daemon of root's
//! does nothing for a user that the user could not do, but for mounting.

mod caller;
pub mod confine;
mod daemon;
mod host_service;
mod mount_attributes;
mod policy;
mod views;

pub use daemon::Daemon;
pub use policy::{Action, Denial, Names, Policy, PolicyError};
pub use views::Views;
