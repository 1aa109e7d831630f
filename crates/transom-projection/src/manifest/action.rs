use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use crate::{Origin, ViewPath};

/// What a manifest says about an action besides its inputs.
///
/// What it does not say is `None` or empty, so that flags and defaults can
/// be laid over and under it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ActionSection {
    /// What the action makes.
    pub outputs: Vec<Output>,
    /// Directories it may write to and whose content is thrown away.
    pub writable: Vec<WritableDirectory>,
    /// Program and arguments.
    pub command: Option<Vec<OsString>>,
    /// Where in the view the command starts.
    pub working_directory: Option<ViewPath>,
    /// Its environment.
    pub environment: Environment,
    /// What it sees as `/`.
    pub root: Option<RootBase>,
    /// Where the view is if it is not the root: an absolute path without `.`
    /// and `..`, other than `/`.
    pub mount_at: Option<PathBuf>,
    /// Whether it sees the host's network.
    pub network: Option<bool>,
    /// What is at `/tmp`.
    pub tmp: Option<TmpKind>,
    /// Whether there is a `/dev`.
    pub dev: Option<bool>,
    /// Whether there is a `/proc`.
    pub proc: Option<bool>,
    /// How long it may run: more than nothing, at most
    /// [`TIMEOUT_SECONDS_MAX`](super::TIMEOUT_SECONDS_MAX).
    pub timeout: Option<Duration>,
}

/// Something an action makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Where in the view the action writes it.
    pub name: ViewPath,
    /// What it is.
    pub kind: OutputKind,
    /// The absolute host path it is moved to.
    pub destination: PathBuf,
    /// Whether it may be missing in the end.
    pub optional: bool,
    /// Where it was declared.
    pub origin: Origin,
}

/// What an output is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputKind {
    /// A regular file.
    File,
    /// A directory with all that is in it.
    Directory,
}

/// A directory an action may write to without making an output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WritableDirectory {
    /// Where in the view it is.
    pub name: ViewPath,
    /// Where it was declared.
    pub origin: Origin,
}

/// The environment variables of an action.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Environment {
    /// Those taken over from whoever runs the action.
    pub inherit: Option<Inherit>,
    /// Those given here, which win.
    pub set: BTreeMap<OsString, OsString>,
}

/// Which environment variables are taken over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Inherit {
    /// Every one.
    All,
    /// None at all.
    None,
    /// These, as far as they are set.
    Only(Vec<OsString>),
}

/// What an action sees as `/`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RootBase {
    /// The view, and nothing but the view.
    View,
    /// The host's root, read-only, with the view mounted in it.
    HostReadOnly,
}

/// What is at `/tmp`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TmpKind {
    /// A file system in memory.
    Memory,
    /// A directory of the host's scratch space.
    Scratch,
    /// What the view declares there, or nothing.
    None,
}
