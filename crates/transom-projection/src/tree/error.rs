use std::ffi::OsString;
use std::fmt;

use super::ENTRIES_MAX;
use crate::{Origin, ViewPath, shown};

/// Why declarations do not make a tree. Every variant names all declarations
/// that take part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TreeError {
    /// The root of the view itself was declared.
    Root {
        /// Where.
        origin: Origin,
    },
    /// A name was declared twice.
    Duplicate {
        /// The name.
        name: ViewPath,
        /// Where first.
        first: Origin,
        /// Where again.
        second: Origin,
    },
    /// A name needs a directory where another declaration puts something else.
    NotADirectory {
        /// The name that cannot be.
        name: ViewPath,
        /// Where it was declared.
        origin: Origin,
        /// What it needs to be a directory: `name` itself or an ancestor.
        directory: ViewPath,
        /// What was declared there instead, such as "a file".
        found: &'static str,
        /// Where that was declared.
        found_at: Origin,
    },
    /// A name lies inside a host directory that is mapped as a whole.
    InsideWholeDirectory {
        /// The name that cannot be.
        name: ViewPath,
        /// Where it was declared.
        origin: Origin,
        /// The directory around it.
        whole: ViewPath,
        /// Where that was declared.
        whole_at: Origin,
    },
    /// A symbolic link leads to itself, or through more links than the kernel
    /// follows.
    SymlinkLoop {
        /// The link.
        name: ViewPath,
        /// Where it was declared.
        origin: Origin,
        /// The links that are followed again and again, with their targets.
        chain: Vec<(ViewPath, OsString)>,
    },
    /// More names than [`ENTRIES_MAX`].
    TooManyEntries {
        /// The declaration that was one too many.
        origin: Origin,
    },
}

impl fmt::Display for TreeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root { origin } => write!(
                f,
                "{origin}: the root of a view is always a plain directory; declare names below it"
            ),
            Self::Duplicate {
                name,
                first,
                second,
            } => write!(
                f,
                "{second}: `{name}` is declared already at {first}; remove one of the two"
            ),
            Self::NotADirectory {
                name,
                origin,
                directory,
                found,
                found_at,
            } if name == directory => write!(
                f,
                "{origin}: `{name}` has to be a plain directory, but {found_at} declares {found} \
                 there; remove one of the two"
            ),
            Self::NotADirectory {
                name,
                origin,
                directory,
                found,
                found_at,
            } => write!(
                f,
                "{origin}: `{name}` needs `{directory}` to be a directory, but {found_at} \
                 declares {found} there; remove one of the two"
            ),
            Self::InsideWholeDirectory {
                name,
                origin,
                whole,
                whole_at,
            } => write!(
                f,
                "{origin}: `{name}` lies inside `{whole}`, which {whole_at} maps as a whole; \
                 remove it, or declare what `{whole}` holds name by name"
            ),
            Self::SymlinkLoop {
                name,
                origin,
                chain,
            } => {
                write!(
                    f,
                    "{origin}: the symbolic link `{name}` leads nowhere but round: "
                )?;
                for (link, target) in chain {
                    write!(f, "`{link}` -> `{}`, ", shown(&target))?;
                }
                write!(f, "and so on; change one of the targets")
            }
            Self::TooManyEntries { origin } => write!(
                f,
                "{origin}: a view holds at most {ENTRIES_MAX} names; map whole directories instead"
            ),
        }
    }
}

impl std::error::Error for TreeError {}
