use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::parallel::in_ranges;
use crate::stamp::Seconds;
use crate::sync::read;
use crate::version::VersionState;
use crate::view::Pinned;
use crate::whole::{Child, WholeDirectory};
use crate::{OnChange, Stamp, Version, View, ViewPath, json_bytes, shown};

/// An input that is not what it was when the view was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangedInput {
    /// Its path in the view.
    pub path: ViewPath,
    /// The host path it was pinned at.
    #[serde(with = "json_bytes")]
    pub host_path: PathBuf,
    /// The version that was pinned.
    pub pinned: Stamp,
    /// What became of it.
    #[serde(flatten)]
    pub state: VersionState,
}

impl View {
    /// Looks again at every file that was opened, and returns those that were
    /// touched, changed in place, deleted, or refused at an open. A file that was
    /// replaced while its pinned version went on being served is none of them;
    /// nor is a file that nobody opened, whatever became of it. Nothing with
    /// [`OnChange::Ignore`]. Ordered by path.
    #[must_use]
    pub fn verify(&self) -> Vec<ChangedInput> {
        let mut versions = Vec::new();
        let state = read(&self.state);
        for (node, pinned) in state.live() {
            match pinned {
                Pinned::File(version) if is_watched(version) => {
                    versions.push((state.tree.path(node), version.clone()));
                }
                Pinned::Whole(directory) => collect_found(directory, &mut versions),
                Pinned::File(_) | Pinned::Directory { .. } | Pinned::Symlink(_) => {}
            }
        }
        drop(state);
        let changed = in_ranges(versions.len(), |range| {
            versions[range]
                .iter()
                .filter_map(|(path, version)| changed_input(path, version))
                .collect::<Vec<_>>()
        });
        let mut changed = changed.concat();
        changed.sort_by(|one, other| one.path.cmp(&other.path));
        changed
    }
}

impl ChangedInput {
    /// Whether what was used cannot be trusted to be what was declared. False
    /// for a file that was merely [touched](VersionState::Touched).
    #[must_use]
    pub fn is_wrong(&self) -> bool {
        !matches!(self.state, VersionState::Touched { .. })
    }
}

fn collect_found(directory: &WholeDirectory, versions: &mut Vec<(ViewPath, Arc<Version>)>) {
    for (name, child) in directory.all_pinned() {
        match child {
            Child::File(version) if is_watched(&version) => {
                versions.push((directory.path.join(&name), version));
            }
            Child::Directory(below) => collect_found(&below, versions),
            Child::File(_) | Child::Symlink(_) => {}
        }
    }
}

/// Whether it matters what became of it.
fn is_watched(version: &Version) -> bool {
    version.was_opened() && version.on_change() != OnChange::Ignore
}

fn changed_input(path: &ViewPath, version: &Version) -> Option<ChangedInput> {
    let state = version.noticed().or_else(|| match version.check() {
        VersionState::Unchanged | VersionState::Replaced { .. } => None,
        state => Some(state),
    })?;
    Some(ChangedInput {
        path: path.clone(),
        host_path: version.host_path().to_path_buf(),
        pinned: *version.stamp(),
        state,
    })
}

impl fmt::Display for ChangedInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            path,
            host_path,
            pinned,
            state,
        } = self;
        let host_path = shown(&host_path);
        write!(f, "`{path}` (`{host_path}`) {}", state.description())?;
        match state {
            VersionState::Unchanged | VersionState::Deleted => {
                write!(f, " (pinned: {pinned})")
            }
            VersionState::Unknown { errno } => {
                let error = std::io::Error::from_raw_os_error(*errno);
                write!(f, ": {error} (pinned: {pinned})")
            }
            VersionState::Touched { now } => {
                let (then, now) = (pinned.changed, now.changed);
                write!(f, " (pinned: {}; now: {})", Seconds(then), Seconds(now))
            }
            VersionState::ChangedInPlace { now } | VersionState::Replaced { now } => {
                write!(f, " (pinned: {pinned}; now: {now})")
            }
        }
    }
}
