use std::io;
use std::path::PathBuf;

use transom_fuse::MountError;
use transom_projection::{Errors, InvalidViewPath, PinError, TreeError, shown};
use transom_sandbox::layout::MountPoint;
use transom_sandbox::privilege::NoUserNamespace;

/// What the functions of this crate return.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a view could not be made, or a command not be run in it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A name that cannot be one in a view.
    #[error("{name:?} cannot be a name in a view: {source}")]
    Name {
        /// As it was given.
        name: String,
        /// What is wrong with it.
        source: InvalidViewPath,
    },
    /// A relative host path, and no current directory.
    #[error("`{}` is relative, and the current directory is unknown: {source}", shown(.path))]
    CurrentDirectory {
        /// As it was given.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// Names that contradict each other.
    #[error(transparent)]
    Tree(#[from] Errors<TreeError>),
    /// Inputs that cannot be used.
    #[error(transparent)]
    Pin(#[from] Errors<PinError>),
    /// A directory is needed where the host's directories are all there is.
    #[error(
        "{}: `{}` is needed for {}, in a directory that is declared as a whole, and {} is no \
         directory of the host; make it: mkdir -p {}",
        .needed.origin, .needed.path, .needed.purpose, shown(.host_path), shown(.host_path)
    )]
    NoDirectoryOfTheHost {
        /// What is needed.
        needed: MountPoint,
        /// Where it would be.
        host_path: PathBuf,
    },
    /// This process may not make mounts.
    #[error(
        "this process may not make mounts: run it as root, or call `obtain_privilege` before \
         it starts threads"
    )]
    NoPrivilege,
    /// This process cannot get the right to make mounts.
    #[error(transparent)]
    NoUserNamespace(#[from] NoUserNamespace),
    /// The view cannot be served over FUSE.
    #[error("cannot serve the view over FUSE, which the engine `mounts` does without: {0}")]
    Serve(#[from] MountError),
    /// The view cannot be mounted.
    #[error("cannot mount the view: {0}")]
    Mount(io::Error),
    /// Something of the action.
    #[error(transparent)]
    Sandbox(#[from] transom_sandbox::Error),
    /// The pipes of a command whose output is wanted.
    #[error("cannot read what the command prints: {0}")]
    Pipe(io::Error),
}

impl From<TreeError> for Error {
    fn from(error: TreeError) -> Self {
        Self::Tree(error.into())
    }
}
