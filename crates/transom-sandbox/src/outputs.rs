//! Getting what an action made out of its scratch.
//!
//! Everything is examined before anything is moved: an output that is missing,
//! or that is not what it was declared to be, leaves the destinations as they
//! were. Then whatever lies on another volume than its destination is copied
//! there, to a directory that is scratch too; and at last everything is renamed
//! into place, one atomic step for each, old against new. If a step fails, those
//! before it are undone.
//!
//! What is replaced is gone for good, so it is looked at twice: before the
//! action runs, to say at once what cannot be; and when it has been exchanged
//! for the output, when nobody can put another in its place any more.
//!
//! The action controlled the scratch, so nothing here follows a symbolic link
//! in it.

mod check;
mod copy;
mod destination;
mod examine;
mod mark;
mod problem;
mod publish;
mod undeclared;

use std::fmt::Display;
use std::path::PathBuf;

use transom_projection::ViewPath;

use crate::error::Result;
use crate::{Action, Output, Scratch};
use destination::{Destination, Directories};

pub use check::Kept;
pub use problem::{Found, Named, Problem};
pub use undeclared::{UNDECLARED_NAMED_MAX, Undeclared};

/// The deepest directory inside of an output.
pub const OUTPUT_DEPTH_MAX: usize = 256;

/// How many entries of a directory are named when an output is missing there.
pub const ENTRIES_NAMED_MAX: usize = 8;

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

/// Checks that the outputs of `action` can be moved to their destinations, and
/// that nothing of what is `kept` would be lost. [`collect`] would find most of
/// it out too, but after the action has run.
pub fn check<'a, D: Display>(
    action: &Action,
    kept: impl IntoIterator<Item = Kept<'a, D>>,
) -> Result<()> {
    let problems = match check::destinations(action) {
        Ok(destinations) => {
            let losses = check::losses(action, &destinations, kept);
            // What is lost for certain need not be asked about.
            if losses.is_empty() {
                check::foreign(action, &destinations)
            } else {
                losses
            }
        }
        Err(problems) => problems,
    };
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

    let mut problems = Vec::new();
    let mut is_present = Vec::with_capacity(action.outputs.len());
    for output in &action.outputs {
        match examine::output(scratch.root(), output, action.keep_links) {
            Ok(present) => is_present.push(present),
            Err(problem) => problems.push(problem),
        }
    }
    let destinations = check::destinations(action).unwrap_or_else(|more| {
        problems.extend(more);
        Vec::new()
    });
    problems.extend(check::foreign(action, &destinations));
    if !problems.is_empty() {
        return Err(Unacceptable { problems }.into());
    }
    let outputs = action.outputs.iter().zip(&destinations).zip(is_present);
    let (present, absent): (Vec<_>, Vec<_>) = outputs.partition(|(_, present)| *present);
    let present: Vec<_> = present.into_iter().map(|(output, _)| output).collect();
    publish::all(scratch, &present, action.replace)?;
    Ok(Collected {
        published: present
            .into_iter()
            .map(|(output, _)| output.destination.clone())
            .collect(),
        absent: absent
            .into_iter()
            .map(|((output, _), _)| output.path.clone())
            .collect(),
        undeclared,
    })
}

/// The directories that exist and that hold the destinations of `outputs`, or
/// will hold directories for them.
pub(crate) fn directories(outputs: &[Output]) -> Vec<PathBuf> {
    let mut directories = Directories::default();
    let mut existing: Vec<_> = outputs
        .iter()
        .filter_map(|output| Destination::resolve(&output.destination, &mut directories).ok())
        .map(|destination| destination.directory.existing.clone())
        .collect();
    existing.dedup();
    existing
}

/// What an `action` that ended in whatever way wrote without having declared
/// it.
pub fn undeclared(scratch: &Scratch, action: &Action) -> Result<Undeclared> {
    scratch.remove_stubs()?;
    undeclared::find(scratch.root(), action)
}
