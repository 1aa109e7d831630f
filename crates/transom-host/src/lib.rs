//! Which modules there are, and what they have loaded.
//!
//! ```text
//!   Modules ── by name ──► module ◄── Enablement: may it be loaded?
//!      resources ── Host::load ─┤          opened and checked here, put together
//!                               ▼          from members that appear one by one
//!                           container ── Host::mount ──► Mounted: a detached mount, served
//!                               │            the first of a volume starts a session,
//!                               │            further ones are clones
//!                         Host::unload       every descriptor is given back
//! ```
//!
//! No module is named here, and none has to keep the contract of loading by
//! itself: what can be checked of a resource without knowing what it contains
//! is checked in one place (`resource.rs`, [`Host`]), with the same error
//! numbers and messages for all of them.

mod attachment;
mod enablement;
mod erased;
mod host;
mod identity;
mod loaded;
mod members;
mod modules;
mod resource;
#[cfg(test)]
mod tests;
mod volume;

pub use attachment::{Attachment, Target};
pub use enablement::Enablement;
pub use host::{CONTAINERS_MAX, CacheStatus, ContainerStatus, Finding, Host, Load, State};
pub use identity::VolumeId;
pub use loaded::{About, Member};
pub use members::MEMBERS_MAX;
pub use modules::Modules;
pub use volume::{Hold, Mount, Mounted, MountedStatus, Served, Unmount, VolumeStatus};
