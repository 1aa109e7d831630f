use std::ffi::OsString;
use std::fmt::Display;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use rustix::io::Errno;
use transom_projection::{Origin, StaleVersion, ViewPath, shown};

/// What the functions of this crate return.
pub type Result<T> = std::result::Result<T, Error>;

/// Why an action could not be run, or its outputs not be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The kernel refused something.
    #[error("{action}: {source}")]
    Host {
        /// What was tried, with the path.
        action: String,
        /// The kernel's answer.
        source: Errno,
    },

    /// An input that is not what it was when the view was made.
    #[error(transparent)]
    Stale(#[from] StaleVersion),
    /// The kernel refused a mount.
    #[error("cannot mount {what}: {source}{}", mount_hint(*source))]
    Mount {
        /// What was to be mounted.
        what: String,
        /// The kernel's answer.
        source: Errno,
    },

    /// Nothing to run.
    #[error("the command is empty")]
    NoCommand,
    /// A string that the kernel cannot be given.
    #[error("{what} contains a NUL byte: {text:?}")]
    Nul {
        /// Which of them.
        what: &'static str,
        /// The string.
        text: OsString,
    },
    /// The name of a variable is empty or contains `=`.
    #[error("{0:?} cannot be the name of an environment variable")]
    VariableName(OsString),
    /// A directory among the open files.
    #[error(
        "open file {number} is a directory; an action could leave its view through it, so redirect it to a file, a pipe or a terminal"
    )]
    DirectoryPassed {
        /// Its number in the action.
        number: i32,
    },
    /// Two open files for one number, or a number that is reserved.
    #[error("an action cannot be passed a file as number {number}: it is taken")]
    NumberTaken {
        /// The number.
        number: i32,
    },

    /// The view lacks a directory that something has to be mounted on.
    #[error(
        "{}: the view has no directory `{}` for {}; declare it as an empty directory, or, where a host directory is declared as a whole, make it on the host",
        .0.origin, .0.path, .0.purpose
    )]
    NoMountPoint(crate::layout::MountPoint),
    /// The host lacks the directory that the view was to be mounted on.
    #[error(
        "the view cannot be mounted at `{}` of the host ({source}); create the directory or choose another one", shown(&path)
    )]
    NoViewMountPoint {
        /// The directory.
        path: PathBuf,
        /// The kernel's answer.
        source: Errno,
    },
    /// The view was to be mounted below a directory that is private to the
    /// action.
    #[error(
        "the view at `{}` would be hidden by the action's own {by}; choose another directory, or let the action have the host's", shown(&path)
    )]
    ViewHidden {
        /// Where the view was to be mounted.
        path: PathBuf,
        /// The private directory.
        by: &'static str,
    },
    /// A writable directory is something else in the view.
    #[error(
        "{origin}: `{path}` has to be a writable directory, but the view has something else of that name"
    )]
    NotADirectory {
        /// Who needs it.
        origin: Origin,
        /// The name in the view.
        path: ViewPath,
    },
    /// An action with outputs or writable directories and no scratch.
    #[error("`{path}` has to be writable, and the action was given no scratch directory")]
    NoScratch {
        /// The first directory that needs it.
        path: ViewPath,
    },
    /// There can be no scratch where it should be.
    #[error(
        "cannot make `{}`, for what the action writes: {source}; say with `--scratch` where else", shown(&path)
    )]
    ScratchDirectory {
        /// The directory.
        path: PathBuf,
        /// The kernel's answer.
        source: Errno,
    },
    /// More mounts than the kernel allows.
    #[error(
        "the view needs more mounts than a mount namespace may have; raise the sysctl `fs.mount-max`, declare whole directories, or serve the view over FUSE (`--engine fuse`)"
    )]
    TooManyMounts,
    /// A file that has to be copied, because its executable bits are
    /// overridden or its name was removed, and is too large for that.
    #[error(
        "`{path}` cannot be bound as it is (its executable bits are overridden, or it was replaced or deleted), and its {bytes} bytes are too many for a copy, of which {max} are allowed; serve the view over FUSE",
        max = crate::COPIED_FILE_BYTES_MAX
    )]
    TooLargeToCopy {
        /// The name in the view.
        path: ViewPath,
        /// Its size.
        bytes: u64,
    },

    /// No candidate of the command exists in the view.
    #[error("command not found in the view: {}", shown(&command))]
    CommandNotFound {
        /// The program, as it was given.
        command: OsString,
    },
    /// The command exists in the view, but what it needs to start does not.
    #[error(
        "{} is in the view, but the interpreter its first line names, or the loader the program was linked for, is not; declare that too", shown(&command)
    )]
    NoInterpreter {
        /// The program, as it was given.
        command: OsString,
    },
    /// The command exists in the view and the kernel will not execute it.
    #[error("cannot execute {}: {source}", shown(&command))]
    NotExecutable {
        /// The program, as it was given.
        command: OsString,
        /// The kernel's answer.
        source: Errno,
    },
    /// The working directory does not exist, or is none.
    #[error(
        "cannot enter the working directory `{}` of the action: {source}; it is not in the view", shown(&path)
    )]
    WorkingDirectory {
        /// As the action sees it.
        path: PathBuf,
        /// The kernel's answer.
        source: Errno,
    },
    /// The namespaces could not be made.
    #[error(
        "cannot make the namespaces of an action: {source}{}",
        namespace_hint(source)
    )]
    Namespaces {
        /// The kernel's answer.
        source: io::Error,
    },
    /// A step inside the new namespaces failed.
    #[error("cannot set up the sandbox: {doing}: {source}{}", set_up_hint(*source))]
    SetUp {
        /// The step, in words.
        doing: &'static str,
        /// The kernel's answer.
        source: Errno,
    },
    /// Waiting for the action failed.
    #[error("cannot wait for the action: {0}")]
    Wait(#[source] io::Error),
    /// Pid 1 of the sandbox ended without a report.
    #[error("the sandbox was killed from outside after {} ms", after.as_millis())]
    Killed {
        /// How long the action had run.
        after: Duration,
    },

    /// Outputs are missing or cannot be accepted; nothing was moved.
    #[error(transparent)]
    Outputs(#[from] crate::outputs::Unacceptable),
}

impl Error {
    /// The code a shell would exit with: 127 for a command that does not
    /// exist, 126 for one that cannot be executed, `None` for other errors.
    #[must_use]
    pub fn shell_exit_code(&self) -> Option<u8> {
        match self {
            Self::CommandNotFound { .. } => Some(127),
            Self::NoInterpreter { .. } | Self::NotExecutable { .. } => Some(126),
            _ => None,
        }
    }
}

/// Wraps the kernel's answer with what was tried.
pub(crate) fn host(verb: &str, what: impl Display) -> impl FnOnce(Errno) -> Error {
    move |source| Error::Host {
        action: format!("{verb} {what}"),
        source,
    }
}

/// Wraps the kernel's answer with what was to be mounted.
pub(crate) fn mounting(what: impl Display) -> impl FnOnce(Errno) -> Error {
    move |source| match source {
        // Of memory there is enough; the limit is `fs.mount-max`.
        Errno::NOSPC => Error::TooManyMounts,
        _ => Error::Mount {
            what: what.to_string(),
            source,
        },
    }
}

fn mount_hint(errno: Errno) -> &'static str {
    match errno {
        Errno::PERM => "; be root, or enter a user namespace first",
        Errno::INVAL | Errno::NOSYS => "; Linux 6.15 or newer is needed",
        _ => "",
    }
}

fn set_up_hint(errno: Errno) -> &'static str {
    match errno {
        Errno::PERM => {
            "; a container that masks parts of its /proc forbids it: run it with an unmasked /proc, or as root of the machine"
        }
        _ => "",
    }
}

fn namespace_hint(error: &io::Error) -> &'static str {
    match Errno::from_io_error(error) {
        Some(Errno::PERM) => "; be root, or enter a user namespace first",
        Some(Errno::NOSPC) => "; a limit in /proc/sys/user/max_*_namespaces is reached",
        Some(Errno::AGAIN) => "; a limit on the number of processes is reached",
        _ => "",
    }
}
