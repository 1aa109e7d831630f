//! What the user declared, by a manifest and by flags, as one value.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use transom_projection::manifest::{
    self, ActionSection, Document, Environment, Inherit, NamedPath, RootBase, Separator, TmpKind,
};
use transom_projection::{Declaration, Manifest, Mapping, Origin, ViewPath, shown};
use transom_sandbox::{Action, Base, Exceptions, Network, Output, OutputKind, Tmp, Writable};

use crate::commands::run::{
    ActionArguments, InputArguments, OutputArguments, Root, RunArguments, TmpChoice,
};

/// Where relative flags appear in the view when no manifest says otherwise.
const WORKING_DIRECTORY: &str = "work";

/// The environment of an action that is told nothing else: where Debian keeps
/// programs, and a home it can write to.
const DEFAULT_ENVIRONMENT: [(&str, &str); 2] =
    [("PATH", "/usr/local/bin:/usr/bin:/bin"), ("HOME", "/tmp")];

/// One action: its view's declarations and everything else about it.
pub(crate) struct Declared {
    pub(crate) inputs: Vec<Declaration>,
    pub(crate) action: Action,
}

impl Declared {
    /// Reads the manifest, if there is one, and lays the flags over it.
    pub(crate) fn from_arguments(arguments: &RunArguments) -> anyhow::Result<Self> {
        let manifest = arguments
            .inputs
            .manifest
            .as_deref()
            .map(read_manifest)
            .transpose()?;
        let has_manifest = manifest.is_some();
        let Manifest {
            mut inputs,
            action: section,
        } = manifest.unwrap_or_default();
        let base = base(&arguments.action, &section)?;
        let working_directory =
            working_directory(&arguments.action, &section, has_manifest, &base)?;
        let flags = Flags {
            under: &working_directory,
            here: &std::env::current_dir()?,
        };
        flags.add_inputs(&arguments.inputs, &mut inputs)?;

        let mut command = section.command.unwrap_or_default();
        if !arguments.command.is_empty() {
            command.clone_from(&arguments.command);
        }
        if command.is_empty() {
            bail!("no command to run; give one after `--`, or as `command` in the manifest");
        }
        let mut action = Action::new(command);
        action.environment = environment(section.environment, &arguments.action)?;
        action.working_directory = match &base {
            Base::View => working_directory.to_absolute().into(),
            Base::HostReadOnly { mount_at, .. } => mount_at.join(working_directory.as_os_str()),
        };
        action.base = base;
        if arguments.action.network || section.network == Some(true) {
            action.network = Network::Host;
        }
        action.proc = !arguments.action.no_proc && section.proc != Some(false);
        action.dev = !arguments.action.no_dev && section.dev != Some(false);
        action.tmp = tmp(arguments.action.tmp, section.tmp);
        action.timeout = timeout(arguments.action.timeout, section.timeout)?;
        action.writable = section
            .writable
            .into_iter()
            .map(|directory| Writable {
                path: directory.name,
                origin: directory.origin,
            })
            .collect();
        action.outputs = section.outputs.into_iter().map(output).collect();
        flags.add_outputs(&arguments.outputs, &mut action)?;
        action.replace = arguments.outputs.replace;
        action.keep_links = arguments.outputs.keep_links;
        check_nothing_is_hidden(&inputs, &action)?;
        Ok(Self { inputs, action })
    }
}

/// Refuses what nobody would see: the action's own `/proc`, `/dev` and `/tmp`
/// are mounted over those of the view.
fn check_nothing_is_hidden(inputs: &[Declaration], action: &Action) -> anyhow::Result<()> {
    if action.base != Base::View {
        return Ok(());
    }
    let private = [
        ("proc", action.proc, "--no-proc"),
        ("dev", action.dev, "--no-dev"),
        ("tmp", action.tmp != Tmp::AsDeclared, "--tmp none"),
    ];
    for (directory, is_private, remedy) in private {
        let directory = ViewPath::parse(directory.as_bytes())?;
        let is_hidden = |name: &&ViewPath| is_private && name.starts_with(&directory);
        let is_mount_point = |input: &Declaration| {
            input.name == directory && input.mapping == Mapping::EmptyDirectory
        };
        let why = format!(
            "would be hidden by the action's own `/{directory}`; `{remedy}` leaves that out"
        );
        for input in inputs {
            if is_hidden(&&input.name) && !is_mount_point(input) {
                bail!("{}: `{}` {why}", input.origin, input.name);
            }
        }
        let outputs = action.outputs.iter();
        let outputs = outputs.map(|output| (&output.path, &output.origin));
        let writable = action.writable.iter();
        let writable = writable.map(|writable| (&writable.path, &writable.origin));
        for (name, origin) in outputs.chain(writable.filter(|(name, _)| **name != directory)) {
            if is_hidden(&name) {
                bail!("{origin}: `{name}`, which the action is to write, {why}");
            }
        }
    }
    Ok(())
}

/// Reads a manifest and the lists it refers to.
pub(crate) fn read_manifest(path: &Path) -> anyhow::Result<Manifest> {
    let (label, bytes, base) = if path == Path::new("-") {
        let mut bytes = Vec::new();
        io::stdin()
            .take(manifest::BYTES_MAX as u64 + 1)
            .read_to_end(&mut bytes)
            .context("reading standard input")?;
        ("standard input".into(), bytes, std::env::current_dir()?)
    } else {
        let bytes = read_at_most(path, manifest::BYTES_MAX + 1)
            .with_context(|| format!("cannot read {}", shown(path)))?;
        let path = std::path::absolute(path)?;
        let base = path.parent().unwrap_or(Path::new("/")).to_owned();
        (label_of(&path), bytes, base)
    };
    let document = Document {
        label,
        bytes: &bytes,
        base: &base,
    };
    Ok(Manifest::parse(&document, &mut read_at_most)?)
}

/// What messages call a file: its path as short as it can be said from here.
fn label_of(path: &Path) -> Arc<str> {
    let here = std::env::current_dir().unwrap_or_default();
    shown(path.strip_prefix(here).unwrap_or(path))
        .to_string()
        .into()
}

fn read_at_most(path: &Path, limit: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    fs::File::open(path)?
        .take(limit as u64)
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Reads what flags declare: relative to `here`, and below `under` in the view.
struct Flags<'a> {
    under: &'a ViewPath,
    here: &'a Path,
}

impl Flags<'_> {
    fn add_inputs(
        &self,
        flags: &InputArguments,
        inputs: &mut Vec<Declaration>,
    ) -> anyhow::Result<()> {
        let mut add = |flag: &str, name: ViewPath, mapping: Mapping| {
            inputs.push(Declaration {
                name,
                mapping,
                origin: given_by(flag),
            });
        };
        for value in &flags.ro {
            let NamedPath { name, host, .. } =
                NamedPath::parse("--ro", value, self.here, self.under)?;
            let metadata = fs::metadata(&host)
                .with_context(|| format!("--ro: cannot map {}", shown(&host)))?;
            let mapping = if metadata.is_dir() {
                Mapping::Directory { source: host }
            } else {
                Mapping::File {
                    source: host,
                    executable: None,
                }
            };
            add("--ro", name, mapping);
        }
        for value in &flags.symlink {
            let (name, target) = split_at_equals("--symlink", value)?;
            add(
                "--symlink",
                self.name("--symlink", &name)?,
                Mapping::Symlink { target },
            );
        }
        for value in &flags.empty_directory {
            add(
                "--empty-directory",
                self.name("--empty-directory", value)?,
                Mapping::EmptyDirectory,
            );
        }
        let lists = flags
            .file_list
            .iter()
            .map(|path| (path, Separator::Newline));
        for (path, separator) in
            lists.chain(flags.file_list0.iter().map(|path| (path, Separator::Nul)))
        {
            let (label, bytes) = read_flagged(path)?;
            let document = self.document(&label, &bytes);
            manifest::add_file_list(&document, separator, self.under, inputs)?;
        }
        let depfiles = flags
            .depfile
            .iter()
            .map(|path| read_flagged(path))
            .collect::<anyhow::Result<Vec<_>>>()?;
        let documents = depfiles
            .iter()
            .map(|(label, bytes)| (self.document(label, bytes), self.under));
        manifest::add_depfiles(documents, inputs)?;
        Ok(())
    }

    fn add_outputs(&self, flags: &OutputArguments, action: &mut Action) -> anyhow::Result<()> {
        let directories = flags
            .out
            .iter()
            .map(|value| ("--out", value, OutputKind::Directory));
        let files = flags
            .out_file
            .iter()
            .map(|value| ("--out-file", value, OutputKind::File));
        for (flag, value, kind) in directories.chain(files) {
            let NamedPath { name, host, .. } =
                NamedPath::parse(flag, value, self.here, self.under)?;
            action.outputs.push(Output {
                path: name,
                kind,
                optional: false,
                destination: host,
                origin: given_by(flag),
            });
        }
        for value in &flags.writable {
            action.writable.push(Writable {
                path: self.name("--writable", value)?,
                origin: given_by("--writable"),
            });
        }
        Ok(())
    }

    /// A name given by a flag: below the working directory, or with a leading
    /// `/` from the root of the view.
    fn name(&self, flag: &str, value: &OsStr) -> anyhow::Result<ViewPath> {
        let name = view_name(flag, value)?;
        Ok(if value.as_bytes().starts_with(b"/") {
            name
        } else {
            self.under.join_path(&name)
        })
    }

    fn document<'d>(&'d self, label: &Arc<str>, bytes: &'d [u8]) -> Document<'d> {
        Document {
            label: label.clone(),
            bytes,
            base: self.here,
        }
    }
}

fn given_by(flag: &str) -> Origin {
    Origin {
        source: flag.into(),
        line: None,
    }
}

/// Reads a file that a flag names. Also says what messages call it.
fn read_flagged(path: &Path) -> anyhow::Result<(Arc<str>, Vec<u8>)> {
    let bytes = read_at_most(path, manifest::BYTES_MAX + 1)
        .with_context(|| format!("cannot read {}", shown(path)))?;
    Ok((shown(path).to_string().into(), bytes))
}

/// A name in the view, as a user writes it.
pub(crate) fn view_name(flag: &str, value: &OsStr) -> anyhow::Result<ViewPath> {
    ViewPath::parse_inside(value.as_bytes())
        .with_context(|| format!("{flag}: {:?}", value.display()))
}

fn split_at_equals(flag: &str, value: &OsStr) -> anyhow::Result<(OsString, OsString)> {
    let bytes = value.as_bytes();
    match bytes.iter().position(|byte| *byte == b'=') {
        Some(at) if at > 0 && at + 1 < bytes.len() => Ok((
            OsString::from_vec(bytes[..at].to_vec()),
            OsString::from_vec(bytes[at + 1..].to_vec()),
        )),
        _ => bail!(
            "{flag}: {:?} is not of the form NAME=VALUE",
            value.display()
        ),
    }
}

fn base(flags: &ActionArguments, section: &ActionSection) -> anyhow::Result<Base> {
    let root = match (flags.root, section.root) {
        (Some(Root::View), _) | (None, Some(RootBase::View) | None) => RootBase::View,
        (Some(Root::HostRo), _) | (None, Some(RootBase::HostReadOnly)) => RootBase::HostReadOnly,
    };
    let mount_at = flags.mount_at.as_ref().or(section.mount_at.as_ref());
    match root {
        RootBase::View if flags.mount_at.is_some() => {
            bail!("--mount-at says where the view is in the host's root; it needs --root host-ro")
        }
        RootBase::View => Ok(Base::View),
        RootBase::HostReadOnly => {
            let mount_at = match mount_at {
                Some(directory) => std::path::absolute(directory)?,
                None => std::env::current_dir()?,
            };
            Ok(Base::HostReadOnly {
                mount_at,
                exceptions: Exceptions::default(),
            })
        }
    }
}

fn working_directory(
    flags: &ActionArguments,
    section: &ActionSection,
    has_manifest: bool,
    base: &Base,
) -> anyhow::Result<ViewPath> {
    match (&flags.workdir, &section.working_directory) {
        (Some(directory), _) => view_name("--workdir", directory),
        (None, Some(directory)) => Ok(directory.clone()),
        (None, None) if has_manifest || *base != Base::View => Ok(ViewPath::root()),
        (None, None) => Ok(ViewPath::parse(WORKING_DIRECTORY.as_bytes())?),
    }
}

fn environment(
    section: Environment,
    flags: &ActionArguments,
) -> anyhow::Result<Vec<(OsString, OsString)>> {
    let mut variables: BTreeMap<OsString, OsString> = DEFAULT_ENVIRONMENT
        .iter()
        .map(|(name, value)| (name.into(), value.into()))
        .collect();
    let mut take_over = |name: &OsStr| {
        if let Some(value) = std::env::var_os(name) {
            variables.insert(name.to_owned(), value);
        }
    };
    let everything =
        section.inherit == Some(Inherit::All) || flags.inherit_env.iter().any(|name| name == "all");
    if everything {
        std::env::vars_os().for_each(|(name, _)| take_over(&name));
    }
    if let Some(Inherit::Only(names)) = &section.inherit {
        names.iter().for_each(|name| take_over(name));
    }
    flags.inherit_env.iter().for_each(|name| take_over(name));
    variables.extend(section.set);
    for value in &flags.env {
        let bytes = value.as_bytes();
        let Some(at) = bytes
            .iter()
            .position(|byte| *byte == b'=')
            .filter(|at| *at > 0)
        else {
            bail!("--env: {:?} is not of the form NAME=VALUE", value.display());
        };
        variables.insert(
            OsStr::from_bytes(&bytes[..at]).to_owned(),
            OsStr::from_bytes(&bytes[at + 1..]).to_owned(),
        );
    }
    Ok(variables.into_iter().collect())
}

fn tmp(flag: Option<TmpChoice>, section: Option<TmpKind>) -> Tmp {
    match (flag, section) {
        (Some(TmpChoice::Scratch), _) | (None, Some(TmpKind::Scratch)) => Tmp::Scratch,
        (Some(TmpChoice::None), _) | (None, Some(TmpKind::None)) => Tmp::AsDeclared,
        (Some(TmpChoice::Memory), _) | (None, Some(TmpKind::Memory) | None) => Tmp::Private,
    }
}

fn timeout(flag: Option<f64>, section: Option<Duration>) -> anyhow::Result<Option<Duration>> {
    let Some(seconds) = flag else {
        return Ok(section);
    };
    match Duration::try_from_secs_f64(seconds) {
        Ok(timeout) if !timeout.is_zero() => Ok(Some(timeout)),
        _ => bail!("--timeout: {seconds} is no time; give seconds, more than 0"),
    }
}

fn output(output: manifest::Output) -> Output {
    Output {
        path: output.name,
        kind: match output.kind {
            manifest::OutputKind::File => OutputKind::File,
            manifest::OutputKind::Directory => OutputKind::Directory,
        },
        optional: output.optional,
        destination: output.destination,
        origin: output.origin,
    }
}
