use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::error::{ManifestError, Problem, quoted};
use super::host_path::{check_string, resolve};
use super::input::view_path;
use super::json::{Fields, Json, LineCounter};
use super::{
    ActionSection, Environment, Inherit, OUTPUTS_MAX, Output, OutputKind, RootBase,
    STRING_BYTES_MAX, TIMEOUT_SECONDS_MAX, TmpKind, WritableDirectory,
};
use crate::ViewPath;

/// How many fields of a manifest are the action's.
pub(super) const FIELDS_COUNT: usize = 12;

/// The fields of an output.
pub(super) const OUTPUT_FIELDS: [&str; 4] = ["name", "kind", "destination", "optional"];

/// The fields of an environment.
pub(super) const ENVIRONMENT_FIELDS: [&str; 2] = ["inherit", "set"];

impl ActionSection {
    /// Parses the values of the action's fields, in the order of
    /// [`super::FIELDS`].
    pub(super) fn parse(
        fields: Fields<'_, FIELDS_COUNT>,
        base: &Path,
    ) -> Result<Self, ManifestError> {
        let [
            outputs,
            writable,
            command,
            working_directory,
            environment,
            root,
            mount_at,
            network,
            tmp,
            dev,
            proc,
            timeout,
        ] = fields;
        let root = root.map(|root| root.word(&ROOTS)).transpose()?;
        Ok(Self {
            outputs: match outputs {
                Some(outputs) => parse_outputs(outputs, base)?,
                None => Vec::new(),
            },
            writable: match writable {
                Some(writable) => parse_writable(writable)?,
                None => Vec::new(),
            },
            command: command.map(parse_command).transpose()?,
            working_directory: working_directory
                .map(|name| view_path(name, "working directory"))
                .transpose()?,
            environment: match environment {
                Some(environment) => parse_environment(environment)?,
                None => Environment::default(),
            },
            root,
            mount_at: mount_at
                .map(|mount_at| parse_mount_at(mount_at, root))
                .transpose()?,
            network: network.map(Json::boolean).transpose()?,
            tmp: tmp.map(|tmp| tmp.word(&TMPS)).transpose()?,
            dev: dev.map(Json::boolean).transpose()?,
            proc: proc.map(Json::boolean).transpose()?,
            timeout: timeout.map(parse_timeout).transpose()?,
        })
    }
}

fn parse_outputs(outputs: Json<'_>, base: &Path) -> Result<Vec<Output>, ManifestError> {
    let mut lines = LineCounter::default();
    let mut parsed = Vec::new();
    outputs.for_each_item(|output| {
        check_room(&parsed, output, "outputs")?;
        let [name, kind, destination, optional] = output.fields(&OUTPUT_FIELDS)?;
        let name = output.required(name, "name")?;
        let written = name.bytes()?;
        let about = |error: ManifestError| error.about(|| format!("output {}", quoted(&written)));
        let kind = output.required(kind, "kind").map_err(about)?;
        let destination = output.required(destination, "destination").map_err(about)?;
        parsed.push(Output {
            name: view_path(name, "output")?,
            kind: kind.word(&OUTPUT_KINDS).map_err(about)?,
            destination: resolve(&destination.bytes().map_err(about)?, base)
                .map_err(|problem| about(destination.error(problem)))?,
            optional: optional.map_or(Ok(false), Json::boolean).map_err(about)?,
            origin: lines.origin(output),
        });
        Ok(())
    })?;
    Ok(parsed)
}

fn parse_writable(writable: Json<'_>) -> Result<Vec<WritableDirectory>, ManifestError> {
    let mut lines = LineCounter::default();
    let mut parsed = Vec::new();
    writable.for_each_item(|directory| {
        check_room(&parsed, directory, "writable directories")?;
        parsed.push(WritableDirectory {
            name: view_path(directory, "writable directory")?,
            origin: lines.origin(directory),
        });
        Ok(())
    })?;
    Ok(parsed)
}

fn check_room<T>(parsed: &[T], next: Json<'_>, what: &'static str) -> Result<(), ManifestError> {
    if parsed.len() == OUTPUTS_MAX {
        return Err(next.error(Problem::TooMany {
            what,
            max: OUTPUTS_MAX,
            remedy: "declare a directory that holds them",
        }));
    }
    Ok(())
}

fn parse_command(command: Json<'_>) -> Result<Vec<OsString>, ManifestError> {
    let mut arguments: Vec<OsString> = Vec::new();
    command.for_each_item(|argument| {
        arguments.push(string(argument, "an argument")?);
        Ok(())
    })?;
    match arguments.first() {
        Some(program) if !program.is_empty() => Ok(arguments),
        _ => Err(command.error(Problem::NoProgram)),
    }
}

fn parse_environment(environment: Json<'_>) -> Result<Environment, ManifestError> {
    let [inherit, set] = environment.fields(&ENVIRONMENT_FIELDS)?;
    Ok(Environment {
        inherit: inherit.map(parse_inherit).transpose()?,
        set: match set {
            Some(set) => parse_variables(set)?,
            None => BTreeMap::new(),
        },
    })
}

fn parse_inherit(inherit: Json<'_>) -> Result<Inherit, ManifestError> {
    if !inherit.is_array() {
        let everything = inherit.word(&INHERIT_WORDS)?;
        return Ok(if everything {
            Inherit::All
        } else {
            Inherit::None
        });
    }
    let mut names = Vec::new();
    inherit.for_each_item(|item| {
        let name = string(item, "the name of a variable")?;
        check_variable_name(&name, item)?;
        names.push(name);
        Ok(())
    })?;
    Ok(Inherit::Only(names))
}

fn parse_variables(set: Json<'_>) -> Result<BTreeMap<OsString, OsString>, ManifestError> {
    let mut variables = BTreeMap::new();
    set.for_each_field(|name, value| {
        let about = |error: ManifestError| error.about(|| format!("variable {name:?}"));
        let key = OsString::from(&*name);
        check_variable_name(&key, value).map_err(about)?;
        let value_bytes = string(value, "the value").map_err(about)?;
        match variables.insert(key, value_bytes) {
            Some(_) => Err(value.error(Problem::RepeatedField(name.into_owned()))),
            None => Ok(()),
        }
    })?;
    Ok(variables)
}

fn check_variable_name(name: &OsString, json: Json<'_>) -> Result<(), ManifestError> {
    let name = name.as_encoded_bytes();
    if name.is_empty() || name.contains(&b'=') || name.contains(&0) {
        return Err(json.error(Problem::VariableName));
    }
    Ok(())
}

/// A string that becomes an argument or part of the environment of a process.
fn string(json: Json<'_>, what: &'static str) -> Result<OsString, ManifestError> {
    let bytes = json.bytes()?;
    check_string(what, &bytes, STRING_BYTES_MAX).map_err(|problem| json.error(problem))?;
    Ok(OsString::from_vec(bytes.into_owned()))
}

fn parse_mount_at(mount_at: Json<'_>, root: Option<RootBase>) -> Result<PathBuf, ManifestError> {
    let bytes = mount_at.bytes()?;
    match ViewPath::parse_inside(&bytes) {
        Ok(path)
            if bytes.starts_with(b"/")
                && !path.is_root()
                && root != Some(RootBase::HostReadOnly) =>
        {
            Err(mount_at.error(Problem::MountPointInView))
        }
        Ok(path) if bytes.starts_with(b"/") && !path.is_root() => {
            Ok(PathBuf::from(path.to_absolute()))
        }
        _ => Err(mount_at.error(Problem::MountPoint)),
    }
}

fn parse_timeout(timeout: Json<'_>) -> Result<Duration, ManifestError> {
    let seconds = timeout.number()?;
    match Duration::try_from_secs_f64(seconds) {
        Ok(duration) if !duration.is_zero() && seconds <= f64::from(TIMEOUT_SECONDS_MAX) => {
            Ok(duration)
        }
        _ => Err(timeout.error(Problem::Timeout)),
    }
}

const OUTPUT_KINDS: [(&str, OutputKind); 2] = [
    ("file", OutputKind::File),
    ("directory", OutputKind::Directory),
];

const ROOTS: [(&str, RootBase); 2] = [
    ("view", RootBase::View),
    ("host-ro", RootBase::HostReadOnly),
];

const TMPS: [(&str, TmpKind); 3] = [
    ("memory", TmpKind::Memory),
    ("scratch", TmpKind::Scratch),
    ("none", TmpKind::None),
];

/// Words for "everything" and for "nothing".
const INHERIT_WORDS: [(&str, bool); 2] = [("all", true), ("none", false)];
