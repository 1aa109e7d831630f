//! What becomes of the outputs, and of the exit code, when a command has ended.

use std::path::PathBuf;

use transom_projection::{ChangedInput, OnChange, ViewPath};
use transom_sandbox::outputs::Problem;
use transom_sandbox::{Action, Error, Exit, Finished, Scratch, outputs};

use crate::exit::{self, End};
use crate::summary::{OutputState, OutputSummary};

/// What became of an action.
pub(super) struct Outcome {
    pub(super) end: End,
    pub(super) outputs: Vec<OutputSummary>,
    pub(super) undeclared: Vec<ViewPath>,
    pub(super) kept: Option<PathBuf>,
    /// What is wrong.
    pub(super) errors: Vec<String>,
}

/// Collects the outputs if everything went well, and says what did not.
pub(super) fn settle(
    finished: &Finished,
    changed: &[ChangedInput],
    on_change: OnChange,
    action: &Action,
    scratch: Option<Scratch>,
    keep_failed: bool,
) -> anyhow::Result<Outcome> {
    let mut errors: Vec<_> = changed
        .iter()
        .filter(|input| input.is_wrong())
        .map(|input| format!("input {input}"))
        .collect();
    let mut end = End::of(finished.exit);
    if finished.exit == Exit::TimedOut {
        let timeout = action.timeout.unwrap_or_default();
        errors.push(format!(
            "the command was ended because it ran longer than {timeout:?}"
        ));
    }
    let mut succeeded = finished.exit.is_success();
    let is_any_wrong = changed.iter().any(ChangedInput::is_wrong);
    if succeeded && on_change == OnChange::Refuse && is_any_wrong {
        errors
            .push("outputs are not collected, because inputs changed while the command ran".into());
        end = End::Code(exit::NOT_AS_DECLARED);
        succeeded = false;
    }
    let declared = action.outputs.iter();
    let mut outputs: Vec<_> = declared
        .map(|output| OutputSummary::new(output, OutputState::Discarded))
        .collect();
    let (mut undeclared, mut kept) = (outputs::Undeclared::default(), None);
    if let Some(scratch) = scratch {
        if succeeded {
            match outputs::collect(&scratch, action) {
                Ok(collected) => {
                    for (summary, output) in outputs.iter_mut().zip(&action.outputs) {
                        summary.state = match collected.absent.contains(&output.path) {
                            true => OutputState::Missing,
                            false => OutputState::Published,
                        };
                    }
                    undeclared = collected.undeclared;
                }
                Err(error) => {
                    for missing in missing(&error) {
                        let summaries = outputs.iter_mut().zip(&action.outputs);
                        summaries
                            .filter(|(_, output)| output.path == *missing)
                            .for_each(|(summary, _)| summary.state = OutputState::Missing);
                    }
                    errors.extend(messages(&error));
                    end = End::Code(exit::NOT_AS_DECLARED);
                    succeeded = false;
                }
            }
        } else {
            undeclared = outputs::undeclared(&scratch, action)?;
        }
        if !succeeded && keep_failed {
            kept = Some(scratch.keep()?);
            outputs
                .iter_mut()
                .filter(|output| output.state == OutputState::Discarded)
                .for_each(|output| output.state = OutputState::Kept);
        }
    }
    Ok(Outcome {
        end,
        outputs,
        undeclared: undeclared.paths,
        kept,
        errors,
    })
}

/// One message for each thing that is wrong.
fn messages(error: &Error) -> Vec<String> {
    match error {
        Error::Outputs(unacceptable) => unacceptable
            .problems
            .iter()
            .map(ToString::to_string)
            .collect(),
        other => vec![other.to_string()],
    }
}

fn missing(error: &Error) -> impl Iterator<Item = &ViewPath> {
    let problems = match error {
        Error::Outputs(unacceptable) => &unacceptable.problems[..],
        _ => &[],
    };
    problems.iter().filter_map(|problem| match problem {
        Problem::Missing { path, .. } => Some(path),
        _ => None,
    })
}
