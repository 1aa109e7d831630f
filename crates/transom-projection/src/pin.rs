use std::fmt;
use std::io;
use std::ops::Range;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::io::Errno;
use transom_module::{ItemId, ItemKind, Timestamp};

use crate::errors::Collected;
use crate::host::{HeldFile, HostDirectory, HostRoot, Location};
use crate::parallel::in_ranges;
use crate::shared::{IdBlock, Shared};
use crate::trace::Touched;
use crate::tree::{Kind, NodeId};
use crate::version::NewVersion;
use crate::view::{FoundLinks, Pinned, ViewOptions};
use crate::whole::{Symlink, WholeDirectory};
use crate::{Charge, Errors, OnChange, Origin, Tree, Version, ViewPath, shown};

/// The most names that one view pins below directories mapped as a whole.
pub const NAMES_PINNED_MAX: usize = 1 << 22;

/// A host file that could not be pinned.
#[derive(Debug)]
pub struct PinError {
    /// The name in the view.
    pub name: ViewPath,
    /// Where it was declared.
    pub origin: Origin,
    /// The host path.
    pub source: Arc<Path>,
    /// What is wrong with it.
    pub problem: PinProblem,
}

/// Why a host file could not be pinned.
#[derive(Debug)]
pub enum PinProblem {
    /// Nothing has that path.
    Missing,
    /// A regular file was declared, and this is there.
    NotAFile(ItemKind),
    /// A directory was declared, and this is there.
    NotADirectory(ItemKind),
    /// Whoever it is opened for may not read it.
    Unreadable,
    /// The host refused.
    Host(io::Error),
}

/// What a source has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expected {
    File,
    Directory,
    Either,
}

/// Pins host files on behalf of one view.
#[derive(Debug)]
pub(crate) struct Pinner {
    pub(crate) shared: Arc<Shared>,
    /// What host files are opened through.
    pub(crate) host: Arc<HostRoot>,
    /// When the view was made: the time that its own items show.
    pub(crate) made: Timestamp,
    pub(crate) links: FoundLinks,
    on_change: OnChange,
    /// Versions are not shared with other views, so that it is known who
    /// touched them.
    is_exclusive: bool,
    /// How many names below whole directories are pinned.
    names: AtomicUsize,
    pub(crate) charge: Charge,
}

impl Pinner {
    pub(crate) fn new(
        shared: Arc<Shared>,
        host: Arc<HostRoot>,
        options: ViewOptions,
        charge: Charge,
    ) -> Self {
        Self {
            shared,
            host,
            made: Timestamp::now(),
            links: options.links,
            on_change: options.on_change,
            is_exclusive: options.trace,
            names: AtomicUsize::new(0),
            charge,
        }
    }

    /// Pins all nodes of a new tree, the node with number n as item n of `ids`.
    pub(crate) fn pin_tree(
        &self,
        tree: &Tree,
        ids: IdBlock,
    ) -> Result<Vec<Pinned>, Errors<PinError>> {
        let count = tree.nodes().len();
        let pin_range = |range: Range<usize>| {
            let mut errors = Collected::default();
            let mut pins = Vec::with_capacity(range.len());
            for index in range {
                let node = &tree.nodes()[index];
                let path = || tree.path(NodeId::from_index(index));
                match node.kind.open_source(self) {
                    Ok(file) => {
                        let parent = ids.id(node.parent.index());
                        pins.push(self.pin(&node.kind, file, ids.id(index), parent, path));
                    }
                    Err((source, problem)) => errors.push(PinError {
                        name: path(),
                        origin: node.origin.clone(),
                        source,
                        problem,
                    }),
                }
                if errors.is_full() {
                    break;
                }
            }
            errors.or(pins)
        };
        let parts = in_ranges(count, |range| {
            self.host.act_throughout(|| pin_range(range.clone()))
        });
        let mut errors = Collected::default();
        let mut pins = Vec::with_capacity(count);
        for part in parts {
            match part {
                Ok(part) => pins.extend(part),
                Err(part) => errors.append(part),
            }
        }
        errors.or(pins)
    }

    /// Makes the item that a node stands for, given its open source if it has
    /// one.
    pub(crate) fn pin(
        &self,
        kind: &Kind,
        file: Option<HeldFile>,
        id: ItemId,
        parent: ItemId,
        path: impl FnOnce() -> ViewPath,
    ) -> Pinned {
        match (kind, file) {
            (Kind::File { source, executable }, Some(file)) => {
                let location = Location::Host(self.host.clone());
                Pinned::File(self.version(file, source.clone(), location, *executable))
            }
            (Kind::WholeDirectory { source }, Some(file)) => {
                let location = Location::Host(self.host.clone());
                let host = HostDirectory::new(file, source.clone(), location);
                Pinned::Whole(Arc::new(WholeDirectory::new(id, parent, path(), host)))
            }
            (Kind::Directory(_), _) => Pinned::directory(id),
            (Kind::Symlink { target }, _) => Pinned::Symlink(Arc::new(Symlink {
                id,
                target: target.clone(),
                uid: 0,
                gid: 0,
                modified: self.made,
                touched: Touched::default(),
            })),
            (Kind::File { .. } | Kind::WholeDirectory { .. }, None) => {
                unreachable!("a source is opened before it is pinned")
            }
        }
    }

    /// Pins one file that is in no tree.
    pub(crate) fn pin_file(&self, path: Arc<Path>) -> Result<Arc<Version>, PinProblem> {
        let file = self.open_source(&path, Expected::File)?;
        let location = Location::Host(self.host.clone());
        Ok(self.version(file, path, location, None))
    }

    /// Opens a source and makes sure that it can be served as what it was
    /// declared.
    pub(crate) fn open_source(
        &self,
        path: &Path,
        expected: Expected,
    ) -> Result<HeldFile, PinProblem> {
        let file = self.host.open(path).map_err(PinProblem::of_open)?;
        let Some(kind) = file.stamp.kind() else {
            return Err(PinProblem::Host(io::ErrorKind::Unsupported.into()));
        };
        match (expected, kind) {
            (Expected::File | Expected::Either, ItemKind::File)
            | (Expected::Directory | Expected::Either, ItemKind::Directory) => {}
            (Expected::Directory, kind) => return Err(PinProblem::NotADirectory(kind)),
            (_, kind) => return Err(PinProblem::NotAFile(kind)),
        }
        if self.host.may_read(file.descriptor.as_fd(), Some(kind)) {
            Ok(file.hold(&self.shared.budget))
        } else {
            Err(PinProblem::Unreadable)
        }
    }

    pub(crate) fn version(
        &self,
        file: HeldFile,
        host_path: Arc<Path>,
        location: Location,
        executable: Option<bool>,
    ) -> Arc<Version> {
        let new = NewVersion {
            file,
            host_path,
            location,
            executable,
            on_change: self.on_change,
        };
        let versions = &self.shared.versions;
        if self.is_exclusive {
            versions.alone(new, self.shared.next_id())
        } else {
            versions.share(new, || self.shared.next_id())
        }
    }

    /// Counts one more name below a whole directory, unless there are too
    /// many.
    pub(crate) fn count_name(&self) -> io::Result<()> {
        if self.names.fetch_add(1, Ordering::Relaxed) < NAMES_PINNED_MAX
            && self.charge.add_names(1).is_ok()
        {
            return Ok(());
        }
        self.names.fetch_sub(1, Ordering::Relaxed);
        Err(Errno::NFILE.into())
    }
}

impl Kind {
    /// Opens the host file it needs, if any. An error comes with the host
    /// path.
    fn open_source(&self, pinner: &Pinner) -> Result<Option<HeldFile>, (Arc<Path>, PinProblem)> {
        let (source, expected) = match self {
            Self::File { source, .. } => (source, Expected::File),
            Self::WholeDirectory { source } => (source, Expected::Directory),
            Self::Directory(_) | Self::Symlink { .. } => return Ok(None),
        };
        match pinner.open_source(source, expected) {
            Ok(file) => Ok(Some(file)),
            Err(problem) => Err((source.clone(), problem)),
        }
    }
}

impl fmt::Display for PinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: `{}`: ", self.origin, self.name)?;
        self.problem.describe(&self.source, f)
    }
}

impl PinProblem {
    fn of_open(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Self::Missing,
            // Whatever is more than a permission has a message of its own.
            io::ErrorKind::PermissionDenied if error.get_ref().is_none() => Self::Unreadable,
            _ => Self::Host(error),
        }
    }

    /// The problem as a sentence about the host path it was met at.
    #[must_use]
    pub fn at(&self, source: &Path) -> String {
        struct At<'a>(&'a PinProblem, &'a Path);
        impl fmt::Display for At<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.describe(self.1, f)
            }
        }
        At(self, source).to_string()
    }

    fn describe(&self, source: &Path, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let source = shown(source);
        match self {
            Self::Missing => write!(f, "the host has no `{source}`"),
            Self::NotAFile(ItemKind::Directory) => write!(
                f,
                "`{source}` is a directory, but a file was declared; map it as a directory, or \
                 name a file in it"
            ),
            Self::NotAFile(kind) => write!(
                f,
                "`{source}` is {}; only regular files and directories can be mapped",
                described(*kind)
            ),
            Self::NotADirectory(kind) => write!(
                f,
                "`{source}` is {}, but a directory was declared",
                described(*kind)
            ),
            Self::Unreadable => write!(
                f,
                "`{source}` cannot be read by this user; check the permissions of the file and \
                 of the directories above it"
            ),
            Self::Host(error) => write!(f, "cannot open `{source}`: {error}"),
        }
    }
}

impl std::error::Error for PinError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.problem {
            PinProblem::Host(error) => Some(error),
            _ => None,
        }
    }
}

/// A kind of host file, for a sentence.
fn described(kind: ItemKind) -> &'static str {
    match kind {
        ItemKind::File => "a regular file",
        ItemKind::Directory => "a directory",
        ItemKind::Symlink => "a symbolic link",
        ItemKind::Fifo => "a named pipe",
        ItemKind::Socket => "a socket",
        ItemKind::CharacterDevice => "a character device",
        ItemKind::BlockDevice => "a block device",
    }
}
