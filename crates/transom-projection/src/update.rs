//! Steering: changing a view while it is in use.
//!
//! A batch of changes becomes visible as a whole or not at all. New sources are
//! opened first, without a lock, since the host may be slow; then the tree is
//! edited under the write lock, with a log that takes everything back if a
//! change turns out to be impossible. Requests see the tree before or after,
//! never between.
//!
//! What the kernel remembers of changed names has to be forgotten. One name
//! can be dropped alone. Several cannot be dropped at once, and a process that
//! runs meanwhile could see half of a batch; so a batch starts a new epoch,
//! after which the kernel asks again for every name it uses, and finds those
//! unchanged that did not change.
//!
//! Whatever stands for something else than before is a new item with a new
//! number. A directory that stays keeps its number, and with it everything the
//! kernel knows below it.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use transom_module::{Invalidation, ItemKind};

use crate::errors::Collected;
use crate::host::{HostCursor, HostFile};
use crate::pin::{Expected, Pinner, open_source};
use crate::sync::write;
use crate::tree::{EditError, Kind, Log, NodeId};
use crate::view::State;
use crate::{Declaration, Errors, Mapping, Origin, PinError, Tree, TreeError, View, ViewPath};

/// The most changes in one batch.
pub const CHANGES_MAX: usize = 1 << 20;

/// One change of a view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A name that is not declared yet. Directories above it are implied.
    Add(Declaration),
    /// A declared name stands for something else from now on. A directory
    /// that holds declared names can only be declared as a directory.
    Replace(Declaration),
    /// A declared name, or a directory with everything declared below it, goes
    /// away. Directories that were implied stay until they are withdrawn.
    Withdraw(ViewPath),
    /// A declared file or whole directory is to be found at another host path.
    Redirect {
        /// The declared name.
        name: ViewPath,
        /// Absolute host path.
        source: PathBuf,
    },
}

/// Why a batch was refused; nothing of it was applied.
#[derive(Debug)]
pub enum UpdateError {
    /// More than [`CHANGES_MAX`] changes.
    TooManyChanges,
    /// Host files that cannot be opened.
    Pin(Errors<PinError>),
    /// A declaration that does not fit into the tree.
    Tree(TreeError),
    /// Nothing of that name is declared.
    NotDeclared(ViewPath),
    /// A directory that holds declared names cannot stand for something else.
    NotEmpty(ViewPath),
    /// Only files and whole directories have a source that can be redirected.
    NoSource {
        /// The name.
        name: ViewPath,
        /// What it is.
        found: &'static str,
    },
    /// The new source of a redirected name is not of the kind that was
    /// declared.
    OtherKind {
        /// The name.
        name: ViewPath,
        /// What it is.
        declared: &'static str,
        /// The new source.
        source: PathBuf,
    },
}

impl View {
    /// Applies a batch of changes in order, and returns what has to be passed
    /// to the transport that serves the view.
    pub fn update(&self, changes: Vec<Change>) -> Result<Vec<Invalidation>, UpdateError> {
        if changes.len() > CHANGES_MAX {
            return Err(UpdateError::TooManyChanges);
        }
        if changes.is_empty() {
            return Ok(Vec::new());
        }
        let is_batch = changes.len() > 1;
        let opened = open_sources(&self.pinner, &changes).map_err(UpdateError::Pin)?;
        let mut state = write(&self.state);
        let epoch = NonZeroU32::MIN.saturating_add(state.epoch);
        let mut log = Log::default();
        let mut files = HashMap::new();
        let edited = changes
            .into_iter()
            .zip(opened)
            .try_for_each(|(change, file)| {
                if let Some(node) = state.tree.apply(change, file.as_ref(), epoch, &mut log)?
                    && let Some(file) = file
                {
                    files.insert(node, file);
                }
                Ok(())
            })
            .and_then(|()| {
                state
                    .tree
                    .check_edited_symlinks(&log)
                    .map_err(UpdateError::Tree)
            });
        if let Err(error) = edited {
            state.tree.undo(log);
            return Err(error);
        }
        state.epoch = epoch.get();
        state.pin_edited(&self.pinner, &log, files);
        Ok(state.invalidations(&log, is_batch))
    }
}

/// Opens the source of every change that has one.
fn open_sources(
    pinner: &Pinner,
    changes: &[Change],
) -> Result<Vec<Option<HostFile>>, Errors<PinError>> {
    let mut cursor = HostCursor::new(&pinner.shared.host);
    let mut errors = Collected::default();
    let mut opened = Vec::with_capacity(changes.len());
    for change in changes {
        let Some((source, expected)) = change.source() else {
            opened.push(None);
            continue;
        };
        match open_source(&mut cursor, source, expected) {
            Ok(file) => opened.push(Some(file)),
            Err(problem) => errors.push(PinError {
                name: change.name().clone(),
                origin: change.origin(),
                source: source.into(),
                problem,
            }),
        }
        if errors.is_full() {
            break;
        }
    }
    errors.or(opened)
}

impl Change {
    /// The name it is about.
    #[must_use]
    pub fn name(&self) -> &ViewPath {
        match self {
            Self::Add(declaration) | Self::Replace(declaration) => &declaration.name,
            Self::Withdraw(name) | Self::Redirect { name, .. } => name,
        }
    }

    fn origin(&self) -> Origin {
        match self {
            Self::Add(declaration) | Self::Replace(declaration) => declaration.origin.clone(),
            Self::Withdraw(_) | Self::Redirect { .. } => Origin {
                source: "steering".into(),
                line: None,
            },
        }
    }

    /// The host path it needs, and what that has to be.
    fn source(&self) -> Option<(&Path, Expected)> {
        match self {
            Self::Add(declaration) | Self::Replace(declaration) => match &declaration.mapping {
                Mapping::File { source, .. } => Some((source, Expected::File)),
                Mapping::Directory { source } => Some((source, Expected::Directory)),
                Mapping::Symlink { .. } | Mapping::EmptyDirectory => None,
            },
            Self::Redirect { source, .. } => Some((source, Expected::Either)),
            Self::Withdraw(_) => None,
        }
    }
}

impl Tree {
    /// Applies one change. Returns the node that stands for `file` now.
    fn apply(
        &mut self,
        change: Change,
        file: Option<&HostFile>,
        epoch: NonZeroU32,
        log: &mut Log,
    ) -> Result<Option<NodeId>, UpdateError> {
        match change {
            Change::Add(declaration) => match self.add(declaration, log) {
                Ok(node) => Ok(Some(node)),
                Err(error) => Err(UpdateError::Tree(error)),
            },
            Change::Replace(declaration) => {
                let name = declaration.name.clone();
                match self.replace(declaration, log) {
                    Ok(node) => Ok(Some(node)),
                    Err(error) => Err(error.of(name)),
                }
            }
            Change::Withdraw(name) => match self.withdraw(&name, epoch, log) {
                Ok(()) => Ok(None),
                Err(error) => Err(error.of(name)),
            },
            Change::Redirect { name, source } => {
                let node = match self.redirect(&name, source.as_path().into(), log) {
                    Ok(node) => node,
                    Err(error) => return Err(error.of(name)),
                };
                match file {
                    Some(file) if self.node(node).kind.is_served_by(file) => Ok(Some(node)),
                    _ => Err(UpdateError::OtherKind {
                        declared: self.node(node).kind.description(),
                        name,
                        source,
                    }),
                }
            }
        }
    }
}

impl Kind {
    fn is_served_by(&self, file: &HostFile) -> bool {
        match file.stamp.kind() {
            Some(ItemKind::File) => matches!(self, Self::File { .. }),
            Some(ItemKind::Directory) => matches!(self, Self::WholeDirectory { .. }),
            _ => false,
        }
    }
}

impl EditError {
    fn of(self, name: ViewPath) -> UpdateError {
        match self {
            Self::Missing => UpdateError::NotDeclared(name),
            Self::NotEmpty => UpdateError::NotEmpty(name),
            Self::NoSource(found) => UpdateError::NoSource { name, found },
        }
    }
}

impl State {
    /// Makes the items of the nodes that are other items now.
    fn pin_edited(&mut self, pinner: &Pinner, log: &Log, mut files: HashMap<NodeId, HostFile>) {
        // Parents come before children, so a new parent's number is known.
        let mut renewed: Vec<_> = log.renewed().collect();
        renewed.sort();
        renewed.dedup();
        for id in renewed {
            let node = self.tree.node(id);
            let file = files.remove(&id);
            let parent = match self.pins.get(node.parent.index()) {
                Some(parent) => parent.id(),
                None => unreachable!("a parent has a smaller number"),
            };
            let path = || self.tree.path(id);
            let pinned = pinner.pin(&node.kind, file, pinner.shared.next_id(), parent, path);
            if id.index() < self.pins.len() {
                self.pins[id.index()] = pinned;
            } else {
                self.pins.push(pinned);
            }
        }
    }

    fn invalidations(&self, log: &Log, is_batch: bool) -> Vec<Invalidation> {
        let renewed: HashSet<_> = log.renewed().collect();
        // What lies below a directory that is new or gone was never known, or
        // is forgotten with it.
        let is_covered =
            |parent| renewed.contains(&parent) || self.tree.node(parent).withdrawn.is_some();
        let mut edited: Vec<_> = log.touched().collect();
        edited.sort();
        edited.dedup();
        let mut listings = HashSet::new();
        let mut invalidations = Vec::new();
        if is_batch {
            invalidations.push(Invalidation::Epoch);
        }
        for id in edited {
            let node = self.tree.node(id);
            if is_covered(node.parent) {
                continue;
            }
            let directory = self.pins[node.parent.index()].id();
            if !is_batch {
                invalidations.push(Invalidation::Name {
                    directory,
                    name: node.checked_name(),
                });
            }
            if listings.insert(directory) {
                invalidations.push(Invalidation::Listing(directory));
            }
        }
        invalidations
    }
}

impl fmt::Display for UpdateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooManyChanges => {
                write!(f, "a batch holds at most {CHANGES_MAX} changes; split it")
            }
            Self::Pin(errors) => write!(f, "{errors}"),
            Self::Tree(error) => write!(f, "{error}"),
            Self::NotDeclared(name) => write!(f, "`{name}` is not declared in this view"),
            Self::NotEmpty(name) => write!(
                f,
                "`{name}` is a directory that holds declared names; withdraw it before declaring \
                 something else there"
            ),
            Self::NoSource { name, found } => write!(
                f,
                "`{name}` is {found} and has no source to redirect; replace it instead"
            ),
            Self::OtherKind {
                name,
                declared,
                source,
            } => write!(
                f,
                "`{name}` is {declared}, and `{}` is not; replace it instead of redirecting it",
                source.display()
            ),
        }
    }
}

impl std::error::Error for UpdateError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Pin(errors) => Some(errors),
            Self::Tree(error) => Some(error),
            _ => None,
        }
    }
}
