use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Arc;

use super::already_declared::AlreadyDeclared;
use super::error::{ManifestError, Problem, quoted};
use super::input::{self, Input};
use super::json::{Json, LineCounter};
use super::{BYTES_MAX, Document, INPUTS_MAX, ReadFile, Separator, parse_depfile, parse_file_list};
use crate::{Declaration, Origin, ViewPath, shown};

/// A file that names further inputs.
pub(super) struct Reference {
    /// Where it is on the host.
    pub(super) path: PathBuf,
    /// What relative paths in it are relative to.
    pub(super) relative_to: PathBuf,
    /// Where in the view their names are.
    pub(super) under: ViewPath,
}

impl Reference {
    fn document<'a>(&'a self, bytes: &'a [u8]) -> Document<'a> {
        Document {
            label: Arc::from(shown(&self.path).to_string()),
            bytes,
            base: &self.relative_to,
        }
    }
}

/// Parses the array `inputs` of `document` and the files it refers to.
pub(super) fn parse(
    inputs: Json<'_>,
    document: &Document<'_>,
    read: &mut ReadFile<'_>,
) -> Result<Vec<Declaration>, ManifestError> {
    let mut declarations = Vec::new();
    let mut depfiles = Vec::new();
    let mut references = References {
        read,
        bytes_left: BYTES_MAX - document.bytes.len(),
    };
    let mut lines = LineCounter::default();
    let mut number = 0;
    inputs.for_each_item(|json| {
        number += 1;
        match input::parse(json, number, document.base)? {
            Input::Mapping(name, mapping) => {
                let origin = lines.origin(json);
                let declaration = Declaration {
                    name,
                    mapping,
                    origin,
                };
                push(declaration, &mut declarations, 0)
            }
            Input::FileList(reference, separator) => {
                let bytes = references.read(json, &reference)?;
                let list = reference.document(&bytes);
                add_file_list(&list, separator, &reference.under, &mut declarations)
            }
            // What a depfile adds depends on all that is declared, hence last.
            Input::Depfile(reference) => {
                let bytes = references.read(json, &reference)?;
                depfiles.push((reference, bytes));
                Ok(())
            }
        }
    })?;
    let depfiles = depfiles
        .iter()
        .map(|(reference, bytes)| (reference.document(bytes), &reference.under));
    add_depfiles(depfiles, &mut declarations)?;
    Ok(declarations)
}

/// Adds to `declarations` what a file list names, see [`parse_file_list`]. There
/// are at most [`INPUTS_MAX`] declarations afterwards.
pub fn add_file_list(
    list: &Document<'_>,
    separator: Separator,
    under: &ViewPath,
    declarations: &mut Vec<Declaration>,
) -> Result<(), ManifestError> {
    parse_file_list(list, separator, under)
        .try_for_each(|declaration| push(declaration?, declarations, 0))
}

/// Adds to `declarations` the prerequisites that depfiles name, see
/// [`parse_depfile`], each depfile with the place in the view that its relative
/// paths are under.
///
/// A prerequisite is not added where it says nothing new: where name and host
/// file are those of another declaration, or of a file in a directory that is
/// declared as a whole. There are at most [`INPUTS_MAX`] declarations
/// afterwards.
pub fn add_depfiles<'a>(
    depfiles: impl IntoIterator<Item = (Document<'a>, &'a ViewPath)>,
    declarations: &mut Vec<Declaration>,
) -> Result<(), ManifestError> {
    let mut depfiles = depfiles.into_iter().peekable();
    if depfiles.peek().is_none() {
        return Ok(());
    }
    let mut known = AlreadyDeclared::by(declarations);
    let mut added = Vec::new();
    for (depfile, under) in depfiles {
        for declaration in parse_depfile(&depfile, under) {
            let declaration = declaration?;
            if known.insert(&declaration) {
                push(declaration, &mut added, declarations.len())?;
            }
        }
    }
    declarations.append(&mut added);
    Ok(())
}

/// Appends a declaration, if with the `others` there are not too many.
fn push(
    declaration: Declaration,
    declarations: &mut Vec<Declaration>,
    others: usize,
) -> Result<(), ManifestError> {
    if declarations.len() + others == INPUTS_MAX {
        let Origin { source, line } = &declaration.origin;
        let problem = Problem::TooMany {
            what: "inputs",
            max: INPUTS_MAX,
            remedy: "declare directories as a whole instead of their files",
        };
        return Err(ManifestError::new(source, *line, problem)
            .about(|| format!("input {}", quoted(declaration.name.as_bytes()))));
    }
    declarations.push(declaration);
    Ok(())
}

/// Reads the files that inputs refer to, as far as the limit allows.
struct References<'r, 'f> {
    read: &'r mut ReadFile<'f>,
    bytes_left: usize,
}

impl References<'_, '_> {
    /// The bytes of a file; `input` is the input that refers to it.
    fn read(&mut self, input: Json<'_>, reference: &Reference) -> Result<Vec<u8>, ManifestError> {
        let path = &reference.path;
        let problem = match (self.read)(path, self.bytes_left + 1) {
            Ok(bytes) if bytes.len() <= self.bytes_left => {
                self.bytes_left -= bytes.len();
                return Ok(bytes);
            }
            Ok(_) => Problem::TooLong,
            Err(cause) => Problem::Unreadable {
                path: path.clone(),
                cause,
            },
        };
        Err(input
            .error(problem)
            .about(|| format!("input from {}", quoted(path.as_os_str().as_bytes()))))
    }
}
