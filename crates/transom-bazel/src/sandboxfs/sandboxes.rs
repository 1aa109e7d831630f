//! All sandboxes of a mount.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use rustix::fs::{MemfdFlags, Mode, OFlags, SealFlags};
use transom_module::{
    Context, Invalidation, ItemId, Lifetime, Lookup, Name, Timestamp, Volume, VolumeDefinition,
};
use transom_passthrough::Passthrough;
use transom_projection::{Errors, FoundLinks, PinError, Projection, View, ViewOptions, ViewPath};

use super::mappings::{Contents, Files, MappingError};
use super::protocol::Mapping;

/// The most sandboxes at once.
pub const SANDBOXES_MAX: usize = 1 << 16;

/// Why a sandbox could not be made. Nothing is left of it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CreateError {
    /// There is one of that name.
    #[error("there is a sandbox of that name already")]
    Exists,
    /// There are [`SANDBOXES_MAX`].
    #[error("there are {SANDBOXES_MAX} sandboxes already; destroy some")]
    TooMany,
    /// A mapping is not possible.
    #[error(transparent)]
    Mapping(#[from] MappingError),
    /// What is mapped cannot be opened.
    #[error(transparent)]
    Pin(#[from] Errors<PinError>),
    /// The view cannot be served.
    #[error("the sandbox cannot be served: {0}")]
    Volume(transom_module::Error),
}

/// Why a sandbox could not be destroyed: there is none of that name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there is no sandbox of that name")]
pub struct DestroyError;

/// All sandboxes of a mount, as one volume. Clones are the same: one is served,
/// another one makes and destroys sandboxes meanwhile.
#[derive(Clone)]
pub struct Sandboxes(Arc<Shared>);

pub(crate) struct Shared {
    pub(crate) projection: Projection,
    /// The root of the projection, where its views are found.
    views: transom_projection::Item,
    /// For whatever lies on the host to be written.
    pub(crate) host: Passthrough,
    /// How long is cached what is said of that.
    pub(crate) host_lifetime: Lifetime,
    /// A file with nothing in it that nobody can change.
    pub(crate) empty: Arc<OwnedFd>,
    pub(crate) made: Timestamp,
    by_id: RwLock<HashMap<String, Arc<Sandbox>>>,
}

/// A directory of the root.
pub(crate) struct Sandbox {
    view: Arc<View>,
    /// The root of its view.
    pub(crate) root: transom_projection::Item,
    pub(crate) root_id: ItemId,
    /// The host directories that are mapped to be written.
    pub(crate) writable: HashMap<ViewPath, Arc<OwnedFd>>,
    pub(crate) files: Files,
}

impl Sandboxes {
    /// No sandbox yet. What is read is pinned in `projection`, which is nobody
    /// else's; what is written is [adopted](Passthrough::adopt) by `host`.
    pub fn new(projection: Projection, host: Passthrough) -> io::Result<Self> {
        let views = projection.root().map_err(io::Error::other)?.item;
        let host_lifetime = host.root().map_err(io::Error::other)?.name_lifetime;
        Ok(Self(Arc::new(Shared {
            projection,
            views,
            host,
            host_lifetime,
            empty: empty_file()?.into(),
            made: Timestamp::now(),
            by_id: RwLock::default(),
        })))
    }

    /// The volume, to be served writable.
    #[must_use]
    pub fn definition(&self) -> VolumeDefinition<Self> {
        let mut definition = VolumeDefinition::new(self.clone())
            .with_changes()
            .with_open_directories();
        definition.changed_by_others = true;
        definition
    }

    /// Makes a sandbox: its mappings are looked at, and what is read is opened,
    /// now.
    pub fn create(&self, id: &str, mappings: &[Mapping]) -> Result<(), CreateError> {
        {
            let by_id = self.0.read();
            if by_id.contains_key(id) {
                return Err(CreateError::Exists);
            }
            if by_id.len() >= SANDBOXES_MAX {
                return Err(CreateError::TooMany);
            }
        }
        let contents = Contents::new(id, mappings)?;
        let options = ViewOptions {
            links: FoundLinks::FollowOutward,
            ..ViewOptions::default()
        };
        let projection = &self.0.projection;
        let view = projection.pin(contents.tree, options)?;
        let name = view.id().to_string();
        let found = projection.lookup(&Context::internal(), &self.0.views, OsStr::new(&name));
        let root = match found.map_err(CreateError::Volume)? {
            Lookup::Found(root) => root,
            Lookup::Absent(_) => unreachable!("a view is found until it is removed"),
        };
        let sandbox = Sandbox {
            view,
            root: root.item,
            root_id: root.attributes.id,
            writable: contents.writable,
            files: contents.files,
        };
        match self.0.write().entry(id.to_owned()) {
            Entry::Vacant(entry) => _ = entry.insert(Arc::new(sandbox)),
            Entry::Occupied(_) => {
                projection.remove(sandbox.view.id());
                return Err(CreateError::Exists);
            }
        }
        Ok(())
    }

    /// Takes a sandbox away: its name leads nowhere any more. What was written
    /// stays on the host. Returns what has to be passed to the transport.
    pub fn destroy(&self, id: &str) -> Result<Vec<Invalidation>, DestroyError> {
        let sandbox = self.0.write().remove(id).ok_or(DestroyError)?;
        self.0.projection.remove(sandbox.view.id());
        let name = Name::new(id).map_err(|_| DestroyError)?;
        Ok(vec![Invalidation::Name {
            directory: ItemId::ROOT,
            name,
        }])
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.0
    }

    pub(crate) fn find(&self, id: &str) -> Option<Arc<Sandbox>> {
        self.0.read().get(id).cloned()
    }

    /// All names, each with the number of its directory.
    pub(crate) fn list(&self) -> Vec<(String, ItemId)> {
        let by_id = self.0.read();
        let all = by_id.iter();
        let mut all: Vec<_> = all.map(|(id, it)| (id.clone(), it.root_id)).collect();
        all.sort();
        all
    }
}

impl Shared {
    fn read(&self) -> RwLockReadGuard<'_, HashMap<String, Arc<Sandbox>>> {
        self.by_id.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, HashMap<String, Arc<Sandbox>>> {
        self.by_id.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Sandboxes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sandboxes")
            .field("count", &self.0.read().len())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sandbox")
            .field("view", &self.view.id())
            .finish_non_exhaustive()
    }
}

/// A file in memory that is sealed.
fn empty_file() -> io::Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let file = rustix::fs::memfd_create("empty", flags)?;
    rustix::fs::fchmod(&file, Mode::from_raw_mode(0o444))?;
    let seals = SealFlags::SEAL | SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK;
    rustix::fs::fcntl_add_seals(&file, seals)?;
    let link = format!("/proc/self/fd/{}", file.as_raw_fd());
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    Ok(rustix::fs::open(link, flags, Mode::empty())?)
}
