//! Which modules there are, and what they have loaded.
//!
//! ```text
//!   Modules ── by name ──► module ◄── Enablement: may it be loaded?
//!      resources ── Host::load ─┤          opened and checked here, put together
//!                               ▼          from members that appear one by one
//!                           container ── Host::mount ──► Mounted: a detached mount, served
//!                               │    │       the first of a volume starts a session,
//!                               │    │       further ones are clones
//!                               │    └── Host::start_job ──► Tasks
//!                         Host::unload       every descriptor is given back
//!
//!     whatever happens ──► Events            numbered, for whoever asks later
//! ```
//!
//! No module is named here, and none has to keep the contract of loading by
//! itself: what can be checked of a resource without knowing what it contains
//! is checked in one place (`resource.rs`, [`Host`]), with the same error
//! numbers and messages for all of them.

mod attachment;
mod budget;
mod enablement;
mod erased;
mod events;
mod host;
mod identity;
mod kept_items;
mod ledger;
mod loaded;
mod members;
mod modules;
mod pressure;
mod probing;
mod publishing;
mod random;
mod records;
mod resource;
mod status;
mod tasks;
#[cfg(test)]
mod tests;
mod text;
mod unloading;
mod volume;
mod volumes;
mod work;

pub use attachment::{Attachment, Target};
pub use budget::{BudgetStatus, Budgets, LEVEL_MAX, LEVEL_MIN};
pub use enablement::Enablement;
pub use events::{
    EVENTS_KEPT_MAX, Event, EventKind, Events, Heard, MESSAGE_BYTES_MAX, Since, StreamId,
    Subscription, UNLOADED_KEPT_MAX,
};
pub use host::{CONTAINERS_MAX, Host, HostOptions, Load, State};
pub use identity::VolumeId;
pub use ledger::{Abandoned, Entry, LEFTOVERS_MAX, Ledger, Leftover};
pub use loaded::{About, Member};
pub use members::MEMBERS_MAX;
pub use modules::Modules;
pub use pressure::{Pressure, memory_bytes};
pub use probing::Finding;
pub use publishing::{BlockKind, BlockStatus};
pub use status::ContainerStatus;
pub use tasks::{
    LINE_BYTES_MAX, LINES_KEPT_MAX, OWNER_TASKS_MAX, Progress, SAVED_BYTES_MAX,
    SUSPENDED_TASKS_MAX, SavedTask, TASKS_KEPT_MAX, TASKS_MAX, TaskEnd, TaskEvent, TaskId,
    TaskInfo, TaskOrder, TaskState, TaskSubject, Tasks, Watch,
};
pub use volume::{Hold, Mount, Mounted, MountedStatus, Served, Unmount, VolumeStatus};
pub use work::Maintenance;
