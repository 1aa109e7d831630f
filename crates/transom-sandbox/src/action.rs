use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use transom_projection::{Origin, ViewPath};

/// How long an action that is out of time has between SIGTERM and SIGKILL,
/// unless [`Action::termination_grace`] says otherwise.
pub const TERMINATION_GRACE: Duration = Duration::from_secs(2);

/// A command and the world it runs in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Action {
    /// The program and its arguments. A program without `/` is searched in the
    /// `PATH` of [`environment`](Self::environment), inside the view.
    pub command: Vec<OsString>,
    /// The whole environment; nothing is inherited.
    pub environment: Vec<(OsString, OsString)>,
    /// The working directory, as the action sees it.
    pub working_directory: PathBuf,
    /// What the action's root is.
    pub base: Base,
    /// What it can reach over the network.
    pub network: Network,
    /// Whether there is a `/proc`, of the action's own processes.
    pub proc: bool,
    /// Whether there is a `/dev` with what programs expect of every system:
    /// `null`, `zero`, `full`, `random`, `urandom`, `tty`, `ptmx`, `pts`,
    /// `shm`, `fd`, `stdin`, `stdout`, `stderr`, and `console`: the terminal,
    /// if there is one.
    pub dev: bool,
    /// What `/tmp` is.
    pub tmp: Tmp,
    /// Directories of the view that may be written, whose content nobody wants
    /// afterwards.
    pub writable: Vec<Writable>,
    /// What the action makes.
    pub outputs: Vec<Output>,
    /// Whether outputs may replace what somebody else made: directories that
    /// hold something and were not published by an action, and declared
    /// inputs.
    pub replace: bool,
    /// Whether outputs may be, or hold, symbolic links that lead anywhere.
    /// Otherwise a link leads to something in the same output.
    pub keep_links: bool,
    /// Its soft limit on open files; `None`: ours. A host that has raised its
    /// own limit says here what the limit was before: some programs do
    /// something for every number below it.
    pub open_files_limit: Option<u64>,
    /// How long it may run. `None`: for ever.
    pub timeout: Option<Duration>,
    /// How long it has between SIGTERM and SIGKILL when it is out of time.
    pub termination_grace: Duration,
}

impl Action {
    /// `command` in its view, with nothing allowed but what most builds need:
    /// no network, no environment; `/proc`, `/dev` and a private `/tmp`.
    #[must_use]
    pub fn new(command: Vec<OsString>) -> Self {
        Self {
            command,
            environment: Vec::new(),
            working_directory: PathBuf::from("/"),
            base: Base::View,
            network: Network::Loopback,
            proc: true,
            dev: true,
            tmp: Tmp::Private,
            writable: Vec::new(),
            outputs: Vec::new(),
            replace: false,
            keep_links: false,
            open_files_limit: None,
            timeout: None,
            termination_grace: TERMINATION_GRACE,
        }
    }

    /// Whether it writes anywhere on the host's disk, and so needs a scratch
    /// directory.
    #[must_use]
    pub fn needs_scratch(&self) -> bool {
        !self.outputs.is_empty() || !self.writable.is_empty() || self.tmp == Tmp::Scratch
    }
}

/// What the action's root is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Base {
    /// The view, and nothing else.
    View,
    /// The host's root, read-only and without its devices, with the view
    /// somewhere in it. `/proc`, `/dev` and `/tmp` hide those of the host.
    /// Sockets of the host that have a path, say below `/run`, can be reached.
    HostReadOnly {
        /// The host directory, absolute, that the view hides. It must exist.
        mount_at: PathBuf,
        /// What the action may do besides to the host's files.
        exceptions: Exceptions,
    },
}

/// What an action that sees the host may write there, and what it must not see.
/// What is not on the host is passed over.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Exceptions {
    /// Host directories and files that can be written.
    pub writable: Vec<HostMount>,
    /// Absolute host paths that the action finds empty; who is not root may not
    /// even look.
    pub hidden: Vec<PathBuf>,
}

/// A host directory or file that an action sees as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostMount {
    /// Where it is on the host, absolute.
    pub source: PathBuf,
    /// Where the action sees it: an absolute path that leads to something of
    /// the same kind, which may lie in the view.
    pub mount_at: PathBuf,
}

/// What an action can reach over the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    /// Only itself, over a loopback interface of its own.
    Loopback,
    /// What the host reaches.
    Host,
}

/// What `/tmp` is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tmp {
    /// A file system in memory, gone with the action.
    Private,
    /// A directory in the action's scratch, for temporary files that may not
    /// fit into memory.
    Scratch,
    /// What the base has there, if anything.
    AsDeclared,
}

/// Something the action makes and somebody wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Its name in the view.
    pub path: ViewPath,
    /// What it has to be.
    pub kind: OutputKind,
    /// Whether it may be missing.
    pub optional: bool,
    /// The absolute host path it is moved to.
    pub destination: PathBuf,
    /// Where it was declared.
    pub origin: Origin,
}

/// A directory an action may write to without making an output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Writable {
    /// Its name in the view.
    pub path: ViewPath,
    /// Where it was declared.
    pub origin: Origin,
}

/// What an output has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputKind {
    /// A regular file. The directory it is made in exists and is writable.
    File,
    /// A directory with everything in it. It exists and is writable.
    Directory,
}
