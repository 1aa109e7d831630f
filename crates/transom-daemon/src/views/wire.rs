//! What clients say, in the projection's own terms.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io;
use std::path::Path;

use serde_json::{Value, json};
use transom_control::Bytes;
use transom_control::view::Change;
use transom_control::views::{Create, Error, OnChange};
use transom_fuse::{Opcode, Statistics};
use transom_projection::manifest::Document;
use transom_projection::{
    Change as ViewChange, Declaration, Manifest, Origin, Tree, ViewPath, shown,
};

use super::refusals::invalid;

/// What a manifest that came with a call is called.
const MANIFEST: &str = "the manifest";
/// Who requires directories.
const CALLER: &str = "the caller";
/// Where a name was declared that was added while the view was used.
const STEERING: &str = "run time";

/// The tree of a manifest's inputs. Lists of files are for whoever wrote the
/// manifest to read: he may be able to where the daemon must not.
pub(super) fn tree(call: &Create) -> Result<Tree, Error> {
    let base = call.base.as_path();
    if !base.is_absolute() {
        return Err(invalid(format!("`{}` is no absolute path", shown(&base))));
    }
    let inputs = inputs(&call.manifest, base, MANIFEST)?;
    let mut tree = Tree::build(inputs).map_err(|errors| invalid(errors.to_string()))?;
    let origin = Origin {
        source: CALLER.into(),
        line: None,
    };
    for required in &call.required {
        tree.require_directory(&name(required)?, &origin)
            .map_err(|error| invalid(error.to_string()))?;
    }
    let covers = call.mounted.iter().map(serde_json::Value::clone);
    let covers: Result<_, _> = covers.map(serde_json::from_value).collect();
    tree.cover(covers.map_err(|error| invalid(format!("in `mounted`: {error}")))?);
    Ok(tree)
}

pub(super) fn changes(changes: &[Change]) -> Result<Vec<ViewChange>, Error> {
    changes.iter().map(change).collect()
}

pub(super) fn name(bytes: &Bytes) -> Result<ViewPath, Error> {
    let bytes: &OsStr = bytes.as_ref();
    ViewPath::parse_inside(bytes.as_encoded_bytes()).map_err(|error| invalid(error.to_string()))
}

pub(super) fn on_change(wanted: OnChange) -> transom_projection::OnChange {
    match wanted {
        OnChange::Refuse => transom_projection::OnChange::Refuse,
        OnChange::Report => transom_projection::OnChange::Report,
        OnChange::Ignore => transom_projection::OnChange::Ignore,
    }
}

fn change(change: &Change) -> Result<ViewChange, Error> {
    Ok(match change {
        Change::Add(input) => ViewChange::Add(declaration(input)?),
        Change::Replace(input) => ViewChange::Replace(declaration(input)?),
        Change::Withdraw(withdrawn) => ViewChange::Withdraw(name(withdrawn)?),
        Change::Redirect { name: of, file } => ViewChange::Redirect {
            name: name(of)?,
            source: file.as_path().to_owned(),
        },
    })
}

/// One input of a manifest. Its parser is the manifest's own.
fn declaration(input: &Value) -> Result<Declaration, Error> {
    let manifest = json!({ "version": 1, "inputs": [input] });
    let mut inputs = inputs(&manifest, Path::new("/"), STEERING)?;
    match (inputs.pop(), inputs.is_empty()) {
        (Some(mut input), true) => {
            input.origin.line = None;
            Ok(input)
        }
        _ => Err(invalid("a change declares exactly one name".into())),
    }
}

fn inputs(manifest: &Value, base: &Path, label: &str) -> Result<Vec<Declaration>, Error> {
    let bytes = serde_json::to_vec(manifest).map_err(|error| invalid(error.to_string()))?;
    let document = Document {
        label: label.into(),
        bytes: &bytes,
        base,
    };
    let no_files = &mut |path: &Path, _| {
        let message = format!(
            "a call cannot refer to a list ({}); send what is in it",
            shown(&path)
        );
        Err(io::Error::new(io::ErrorKind::Unsupported, message))
    };
    let manifest = Manifest::parse(&document, no_files);
    Ok(manifest.map_err(|error| invalid(error.to_string()))?.inputs)
}

/// As the summary of a run has it.
pub(super) fn statistics(statistics: &Statistics) -> Value {
    let requests = statistics.requests.iter();
    let by_opcode: BTreeMap<_, _> = requests
        .map(|(opcode, count)| (format!("{opcode:?}").to_uppercase(), count))
        .collect();
    json!({
        "total": statistics.total(),
        "read": statistics.count(Opcode::Read),
        "by_opcode": by_opcode,
        "passthrough_opens": statistics.passthrough_opens,
        "served_opens": statistics.served_opens,
        "bytes_served": statistics.bytes_read,
    })
}
