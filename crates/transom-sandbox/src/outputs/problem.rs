use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

use rustix::fs::FileType;
use rustix::io::Errno;
use transom_projection::{Origin, ViewPath, shown};

use super::OUTPUT_DEPTH_MAX;
use super::destination::{Destination, Directories};
use crate::walk;

/// Why an output cannot be accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// It does not exist.
    #[error("the declared output `{path}` is missing; {found}")]
    Missing {
        /// Its name in the view.
        path: ViewPath,
        /// What there is instead.
        found: Found,
    },
    /// It is something else.
    #[error(
        "the declared output `{path}` should be {expected}, but the action made {found}{}",
        link_hint(expected, found)
    )]
    WrongKind {
        /// Its name in the view.
        path: ViewPath,
        /// What it was declared to be, in words.
        expected: &'static str,
        /// What it is, in words.
        found: &'static str,
    },
    /// Something in it that no output may contain.
    #[error("`{path}` in the output `{output}` is {found}, which cannot be an output")]
    Special {
        /// The output's name in the view.
        output: ViewPath,
        /// The name of the offender in the view.
        path: ViewPath,
        /// What it is, in words.
        found: &'static str,
    },
    /// A symbolic link in it leads elsewhere.
    #[error(
        "the symbolic link `{path}` in the output `{output}` leads to `{}`, outside of the output; make it relative and let it stay inside, or say `--keep-links`", shown(&target)
    )]
    LinkLeaves {
        /// The output's name in the view.
        output: ViewPath,
        /// The name of the link in the view.
        path: ViewPath,
        /// Where it leads.
        target: OsString,
    },
    /// It is nested too deeply.
    #[error("the output `{output}` is nested more than {OUTPUT_DEPTH_MAX} directories deep")]
    TooDeep {
        /// The output's name in the view.
        output: ViewPath,
    },
    /// The kernel refused to show it.
    #[error("cannot examine the output `{path}`: {source}")]
    Unreadable {
        /// The name in the view.
        path: ViewPath,
        /// The kernel's answer.
        source: Errno,
    },

    /// One output is declared twice.
    #[error(
        "{}: the output `{}` is declared twice, first at {}; remove one of the two",
        second.origin, second.path, first.origin
    )]
    DeclaredTwice {
        /// One declaration.
        first: Box<Named>,
        /// The other.
        second: Box<Named>,
    },
    /// Two outputs would replace each other.
    #[error(
        "{}: the outputs `{}` and `{}` have the same destination `{}`; choose another one",
        second.origin, first.path, second.path, shown(&second.destination)
    )]
    SameDestination {
        /// One output.
        first: Box<Named>,
        /// The other.
        second: Box<Named>,
    },
    /// One output would replace what another one is moved into.
    #[error(
        "{}: the destination `{}` of the output `{}` lies in `{}`, which the output `{}` ({}) replaces as a whole; choose another one",
        inner.origin, shown(&inner.destination), inner.path,
        shown(&outer.destination), outer.path, outer.origin
    )]
    NestedDestination {
        /// The output that is moved into the other's destination.
        inner: Box<Named>,
        /// The other.
        outer: Box<Named>,
    },
    /// Its destination is something of another kind.
    #[error("{output} is {found}; remove it first")]
    DestinationKind {
        /// The output.
        output: Named,
        /// What is there, in words.
        found: &'static str,
    },
    /// Nothing can be put at its destination.
    #[error("{output} cannot be made: {why}")]
    NoDestination {
        /// The output.
        output: Named,
        /// Why not, and what can be done.
        why: String,
    },
    /// It would replace a directory of somebody else.
    #[error(
        "{output} is a directory that no action has made, and not empty: all that is in it would be lost; remove it, choose another destination, or say `--replace`"
    )]
    ForeignDirectory {
        /// The output.
        output: Named,
    },
    /// It would replace a declared input.
    #[error("{output} is {what}; choose another one, or say `--replace`")]
    IsKept {
        /// The output.
        output: Named,
        /// What it would replace, in words.
        what: String,
    },
    /// It would replace a directory that is needed.
    #[error("{output} is or holds {what}, which would be lost; choose another one")]
    HoldsKept {
        /// The output.
        output: Named,
        /// What would be lost, in words.
        what: String,
    },
    /// Its destination changed while it was published.
    #[error("{output} was moved or replaced by somebody else just now; try again")]
    Disturbed {
        /// The output.
        output: Named,
    },
}

fn link_hint(expected: &str, found: &str) -> &'static str {
    if expected == "a file" && found == walk::noun(FileType::Symlink) {
        "; `--keep-links` allows that"
    } else {
        ""
    }
}

/// An output, as a message about its destination names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// Its name in the view.
    pub path: ViewPath,
    /// The host path it is to be moved to, without symbolic links and `..` as
    /// far as that can be told.
    pub destination: PathBuf,
    /// Where it was declared.
    pub origin: Origin,
}

impl From<&crate::Output> for Named {
    fn from(output: &crate::Output) -> Self {
        // A manifest far from its destinations leads there by many `..`.
        let resolved = Destination::resolve(&output.destination, &mut Directories::default());
        let destination = resolved.map_or_else(
            |_| output.destination.components().collect(),
            |resolved| resolved.path(),
        );
        Self {
            path: output.path.clone(),
            destination,
            origin: output.origin.clone(),
        }
    }
}

impl From<&crate::Output> for Box<Named> {
    fn from(output: &crate::Output) -> Self {
        Self::new(output.into())
    }
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            path,
            destination,
            origin,
        } = self;
        let destination = shown(destination);
        write!(
            f,
            "{origin}: the destination `{destination}` of the output `{path}`"
        )
    }
}

/// What there is instead of a missing output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The innermost directory of its path that exists.
    pub directory: ViewPath,
    /// What that directory holds, most similar names first; at most
    /// [`ENTRIES_NAMED_MAX`](super::ENTRIES_NAMED_MAX).
    pub names: Vec<OsString>,
    /// How many more there are.
    pub more: usize,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.names.is_empty() {
            return write!(f, "the action left nothing in `{}`", self.directory);
        }
        write!(f, "in `{}` the action left ", self.directory)?;
        for (index, name) in self.names.iter().enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            write!(f, "{separator}`{}`", shown(name))?;
        }
        if self.more > 0 {
            write!(f, " and {} more", self.more)?;
        }
        Ok(())
    }
}
