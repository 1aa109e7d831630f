//! Tests of the format as a whole; those of its parts are beside the parts.

mod complaints;
mod documents;
mod limits;
mod meaning;
mod properties;
mod schema;
mod validator;

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::{Document, Manifest};

/// Parses a manifest called `action.json` in `/base` that refers to no files.
fn parse(text: impl AsRef<[u8]>) -> Result<Manifest, String> {
    parse_with(text, &[])
}

/// Parses a manifest that refers to these files.
fn parse_with(text: impl AsRef<[u8]>, files: &[(&str, &str)]) -> Result<Manifest, String> {
    let files: HashMap<_, _> = files
        .iter()
        .map(|(path, text)| (Path::new(*path), text.as_bytes()))
        .collect();
    let document = Document {
        label: Arc::from("action.json"),
        bytes: text.as_ref(),
        base: Path::new("/base"),
    };
    let mut read = |path: &Path, bytes_max: usize| match files.get(path) {
        Some(bytes) => Ok(bytes[..bytes.len().min(bytes_max)].to_vec()),
        None => Err(io::ErrorKind::NotFound.into()),
    };
    Manifest::parse(&document, &mut read).map_err(|error| error.to_string())
}
