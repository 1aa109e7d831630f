//! Fixtures shared by the test suites: they give a test the real thing.
//!
//! * [`privileged!`] and [`skip!`]: a test that cannot run here says so, in
//!   the one form that `cargo xtask test` counts.
//! * [`Unprivileged`], [`unprivileged!`]: commands, or a whole test, run as
//!   somebody who is not root.
//! * [`LoopVolume`], [`Tmpfs`], [`temp_dir`]: places for files, on the file
//!   systems users have.
//! * [`KernelRequests`]: the FUSE requests of a connection, counted by the
//!   kernel itself.
//! * [`HostState`]: what a run must not leave behind.
//! * [`SeedAction`], [`LargeTree`]: the two input sets everything is measured
//!   with, and the way an action reads them.
//! * [`model`]: a naive view to compare the real one with; [`files`]: a naive
//!   tree of files that can be changed.
//! * [`bazel`]: what Bazel does with a sandbox backend.
//! * [`python_with_varlink`]: a client of the control plane that is not ours.
//!
//! What a fixture takes from the machine (a mount, a loop device, a trace
//! instance), its `Drop` gives back.

pub mod bazel;
pub mod files;
mod host_state;
mod kernel_filesystem;
mod kernel_requests;
mod large_tree;
mod loop_volume;
pub mod model;
mod mounted;
mod random;
mod rerun;
mod seed_action;
mod skip;
mod temp_dir;
mod tmpfs;
mod unprivileged;
mod varlink;
mod workload;

pub use host_state::HostState;
pub use kernel_requests::{KernelRequests, RequestCounts, connection_of};
pub use large_tree::LargeTree;
pub use loop_volume::LoopVolume;
#[doc(hidden)]
pub use rerun::rerun_unprivileged;
pub use seed_action::SeedAction;
pub use skip::{announce_skip, is_root};
pub use temp_dir::temp_dir;
pub use tmpfs::Tmpfs;
pub use unprivileged::Unprivileged;
pub use varlink::python_with_varlink;
pub use workload::{InputFile, READ_BYTES_MAX, ReadTotals, read_files};
