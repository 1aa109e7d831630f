//! Manifests: how an action is declared as JSON.
//!
//! A pure parser. Bytes go in, values come out, and the host's files are not
//! looked at: whether a source exists and is what it was declared to be is
//! found out when the view is made, and so are conflicts between declarations.
//! The only other bytes that are needed, those of the file lists and depfiles
//! that a manifest refers to, are asked for through a callback.
//!
//! `docs/manifest.md` describes the format by example, and
//! `docs/manifest.schema.json` is its schema; tests hold all three together.

mod action;
mod action_fields;
mod already_declared;
mod depfile;
mod error;
mod file_list;
mod host_path;
mod input;
mod inputs;
mod json;
mod mapping_text;
mod position;
mod suggestion;

#[cfg(test)]
mod tests;

use std::io;
use std::path::Path;
use std::sync::Arc;

pub use action::{
    ActionSection, Environment, Inherit, Output, OutputKind, RootBase, TmpKind, WritableDirectory,
};
pub use depfile::parse_depfile;
pub use error::ManifestError;
pub use file_list::{Separator, parse_file_list};
pub use host_path::NamedPath;
pub use inputs::{add_depfiles, add_file_list};

use crate::Declaration;
use error::Problem;
use json::Source;

/// The most inputs that a manifest declares, those of its file lists and
/// depfiles included.
pub const INPUTS_MAX: usize = 1_000_000;

/// The most outputs, and the most writable directories, that a manifest
/// declares.
pub const OUTPUTS_MAX: usize = 100_000;

/// The most bytes that a manifest has, together with the file lists and
/// depfiles it refers to.
pub const BYTES_MAX: usize = 256 << 20;

/// The longest argument or environment value, in bytes (`MAX_ARG_STRLEN` of
/// Linux with pages of 4 KiB, less the terminating NUL).
pub const STRING_BYTES_MAX: usize = 131_071;

/// The longest timeout, in seconds: a year.
pub const TIMEOUT_SECONDS_MAX: u32 = 365 * 24 * 60 * 60;

/// An action as it is declared: what it sees, and what it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Manifest {
    /// The view. Prerequisites of depfiles come last, and only those that
    /// nothing else declares.
    pub inputs: Vec<Declaration>,
    /// Everything else.
    pub action: ActionSection,
}

/// Some bytes to parse, and where they come from.
#[derive(Debug, Clone)]
pub struct Document<'a> {
    /// What messages call it: its path as the user wrote it.
    pub label: Arc<str>,
    /// Its bytes.
    pub bytes: &'a [u8],
    /// The directory that relative host paths in it are relative to; absolute.
    pub base: &'a Path,
}

/// Reads a file that a manifest refers to: the first bytes of the file at an
/// absolute path, as many as there are but at most the given number, which is
/// one more than the parser accepts.
pub type ReadFile<'a> = dyn FnMut(&Path, usize) -> io::Result<Vec<u8>> + 'a;

impl Manifest {
    /// Parses a manifest, with the files it refers to, up to the first error.
    pub fn parse(document: &Document<'_>, read: &mut ReadFile<'_>) -> Result<Self, ManifestError> {
        let source = Source {
            label: &document.label,
            text: text_of(document)?,
        };
        let root = source.root();
        let [_schema, version, inputs, action @ ..] = root.fields(&FIELDS)?;
        let version = root.required(version, "version")?;
        if version.number()? != f64::from(VERSION) {
            return Err(version.error(Problem::Version));
        }
        let inputs = match inputs {
            Some(inputs) => inputs::parse(inputs, document, read)?,
            None => Vec::new(),
        };
        let action = ActionSection::parse(action, document.base)?;
        Ok(Self { inputs, action })
    }
}

/// The version of the format that this program understands.
const VERSION: u32 = 1;

/// The fields of a manifest. Those from `outputs` on are the action's.
const FIELDS: [&str; 3 + action_fields::FIELDS_COUNT] = [
    "$schema",
    "version",
    "inputs",
    "outputs",
    "writable",
    "command",
    "working_directory",
    "environment",
    "root",
    "mount_at",
    "network",
    "tmp",
    "dev",
    "proc",
    "timeout_seconds",
];

fn text_of<'a>(document: &Document<'a>) -> Result<&'a str, ManifestError> {
    if document.bytes.len() > BYTES_MAX {
        return Err(ManifestError::new(&document.label, None, Problem::TooLong));
    }
    str::from_utf8(document.bytes).map_err(|error| {
        let (line, column) = position::line_and_column(document.bytes, error.valid_up_to());
        ManifestError::new(&document.label, Some(line), Problem::NotText).at_column(column)
    })
}
