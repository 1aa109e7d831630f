//! Runs commands that see exactly what they are given, from any program, without
//! a daemon and without an async runtime.
//!
//! ```no_run
//! use std::process::Command;
//! use transom_view::View;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // As anybody but root: before there are threads.
//! transom_view::obtain_privilege()?;
//!
//! let view = View::builder()
//!     .directory("usr", "/usr")
//!     .symlink("bin", "usr/bin")
//!     .symlink("lib", "usr/lib")
//!     .symlink("lib64", "usr/lib64")
//!     .file("work/main.c", "src/main.c")
//!     .output("work/out/main", "build/main")
//!     .build()?;
//! let mut compiler = Command::new("gcc");
//! compiler
//!     .args(["-o", "out/main", "main.c"])
//!     .env("PATH", "/bin")
//!     .current_dir("/work");
//! let finished = view.spawn(&compiler)?.wait()?;
//! assert!(finished.is_success(), "{finished:?}");
//! // `build/main` is there now.
//! # Ok(())
//! # }
//! ```
//!
//! A [`View`] is a tree of names, each of which stands for an existing host file
//! or directory. What is not declared does not exist for the command. Every
//! input is opened when the view is built; one that is replaced on the host
//! meanwhile stays as it was, one that is changed in place is reported. The
//! command writes to scratch, and its declared outputs are moved to their
//! destinations when it has succeeded.
//!
//! A view can be used for many commands, one after the other or at the same
//! time; nothing of one is seen by another.
//!
//! What `transom run` does beyond that (manifests, traces, steering) is in the
//! crates below: `transom-projection` for views, `transom-sandbox` for actions.

mod builder;
mod engine;
mod error;
mod privilege;
mod running;
mod tree;
mod view;

pub use builder::ViewBuilder;
pub use engine::{Engine, Served};
pub use error::{Error, Result};
pub use privilege::{obtain_privilege, owners};
pub use running::{Finished, Running};
pub use transom_projection::ChangedInput;
pub use transom_sandbox::outputs::Collected;
pub use transom_sandbox::{Exit, Network, Stdio};
pub use tree::tree_for;
pub use view::View;
