//! Steering: changing a view while it is in use.
//!
//! A batch of changes becomes visible as a whole or not at all. New sources are
//! opened first, without a lock, since the host may be slow; then the tree is
//! edited under the write lock, with a log that takes everything back if a
//! change turns out to be impossible. Requests see the tree before or after,
//! never between.
//!
//! But the kernel remembers answers, and can be made to forget them only one
//! name at a time; a process that runs meanwhile would see half of a batch.
//! (A new epoch of the connection makes it forget all names at once. But it
//! also takes away whatever is mounted on a forgotten name, such as `/dev` and
//! the directories of outputs.) So the names are forgotten *before* anything
//! changes:
//!
//! 1. [`View::prepare`] edits the tree to see whether that is possible and which
//!    names it concerns, and takes the edits back. From here on the view is
//!    *unsettled*: its answers are the old ones, but may not be remembered.
//! 2. Whoever serves the view makes the kernel forget the
//!    [names](Update::names). A lookup under way ends first, since the kernel
//!    waits for it; so now no changed name is remembered anywhere.
//! 3. [`Update::apply`] edits the tree for good. Everybody asks, and everybody
//!    is answered from the new tree.
//!
//! Whatever stands for something else than before is a new item with a new
//! number. A directory that stays keeps its number, and with it everything the
//! kernel knows below it.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::MutexGuard;

use transom_module::{Invalidation, ItemId, ItemKind};

use crate::errors::Collected;
use crate::host::HeldFile;
use crate::pin::{Expected, Pinner};
use crate::sync::{lock, write};
use crate::tree::{EditError, Kind, Log, NodeId};
use crate::view::State;
use crate::{
    Cover, Declaration, Errors, Exhausted, Mapping, Origin, PinError, Tree, TreeError, View,
    ViewPath, shown,
};

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
    /// More names than may be declared.
    Exhausted(Exhausted),
    /// Host files that cannot be opened.
    Pin(Errors<PinError>),
    /// A declaration that does not fit into the tree.
    Tree(TreeError),
    /// Nothing of that name is declared.
    NotDeclared(ViewPath),
    /// A directory that holds declared names cannot stand for something else.
    NotEmpty(ViewPath),
    /// A directory that has to stay.
    Required {
        /// The name.
        name: ViewPath,
        /// What is mounted there or below; `None` for the action's working
        /// directory.
        mounted: Option<Cover>,
    },
    /// A name that something is mounted over: nobody would see the change.
    Covered {
        /// The name.
        name: ViewPath,
        /// What is there.
        cover: Cover,
    },
    /// A name to be added that is declared already.
    Exists {
        /// The name.
        name: ViewPath,
        /// Where it was declared.
        first: Origin,
    },
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

/// A batch of changes that is possible, and waits to be applied. Another one
/// waits until this is applied or dropped.
#[derive(Debug)]
pub struct Update<'v> {
    view: &'v View,
    changes: Vec<(Change, Option<HeldFile>)>,
    names: Vec<Invalidation>,
    _turn: MutexGuard<'v, ()>,
}

impl View {
    /// Checks a batch of changes, to be applied in order.
    pub fn prepare(&self, changes: Vec<Change>) -> Result<Update<'_>, UpdateError> {
        if changes.len() > CHANGES_MAX {
            return Err(UpdateError::TooManyChanges);
        }
        let pinner = &self.pinner;
        let opened = pinner
            .host
            .act_throughout(|| open_sources(pinner, &changes));
        let opened = opened.map_err(UpdateError::Pin)?;
        let changes: Vec<_> = changes.into_iter().zip(opened).collect();
        let turn = lock(&self.steering);
        let mut state = write(&self.state);
        let mut log = Log::default();
        let edited = state.edit(&changes, &mut log);
        let names = edited.map(|_| state.names(&log));
        state.tree.undo(log);
        let names = names?;
        let added = changes
            .iter()
            .filter(|(change, _)| matches!(change, Change::Add(_)))
            .count();
        pinner
            .charge
            .add_names(added)
            .map_err(UpdateError::Exhausted)?;
        state.is_unsettled = true;
        Ok(Update {
            view: self,
            changes,
            names,
            _turn: turn,
        })
    }

    /// Prepares and applies a batch of changes, and returns everything that has
    /// to be forgotten. For a view that nobody uses meanwhile.
    pub fn update(&self, changes: Vec<Change>) -> Result<Vec<Invalidation>, UpdateError> {
        let update = self.prepare(changes)?;
        let mut forgotten = update.names().to_vec();
        forgotten.extend(update.apply());
        Ok(forgotten)
    }
}

impl Update<'_> {
    /// The names that must be forgotten before the changes are applied.
    #[must_use]
    pub fn names(&self) -> &[Invalidation] {
        &self.names
    }

    /// Applies the changes, and returns what must be forgotten now: listings.
    #[must_use]
    pub fn apply(mut self) -> Vec<Invalidation> {
        let changes = std::mem::take(&mut self.changes);
        if changes.is_empty() {
            return Vec::new();
        }
        let mut state = write(&self.view.state);
        let mut log = Log::default();
        let nodes = match state.edit(&changes, &mut log) {
            Ok(nodes) => nodes,
            Err(error) => unreachable!("it was possible when it was prepared: {error}"),
        };
        let files = changes.into_iter().map(|(_, file)| file);
        let files = nodes
            .into_iter()
            .zip(files)
            .filter_map(|(node, file)| Some((node?, file?)))
            .collect();
        state.epoch = state.next_epoch().get();
        state.pin_edited(&self.view.pinner, &log, files);
        state.listings(&log)
    }
}

impl Drop for Update<'_> {
    fn drop(&mut self) {
        write(&self.view.state).is_unsettled = false;
    }
}

/// Opens the source of every change that has one.
fn open_sources(
    pinner: &Pinner,
    changes: &[Change],
) -> Result<Vec<Option<HeldFile>>, Errors<PinError>> {
    let mut errors = Collected::default();
    let mut opened = Vec::with_capacity(changes.len());
    for change in changes {
        let Some((source, expected)) = change.source() else {
            opened.push(None);
            continue;
        };
        match pinner.open_source(source, expected) {
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
        change: &Change,
        file: Option<&HeldFile>,
        epoch: NonZeroU32,
        log: &mut Log,
    ) -> Result<Option<NodeId>, UpdateError> {
        let name = change.name();
        if let Some(cover) = self.covering(name) {
            return Err(UpdateError::Covered {
                name: name.clone(),
                cover: cover.clone(),
            });
        }
        match change {
            Change::Add(declaration) => match self.add(declaration.clone(), log) {
                Ok(node) => Ok(Some(node)),
                Err(TreeError::Duplicate { name, first, .. }) => {
                    Err(UpdateError::Exists { name, first })
                }
                Err(error) => Err(UpdateError::Tree(error)),
            },
            Change::Replace(declaration) => match self.replace(declaration.clone(), log) {
                Ok(node) => Ok(Some(node)),
                Err(error) => Err(self.refusal(&error, name)),
            },
            Change::Withdraw(name) => match self.withdraw(name, epoch, log) {
                Ok(()) => Ok(None),
                Err(error) => Err(self.refusal(&error, name)),
            },
            Change::Redirect { name, source } => {
                let node = match self.redirect(name, source.as_path().into(), log) {
                    Ok(node) => node,
                    Err(error) => return Err(self.refusal(&error, name)),
                };
                match file {
                    Some(file) if self.node(node).kind.is_served_by(file) => Ok(Some(node)),
                    _ => Err(UpdateError::OtherKind {
                        declared: self.node(node).kind.description(),
                        name: name.clone(),
                        source: source.clone(),
                    }),
                }
            }
        }
    }

    fn refusal(&self, error: &EditError, name: &ViewPath) -> UpdateError {
        let name = name.clone();
        match error {
            EditError::Missing => UpdateError::NotDeclared(name),
            EditError::NotEmpty => UpdateError::NotEmpty(name),
            EditError::Required => UpdateError::Required {
                mounted: self.covered_below(&name).cloned(),
                name,
            },
            &EditError::NoSource(found) => UpdateError::NoSource { name, found },
        }
    }
}

impl Kind {
    fn is_served_by(&self, file: &HeldFile) -> bool {
        match file.stamp.kind() {
            Some(ItemKind::File) => matches!(self, Self::File { .. }),
            Some(ItemKind::Directory) => matches!(self, Self::WholeDirectory { .. }),
            _ => false,
        }
    }
}

impl State {
    fn next_epoch(&self) -> NonZeroU32 {
        NonZeroU32::MIN.saturating_add(self.epoch)
    }

    /// Edits the tree. Returns for each change the node that stands for its
    /// host file now. On error, part of it is done and in the log.
    fn edit(
        &mut self,
        changes: &[(Change, Option<HeldFile>)],
        log: &mut Log,
    ) -> Result<Vec<Option<NodeId>>, UpdateError> {
        let epoch = self.next_epoch();
        let nodes = changes
            .iter()
            .map(|(change, file)| self.tree.apply(change, file.as_ref(), epoch, log))
            .collect::<Result<_, _>>()?;
        self.tree
            .check_edited_symlinks(log)
            .map_err(UpdateError::Tree)?;
        Ok(nodes)
    }

    /// Makes the items of the nodes that are other items now.
    fn pin_edited(&mut self, pinner: &Pinner, log: &Log, mut files: HashMap<NodeId, HeldFile>) {
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

    /// What has to be forgotten of the names that the edits in `log` concern.
    fn names(&self, log: &Log) -> Vec<Invalidation> {
        let name = |(node, directory): (NodeId, ItemId)| Invalidation::Name {
            directory,
            name: self.tree.node(node).checked_name(),
        };
        self.edited_entries(log).into_iter().map(name).collect()
    }

    /// The listings that the edits in `log` concern.
    fn listings(&self, log: &Log) -> Vec<Invalidation> {
        let mut seen = HashSet::new();
        let entries = self.edited_entries(log).into_iter();
        let directories = entries.map(|(_, directory)| directory);
        directories
            .filter(|directory| seen.insert(*directory))
            .map(Invalidation::Listing)
            .collect()
    }

    /// The nodes that were edited, each with the number of the directory it is
    /// in. What lies below a directory that is new or gone was never known, or
    /// is forgotten with it.
    fn edited_entries(&self, log: &Log) -> Vec<(NodeId, ItemId)> {
        let renewed: HashSet<_> = log.renewed().collect();
        let is_covered =
            |parent| renewed.contains(&parent) || self.tree.node(parent).withdrawn.is_some();
        let mut edited: Vec<_> = log.touched().collect();
        edited.sort();
        edited.dedup();
        edited
            .into_iter()
            .map(|node| (node, self.tree.node(node).parent))
            .filter(|(_, parent)| !is_covered(*parent))
            .map(|(node, parent)| (node, self.pins[parent.index()].id()))
            .collect()
    }
}

impl fmt::Display for UpdateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooManyChanges => {
                write!(f, "a batch holds at most {CHANGES_MAX} changes; split it")
            }
            Self::Exhausted(exhausted) => write!(f, "{exhausted}"),
            Self::Pin(errors) => write!(f, "{errors}"),
            Self::Tree(error) => write!(f, "{error}"),
            Self::NotDeclared(name) => write!(f, "`{name}` is not declared in this view"),
            Self::NotEmpty(name) => write!(
                f,
                "`{name}` is a directory that holds declared names; withdraw it before declaring \
                 something else there"
            ),
            Self::Required {
                name,
                mounted: Some(cover),
            } => write!(f, "`{name}` has to stay: `{}` {cover}", cover.at),
            Self::Required {
                name,
                mounted: None,
            } => write!(
                f,
                "`{name}` has to stay: the action's working directory is there or below"
            ),
            Self::Covered { name, cover } => write!(
                f,
                "a change of `{name}` would not be seen, because it {cover}"
            ),
            Self::Exists { name, first } => write!(
                f,
                "`{name}` is declared already at {first}; replace it, or redirect it to another \
                 host file"
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
                shown(&source)
            ),
        }
    }
}

impl std::error::Error for UpdateError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Exhausted(exhausted) => Some(exhausted),
            Self::Pin(errors) => Some(errors),
            Self::Tree(error) => Some(error),
            _ => None,
        }
    }
}
