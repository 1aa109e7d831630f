//! Which modules there are, and what they have loaded.
//!
//! ```text
//!   Modules ── by name ──► module ◄── Enablement: may it be loaded?
//!                            │ Host::load     resource opened and checked here
//!                            ▼
//!                        container ── Host::mount ──► Mounted: a detached mount, served
//!                            │
//!                      Host::unload           every descriptor is given back
//! ```
//!
//! No module is named here, and none has to keep the contract of loading by
//! itself: what can be checked of a resource without knowing what it contains
//! is checked in one place (`resource.rs`, [`Host`]), with the same error
//! numbers and messages for all of them.

mod enablement;
mod erased;
mod host;
mod modules;
mod resource;
#[cfg(test)]
mod tests;

pub use enablement::Enablement;
pub use host::{Host, Load, Mounted, Served};
pub use modules::Modules;
