//! Why a name answers the way it does.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;
use transom_module::{ItemKind, Name};

use crate::edit_distance::edit_distance;
use crate::host::{DirectoryDescriptor, HostDirectory};
use crate::sync::read;
use crate::tree::{Kind, NodeId, Outcome, SYMLINKS_FOLLOWED_MAX};
use crate::version::VersionState;
use crate::view::Pinned;
use crate::whole::{Child, WholeDirectory};
use crate::{Cover, Stamp, Tree, Version, View, ViewPath, json_bytes, shown};

/// How many similar names are suggested for one that is absent.
const NEAREST_MAX: usize = 3;

/// What a path in a view leads to, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// The path that was asked about.
    pub path: ViewPath,
    /// The declared symbolic links that were followed on the way.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub followed: Vec<ViewPath>,
    /// What it leads to.
    pub answer: Answer,
}

/// What a path leads to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "is")]
pub enum Answer {
    /// A declared file.
    File {
        /// Where it was declared.
        declared_at: String,
        /// The host file it stands for.
        #[serde(serialize_with = "json_bytes::serialize")]
        host_path: PathBuf,
        /// The override of its executable bits.
        #[serde(skip_serializing_if = "Option::is_none")]
        executable: Option<bool>,
        /// The version it was pinned at, once a view was made.
        #[serde(skip_serializing_if = "Option::is_none")]
        pinned: Option<PinnedVersion>,
    },
    /// A plain directory.
    Directory {
        /// Where it was declared, or what implied it.
        declared_at: String,
        /// It exists only because something is declared below it.
        implied: bool,
        /// How many names it holds.
        names: usize,
    },
    /// A host directory as a whole.
    WholeDirectory {
        /// Where it was declared.
        declared_at: String,
        /// The host directory it stands for.
        #[serde(serialize_with = "json_bytes::serialize")]
        host_path: PathBuf,
    },
    /// Something below a host directory that is mapped as a whole.
    InsideWholeDirectory {
        /// The mapped directory.
        whole: ViewPath,
        /// Where it was declared.
        declared_at: String,
        /// The host path that the name stands for.
        #[serde(serialize_with = "json_bytes::serialize")]
        host_path: PathBuf,
        /// What is there; `None` if the host was not asked.
        #[serde(skip_serializing_if = "Option::is_none")]
        found: Option<&'static str>,
        /// The version it was pinned at, if it is a file that was used.
        #[serde(skip_serializing_if = "Option::is_none")]
        pinned: Option<PinnedVersion>,
    },
    /// A declared symbolic link.
    Symlink {
        /// Where it was declared.
        declared_at: String,
        /// Its target.
        #[serde(serialize_with = "json_bytes::serialize")]
        target: OsString,
        /// The path in the view it leads to, if there is something.
        #[serde(skip_serializing_if = "Option::is_none")]
        leads_to: Option<ViewPath>,
    },
    /// Something of the action's own.
    Covered(Cover),
    /// Nothing.
    Absent(Absence),
}

/// The version of a host file that a view shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PinnedVersion {
    /// What identifies it.
    pub stamp: Stamp,
    /// What has become of it on the host.
    #[serde(flatten)]
    pub state: VersionState,
}

/// Why there is nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "because")]
pub enum Absence {
    /// It was never declared.
    Undeclared {
        /// The first name on the way that does not exist.
        missing: ViewPath,
        /// Declared names beside it that are spelled alike, the nearest first.
        nearest: Vec<ViewPath>,
    },
    /// It is declared with other upper and lower case.
    CaseDiffers {
        /// The first name on the way that does not exist.
        missing: ViewPath,
        /// What is declared.
        declared: ViewPath,
    },
    /// It was withdrawn.
    Withdrawn {
        /// What was withdrawn: the path or an ancestor.
        withdrawn: ViewPath,
        /// In which epoch of the view.
        epoch: u32,
    },
    /// Something above it is not a directory.
    NotADirectory {
        /// What is in the way.
        ancestor: ViewPath,
        /// What it is.
        found: &'static str,
        /// Where it was declared.
        declared_at: String,
    },
    /// The host directory that is mapped as a whole has no such name, or has a
    /// pipe, socket or device there.
    NotOnHost {
        /// The mapped directory.
        whole: ViewPath,
        /// The host path that the name stands for.
        #[serde(serialize_with = "json_bytes::serialize")]
        host_path: PathBuf,
    },
    /// Too many symbolic links, most likely in a circle.
    TooManySymlinks,
}

impl Tree {
    /// Explains a path by the declarations alone, without a look at the host.
    #[must_use]
    pub fn explain(&self, path: &ViewPath) -> Explanation {
        self.explain_with(path, |_| None)
    }

    fn explain_with<'p>(
        &self,
        path: &ViewPath,
        pinned: impl Fn(NodeId) -> Option<&'p Pinned>,
    ) -> Explanation {
        let mut followed = Vec::new();
        let mut rest = path.as_os_str().to_os_string();
        let answer = loop {
            if followed.len() > SYMLINKS_FOLLOWED_MAX {
                break Answer::Absent(Absence::TooManySymlinks);
            }
            let resolution = self.resolve_to_link(NodeId::ROOT, &rest);
            followed.extend(resolution.followed.iter().map(|link| self.path(*link)));
            let (whole, below) = match resolution.outcome {
                outcome if let Some(cover) = self.cover_of(&outcome) => {
                    break Answer::Covered(cover.clone());
                }
                Outcome::Inside { whole, below } => (whole, below),
                Outcome::Node(node) => break self.explain_node(node, pinned(node)),
                outcome => break Answer::Absent(self.explain_absence(outcome)),
            };
            let found = match pinned(whole) {
                Some(Pinned::Whole(directory)) => look_below(directory, &below),
                _ => Below::Unknown,
            };
            match found {
                Below::Link { depth, target } => {
                    let link = self.path_below(whole, &below[..=depth]);
                    let names = [target]
                        .into_iter()
                        .chain(below.into_iter().skip(depth + 1));
                    let onward: PathBuf = names.collect();
                    // An absolute target starts over, as joining paths does.
                    let start = link.parent().unwrap_or_default().to_absolute();
                    rest = Path::new(&start).join(onward).into_os_string();
                    followed.push(link);
                }
                found => break self.explain_inside(whole, &below, found),
            }
        };
        Explanation {
            path: path.clone(),
            followed,
            answer,
        }
    }

    /// What is mounted over the end of a path. Inputs that are no directories
    /// of the view are mounted above it.
    fn cover_of(&self, outcome: &Outcome) -> Option<&Cover> {
        match outcome {
            Outcome::Node(node) if matches!(self.node(*node).kind, Kind::Directory(_)) => {
                self.covering(&self.path(*node))
            }
            Outcome::Inside { whole, below } => {
                let cover = self.covering(&self.path_below(*whole, below))?;
                cover.at.starts_with(&self.path(*whole)).then_some(cover)
            }
            Outcome::Missing {
                directory,
                name,
                rest,
            } => {
                let names: Vec<_> = std::iter::once(name).chain(rest).cloned().collect();
                self.covering(&self.path_below(*directory, &names))
            }
            _ => None,
        }
    }

    fn explain_node(&self, id: NodeId, pinned: Option<&Pinned>) -> Answer {
        let node = self.node(id);
        let declared_at = node.origin.to_string();
        match &node.kind {
            Kind::File { source, executable } => Answer::File {
                declared_at,
                host_path: source.to_path_buf(),
                executable: *executable,
                pinned: match pinned {
                    Some(Pinned::File(version)) => Some(version.into()),
                    _ => None,
                },
            },
            Kind::Directory(_) => Answer::Directory {
                declared_at,
                implied: node.implied,
                names: self.sorted(id).count(),
            },
            Kind::WholeDirectory { source } => Answer::WholeDirectory {
                declared_at,
                host_path: source.to_path_buf(),
            },
            Kind::Symlink { target } => Answer::Symlink {
                declared_at,
                target: target.to_os_string(),
                leads_to: match self.resolve(node.parent, target).outcome {
                    Outcome::Node(node) => Some(self.path(node)),
                    Outcome::Inside { whole, below } => Some(self.path_below(whole, &below)),
                    _ => None,
                },
            },
        }
    }

    fn explain_inside(&self, whole: NodeId, below: &[OsString], found: Below) -> Answer {
        let node = self.node(whole);
        let Kind::WholeDirectory { source } = &node.kind else {
            unreachable!("a path leads inside whole directories only");
        };
        let host_path = below
            .iter()
            .fold(source.to_path_buf(), |path, name| path.join(name));
        let (found, version) = match found {
            Below::Found(found, version) => (Some(found), version),
            Below::Unknown | Below::Link { .. } => (None, None),
            Below::Missing => {
                return Answer::Absent(Absence::NotOnHost {
                    whole: self.path(whole),
                    host_path,
                });
            }
        };
        Answer::InsideWholeDirectory {
            whole: self.path(whole),
            declared_at: node.origin.to_string(),
            host_path,
            found,
            pinned: version.as_ref().map(PinnedVersion::from),
        }
    }

    fn explain_absence(&self, outcome: Outcome) -> Absence {
        match outcome {
            Outcome::Missing {
                directory, name, ..
            } => self.explain_missing(directory, &name),
            Outcome::NotADirectory(node) => Absence::NotADirectory {
                ancestor: self.path(node),
                found: self.node(node).kind.description(),
                declared_at: self.node(node).origin.to_string(),
            },
            Outcome::TooManySymlinks => Absence::TooManySymlinks,
            Outcome::Node(_) | Outcome::Inside { .. } => {
                unreachable!("these lead somewhere")
            }
        }
    }

    fn explain_missing(&self, directory: NodeId, name: &OsStr) -> Absence {
        if let Some(tombstone) = self.child_or_tombstone(directory, name)
            && let Some(epoch) = self.node(tombstone).withdrawn
        {
            return Absence::Withdrawn {
                withdrawn: self.path(tombstone),
                epoch: epoch.get(),
            };
        }
        let missing = self.path_below(directory, &[name.to_os_string()]);
        let declared = self.sorted(directory);
        let mut differs_in_case =
            declared.filter(|child| has_same_letters(&self.node(*child).name, name));
        if let Some(declared) = differs_in_case.next() {
            return Absence::CaseDiffers {
                missing,
                declared: self.path(declared),
            };
        }
        // More than a third of the letters wrong is another word.
        let distance_max = name.len().div_ceil(3);
        let mut nearest: Vec<_> = self
            .sorted(directory)
            .filter(|child| self.node(*child).name.len().abs_diff(name.len()) <= distance_max)
            .map(|child| {
                (
                    edit_distance(self.node(child).name.as_bytes(), name.as_bytes()),
                    child,
                )
            })
            .filter(|(distance, _)| *distance <= distance_max)
            .collect();
        nearest.sort();
        nearest.truncate(NEAREST_MAX);
        Absence::Undeclared {
            missing,
            nearest: nearest
                .into_iter()
                .map(|(_, child)| self.path(child))
                .collect(),
        }
    }

    fn path_below(&self, node: NodeId, below: &[OsString]) -> ViewPath {
        below.iter().fold(self.path(node), |path, name| {
            match Name::new(name.as_bytes()) {
                Ok(name) => path.join(&name),
                // Too long to exist: the directory is as far as one gets.
                Err(_) => path,
            }
        })
    }
}

impl View {
    /// Explains a path: what answers it and what has become of that on the
    /// host, or why nothing does.
    #[must_use]
    pub fn explain(&self, path: &ViewPath) -> Explanation {
        let state = read(&self.state);
        state
            .tree
            .explain_with(path, |node| Some(&state.pins[node.index()]))
    }
}

impl From<&Arc<Version>> for PinnedVersion {
    fn from(version: &Arc<Version>) -> Self {
        Self {
            stamp: *version.stamp(),
            state: version.check(),
        }
    }
}

/// What some names below a whole directory lead to.
enum Below {
    /// The host was not asked.
    Unknown,
    Missing,
    Found(&'static str, Option<Arc<Version>>),
    /// A symbolic link that names go on after: the one at `depth`.
    Link {
        depth: usize,
        target: OsString,
    },
}

/// Looks without pinning anything.
fn look_below(directory: &WholeDirectory, below: &[OsString]) -> Below {
    let Some((name, rest)) = below.split_first() else {
        return Below::Found("a directory", None);
    };
    match directory.pinned(name) {
        Some(Child::Directory(child)) => look_below(&child, rest).one_deeper(),
        Some(Child::File(version)) if rest.is_empty() => Below::Found("a file", Some(version)),
        Some(Child::File(_)) => Below::Missing,
        Some(Child::Symlink(link)) => at_link(0, &link.target, rest),
        None => look_on_host(&directory.host, below).unwrap_or(Below::Missing),
    }
}

fn look_on_host(directory: &HostDirectory, below: &[OsString]) -> io::Result<Below> {
    let mut descriptor = directory.descriptor()?;
    let mut found = "a directory";
    for (depth, name) in below.iter().enumerate() {
        let file = directory.root().open_in(&descriptor, name)?;
        match file.stamp.kind() {
            Some(ItemKind::Symlink) => {
                let target = rustix::fs::readlinkat(&file.descriptor, c"", Vec::new())?;
                let target = OsStr::from_bytes(target.to_bytes());
                return Ok(at_link(depth, target, &below[depth + 1..]));
            }
            Some(ItemKind::File) => found = "a file",
            Some(ItemKind::Directory) => found = "a directory",
            _ => return Ok(Below::Missing),
        }
        descriptor = DirectoryDescriptor::Reopened(file.descriptor);
    }
    Ok(Below::Found(found, None))
}

fn at_link(depth: usize, target: &OsStr, rest: &[OsString]) -> Below {
    if rest.is_empty() {
        return Below::Found("a symbolic link", None);
    }
    Below::Link {
        depth,
        target: target.to_os_string(),
    }
}

impl Below {
    fn one_deeper(self) -> Self {
        match self {
            Self::Link { depth, target } => Self::Link {
                depth: depth + 1,
                target,
            },
            other => other,
        }
    }
}

fn has_same_letters(one: &OsStr, other: &OsStr) -> bool {
    match (one.to_str(), other.to_str()) {
        (Some(one), Some(other)) => one.to_lowercase() == other.to_lowercase(),
        _ => one.eq_ignore_ascii_case(other),
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` ", self.path)?;
        if let Some((last, before)) = self.followed.split_last() {
            write!(f, "goes through the symbolic link ")?;
            for link in before {
                write!(f, "`{link}`, then ")?;
            }
            write!(f, "`{last}`, and ")?;
        }
        write!(f, "{}", self.answer)
    }
}

/// The rest of a sentence that begins with the path.
impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File {
                declared_at,
                host_path,
                executable,
                pinned,
            } => {
                write!(f, "is the host file `{}`", shown(&host_path))?;
                match executable {
                    Some(true) => write!(f, ", shown as executable")?,
                    Some(false) => write!(f, ", shown as not executable")?,
                    None => {}
                }
                write!(f, ", declared at {declared_at}")?;
                write_pinned(f, pinned.as_ref())
            }
            Self::Directory {
                declared_at,
                implied,
                names,
            } => {
                let how = if *implied {
                    "implied by"
                } else {
                    "declared at"
                };
                write!(
                    f,
                    "is a directory of the view with {names} names, {how} {declared_at}"
                )
            }
            Self::WholeDirectory {
                declared_at,
                host_path,
            } => write!(
                f,
                "is the host directory `{}` as a whole, declared at {declared_at}",
                shown(&host_path)
            ),
            Self::InsideWholeDirectory {
                whole,
                declared_at,
                host_path,
                found,
                pinned,
            } => {
                let host_path = shown(&host_path);
                match found {
                    Some(found) => write!(f, "is {found}, `{host_path}` on the host")?,
                    None => write!(f, "is `{host_path}` on the host, if that exists")?,
                }
                write!(f, "; `{whole}` is mapped as a whole at {declared_at}")?;
                write_pinned(f, pinned.as_ref())
            }
            Self::Symlink {
                declared_at,
                target,
                leads_to,
            } => {
                let target = shown(&target);
                write!(
                    f,
                    "is a symbolic link to `{target}`, declared at {declared_at}, "
                )?;
                match leads_to {
                    Some(path) => write!(f, "which leads to `{path}`"),
                    None => write!(f, "which leads to nothing in this view"),
                }
            }
            Self::Covered(cover) => write!(f, "{cover}"),
            Self::Absent(absence) => write!(f, "{absence}"),
        }
    }
}

fn write_pinned(f: &mut fmt::Formatter<'_>, pinned: Option<&PinnedVersion>) -> fmt::Result {
    match pinned {
        Some(PinnedVersion { stamp, state }) => {
            write!(
                f,
                "; the host file {} (pinned: {stamp})",
                state.description()
            )
        }
        None => Ok(()),
    }
}

/// The rest of a sentence that begins with the path.
impl fmt::Display for Absence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "does not exist: ")?;
        match self {
            Self::Undeclared { missing, nearest } => {
                write!(f, "`{missing}` is not declared")?;
                for (index, name) in nearest.iter().enumerate() {
                    let before = if index == 0 {
                        "; similar names are"
                    } else {
                        ","
                    };
                    write!(f, "{before} `{name}`")?;
                }
                Ok(())
            }
            Self::CaseDiffers { missing, declared } => write!(
                f,
                "`{missing}` is not declared, but `{declared}` is, and upper and lower case differ"
            ),
            Self::Withdrawn { withdrawn, epoch } => {
                write!(f, "`{withdrawn}` was withdrawn in epoch {epoch}")
            }
            Self::NotADirectory {
                ancestor,
                found,
                declared_at,
            } => write!(f, "`{ancestor}` is {found}, declared at {declared_at}"),
            Self::NotOnHost { whole, host_path } => write!(
                f,
                "`{whole}` is mapped as a whole, and the host has no file, directory or symbolic \
                 link `{}`",
                shown(&host_path)
            ),
            Self::TooManySymlinks => {
                write!(
                    f,
                    "more than {SYMLINKS_FOLLOWED_MAX} symbolic links would be followed"
                )
            }
        }
    }
}
