use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf, absolute};
use std::time::Duration;

use transom_projection::{Declaration, Mapping, OnChange, Origin, ViewPath};
use transom_sandbox::{Action, Network, Output, OutputKind, Writable};

use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::view::View;

/// What a view is to hold, and what a command may do in it.
///
/// Names are relative to the root of the view. Host paths are absolute, or
/// relative to the current directory. What is wrong with any of them is said by
/// [`build`](Self::build).
#[derive(Debug)]
#[must_use]
pub struct ViewBuilder {
    pub(crate) inputs: Vec<Declaration>,
    pub(crate) action: Action,
    pub(crate) engine: Option<Engine>,
    pub(crate) on_change: OnChange,
    pub(crate) scratch: Option<PathBuf>,
    wrong: Option<Error>,
}

impl ViewBuilder {
    pub(crate) fn new() -> Self {
        Self {
            inputs: Vec::new(),
            action: Action::new(Vec::new()),
            engine: None,
            on_change: OnChange::Refuse,
            scratch: None,
            wrong: None,
        }
    }

    /// `name` is the host file `source`. A symbolic link there is followed: what
    /// is shown is the file it leads to.
    pub fn file(self, name: impl AsRef<OsStr>, source: impl AsRef<Path>) -> Self {
        self.input(name.as_ref(), || {
            Ok(Mapping::File {
                source: host_path(source.as_ref())?,
                executable: None,
            })
        })
    }

    /// `name` is the host directory `source`, with everything in it.
    pub fn directory(self, name: impl AsRef<OsStr>, source: impl AsRef<Path>) -> Self {
        self.input(name.as_ref(), || {
            Ok(Mapping::Directory {
                source: host_path(source.as_ref())?,
            })
        })
    }

    /// `name` is a symbolic link, which may lead to nothing.
    pub fn symlink(self, name: impl AsRef<OsStr>, target: impl Into<OsString>) -> Self {
        let target = target.into();
        self.input(name.as_ref(), || Ok(Mapping::Symlink { target }))
    }

    /// `name` is a directory with nothing in it but what else is declared.
    pub fn empty_directory(self, name: impl AsRef<OsStr>) -> Self {
        self.input(name.as_ref(), || Ok(Mapping::EmptyDirectory))
    }

    /// Inputs that were declared elsewhere, in a manifest for example.
    pub fn declarations(mut self, declared: impl IntoIterator<Item = Declaration>) -> Self {
        self.inputs.extend(declared);
        self
    }

    /// A command makes the file `name`, which is moved to `destination` of the
    /// host when it has succeeded. The directory of `name` can be written.
    pub fn output(self, name: impl AsRef<OsStr>, destination: impl AsRef<Path>) -> Self {
        self.makes(OutputKind::File, name.as_ref(), destination.as_ref())
    }

    /// The same for a directory with everything in it.
    pub fn output_directory(self, name: impl AsRef<OsStr>, destination: impl AsRef<Path>) -> Self {
        self.makes(OutputKind::Directory, name.as_ref(), destination.as_ref())
    }

    /// A command may write to the directory `name`, and nobody wants what it
    /// leaves there.
    pub fn writable(mut self, name: impl AsRef<OsStr>) -> Self {
        let added = view_path(name.as_ref()).map(|path| {
            let origin = origin("writable");
            self.action.writable.push(Writable { path, origin });
        });
        self.note(added)
    }

    /// What a command reaches over the network. By default only itself.
    pub fn network(mut self, network: Network) -> Self {
        self.action.network = network;
        self
    }

    /// How long a command may run. By default for ever.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.action.timeout = Some(timeout);
        self
    }

    /// The host directory in which scratch directories are made, for what a
    /// command writes. By default that of the first output's destination; on
    /// the same volume, so that outputs are moved by renaming.
    pub fn scratch(mut self, directory: impl Into<PathBuf>) -> Self {
        self.scratch = Some(directory.into());
        self
    }

    /// What makes the view visible. By default what costs least.
    pub fn engine(mut self, engine: Engine) -> Self {
        self.engine = Some(engine);
        self
    }

    /// What becomes of a command whose inputs are changed in place while it
    /// runs. By default its outputs are refused.
    pub fn on_change(mut self, on_change: OnChange) -> Self {
        self.on_change = on_change;
        self
    }

    /// Opens every input and begins to serve the view.
    pub fn build(mut self) -> Result<View> {
        match self.wrong.take() {
            Some(wrong) => Err(wrong),
            None => View::new(self),
        }
    }

    fn input(mut self, name: &OsStr, mapping: impl FnOnce() -> Result<Mapping>) -> Self {
        let added = view_path(name).and_then(|path| {
            self.inputs.push(Declaration {
                name: path,
                mapping: mapping()?,
                origin: origin("input"),
            });
            Ok(())
        });
        self.note(added)
    }

    fn makes(mut self, kind: OutputKind, name: &OsStr, destination: &Path) -> Self {
        let added = view_path(name).and_then(|path| {
            self.action.outputs.push(Output {
                path,
                kind,
                optional: false,
                destination: host_path(destination)?,
                origin: origin("output"),
            });
            Ok(())
        });
        self.note(added)
    }

    /// The first thing that is wrong is told.
    fn note(mut self, result: Result<()>) -> Self {
        if let Err(error) = result {
            self.wrong.get_or_insert(error);
        }
        self
    }
}

fn view_path(name: &OsStr) -> Result<ViewPath> {
    ViewPath::parse_inside(name.as_bytes()).map_err(|source| Error::Name {
        name: name.to_string_lossy().into_owned(),
        source,
    })
}

fn host_path(path: &Path) -> Result<PathBuf> {
    absolute(path).map_err(|source| Error::CurrentDirectory {
        path: path.to_owned(),
        source,
    })
}

/// What declared something, for messages.
fn origin(method: &'static str) -> Origin {
    Origin {
        source: method.into(),
        line: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_wrong_name_is_told() {
        let built = View::builder()
            .file("a//b/../..", "/etc/passwd")
            .file("", "x")
            .build();
        let error = built.unwrap_err().to_string();
        assert!(error.starts_with("\"a//b/../..\" cannot be"), "{error}");
    }
}
