use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use super::Separator;
use super::error::{ManifestError, Problem, quoted};
use super::host_path::{check_not_empty, check_string, resolve};
use super::inputs::Reference;
use super::json::{Fields, Json};
use crate::{Mapping, PATH_BYTES_MAX, ViewPath};

/// One element of `inputs`.
pub(super) enum Input {
    /// A name and what it stands for.
    Mapping(ViewPath, Mapping),
    /// The inputs that a file list names.
    FileList(Reference, Separator),
    /// The inputs that a depfile names.
    Depfile(Reference),
}

/// The fields of which an input has exactly one.
pub(super) const KINDS: [&str; 6] = [
    "file",
    "directory",
    "symlink",
    "empty_directory",
    "file_list",
    "depfile",
];

/// All fields of an input: [`KINDS`] first, in their order.
pub(super) const FIELDS: [&str; 11] = [
    "file",
    "directory",
    "symlink",
    "empty_directory",
    "file_list",
    "depfile",
    "name",
    "executable",
    "under",
    "relative_to",
    "separator",
];

/// Parses an element of `inputs`, the `number`th.
pub(super) fn parse(json: Json<'_>, number: usize, base: &Path) -> Result<Input, ManifestError> {
    let by_number = |error: ManifestError| error.about(|| format!("input {number}"));
    let fields = json.fields(&FIELDS).map_err(by_number)?;
    let [.., name, _, _, _, _] = &fields;
    let name = name.map(Json::bytes).transpose().map_err(by_number)?;
    let entry = Entry {
        json,
        base,
        fields: &fields,
        name: name.as_deref(),
    };
    entry.parse().map_err(|error| match entry.name {
        Some(name) => error.about(|| format!("input {}", quoted(name))),
        None => by_number(error),
    })
}

struct Entry<'a, 'b> {
    json: Json<'a>,
    base: &'b Path,
    fields: &'b Fields<'a, { FIELDS.len() }>,
    /// The name as it was written, which is how messages show it.
    name: Option<&'b [u8]>,
}

impl Entry<'_, '_> {
    fn parse(&self) -> Result<Input, ManifestError> {
        let [kinds @ .., _, executable, _, _, separator] = self.fields;
        match *kinds {
            [Some(file), None, None, None, None, None] => {
                self.only_beside("file", &["name", "executable"])?;
                let source = self.path(file)?;
                let executable = executable.map(Json::boolean).transpose()?;
                self.mapping(Mapping::File { source, executable })
            }
            [None, Some(directory), None, None, None, None] => {
                self.only_beside("directory", &["name"])?;
                let source = self.path(directory)?;
                self.mapping(Mapping::Directory { source })
            }
            [None, None, Some(symlink), None, None, None] => {
                self.only_beside("symlink", &["name"])?;
                let target = symlink_target(symlink)?;
                self.mapping(Mapping::Symlink { target })
            }
            [None, None, None, Some(empty), None, None] => {
                self.only_beside("empty_directory", &["name"])?;
                if !empty.boolean()? {
                    return Err(empty.error(Problem::OnlyTrue("empty_directory")));
                }
                self.mapping(Mapping::EmptyDirectory)
            }
            [None, None, None, None, Some(list), None] => {
                self.only_beside("file_list", &["under", "relative_to", "separator"])?;
                let separator = separator.map(|word| word.word(&SEPARATORS)).transpose()?;
                Ok(Input::FileList(
                    self.reference(list)?,
                    separator.unwrap_or_default(),
                ))
            }
            [None, None, None, None, None, Some(depfile)] => {
                self.only_beside("depfile", &["under", "relative_to"])?;
                Ok(Input::Depfile(self.reference(depfile)?))
            }
            _ => Err(self.json.error(Problem::Kind {
                found: self.given().filter(|field| KINDS.contains(field)).collect(),
            })),
        }
    }

    fn mapping(&self, mapping: Mapping) -> Result<Input, ManifestError> {
        let [.., name, _, _, _, _] = self.fields;
        let json = self.json.required(*name, "name")?;
        let name = self.name.unwrap_or_default();
        let name = ViewPath::parse(name).map_err(|invalid| json.error(Problem::Name(invalid)))?;
        Ok(Input::Mapping(name, mapping))
    }

    fn reference(&self, file: Json<'_>) -> Result<Reference, ManifestError> {
        let [.., under, relative_to, _] = self.fields;
        Ok(Reference {
            path: self.path(file)?,
            relative_to: match relative_to {
                Some(directory) => self.path(*directory)?,
                None => self.base.to_owned(),
            },
            under: match under {
                Some(under) => view_path(*under, "`under`")?,
                None => ViewPath::root(),
            },
        })
    }

    fn path(&self, path: Json<'_>) -> Result<PathBuf, ManifestError> {
        resolve(&path.bytes()?, self.base).map_err(|problem| path.error(problem))
    }

    /// The names of the fields that are given.
    fn given(&self) -> impl Iterator<Item = &'static str> {
        FIELDS
            .iter()
            .zip(self.fields)
            .filter(|(_, value)| value.is_some())
            .map(|(field, _)| *field)
    }

    fn only_beside(
        &self,
        kind: &'static str,
        meaningful: &[&'static str],
    ) -> Result<(), ManifestError> {
        match self
            .given()
            .find(|field| *field != kind && !meaningful.contains(field))
        {
            Some(field) => Err(self
                .json
                .error(Problem::FieldWithoutMeaning { field, kind })),
            None => Ok(()),
        }
    }
}

/// A name in the view; `role` is what it names, for messages.
pub(super) fn view_path(name: Json<'_>, role: &str) -> Result<ViewPath, ManifestError> {
    let written = name.bytes()?;
    ViewPath::parse(&written).map_err(|invalid| {
        let error = name.error(Problem::Name(invalid));
        error.about(|| format!("{role} {}", quoted(&written)))
    })
}

fn symlink_target(target: Json<'_>) -> Result<OsString, ManifestError> {
    let bytes = target.bytes()?;
    let what = "the target of the symbolic link";
    check_not_empty(what, &bytes)
        .and_then(|()| check_string(what, &bytes, PATH_BYTES_MAX))
        .map_err(|problem| target.error(problem))?;
    Ok(OsString::from_vec(bytes.into_owned()))
}

const SEPARATORS: [(&str, Separator); 2] =
    [("newline", Separator::Newline), ("nul", Separator::Nul)];
