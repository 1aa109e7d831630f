//! Learned things as a manifest.

use std::ffi::{OsStr, OsString};
use std::io::{self, Write};

use serde::Serialize;
use transom_projection::{JsonBytes, ViewPath};

use crate::learned::{Input, Learned};

/// The version of the format of manifests.
const VERSION: u32 = 1;

/// An action as it was learnt, to be written as `docs/manifest.md` has it.
///
/// Every name stands for what is at the same path of the host, and every output
/// goes there.
#[derive(Debug, Clone, Copy)]
pub struct LearnedAction<'a> {
    /// What the command needs and makes.
    pub learned: &'a Learned,
    /// The command.
    pub command: &'a [OsString],
    /// Where it started.
    pub working_directory: &'a ViewPath,
    /// Whether it had the host's network.
    pub network: bool,
    /// Whether it saw the host's `/tmp`, and not one of its own.
    pub host_tmp: bool,
}

#[derive(Serialize)]
struct OutputEntry<'a> {
    name: &'a ViewPath,
    kind: &'static str,
    destination: JsonBytes<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Source<'a> {
    File(JsonBytes<'a>),
    Directory(JsonBytes<'a>),
    Symlink(JsonBytes<'a>),
    EmptyDirectory(bool),
}

#[derive(Serialize)]
struct InputEntry<'a> {
    name: &'a ViewPath,
    #[serde(flatten)]
    source: Source<'a>,
}

#[derive(Serialize)]
struct Environment {
    inherit: &'static str,
}

impl LearnedAction<'_> {
    /// Writes the manifest, one line for each input, output and directory.
    pub fn write(&self, to: &mut dyn Write) -> io::Result<()> {
        let learned = self.learned;
        writeln!(to, "{{")?;
        field(to, "version", &VERSION)?;
        let arguments = self.command.iter().map(|argument| JsonBytes(argument));
        field(to, "command", &arguments.collect::<Vec<_>>())?;
        if !self.working_directory.is_root() {
            field(to, "working_directory", self.working_directory)?;
        }
        field(to, "environment", &Environment { inherit: "all" })?;
        field(to, "network", &self.network)?;
        field(to, "tmp", if self.host_tmp { "none" } else { "memory" })?;
        list(to, "inputs", self.inputs(), |to, (name, input)| {
            let path = name.to_absolute();
            let source = source(input, &path);
            json(to, &InputEntry { name, source })
        })?;
        writeln!(to, ",")?;
        list(to, "outputs", &learned.outputs, |to, name| {
            let path = name.to_absolute();
            let destination = JsonBytes(&path);
            let kind = "file";
            let entry = OutputEntry {
                name,
                kind,
                destination,
            };
            json(to, &entry)
        })?;
        writeln!(to, ",")?;
        list(to, "writable", self.writable(), |to, name| json(to, name))?;
        writeln!(to, "\n}}")
    }

    /// All inputs but the directories that others imply.
    fn inputs(&self) -> impl Iterator<Item = (&ViewPath, &Input)> {
        let inputs = &self.learned.inputs;
        inputs.iter().filter(|(path, input)| {
            // What lies below a directory comes right after it.
            let mut next = inputs.range::<ViewPath, _>(*path..).skip(1);
            let implied = next.next().is_some_and(|(next, _)| next.starts_with(path));
            **input != Input::Directory || !implied
        })
    }

    /// The root cannot be named.
    fn writable(&self) -> impl Iterator<Item = &ViewPath> {
        self.learned.writable.iter().filter(|path| !path.is_root())
    }
}

fn source<'a>(input: &'a Input, path: &'a OsStr) -> Source<'a> {
    match input {
        Input::File(_) => Source::File(JsonBytes(path)),
        Input::WholeDirectory => Source::Directory(JsonBytes(path)),
        Input::Symlink(target, _) => Source::Symlink(JsonBytes(target)),
        Input::Directory => Source::EmptyDirectory(true),
    }
}

fn field(to: &mut dyn Write, name: &str, value: &(impl Serialize + ?Sized)) -> io::Result<()> {
    write!(to, "  \"{name}\": ")?;
    json(to, value)?;
    writeln!(to, ",")
}

fn list<T>(
    to: &mut dyn Write,
    name: &str,
    entries: impl IntoIterator<Item = T>,
    mut write: impl FnMut(&mut dyn Write, T) -> io::Result<()>,
) -> io::Result<()> {
    write!(to, "  \"{name}\": [")?;
    let mut separator = "\n    ";
    for entry in entries {
        write!(to, "{separator}")?;
        write(to, entry)?;
        separator = ",\n    ";
    }
    write!(to, "\n  ]")
}

fn json(to: &mut dyn Write, value: &(impl Serialize + ?Sized)) -> io::Result<()> {
    Ok(serde_json::to_writer(to, value)?)
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;
    use std::path::Path;

    use transom_projection::manifest::{Document, Inherit, OutputKind, TmpKind};
    use transom_projection::trace::{TraceReport, Use};
    use transom_projection::{Manifest, Mapping};

    use super::*;

    fn path(bytes: &[u8]) -> ViewPath {
        ViewPath::parse(bytes).unwrap()
    }

    fn parse(bytes: &[u8]) -> Manifest {
        let document = Document {
            label: "learnt.json".into(),
            bytes,
            base: Path::new("/elsewhere"),
        };
        Manifest::parse(&document, &mut |_, _| unreachable!()).unwrap()
    }

    #[test]
    fn what_is_written_can_be_read() {
        let file = || Input::File(Use::Read);
        let learned = Learned {
            inputs: [
                (path(b"a"), Input::Directory),
                (path(b"a/file \"\xff\n"), file()),
                (path(b"a-b"), Input::Directory),
                (
                    path(b"link"),
                    Input::Symlink("a/\u{e4}".into(), Use::LookedUp),
                ),
                (path(b"usr"), Input::WholeDirectory),
            ]
            .into(),
            outputs: [path(b"out/x")].into(),
            writable: [path(b"cache"), ViewPath::root()].into(),
            temporary: [].into(),
            updated: [].into(),
            lost: [].into(),
            unsupported: [].into(),
            trace: TraceReport::default(),
        };
        let command = ["make".into(), OsString::from_vec(b"X=\xff".into())];
        let action = LearnedAction {
            learned: &learned,
            command: &command,
            working_directory: &path(b"a-b"),
            network: true,
            host_tmp: true,
        };
        let mut text = Vec::new();
        action.write(&mut text).unwrap();
        let Manifest { inputs, action } = parse(&text);

        let absolute = |bytes: &[u8]| OsString::from_vec(bytes.to_vec()).into();
        let mappings: Vec<_> = inputs
            .into_iter()
            .map(|input| (input.name, input.mapping))
            .collect();
        let expected = [
            (
                path(b"a/file \"\xff\n"),
                Mapping::File {
                    source: absolute(b"/a/file \"\xff\n"),
                    executable: None,
                },
            ),
            (path(b"a-b"), Mapping::EmptyDirectory),
            (
                path(b"link"),
                Mapping::Symlink {
                    target: "a/\u{e4}".into(),
                },
            ),
            (
                path(b"usr"),
                Mapping::Directory {
                    source: absolute(b"/usr"),
                },
            ),
        ];
        assert_eq!(mappings, expected);
        assert_eq!(action.command.as_deref(), Some(&command[..]));
        assert_eq!(action.working_directory, Some(path(b"a-b")));
        assert_eq!(action.environment.inherit, Some(Inherit::All));
        assert_eq!(action.network, Some(true));
        assert_eq!(action.tmp, Some(TmpKind::None));
        let output = &action.outputs[0];
        assert_eq!(output.kind, OutputKind::File);
        assert_eq!(output.destination, Path::new("/out/x"));
        let writable: Vec<_> = action.writable.iter().map(|entry| &entry.name).collect();
        assert_eq!(writable, [&path(b"cache")]);
    }
}
