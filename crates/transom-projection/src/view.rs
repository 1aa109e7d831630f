use std::ffi::OsStr;
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex, RwLock};

use transom_module::{Invalidation, ItemId, ItemKind, Lifetime};

use crate::host::{HostDirectory, HostRoot};
use crate::pin::{PinError, Pinner};
use crate::shared::Shared;
use crate::sync::{lock, read, write};
use crate::trace::{AbsentNames, Touched};
use crate::tree::NodeId;
use crate::whole::{Symlink, WholeDirectory};
use crate::{Charge, Errors, OnChange, Tree, Version, ViewPath};

/// The number of a view in its projection, and as text (`v1`) its name in the
/// volume's root.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ViewId(pub(crate) u32);

/// How a view behaves.
#[derive(Debug, Clone, Copy, Default)]
pub struct ViewOptions {
    /// What to do about inputs that are changed in place.
    pub on_change: OnChange,
    /// Record which inputs are used and which absent names are asked for. A
    /// traced view shares no cached file with other views.
    pub trace: bool,
    /// What becomes of links that were found in whole directories. Only a view
    /// that is served as a volume asks.
    pub links: FoundLinks,
}

/// What a symbolic link is that lies in a directory mapped as a whole.
///
/// An *outward* link has an absolute target, or one with more `..` than there
/// are directories above the link in the view, read name by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FoundLinks {
    /// A link, wherever it leads.
    #[default]
    AsTheyAre,
    /// A link, unless it is outward: then the file or directory that it leads
    /// to on the host, or nothing if that is none or holds the link itself. So
    /// no link leads out of the view.
    FollowOutward,
}

/// A tree of pinned inputs that is being served.
///
/// It is steered while it is in use; any number of threads may use it.
pub struct View {
    pub(crate) id: ViewId,
    pub(crate) pinner: Pinner,
    pub(crate) state: RwLock<State>,
    /// Held by whoever steers, from the check of a batch to its end.
    pub(crate) steering: Mutex<()>,
    /// Present when the view is traced.
    pub(crate) absent: Option<AbsentNames>,
}

/// What steering changes, always as a whole.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) tree: Tree,
    /// What each node of the tree stands for.
    pub(crate) pins: Vec<Pinned>,
    /// How often the view was steered.
    pub(crate) epoch: u32,
    /// A batch of changes is about to be applied: no answer may be remembered.
    pub(crate) is_unsettled: bool,
}

/// What a node stands for.
#[derive(Debug)]
pub(crate) enum Pinned {
    Directory { id: ItemId, touched: Touched },
    File(Arc<Version>),
    Whole(Arc<WholeDirectory>),
    Symlink(Arc<Symlink>),
}

/// Numbers about a view.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct ViewStatistics {
    /// Declared files.
    pub files: u64,
    /// Bytes in the declared files, as they were pinned.
    pub file_bytes: u64,
    /// Host directories mapped as a whole.
    pub whole_directories: u64,
    /// Declared symbolic links.
    pub symlinks: u64,
    /// Plain directories, implied ones included, the root not.
    pub directories: u64,
}

/// One stop of [`View::walk`].
#[derive(Debug)]
pub enum WalkEntry<'v> {
    /// A plain directory.
    Directory,
    /// A declared file. [`Version::open`] and [`Version::open_to_mount`] give
    /// a descriptor for it.
    File(&'v Arc<Version>),
    /// A host directory as a whole. What is mounted below it belongs to it.
    WholeDirectory(&'v HostDirectory),
    /// A symbolic link.
    Symlink {
        /// Its target.
        target: &'v OsStr,
    },
}

impl View {
    /// Opens every source of `tree` and keeps its version.
    pub(crate) fn pin(
        id: ViewId,
        shared: Arc<Shared>,
        host: Arc<HostRoot>,
        tree: Tree,
        options: ViewOptions,
        charge: Charge,
    ) -> Result<Self, Errors<PinError>> {
        let ids = shared.next_ids(tree.nodes().len());
        let pinner = Pinner::new(shared, host, options, charge);
        let pins = pinner.pin_tree(&tree, ids)?;
        Ok(Self {
            id,
            pinner,
            state: RwLock::new(State {
                tree,
                pins,
                epoch: 0,
                is_unsettled: false,
            }),
            steering: Mutex::default(),
            absent: options.trace.then(AbsentNames::default),
        })
    }

    /// Its number.
    #[must_use]
    pub fn id(&self) -> ViewId {
        self.id
    }

    /// How often it was steered.
    #[must_use]
    pub fn epoch(&self) -> u32 {
        read(&self.state).epoch
    }

    /// Gives back all that it pins: it is an empty directory from now on, for
    /// those who have it mounted too. Files that are open stay open. Returns
    /// what the kernel has to forget.
    pub(crate) fn empty(&self) -> Vec<Invalidation> {
        let _turn = lock(&self.steering);
        let mut state = write(&self.state);
        let root = state.pins[NodeId::ROOT.index()].id();
        let name = |child| Invalidation::Name {
            directory: root,
            name: state.tree.node(child).checked_name(),
        };
        let mut forgotten: Vec<_> = state.tree.sorted(NodeId::ROOT).map(name).collect();
        forgotten.push(Invalidation::Listing(root));
        let emptied = State {
            tree: Tree::empty(),
            pins: vec![Pinned::directory(root)],
            epoch: state.epoch.saturating_add(1),
            is_unsettled: false,
        };
        let pinned = std::mem::replace(&mut *state, emptied);
        // Closing thousands of files takes a while, in which others may ask.
        drop(state);
        drop(pinned);
        forgotten
    }

    /// Counts what is in it.
    #[must_use]
    pub fn statistics(&self) -> ViewStatistics {
        let mut counts = ViewStatistics::default();
        for (_, pinned) in read(&self.state).live().skip(1) {
            match pinned {
                Pinned::Directory { .. } => counts.directories += 1,
                Pinned::Whole(_) => counts.whole_directories += 1,
                Pinned::Symlink(_) => counts.symlinks += 1,
                Pinned::File(version) => {
                    counts.files += 1;
                    counts.file_bytes += version.stamp().size;
                }
            }
        }
        counts
    }

    /// Visits everything that is declared, the root excepted, directories
    /// before what they hold and names in order. Stops at the first error.
    ///
    /// The view cannot be steered meanwhile; `visit` must not try.
    pub fn walk<E>(
        &self,
        mut visit: impl FnMut(&ViewPath, WalkEntry<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let state = read(&self.state);
        let mut pending = vec![(NodeId::ROOT, ViewPath::root())];
        while let Some((node, path)) = pending.pop() {
            if node != NodeId::ROOT {
                visit(&path, state.pins[node.index()].as_entry())?;
            }
            for child in state.tree.sorted(node).rev() {
                pending.push((child, path.join(&state.tree.node(child).checked_name())));
            }
        }
        Ok(())
    }
}

impl State {
    /// All nodes that are not withdrawn, with what they stand for.
    pub(crate) fn live(&self) -> impl Iterator<Item = (NodeId, &Pinned)> {
        (0..)
            .map(NodeId::from_index)
            .zip(&self.pins)
            .filter(|(id, _)| self.is_live(*id))
    }

    fn is_live(&self, id: NodeId) -> bool {
        self.tree.node(id).withdrawn.is_none()
    }

    /// For how long a name of the view leads to what it leads to now.
    pub(crate) fn name_lifetime(&self) -> Lifetime {
        match self.is_unsettled {
            true => Lifetime::NONE,
            false => Lifetime::FOREVER,
        }
    }

    /// Whether `node` still is the directory that was given the number `id`.
    pub(crate) fn is_directory(&self, node: NodeId, id: ItemId) -> bool {
        // An emptied view has no such node at all.
        matches!(self.pins.get(node.index()), Some(Pinned::Directory { id: now, .. }) if *now == id)
            && self.is_live(node)
    }
}

impl Pinned {
    /// A directory of the view's own.
    pub(crate) fn directory(id: ItemId) -> Self {
        Self::Directory {
            id,
            touched: Touched::default(),
        }
    }

    pub(crate) fn id(&self) -> ItemId {
        match self {
            Self::Directory { id, .. } => *id,
            Self::File(version) => version.id(),
            Self::Whole(directory) => directory.id,
            Self::Symlink(link) => link.id,
        }
    }

    pub(crate) fn kind(&self) -> ItemKind {
        match self {
            Self::Directory { .. } | Self::Whole(_) => ItemKind::Directory,
            Self::File(_) => ItemKind::File,
            Self::Symlink(_) => ItemKind::Symlink,
        }
    }

    pub(crate) fn touched(&self) -> &Touched {
        match self {
            Self::Directory { touched, .. } => touched,
            Self::File(version) => version.touched(),
            Self::Whole(directory) => &directory.touched,
            Self::Symlink(link) => &link.touched,
        }
    }

    fn as_entry(&self) -> WalkEntry<'_> {
        match self {
            Self::Directory { .. } => WalkEntry::Directory,
            Self::File(version) => WalkEntry::File(version),
            Self::Whole(directory) => WalkEntry::WholeDirectory(&directory.host),
            Self::Symlink(link) => WalkEntry::Symlink {
                target: &link.target,
            },
        }
    }
}

impl fmt::Debug for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("View")
            .field("id", &self.id)
            .field("epoch", &self.epoch())
            .finish_non_exhaustive()
    }
}

impl fmt::Display for ViewId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v{}", self.0)
    }
}

impl FromStr for ViewId {
    type Err = InvalidViewId;

    fn from_str(text: &str) -> Result<Self, InvalidViewId> {
        let number = text
            .strip_prefix('v')
            .and_then(|digits| digits.parse().ok());
        // One text per view: no `v01`, no `v+1`.
        number
            .map(Self)
            .filter(|id| id.to_string() == text)
            .ok_or(InvalidViewId)
    }
}

/// Some text that is not a [`ViewId`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the number of a view is written like `v1`")]
pub struct InvalidViewId;
