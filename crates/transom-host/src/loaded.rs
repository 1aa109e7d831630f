//! A loaded container, and what is served of it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use transom_fuse::Options;
use transom_module::{
    Cache, ContainerId, Errno, Error, Listing, ResourceKind, Result, VolumeManagement,
};

use crate::erased::AnyContainer;
use crate::identity;
use crate::kept_items::ServedVolumes;
use crate::publishing::Published;
use crate::volume::{Hold, Mounted, ServedVolume, Unmount, VolumeStatus};

/// What the host knows of a container without asking it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    /// Its identity.
    pub id: ContainerId,
    /// The module that has loaded it.
    pub module: String,
    /// What people call it; the path of its resource if it has no name.
    pub name: String,
    /// The user that has loaded it.
    pub owner: u32,
    /// Nothing is changed on its resources.
    pub read_only: bool,
    /// Those of its members that are there.
    pub members: Vec<Member>,
    /// Which of its members are missing, from 0.
    pub missing: Vec<u32>,
}

/// A resource of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// What it is.
    pub kind: ResourceKind,
    /// Where it was found.
    pub path: PathBuf,
    /// Which member it is; `None` for one that is a container by itself.
    pub index: Option<u32>,
}

/// A loaded container.
pub(crate) struct Loaded {
    pub(crate) about: About,
    pub(crate) container: Arc<dyn AnyContainer>,
    /// Its own, or its volumes as one.
    pub(crate) cache: Arc<dyn Cache + Send + Sync>,
    served: ServedVolumes,
    published: Mutex<Vec<Published>>,
}

/// The cache of a container that has one.
struct CacheOf(Arc<dyn AnyContainer>);

impl Cache for CacheOf {
    fn wanted(&self) -> u64 {
        self.0.cache().map_or(0, Cache::wanted)
    }

    fn used(&self) -> u64 {
        self.0.cache().map_or(0, Cache::used)
    }

    fn limit(&self, bytes: u64) {
        if let Some(cache) = self.0.cache() {
            cache.limit(bytes);
        }
    }
}

impl Loaded {
    pub(crate) fn new(about: About, container: Arc<dyn AnyContainer>) -> Self {
        let served = ServedVolumes::default();
        let cache: Arc<dyn Cache + Send + Sync> = match container.cache() {
            Some(_) => Arc::new(CacheOf(Arc::clone(&container))),
            None => Arc::new(served.clone()),
        };
        Self {
            about,
            cache,
            served,
            container,
            published: Mutex::default(),
        }
    }

    /// A detached mount of the volume of that key.
    pub(crate) fn mount(
        &self,
        key: &str,
        options: &Options,
        hold: Hold,
        owner: u32,
    ) -> Result<Mounted> {
        let mut served = self.served();
        match served.get(key) {
            Some(Some(volume)) if !volume.is_over() => {
                let mount = volume.mount(options, owner)?;
                return Ok(Mounted::new(mount, Arc::clone(volume)));
            }
            Some(None) => {
                let message = format!("volume `{key}` is just being mounted by somebody else");
                return Err(Error::new(Errno::EBUSY, message));
            }
            _ => {}
        }
        served.insert(key.into(), None);
        drop(served);
        // The module may take its time, so no lock is held meanwhile.
        let started = ServedVolume::start(&*self.container, key, options, hold, owner);
        let mut served = self.served();
        served.remove(key);
        let (volume, mount) = started?;
        let volume = Arc::new(volume);
        served.insert(key.into(), Some(Arc::clone(&volume)));
        Ok(Mounted::new(mount, volume))
    }

    /// `EINVAL` if it is not mounted.
    pub(crate) fn unmount(&self, key: &str, how: Unmount) -> Result<()> {
        let Some(volume) = self.volume(key) else {
            let message = format!("volume `{key}` is not mounted");
            return Err(Error::new(Errno::EINVAL, message));
        };
        if how != Unmount::Abort {
            self.synchronize_volume(&volume)?;
        }
        volume.unmount(how)
    }

    /// Everything of one volume is on the resources afterwards.
    pub(crate) fn synchronize_volume(&self, volume: &ServedVolume) -> Result<()> {
        volume.synchronize()?;
        self.container.synchronize()
    }

    /// Everything that was acknowledged is on the resources afterwards.
    pub(crate) fn synchronize(&self) -> Result<()> {
        for volume in self.mounted() {
            volume.synchronize()?;
        }
        self.container.synchronize()
    }

    /// The container as one whose volumes are made at run time. `EOPNOTSUPP` if
    /// it is none.
    pub(crate) fn management(&self) -> Result<&dyn VolumeManagement> {
        self.container.management().ok_or_else(|| {
            let message = format!(
                "module `{}` makes and changes no volumes of a container",
                self.about.module
            );
            Error::new(Errno::EOPNOTSUPP, message)
        })
    }

    /// The volume of that key, if it is mounted.
    pub(crate) fn volume(&self, key: &str) -> Option<Arc<ServedVolume>> {
        let served = self.served();
        let volume = served.get(key)?.as_ref()?;
        (!volume.is_over()).then(|| Arc::clone(volume))
    }

    /// Whether a volume of it is mounted, or just being mounted.
    pub(crate) fn is_mounted(&self) -> bool {
        self.served().values().any(|volume| match volume {
            Some(volume) => !volume.is_over(),
            None => true,
        })
    }

    /// The keys of its mounted volumes.
    pub(crate) fn mounted_keys(&self) -> Vec<String> {
        let served = self.served();
        let mounted = served.iter().filter(|(_, volume)| {
            let volume = volume.as_ref();
            volume.is_some_and(|volume| !volume.is_over())
        });
        mounted.map(|(key, _)| key.clone()).collect()
    }

    /// Lets go of volumes that were unmounted by others.
    pub(crate) fn let_go_of_unused(&self) {
        for volume in self.mounted() {
            volume.let_go_if_unused();
        }
        let over = |volume: &Option<Arc<ServedVolume>>| {
            volume.as_ref().is_some_and(|volume| volume.is_over())
        };
        self.served().retain(|_, volume| !over(volume));
    }

    /// Its volumes and block volumes, in the order of their keys.
    pub(crate) fn volumes(&self) -> Vec<VolumeStatus> {
        let listed = self.container.volumes();
        let blocks = match self.container.blocks() {
            Some(blocks) => blocks.block_volumes(),
            None => Vec::new(),
        };
        let mut all: BTreeMap<String, VolumeStatus> = BTreeMap::new();
        let valid = |listing: &Listing| identity::is_key(&listing.key);
        for (listing, is_block) in listed
            .into_iter()
            .map(|listing| (listing, false))
            .chain(blocks.into_iter().map(|listing| (listing, true)))
            .filter(|(listing, _)| valid(listing))
        {
            let Listing { key, name } = listing;
            let name = if name.is_empty() {
                self.about.name.clone()
            } else {
                name
            };
            let volume = self.volume(&key);
            let status = all
                .entry(key.clone())
                .or_insert_with(|| VolumeStatus::new(key, name, volume.as_deref()));
            status.is_block |= is_block;
            status.is_volume |= !is_block;
        }
        all.into_values().collect()
    }

    /// Limits the items of its volumes to so many bytes, if they are its cache.
    pub(crate) fn limit_items(&self, bytes: u64) {
        if self.container.cache().is_none() {
            self.served.limit(bytes);
        }
    }

    /// What is published of it.
    pub(crate) fn published(&self) -> MutexGuard<'_, Vec<Published>> {
        self.published
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether anything of it is mounted or published.
    pub(crate) fn is_used(&self) -> bool {
        self.is_mounted() || !self.published().is_empty()
    }

    fn mounted(&self) -> Vec<Arc<ServedVolume>> {
        self.served().values().flatten().cloned().collect()
    }

    fn served(&self) -> MutexGuard<'_, BTreeMap<String, Option<Arc<ServedVolume>>>> {
        self.served.lock()
    }
}
