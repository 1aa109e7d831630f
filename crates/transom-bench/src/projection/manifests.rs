//! Workloads as manifests, the form in which actions are declared.

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::json;
use transom_projection::manifest::Document;
use transom_projection::{Declaration, Manifest};
use transom_test::InputFile;

/// The text of a manifest: `inputs` below the directory `under` of the view,
/// and what `add` puts into it besides.
pub(crate) fn text(
    inputs: &[InputFile],
    under: &Path,
    further_inputs: &[serde_json::Value],
    command: &[&str],
) -> Result<String> {
    let entry =
        |input: &InputFile| json!({ "name": under.join(&input.name), "file": input.source });
    let entries: Vec<_> = inputs
        .iter()
        .map(entry)
        .chain(further_inputs.iter().cloned())
        .collect();
    let mut manifest = json!({ "version": 1, "inputs": entries });
    if !command.is_empty() {
        manifest["command"] = json!(command);
    }
    Ok(serde_json::to_string_pretty(&manifest)?)
}

/// What the engines start from.
pub(crate) fn declarations(inputs: &[InputFile]) -> Result<Vec<Declaration>> {
    parse(&text(inputs, Path::new(""), &[], &[])?)
}

/// The inputs that a manifest declares.
pub(crate) fn parse(text: &str) -> Result<Vec<Declaration>> {
    let document = Document {
        label: "manifest".into(),
        bytes: text.as_bytes(),
        base: Path::new("/"),
    };
    let manifest = Manifest::parse(&document, &mut |path, _| {
        Err(std::io::Error::other(path.display().to_string()))
    });
    Ok(manifest.context("a manifest of the bench")?.inputs)
}
