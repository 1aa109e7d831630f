//! What a command needs and makes, learnt by watching it.
//!
//! Builds that declare nothing can still be run in a view, once somebody knows
//! what belongs into it. So a command is given a volume that shows the host as
//! it is, and is watched there:
//!
//! ```text
//!   any volume ─► Observed, a volume too ─► served, and the command run in it
//!                    │ each request
//!                    ▼
//!                 Record: what was done with which name
//!                    │ Learned::from, when the command has ended
//!                    ▼
//!                 Learned: inputs, outputs, ... ─► LearnedAction::write: a manifest
//! ```
//!
//! What is noted is what the kernel asks: it asks for a name, once, and at every
//! open. Who asked is not noted, nor which bytes.

mod learned;
mod manifest;
mod observed;
mod record;

pub use learned::{Input, LearnError, Learned, Scope, path_from};
pub use manifest::LearnedAction;
pub use observed::{Item, Observed, Surroundings};
pub use record::{NAMES_MAX, Record};
