use std::collections::{HashMap, HashSet};
use std::ffi::{CString, OsString};
use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use rustix::fs::{FileType, OFlags, ResolveFlags};
use rustix::io::Errno;
use transom_projection::ViewPath;

use crate::{Output, OutputKind, walk};

/// The deepest directory inside of an output.
pub const OUTPUT_DEPTH_MAX: usize = 256;

/// How many entries of a directory are named when an output is missing there.
pub const ENTRIES_NAMED_MAX: usize = 8;

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
    #[error("the declared output `{path}` should be {expected}, but the action made {found}")]
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
        "the symbolic link `{path}` in the output `{output}` leads to `{}`, outside of the output; make it relative and let it stay inside", target.display()
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
    /// Its destination is something of another kind.
    #[error(
        "the destination `{}` of the output `{path}` is {found}; remove it first", destination.display()
    )]
    DestinationKind {
        /// The output's name in the view.
        path: ViewPath,
        /// The host path.
        destination: PathBuf,
        /// What is there, in words.
        found: &'static str,
    },
    /// One output is declared twice.
    #[error("the output `{path}` is declared twice; remove one of the two")]
    DeclaredTwice {
        /// Its name in the view.
        path: ViewPath,
    },
    /// Two outputs would replace each other.
    #[error(
        "the outputs `{first}` and `{second}` have the same destination `{}`", destination.display()
    )]
    SameDestination {
        /// One output's name in the view.
        first: ViewPath,
        /// The other's.
        second: ViewPath,
        /// The host path.
        destination: PathBuf,
    },
    /// The kernel refused to show it.
    #[error("cannot examine the output `{path}`: {source}")]
    Unreadable {
        /// The name in the view.
        path: ViewPath,
        /// The kernel's answer.
        source: Errno,
    },
}

/// What there is instead of a missing output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The innermost directory of its path that exists.
    pub directory: ViewPath,
    /// What that directory holds, most similar names first; at most
    /// [`ENTRIES_NAMED_MAX`].
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
            write!(f, "{separator}`{}`", name.display())?;
        }
        if self.more > 0 {
            write!(f, " and {} more", self.more)?;
        }
        Ok(())
    }
}

/// Says whether `output` is there. It may be absent if it is optional.
pub(super) fn output(root: BorrowedFd<'_>, output: &Output) -> Result<bool, Problem> {
    let path = &output.path;
    let file = match walk::open(root, path, OFlags::PATH) {
        Ok(file) => file,
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) if output.optional => return Ok(false),
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {
            // Without a link to follow, a loop means that one is in the way.
            return Err(Problem::Missing {
                path: path.clone(),
                found: found_instead(root, path),
            });
        }
        Err(source) => return Err(unreadable(path)(source)),
    };
    let stat = walk::stat(&file, c"").map_err(unreadable(path))?;
    match (output.kind, walk::kind_of(&stat)) {
        (OutputKind::File, FileType::RegularFile) => {}
        (OutputKind::Directory, FileType::Directory) => {
            let directory = walk::open_directory(root, path).map_err(unreadable(path))?;
            let tree = Tree {
                output: path,
                root: &directory,
            };
            tree.examine(&directory, path, 0)?;
        }
        (expected, found) => {
            return Err(Problem::WrongKind {
                path: path.clone(),
                expected: match expected {
                    OutputKind::File => "a file",
                    OutputKind::Directory => "a directory",
                },
                found: walk::noun(found),
            });
        }
    }
    destination(output)?;
    Ok(true)
}

/// The outputs that have the name or the destination of an earlier one.
pub(super) fn collisions(outputs: &[Output]) -> Vec<Problem> {
    let mut destinations = HashMap::new();
    let mut names = HashSet::new();
    let mut problems = Vec::new();
    for output in outputs {
        let path = &output.path;
        if !names.insert(path) {
            problems.push(Problem::DeclaredTwice { path: path.clone() });
        } else if let Some(first) = destinations.insert(&output.destination, path) {
            problems.push(Problem::SameDestination {
                first: first.clone(),
                second: path.clone(),
                destination: output.destination.clone(),
            });
        }
    }
    problems
}

fn destination(output: &Output) -> Result<(), Problem> {
    // Not followed: a symbolic link there is replaced, not written through.
    let Ok(stat) = rustix::fs::lstat(&output.destination) else {
        // What cannot be looked at will be reported when it is made.
        return Ok(());
    };
    let found = FileType::from_raw_mode(stat.st_mode);
    let is_directory = found == FileType::Directory;
    if is_directory == (output.kind == OutputKind::Directory) {
        return Ok(());
    }
    Err(Problem::DestinationKind {
        path: output.path.clone(),
        destination: output.destination.clone(),
        found: walk::noun(found),
    })
}

/// A directory that is an output.
struct Tree<'a> {
    output: &'a ViewPath,
    root: &'a OwnedFd,
}

impl Tree<'_> {
    fn examine(&self, directory: &OwnedFd, path: &ViewPath, depth: usize) -> Result<(), Problem> {
        if depth > OUTPUT_DEPTH_MAX {
            return Err(Problem::TooDeep {
                output: self.output.clone(),
            });
        }
        for entry in walk::entries(directory).map_err(unreadable(path))? {
            let path = walk::join(path, entry.name()).map_err(unreadable(path))?;
            match entry.kind {
                FileType::RegularFile => {}
                FileType::Directory => {
                    let directory = walk::open_subdirectory(directory, &entry.name)
                        .map_err(unreadable(&path))?;
                    self.examine(&directory, &path, depth + 1)?;
                }
                FileType::Symlink => self.examine_link(directory, &entry.name, &path)?,
                special => {
                    return Err(Problem::Special {
                        output: self.output.clone(),
                        path,
                        found: walk::noun(special),
                    });
                }
            }
        }
        Ok(())
    }

    /// Lets the kernel resolve the link, with the output as the limit. Only it
    /// gets `..` after another link right.
    fn examine_link(
        &self,
        directory: &OwnedFd,
        name: &CString,
        path: &ViewPath,
    ) -> Result<(), Problem> {
        let below = walk::relative(path, self.output);
        let limits = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        match walk::resolve(self.root, below.as_os_str(), OFlags::PATH, limits) {
            // A link to nothing, or to itself, leads nowhere else either.
            Ok(_) | Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::ACCESS) => Ok(()),
            Err(Errno::XDEV) => {
                let target = rustix::fs::readlinkat(directory.as_fd(), name, Vec::new())
                    .map_err(unreadable(path))?;
                Err(Problem::LinkLeaves {
                    output: self.output.clone(),
                    path: path.clone(),
                    target: walk::os_string(target),
                })
            }
            Err(source) => Err(unreadable(path)(source)),
        }
    }
}

fn found_instead(root: BorrowedFd<'_>, path: &ViewPath) -> Found {
    // The innermost directory on the way that exists, and the name missed there.
    let mut directory = path.parent().unwrap_or_default();
    let mut wanted = path.file_name().unwrap_or_default().to_owned();
    let entries = loop {
        match walk::open_directory(root, &directory).and_then(walk::entries) {
            Ok(entries) => break entries,
            Err(_) if directory.is_root() => break Vec::new(),
            Err(_) => {
                wanted = directory.file_name().unwrap_or_default().to_owned();
                directory = directory.parent().unwrap_or_default();
            }
        }
    };
    let mut names: Vec<OsString> = entries
        .iter()
        .map(|entry| entry.name().to_owned())
        .collect();
    let similarity = |name: &OsString| {
        let pairs = name
            .as_encoded_bytes()
            .iter()
            .zip(wanted.as_encoded_bytes());
        pairs.take_while(|(a, b)| a == b).count()
    };
    names.sort_by_key(|name| std::cmp::Reverse(similarity(name)));
    let more = names.len().saturating_sub(ENTRIES_NAMED_MAX);
    names.truncate(ENTRIES_NAMED_MAX);
    Found {
        directory,
        names,
        more,
    }
}

fn unreadable(path: &ViewPath) -> impl FnOnce(Errno) -> Problem {
    let path = path.clone();
    |source| Problem::Unreadable { path, source }
}
