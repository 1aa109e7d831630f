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

mod attached;
mod budget;
mod enablement;
mod erased;
mod events;
mod host;
mod ledger;
mod modules;
mod pressure;
mod random;
mod records;
mod resource;
mod tasks;
#[cfg(test)]
mod tests;
mod text;

pub use attached::{Attached, detach};
pub use budget::{BudgetStatus, Budgets, LEVEL_MAX, LEVEL_MIN};
pub use enablement::Enablement;
pub use events::{
    EVENTS_KEPT_MAX, Event, EventKind, Events, Heard, MESSAGE_BYTES_MAX, Since, StreamId,
    Subscription, UNLOADED_KEPT_MAX,
};
pub use host::{Host, Load, Mounted, Served};
pub use ledger::{Abandoned, Entry, LEFTOVERS_MAX, Ledger, Leftover, LoopDevice};
pub use modules::Modules;
pub use pressure::{Pressure, memory_bytes};
pub use tasks::{
    LINE_BYTES_MAX, LINES_KEPT_MAX, OWNER_TASKS_MAX, Progress, SAVED_BYTES_MAX,
    SUSPENDED_TASKS_MAX, SavedTask, TASKS_KEPT_MAX, TASKS_MAX, TaskEnd, TaskEvent, TaskId,
    TaskInfo, TaskOrder, TaskState, TaskSubject, Tasks, Watch,
};
