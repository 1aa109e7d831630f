//! `transom explain`: why a name is there, or is not.

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use transom_control::Bytes;
use transom_control::view::Explain;
use transom_projection::{Tree, shown};

use crate::covers;
use crate::declared::{read_manifest, view_name};
use crate::streams::print_line;

/// Say why a path exists in a view, or why it does not.
///
/// For a running view the answer includes the version of the host file that
/// answers, and what became of it since. For a manifest, nothing is run.
#[derive(Debug, clap::Args)]
pub(crate) struct ExplainArguments {
    /// The name of a running view, or a manifest file.
    view: OsString,
    /// The path, as the action sees it.
    path: OsString,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn explain(arguments: ExplainArguments) -> anyhow::Result<ExitCode> {
    let ExplainArguments { view, path, json } = arguments;
    let manifest = Path::new(&view);
    let (text, value) = if manifest.is_file() {
        let declared = read_manifest(manifest)?;
        let mut tree = Tree::build(declared.inputs)?;
        tree.cover(covers::of_manifest(&declared.action));
        let explanation = tree.explain(&view_name("PATH", &path)?);
        (explanation.to_string(), serde_json::to_value(explanation)?)
    } else {
        let explained = super::view::connect(&view.to_string_lossy())
            .with_context(|| format!("{} is no manifest file", shown(&manifest)))?
            .call(&Explain {
                path: Bytes::from(&path),
            })?;
        (explained.text, explained.explanation)
    };
    if json {
        print_line(serde_json::to_string_pretty(&value)?)?;
    } else {
        print_line(text)?;
    }
    Ok(ExitCode::SUCCESS)
}
