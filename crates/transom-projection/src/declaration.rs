use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use crate::ViewPath;

/// One line of a view: a name, what it stands for, and where it was said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Declaration {
    /// The name inside the view.
    pub name: ViewPath,
    /// What it stands for.
    pub mapping: Mapping,
    /// Where the user declared it, for messages.
    pub origin: Origin,
}

/// What a declared name stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mapping {
    /// A regular host file. A symbolic link at `source` is followed: what is
    /// mapped is the file it leads to.
    File {
        /// Absolute host path.
        source: PathBuf,
        /// Overrides the executable bits of the host file.
        executable: Option<bool>,
    },
    /// A host directory as a whole, with everything that is or appears below
    /// it. A symbolic link at `source` is followed; those inside are shown as
    /// they are and resolve inside the view.
    Directory {
        /// Absolute host path.
        source: PathBuf,
    },
    /// A symbolic link with this target, which is not checked: it may lead to
    /// nothing.
    Symlink {
        /// What `readlink(2)` returns.
        target: OsString,
    },
    /// A directory with nothing in it but what other declarations put there.
    EmptyDirectory,
}

/// Where something was declared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// A file name, or a command-line flag such as `--ro`.
    pub source: Arc<str>,
    /// Line in that file, from 1.
    pub line: Option<u32>,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}", self.source),
            None => f.write_str(&self.source),
        }
    }
}
