//! Getting what an action made out of its scratch.
//!
//! Everything is examined before anything is moved: an output that is missing,
//! or that is not what it was declared to be, leaves the destinations as they
//! were. Then whatever lies on another volume than its destination is copied
//! next to it, under a temporary name; and at last everything is renamed into
//! place, one atomic step for each, old against new. If a step fails, those
//! before it are undone.
//!
//! The action controlled the scratch, so nothing here follows a symbolic link
//! in it.

mod copy;
mod examine;
mod publish;
mod undeclared;

use std::path::PathBuf;

use transom_projection::ViewPath;

use crate::error::Result;
use crate::{Action, Scratch};

pub use examine::{ENTRIES_NAMED_MAX, OUTPUT_DEPTH_MAX, Problem};
pub use undeclared::{UNDECLARED_NAMED_MAX, Undeclared};

/// What [`collect`] did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Collected {
    /// Destinations that have their output now, in the order of declaration.
    pub published: Vec<PathBuf>,
    /// Optional outputs that the action did not make.
    pub absent: Vec<ViewPath>,
    /// What else the action wrote.
    pub undeclared: Undeclared,
}

/// Outputs that cannot be accepted. Nothing was moved.
#[derive(Debug, thiserror::Error)]
#[error("{}", problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct Unacceptable {
    /// All of them.
    pub problems: Vec<Problem>,
}

/// Checks that the outputs of `action` can all be had. The earlier the better:
/// [`collect`] would find it out after the action has run.
pub fn check(action: &Action) -> Result<()> {
    let problems = examine::collisions(&action.outputs);
    if problems.is_empty() {
        return Ok(());
    }
    Err(Unacceptable { problems }.into())
}

/// Moves the outputs of a successful `action` to their destinations. The
/// directories above a destination are made if needed.
pub fn collect(scratch: &Scratch, action: &Action) -> Result<Collected> {
    scratch.remove_stubs()?;
    let undeclared = undeclared::find(scratch.root(), action)?;

    let mut problems = examine::collisions(&action.outputs);
    let mut present = Vec::new();
    let mut absent = Vec::new();
    for output in &action.outputs {
        match examine::output(scratch.root(), output) {
            Ok(true) => present.push(output),
            Ok(false) => absent.push(output.path.clone()),
            Err(problem) => problems.push(problem),
        }
    }
    if !problems.is_empty() {
        return Err(Unacceptable { problems }.into());
    }
    publish::all(scratch.root(), &present)?;
    Ok(Collected {
        published: present
            .into_iter()
            .map(|output| output.destination.clone())
            .collect(),
        absent,
        undeclared,
    })
}

/// What an `action` that ended in whatever way wrote without having declared
/// it.
pub fn undeclared(scratch: &Scratch, action: &Action) -> Result<Undeclared> {
    scratch.remove_stubs()?;
    undeclared::find(scratch.root(), action)
}
