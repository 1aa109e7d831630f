use std::collections::BTreeSet;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::FileType;
use transom_projection::ViewPath;

use super::OUTPUT_DEPTH_MAX;
use crate::error::{Result, host};
use crate::{Action, OutputKind, layout, walk};

/// How many undeclared writes are named; the others are counted.
pub const UNDECLARED_NAMED_MAX: usize = 100;

/// What an action wrote without having declared it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Undeclared {
    /// Names in the view, sorted; at most [`UNDECLARED_NAMED_MAX`]. A
    /// directory is named only if it is empty.
    pub paths: Vec<ViewPath>,
    /// How many more there are.
    pub more: usize,
}

impl Undeclared {
    /// Whether there is nothing to report.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.paths.is_empty()
    }

    fn add(&mut self, path: ViewPath) {
        if self.paths.len() < UNDECLARED_NAMED_MAX {
            self.paths.push(path);
        } else {
            self.more += 1;
        }
    }
}

/// Lists what lies below `root`, without stubs, and was not declared.
pub(super) fn find(root: BorrowedFd<'_>, action: &Action) -> Result<Undeclared> {
    let writable = action.writable.iter().map(|writable| &writable.path);
    let mut allowed: BTreeSet<&ViewPath> = writable.collect();
    allowed.extend(action.outputs.iter().map(|output| &output.path));
    let mut search = Search {
        files: action
            .outputs
            .iter()
            .filter(|output| output.kind == OutputKind::File)
            .map(|output| &output.path)
            .collect(),
        allowed,
        made_by_us: BTreeSet::from([ViewPath::root()]),
        undeclared: Undeclared::default(),
    };
    for directory in layout::writable_directories(action).into_keys() {
        let mut directory = Some(directory);
        while let Some(path) = directory {
            directory = path.parent();
            search.made_by_us.insert(path);
        }
    }
    if !search.allowed.iter().any(|path| path.is_root()) {
        search.directory(root, &ViewPath::root(), 0)?;
    }
    Ok(search.undeclared)
}

struct Search<'a> {
    /// Outputs and writable directories.
    allowed: BTreeSet<&'a ViewPath>,
    /// Outputs that are files: as a directory, such a name is allowed too, and
    /// reported as an output of the wrong kind.
    files: BTreeSet<&'a ViewPath>,
    made_by_us: BTreeSet<ViewPath>,
    undeclared: Undeclared,
}

impl Search<'_> {
    fn directory(
        &mut self,
        directory: BorrowedFd<'_>,
        path: &ViewPath,
        depth: usize,
    ) -> Result<()> {
        let entries = walk::entries(directory).map_err(host("cannot list in scratch", path))?;
        if entries.is_empty() && !self.made_by_us.contains(path) {
            self.undeclared.add(path.clone());
        }
        for entry in entries {
            let path =
                walk::join(path, entry.name()).map_err(host("cannot list in scratch", path))?;
            if self.allowed.contains(&path) || self.files.contains(&path) {
                continue;
            }
            if entry.kind != FileType::Directory || depth == OUTPUT_DEPTH_MAX {
                self.undeclared.add(path);
                continue;
            }
            let directory = walk::open_subdirectory(directory, &entry.name)
                .map_err(host("cannot list in scratch", &path))?;
            self.directory(directory.as_fd(), &path, depth + 1)?;
        }
        Ok(())
    }
}
