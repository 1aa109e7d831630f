use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, RwLock};

use rustix::process::{Resource, getrlimit};
use transom_module::{Invalidation, ItemId, Name, Timestamp, VolumeDefinition};

use crate::host::HostRoot;
use crate::pin::Pinner;
use crate::shared::{OwnerMap, Shared};
use crate::sync::{read, write};
use crate::{Charge, Errors, PinError, PinProblem, Tree, Version, View, ViewId, ViewOptions};

/// Descriptors left alone however small the process's limit is: for the
/// transport, open files, outputs and whatever else the program opens.
const DESCRIPTORS_RESERVED: usize = 256;

/// How a projection behaves.
#[derive(Debug, Clone, Default)]
pub struct ProjectionOptions {
    /// Which owners of host files can be shown; `None` if all can.
    pub owners: Option<OwnerMap>,
    /// How many descriptors may be kept for pinned files and directories.
    /// `None` takes three quarters of the process's limit (the soft
    /// `RLIMIT_NOFILE`) less 256, so a program should raise that limit first.
    /// What is beyond it is pinned by its stamp alone; see
    /// [`Version`](crate::Version).
    pub descriptors: Option<usize>,
}

/// All views of a process, served as one volume.
///
/// Each view is a directory of it, found by the text of its [`ViewId`]; the
/// root lists nothing, so a view is only reached by whoever was told its
/// number. Files are shared between views as far as that makes no difference
/// to be seen.
///
/// Clones are the same projection: one is served, another one makes and removes
/// views meanwhile.
#[derive(Clone)]
pub struct Projection {
    pub(crate) shared: Arc<Shared>,
    /// What is pinned through this handle is opened through that.
    host: Arc<HostRoot>,
    /// The time its root shows.
    pub(crate) made: Timestamp,
    views: Arc<Views>,
}

#[derive(Default)]
struct Views {
    by_id: RwLock<BTreeMap<ViewId, Arc<View>>>,
    last: AtomicU32,
}

impl Projection {
    /// A projection of the files below `host`, with no view yet.
    #[must_use]
    pub fn new(host: HostRoot, options: ProjectionOptions) -> Self {
        let descriptors = options.descriptors.unwrap_or_else(default_descriptors);
        Self {
            shared: Arc::new(Shared::new(descriptors, options.owners)),
            host: Arc::new(host),
            made: Timestamp::now(),
            views: Arc::default(),
        }
    }

    /// The same projection, for whoever makes views of the files below `host`:
    /// a newer clone of the host's mounts, or with
    /// [the rights of a client](HostRoot::acting_for). Files are shared between
    /// views with the same `host`, which is kept as long as one of them is.
    #[must_use]
    pub fn with_host(&self, host: Arc<HostRoot>) -> Self {
        Self {
            host,
            ..self.clone()
        }
    }

    /// All views as one volume, to be served. What a directory lists does not
    /// depend on who has it open.
    #[must_use]
    pub fn volume(&self) -> VolumeDefinition<Self> {
        let mut definition = VolumeDefinition::new(self.clone());
        definition.stateless_directories = true;
        definition
    }

    /// Makes a view of `tree`: opens every host file and directory in it and
    /// keeps its version. On error nothing is left behind.
    ///
    /// Uses a second thread for large trees, which is gone on return.
    pub fn pin(&self, tree: Tree, options: ViewOptions) -> Result<Arc<View>, Errors<PinError>> {
        self.pin_charged(tree, options, Charge::default())
    }

    /// The same for a view that is limited together with others: `charge` is
    /// for the names of `tree`, and what is added or found later is added to it.
    pub fn pin_charged(
        &self,
        tree: Tree,
        options: ViewOptions,
        charge: Charge,
    ) -> Result<Arc<View>, Errors<PinError>> {
        let id = ViewId(self.views.last.fetch_add(1, Ordering::Relaxed) + 1);
        let view = Arc::new(View::pin(
            id,
            self.shared.clone(),
            self.host.clone(),
            tree,
            options,
            charge,
        )?);
        write(&self.views.by_id).insert(id, view.clone());
        Ok(view)
    }

    /// Pins the regular file at the absolute host path `path` for somebody who
    /// has a tree of his own. It shares its version with every view that agrees
    /// on it.
    pub fn pin_file(
        &self,
        path: impl Into<Arc<Path>>,
        options: ViewOptions,
    ) -> Result<Arc<Version>, PinProblem> {
        Pinner::new(
            self.shared.clone(),
            self.host.clone(),
            options,
            Charge::default(),
        )
        .pin_file(path.into())
    }

    /// The view of that number.
    #[must_use]
    pub fn view(&self, id: ViewId) -> Option<Arc<View>> {
        read(&self.views.by_id).get(&id).cloned()
    }

    /// All views, oldest first.
    #[must_use]
    pub fn views(&self) -> Vec<Arc<View>> {
        read(&self.views.by_id).values().cloned().collect()
    }

    /// Removes a view: its number leads nowhere any more, and what it pinned is
    /// given back as soon as nobody uses it. Returns what has to be passed to
    /// the transport. Mounts made of the view go on until they are gone.
    pub fn remove(&self, id: ViewId) -> Vec<Invalidation> {
        match write(&self.views.by_id).remove(&id) {
            Some(_) => vec![id.forgotten()],
            None => Vec::new(),
        }
    }

    /// Removes a view, and gives back at once what it pinned: mounts made of it
    /// are empty from now on. Returns what has to be passed to the transport.
    pub fn discard(&self, id: ViewId) -> Vec<Invalidation> {
        let removed = write(&self.views.by_id).remove(&id);
        let Some(view) = removed else {
            return Vec::new();
        };
        let mut forgotten = view.empty();
        forgotten.push(id.forgotten());
        forgotten
    }
}

impl ViewId {
    /// What to tell the kernel when the view is no more.
    fn forgotten(self) -> Invalidation {
        Invalidation::Name {
            directory: ItemId::ROOT,
            name: Name::new(self.to_string()).expect("a letter and digits"),
        }
    }
}

impl fmt::Debug for Projection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Projection")
            .field("views", &read(&self.views.by_id).len())
            .finish_non_exhaustive()
    }
}

fn default_descriptors() -> usize {
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    (limit / 4 * 3).saturating_sub(DESCRIPTORS_RESERVED)
}
