//! Following a path through the tree the way the kernel would, without asking
//! it: names, `.`, `..`, and declared symbolic links.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use super::{Kind, NodeId, Tree};

/// How many symbolic links the kernel follows in one path (`MAXSYMLINKS`).
pub(crate) const SYMLINKS_FOLLOWED_MAX: usize = 40;

/// Where a path leads.
#[derive(Debug)]
pub(crate) struct Resolution {
    pub(crate) outcome: Outcome,
    /// The symbolic links that were followed, in order.
    pub(crate) followed: Vec<NodeId>,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// To this node.
    Node(NodeId),
    /// Into a directory that is mapped as a whole, to these names below it.
    Inside { whole: NodeId, below: Vec<OsString> },
    /// Nowhere: `directory` has no `name`, after which the path goes on.
    Missing {
        directory: NodeId,
        name: OsString,
        rest: Vec<OsString>,
    },
    /// Nowhere: the path goes on below something that is not a directory.
    NotADirectory(NodeId),
    /// Nowhere: too many symbolic links, most likely a loop.
    TooManySymlinks,
}

impl Tree {
    /// Follows `path` from `start`, the last name included. A leading `/`
    /// means the root of the tree, which `..` cannot leave.
    pub(crate) fn resolve(&self, start: NodeId, path: &OsStr) -> Resolution {
        self.walk_path(start, path, true)
    }

    /// Like [`resolve`](Self::resolve), but a symbolic link at the very end is
    /// itself the answer.
    pub(crate) fn resolve_to_link(&self, start: NodeId, path: &OsStr) -> Resolution {
        self.walk_path(start, path, false)
    }

    fn walk_path<'t>(&'t self, start: NodeId, path: &'t OsStr, follow_last: bool) -> Resolution {
        let mut followed = Vec::new();
        let mut at = start;
        // Names below `at`, if that is a directory mapped as a whole.
        let mut below: Vec<OsString> = Vec::new();
        // What is still to be walked, the next name last.
        let mut pending = Vec::new();
        push_names(&mut pending, &mut at, path);
        let outcome = loop {
            let Some(name) = pending.pop() else {
                break if below.is_empty() {
                    Outcome::Node(at)
                } else {
                    Outcome::Inside { whole: at, below }
                };
            };
            let kind = &self.node(at).kind;
            if !matches!(kind, Kind::Directory(_) | Kind::WholeDirectory { .. }) {
                break Outcome::NotADirectory(at);
            }
            if name == "." {
                continue;
            }
            if name == ".." {
                if below.pop().is_none() {
                    at = self.node(at).parent;
                }
                continue;
            }
            if matches!(kind, Kind::WholeDirectory { .. }) {
                below.push(name.to_os_string());
                continue;
            }
            let Some(child) = self.child(at, name) else {
                break Outcome::Missing {
                    directory: at,
                    name: name.to_os_string(),
                    rest: pending.into_iter().rev().map(OsString::from).collect(),
                };
            };
            match &self.node(child).kind {
                Kind::Symlink { target } if follow_last || !pending.is_empty() => {
                    followed.push(child);
                    if followed.len() > SYMLINKS_FOLLOWED_MAX {
                        break Outcome::TooManySymlinks;
                    }
                    push_names(&mut pending, &mut at, target);
                }
                _ => at = child,
            }
        };
        Resolution { outcome, followed }
    }
}

fn push_names<'t>(pending: &mut Vec<&'t OsStr>, at: &mut NodeId, path: &'t OsStr) {
    let bytes = path.as_bytes();
    if bytes.first() == Some(&b'/') {
        *at = NodeId::ROOT;
    }
    let names = bytes.split(|byte| *byte == b'/');
    pending.extend(
        names
            .rev()
            .filter(|name| !name.is_empty())
            .map(OsStr::from_bytes),
    );
}

impl Resolution {
    /// The links that were followed over and over at the end: from the last
    /// one back to where it was followed before. All links if none repeats.
    pub(crate) fn last_cycle(&self) -> &[NodeId] {
        let Some((last, before)) = self.followed.split_last() else {
            return &[];
        };
        let start = before.iter().rposition(|link| link == last).unwrap_or(0);
        &before[start..]
    }
}
