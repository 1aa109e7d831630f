//! The tree of declared names.
//!
//! Pure data: nothing here looks at the host. A tree is built from
//! declarations, may grow directories that a sandbox needs to mount something
//! on, and is edited by steering.
//!
//! **Shape.** All nodes lie in one vector and are numbered by it; a parent's
//! number is smaller than its children's. A directory keeps its children
//! twice: in *slots*, in the order they appeared, and *sorted* by name for
//! look-ups. A slot is never taken away or given to another name: a withdrawn
//! name stays in it as a tombstone. So a slot's number is a position in a
//! listing that stays good while the tree is steered, `explain` can say when a
//! name was withdrawn, and a name that comes back finds its old slot, which
//! keeps endless steering from growing the tree.
//!
//! **Size.** A million files cost some 80 bytes per node, 8 in the directory,
//! and the bytes of name and source.

mod edit;
mod error;
mod resolve;
#[cfg(test)]
mod tests;

use std::cmp::Ordering;
use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;

use transom_module::Name;

use crate::errors::Collected;
use crate::{Cover, Declaration, Errors, Mapping, Origin, ViewPath, ViewStatistics};

pub(crate) use edit::{EditError, Log};
pub use error::TreeError;
pub(crate) use resolve::{Outcome, SYMLINKS_FOLLOWED_MAX};

/// The most names in one tree, the implied directories and the tombstones
/// counted.
pub const ENTRIES_MAX: usize = 1 << 24;

/// A tree of declared names.
#[derive(Debug)]
pub struct Tree {
    nodes: Vec<Node>,
    /// What an action mounts over names.
    covers: Vec<Cover>,
}

/// The number of a node in its tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct NodeId(u32);

#[derive(Debug)]
pub(crate) struct Node {
    /// Empty for the root only.
    pub(crate) name: Box<OsStr>,
    pub(crate) parent: NodeId,
    /// Since which epoch of the view the name is gone, if it is.
    pub(crate) withdrawn: Option<NonZeroU32>,
    /// A directory that exists only because something lies below it.
    pub(crate) implied: bool,
    /// Somebody mounts something here or below: a directory that has to stay.
    pub(crate) required: bool,
    /// Where it was declared; for an implied directory, what implied it.
    pub(crate) origin: Origin,
    pub(crate) kind: Kind,
}

#[derive(Debug)]
pub(crate) enum Kind {
    Directory(Box<Children>),
    File {
        source: Arc<Path>,
        executable: Option<bool>,
    },
    WholeDirectory {
        source: Arc<Path>,
    },
    Symlink {
        target: Arc<OsStr>,
    },
}

impl Kind {
    fn mapping(&self) -> Mapping {
        match self {
            Self::Directory(_) => Mapping::EmptyDirectory,
            Self::File { source, executable } => Mapping::File {
                source: source.to_path_buf(),
                executable: *executable,
            },
            Self::WholeDirectory { source } => Mapping::Directory {
                source: source.to_path_buf(),
            },
            Self::Symlink { target } => Mapping::Symlink {
                target: target.to_os_string(),
            },
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Children {
    slots: Vec<NodeId>,
    sorted: Vec<NodeId>,
}

impl Tree {
    /// Builds the tree of `declarations`, whose order does not matter.
    /// Directories above a declared name are implied.
    ///
    /// Symbolic links are checked for loops inside the tree; a link that leads
    /// to nothing is fine.
    pub fn build(mut declarations: Vec<Declaration>) -> Result<Self, Errors<TreeError>> {
        // In the order of a walk every name is inserted at the end of its
        // directory, and a stable sort keeps the first of two duplicates first.
        declarations.sort_by(|one, other| one.name.cmp(&other.name));
        let mut tree = Self::empty();
        tree.nodes.reserve(declarations.len());
        let mut errors = Collected::default();
        let mut log = Log::default();
        for declaration in declarations {
            if let Err(error) = tree.add(declaration, &mut log) {
                errors.push(error);
            }
            log.clear();
            if errors.is_full() {
                break;
            }
        }
        let mut blamed = HashSet::new();
        for node in (0..tree.nodes.len()).map(NodeId::from_index) {
            if let Err(error) = tree.check_symlink(node, &mut blamed) {
                errors.push(error);
            }
        }
        errors.or(tree)
    }

    /// Makes sure that `name` is a plain directory, for somebody (`origin`)
    /// who wants to mount something there. It is made, with the directories
    /// above it, unless it exists, and steering cannot take it away.
    pub fn require_directory(&mut self, name: &ViewPath, origin: &Origin) -> Result<(), TreeError> {
        let mut directory = NodeId::ROOT;
        for component in name.names() {
            directory = self.enter(directory, component, name, origin, &mut Log::default())?;
            self.nodes[directory.index()].required = true;
        }
        Ok(())
    }

    /// The directories that somebody [requires](Self::require_directory).
    pub fn required(&self) -> impl Iterator<Item = ViewPath> {
        let nodes = (0..self.nodes.len()).map(NodeId::from_index).skip(1);
        nodes
            .filter(|id| self.node(*id).required)
            .map(|id| self.path(id))
    }

    /// Tells what will be mounted over names of the tree, so that they are
    /// explained by it, and steering does not declare what nobody would see.
    pub fn cover(&mut self, covers: Vec<Cover>) {
        self.covers = covers;
    }

    /// What is mounted over `path` or, if it is several things, the innermost.
    pub(crate) fn covering(&self, path: &ViewPath) -> Option<&Cover> {
        let covers = self.covers.iter();
        covers
            .filter(|cover| path.starts_with(&cover.at))
            .max_by_key(|cover| cover.at.as_bytes().len())
    }

    /// What is mounted below `path`.
    pub(crate) fn covered_below(&self, path: &ViewPath) -> Option<&Cover> {
        self.covers.iter().find(|cover| cover.at.starts_with(path))
    }

    /// Everything that is declared, as it would be declared to make the same
    /// tree.
    pub fn declarations(&self) -> impl Iterator<Item = Declaration> {
        let nodes = (0..self.nodes.len()).map(NodeId::from_index).skip(1);
        nodes.filter_map(|id| {
            let node = self.node(id);
            let is_declared = node.withdrawn.is_none() && !node.implied;
            is_declared.then(|| Declaration {
                name: self.path(id),
                mapping: node.kind.mapping(),
                origin: node.origin.clone(),
            })
        })
    }

    /// Counts what is in it; how long its files are is not known yet.
    #[must_use]
    pub fn statistics(&self) -> ViewStatistics {
        let mut counts = ViewStatistics::default();
        let live = |node: &&Node| node.withdrawn.is_none();
        for node in self.nodes.iter().skip(1).filter(live) {
            match node.kind {
                Kind::Directory(_) => counts.directories += 1,
                Kind::WholeDirectory { .. } => counts.whole_directories += 1,
                Kind::Symlink { .. } => counts.symlinks += 1,
                Kind::File { .. } => counts.files += 1,
            }
        }
        counts
    }

    /// How many names are declared or implied, the root not counted.
    #[must_use]
    pub fn len(&self) -> usize {
        self.nodes
            .iter()
            .skip(1)
            .filter(|node| node.withdrawn.is_none())
            .count()
    }

    /// Whether nothing is declared.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A tree of nothing but the root.
    pub(crate) fn empty() -> Self {
        Self {
            nodes: vec![Node {
                name: OsString::new().into_boxed_os_str(),
                parent: NodeId::ROOT,
                withdrawn: None,
                implied: true,
                required: false,
                origin: Origin {
                    source: "the view itself".into(),
                    line: None,
                },
                kind: Kind::Directory(Box::default()),
            }],
            covers: Vec::new(),
        }
    }

    /// All nodes, withdrawn ones too, parents before children.
    pub(crate) fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    pub(crate) fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.index()]
    }

    /// Where a node is.
    pub(crate) fn path(&self, id: NodeId) -> ViewPath {
        if id == NodeId::ROOT {
            return ViewPath::root();
        }
        let node = self.node(id);
        self.path(node.parent).join(&node.checked_name())
    }

    /// The child of that name, also when it is withdrawn; `None` as well for
    /// what is not a directory.
    pub(crate) fn child_or_tombstone(&self, directory: NodeId, name: &OsStr) -> Option<NodeId> {
        let children = self.children(directory)?;
        let position = self.position(children, name).ok()?;
        Some(children.sorted[position])
    }

    /// The child of that name, if it is there.
    pub(crate) fn child(&self, directory: NodeId, name: &OsStr) -> Option<NodeId> {
        self.child_or_tombstone(directory, name)
            .filter(|child| self.node(*child).withdrawn.is_none())
    }

    /// The children of a directory from slot `from` on, each with the number
    /// of the slot after it. Nothing for what is not a directory.
    pub(crate) fn listing(
        &self,
        directory: NodeId,
        from: usize,
    ) -> impl Iterator<Item = (NodeId, usize)> {
        let slots = match self.children(directory) {
            Some(children) => children.slots.get(from..).unwrap_or_default(),
            None => &[],
        };
        slots
            .iter()
            .zip(from + 1..)
            .filter(|(child, _)| self.node(**child).withdrawn.is_none())
            .map(|(child, next)| (*child, next))
    }

    /// The children of a directory in the order of their names.
    pub(crate) fn sorted(&self, directory: NodeId) -> impl DoubleEndedIterator<Item = NodeId> {
        let sorted = match self.children(directory) {
            Some(children) => &children.sorted[..],
            None => &[],
        };
        sorted
            .iter()
            .copied()
            .filter(|child| self.node(*child).withdrawn.is_none())
    }

    fn children(&self, directory: NodeId) -> Option<&Children> {
        match &self.node(directory).kind {
            Kind::Directory(children) => Some(children),
            _ => None,
        }
    }

    /// Where `name` is in `children.sorted`, or would have to be inserted.
    fn position(&self, children: &Children, name: &OsStr) -> Result<usize, usize> {
        let compare = |child: &NodeId| (*self.node(*child).name).cmp(name);
        let Some((last, before)) = children.sorted.split_last() else {
            return Err(0);
        };
        // A tree is built in sorted order, so it mostly is the last name or
        // comes after it.
        match compare(last) {
            Ordering::Less => Err(children.sorted.len()),
            Ordering::Equal => Ok(before.len()),
            Ordering::Greater => before.binary_search_by(compare),
        }
    }

    /// Refuses a symbolic link that cannot be resolved for the number of links
    /// on the way. A link that is part of a loop already in `blamed` passes.
    fn check_symlink(&self, id: NodeId, blamed: &mut HashSet<NodeId>) -> Result<(), TreeError> {
        let node = self.node(id);
        let Kind::Symlink { target } = &node.kind else {
            return Ok(());
        };
        let resolution = self.resolve(node.parent, target);
        if !matches!(resolution.outcome, Outcome::TooManySymlinks) {
            return Ok(());
        }
        let cycle = resolution.last_cycle();
        let known = blamed.contains(&id) || cycle.iter().any(|link| blamed.contains(link));
        blamed.insert(id);
        blamed.extend(cycle);
        if known {
            return Ok(());
        }
        Err(TreeError::SymlinkLoop {
            name: self.path(id),
            origin: node.origin.clone(),
            chain: cycle
                .iter()
                .filter_map(|link| match &self.node(*link).kind {
                    Kind::Symlink { target } => Some((self.path(*link), target.to_os_string())),
                    _ => None,
                })
                .collect(),
        })
    }
}

impl NodeId {
    pub(crate) const ROOT: Self = Self(0);

    pub(crate) fn from_index(index: usize) -> Self {
        Self(u32::try_from(index).expect("ENTRIES_MAX is below 2^32"))
    }

    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}

impl Node {
    /// The name of a node other than the root.
    pub(crate) fn checked_name(&self) -> Name {
        use std::os::unix::ffi::OsStrExt;
        Name::new(self.name.as_bytes()).expect("only the root's name is empty, the rest were names")
    }
}

impl Kind {
    /// What it is, for a sentence.
    pub(crate) fn description(&self) -> &'static str {
        match self {
            Self::Directory(_) => "a directory",
            Self::File { .. } => "a file",
            Self::WholeDirectory { .. } => "a host directory as a whole",
            Self::Symlink { .. } => "a symbolic link",
        }
    }
}

impl From<Mapping> for Kind {
    fn from(mapping: Mapping) -> Self {
        match mapping {
            Mapping::File { source, executable } => Self::File {
                source: source.into(),
                executable,
            },
            Mapping::Directory { source } => Self::WholeDirectory {
                source: source.into(),
            },
            Mapping::Symlink { target } => Self::Symlink {
                target: target.into(),
            },
            Mapping::EmptyDirectory => Self::Directory(Box::default()),
        }
    }
}
