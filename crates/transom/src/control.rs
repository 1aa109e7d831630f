//! The control interface of a running view.

use std::env;
use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use serde_json::{Value, json};
use transom_control::Bytes;
use transom_control::view::{Change, Description, Error, Explanation};
use transom_projection::manifest::Document;
use transom_projection::{Change as ViewChange, Declaration, Manifest, View, ViewPath, shown};
use transom_view::Served;

use crate::summary::Requests;

/// Where a name was declared that has been added while the view was used.
const STEERING: &str = "run time";

/// A view that this process serves, and steers when `io.transom.View` is called.
pub(crate) struct OwnView {
    pub(crate) name: String,
    pub(crate) view: Arc<View>,
    pub(crate) served: Arc<Served>,
    pub(crate) engine: &'static str,
}

impl transom_control::view::ViewService for OwnView {
    fn describe(&self) -> Description {
        let statistics = self.view.statistics();
        Description {
            name: self.name.clone(),
            engine: self.engine.into(),
            epoch: self.view.epoch().into(),
            files: statistics.files,
            bytes: statistics.file_bytes,
            passthrough: self.served.passthrough(),
        }
    }

    fn update(&self, changes: &[Change]) -> Result<u64, Error> {
        let changes = changes
            .iter()
            .map(view_change)
            .collect::<anyhow::Result<_>>()
            .map_err(|error| refused(format_args!("{error:#}")))?;
        let update = self.view.prepare(changes).map_err(refused)?;
        self.served
            .invalidate(update.names())
            .map_err(|error| refused(format_args!("the kernel could not be told: {error}")))?;
        let listings = update.apply();
        self.served.invalidate(&listings).map_err(|error| {
            refused(format_args!(
                "applied, but the kernel could not be told to list directories anew: {error}"
            ))
        })?;
        Ok(self.view.epoch().into())
    }

    fn explain(&self, path: &Bytes) -> Result<Explanation, Error> {
        let path = path_of(path).map_err(|error| refused(format_args!("{error:#}")))?;
        let explanation = self.view.explain(&path);
        let text = explanation.to_string();
        Ok(Explanation {
            text,
            explanation: serde_json::to_value(explanation).unwrap_or_default(),
        })
    }

    fn trace(&self) -> Result<Value, Error> {
        match self.view.trace() {
            Some(report) => Ok(serde_json::to_value(report).unwrap_or_default()),
            None => Err(Error::Unavailable {
                message: "the view is not traced; start it with `--trace FILE`".into(),
            }),
        }
    }

    fn statistics(&self) -> Value {
        let requests = self
            .served
            .statistics()
            .as_ref()
            .map(Requests::from)
            .unwrap_or_default();
        serde_json::to_value(requests).unwrap_or_default()
    }
}

/// A change as the wire has it, in the view's own terms.
fn view_change(change: &Change) -> anyhow::Result<ViewChange> {
    Ok(match change {
        Change::Add(input) => ViewChange::Add(declaration(input)?),
        Change::Replace(input) => ViewChange::Replace(declaration(input)?),
        Change::Withdraw(name) => ViewChange::Withdraw(path_of(name)?),
        Change::Redirect { name, file } => ViewChange::Redirect {
            name: path_of(name)?,
            source: file.as_path().to_owned(),
        },
    })
}

/// One input of a manifest. Its parser is the manifest's own.
fn declaration(input: &Value) -> anyhow::Result<Declaration> {
    let manifest = serde_json::to_vec(&json!({ "version": 1, "inputs": [input] }))?;
    let document = Document {
        label: STEERING.into(),
        bytes: &manifest,
        base: Path::new("/"),
    };
    let no_files = &mut |path: &Path, _| {
        let message = format!("a change cannot refer to a list ({})", shown(&path));
        Err(std::io::Error::new(
            std::io::ErrorKind::Unsupported,
            message,
        ))
    };
    let mut inputs = Manifest::parse(&document, no_files)?.inputs;
    match (inputs.pop(), inputs.is_empty()) {
        (Some(mut input), true) => {
            input.origin.line = None;
            Ok(input)
        }
        _ => bail!("a change declares exactly one name"),
    }
}

fn path_of(bytes: &Bytes) -> anyhow::Result<ViewPath> {
    let bytes: &OsStr = bytes.as_ref();
    ViewPath::parse_inside(bytes.as_bytes()).with_context(|| format!("`{}`", shown(&bytes)))
}

fn refused(message: impl fmt::Display) -> Error {
    let message = message.to_string();
    Error::Refused { message }
}

/// The directory of the sockets of this user's running views.
pub(crate) fn directory() -> PathBuf {
    match env::var_os("XDG_RUNTIME_DIR") {
        Some(directory) => Path::new(&directory).join("transom"),
        None if rustix::process::geteuid().is_root() => "/run/transom".into(),
        None => env::temp_dir().join(format!("transom-{}", rustix::process::geteuid().as_raw())),
    }
}

/// Where a view of that name listens.
pub(crate) fn socket(name: &str) -> anyhow::Result<PathBuf> {
    let plain = |character: char| character.is_ascii_alphanumeric() || "-_.".contains(character);
    if name.is_empty() || name.starts_with('.') || name.len() > 64 || !name.chars().all(plain) {
        bail!("{name:?} cannot name a view: use up to 64 letters, digits, `-`, `_` and `.`");
    }
    Ok(directory().join(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_views_are_file_names() {
        assert!(socket("build-7").is_ok());
        for name in ["", "..", "a/b", ".hidden", &"x".repeat(65)] {
            assert!(socket(name).is_err(), "{name:?}");
        }
    }
}
