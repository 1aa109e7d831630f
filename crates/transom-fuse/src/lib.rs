//! Serves volumes to the Linux kernel over FUSE.
//!
//! ```text
//!             kernel                                     module
//!               │ /dev/fuse                                 ▲
//!               ▼                                           │ values
//!   queue ─► request ─► server ── nodes, open files VolumeDefinition
//!               bytes → values      what is alive
//!   queue ◄── reply ◄──┘
//!               values → bytes
//! ```
//!
//! [`Session::start`] mounts a volume *detached* and serves it on threads of
//! this process. [`request`] decodes, `server` calls the volume and remembers
//! what the kernel was told, `reply` encodes; `workers` runs the threads,
//! `nearness` keeps them on their caller's processor, and `inflight` sees to it
//! that a handler that hangs delays nobody, neither its own killed caller nor
//! the callers of others.
//!
//! [`Driver`] plays the kernel's part for the tests of modules.
//!
//! What the kernel can do better than we, it does: with a backing file
//! (`backing`) it reads the host file itself and no READ request comes.
//!
//! Sources: `<linux/fuse.h>` 7.45, `Documentation/filesystems/fuse.rst` and
//! `fuse-passthrough.rst` of Linux 6.18; rules that are only in the kernel's
//! code are asserted in `tests/it`.

mod backing;
mod caller;
mod counters;
mod directory_times;
mod driver;
mod inflight;
mod listing_habits;
mod mount;
mod nearness;
mod negotiation;
mod nodes;
mod notify;
mod open_files;
pub mod queue;
mod reply;
pub mod request;
mod server;
mod session;
mod workers;

pub use counters::Statistics;
pub use driver::{Driver, Status};
pub use negotiation::{Negotiated, UnsupportedVersion};
pub use reply::Answer;
pub use session::{MountError, Options, Passthrough, Session};
pub use transom_sys::fuse_abi::Opcode;

/// Compiles the examples of the guide to writing modules.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/module-guide.md")]
struct ModuleGuide;
