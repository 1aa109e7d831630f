//! Loading and unloading. One error number each, whatever the module:
//!
//! | | |
//! |---|---|
//! | `ENODEV` | there is no such module |
//! | `EPERM` | the module is disabled |
//! | `EOPNOTSUPP` | loading by force would format the resource, which loading never does |
//! | `EINVAL` | the resource is of a kind that the module does not load, contains nothing it knows, belongs to another container, or an option is unknown |
//! | `EACCES` | no right to the resource |
//! | `EBUSY` | loading: it is loaded; unloading: it is mounted |
//! | `EINVAL` | unloading: nothing is loaded, or it is not this |
//!
//! After an error of loading nothing is loaded, and nothing is open.
//!
//! A container of several members may be loaded with fewer. It is *blocked* then
//! and keeps those that are there, until the last one is given.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use transom_fuse::Options;
use transom_module::{
    ContainerId, Errno, Error, LoadOptions, ModuleManifest, Probe, Resource, Result,
};

use crate::erased::{AnyContainer, AnyModule};
use crate::loaded::{About, Loaded};
use crate::members::{MEMBERS_MAX, Members};
use crate::resource::{self, Wanted};
use crate::volume::{Hold, Mounted, Unmount, VolumeStatus};
use crate::{Enablement, Modules, VolumeId};

/// Most containers that can be loaded or blocked at a time.
pub const CONTAINERS_MAX: usize = 10_000;

/// Loads resources, mounts what was loaded, and gives it back.
#[derive(Debug)]
pub struct Host {
    modules: Modules,
    enablement: Enablement,
    containers: Mutex<BTreeMap<ContainerId, Entry>>,
}

/// What to load, and how.
#[derive(Debug)]
pub struct Load<'a> {
    /// The name of the module.
    pub module: &'a str,
    /// Opened with [`Host::open`] or [`Host::adopt`].
    pub resources: Vec<Resource>,
    /// How the module is to load it.
    pub options: LoadOptions,
    /// Format the resource if it contains nothing that the module knows.
    pub force: bool,
    /// The user that it is loaded for.
    pub owner: u32,
}

/// What the host has of a container.
enum Entry {
    /// It is being loaded or unloaded.
    Busy(About),
    Blocked(Blocked),
    Loaded(Arc<Loaded>),
}

/// A container some of whose members are missing.
struct Blocked {
    module: String,
    owner: u32,
    options: LoadOptions,
    members: Members,
}

/// The states of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It is being loaded or unloaded.
    NotReady,
    /// Members are missing.
    Blocked,
    /// It is loaded, and nothing of it is used.
    Ready,
    /// It is loaded, and something of it is mounted.
    Active,
}

/// A container, and what is served of it.
#[derive(Debug, Clone)]
pub struct ContainerStatus {
    /// What is known of it.
    pub about: About,
    /// Its state.
    pub state: State,
    /// What does not work, for people.
    pub trouble: Option<String>,
    /// Its volumes and block volumes.
    pub volumes: Vec<VolumeStatus>,
    /// The kinds of long work it does, each with a sentence.
    pub jobs: Vec<(&'static str, &'static str)>,
    /// Whether volumes are made and removed while it is loaded.
    pub manages_volumes: bool,
    /// Its cache, if it has one.
    pub cache: Option<CacheStatus>,
}

/// What a container's cache uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheStatus {
    /// Bytes that it uses.
    pub used: u64,
    /// Bytes that it would use if memory were no matter.
    pub wanted: u64,
}

/// What a module recognizes in a resource.
#[derive(Debug, Clone)]
pub struct Finding {
    /// Which of those that were probed, from 0.
    pub resource: usize,
    /// The module.
    pub module: &'static str,
    /// What it says.
    pub probe: Probe,
    /// Which members of the container are missing besides, from 0.
    pub missing: Vec<u32>,
}

impl Finding {
    fn new(resource: usize, module: &'static str, probe: Probe) -> Self {
        Self {
            resource,
            module,
            probe,
            missing: Vec::new(),
        }
    }
}

impl Host {
    /// Nothing is loaded yet.
    #[must_use]
    pub fn new(modules: Modules, enablement: Enablement) -> Self {
        Self {
            modules,
            enablement,
            containers: Mutex::default(),
        }
    }

    /// The modules it loads with.
    #[must_use]
    pub fn modules(&self) -> &Modules {
        &self.modules
    }

    /// Which of them may be used.
    #[must_use]
    pub fn enablement(&self) -> &Enablement {
        &self.enablement
    }

    /// Opens what that module is to load, with the rights of the calling
    /// thread. The errors are told at the head of the file.
    ///
    /// For no module in particular, it may be anything that some module loads.
    pub fn open(&self, module: Option<&str>, path: &Path, read_only: bool) -> Result<Resource> {
        resource::open(path, &self.wants(module)?, read_only)
    }

    /// The same for what somebody else has opened, who says that it was at
    /// `path`. What it is not open for, the calling thread must have the right
    /// to.
    pub fn adopt(
        &self,
        module: Option<&str>,
        descriptor: OwnedFd,
        path: &Path,
        read_only: bool,
    ) -> Result<Resource> {
        resource::adopt(descriptor, path, &self.wants(module)?, read_only)
    }

    fn wants(&self, module: Option<&str>) -> Result<Wanted> {
        Ok(match module {
            Some(module) => Wanted::by(&self.modules.get(module)?.manifest()),
            None => Wanted::by_any(),
        })
    }

    /// What modules recognize in resources: that one, or all that load their
    /// kinds and are enabled. What one does not recognize is left out, unless it
    /// was asked for by name.
    pub fn probe(&self, module: Option<&str>, resources: &[Resource]) -> Result<Vec<Finding>> {
        let mut findings = Vec::new();
        for manifest in self.modules.manifests() {
            let name = manifest.name;
            if module.is_some_and(|module| module != name) || !self.enablement.is_enabled(name)? {
                continue;
            }
            for (index, resource) in resources.iter().enumerate() {
                if !manifest.resources.contains(&resource.kind()) {
                    continue;
                }
                let probe = self.modules.get(name)?.probe(resource)?;
                if probe != Probe::NotRecognized || module.is_some() {
                    findings.push(Finding::new(index, name, probe));
                }
            }
        }
        self.note_missing(&mut findings);
        Ok(findings)
    }

    /// The only module that finds something of its own written on these
    /// resources. `EINVAL` if there is none, or several.
    pub fn recognize(&self, resources: &[Resource]) -> Result<&'static str> {
        let findings = self.probe(None, resources)?;
        let is_written = |finding: &&Finding| matches!(finding.probe, Probe::Member(_));
        let mut names: Vec<_> = findings
            .iter()
            .filter(is_written)
            .map(|f| f.module)
            .collect();
        names.dedup();
        match names[..] {
            [only] => Ok(only),
            [] => {
                let message = "no module finds something of its own there; say which is to load it";
                Err(Error::new(Errno::EINVAL, message))
            }
            _ => {
                let message = format!("it may be for {}: say which", names.join(", "));
                Err(Error::new(Errno::EINVAL, message))
            }
        }
    }

    /// Which members are neither loaded, nor given before, nor among those that
    /// were found together.
    fn note_missing(&self, findings: &mut [Finding]) {
        let members: Vec<_> = findings
            .iter()
            .filter_map(|finding| match &finding.probe {
                Probe::Member(member) => Some((member.container, member.index)),
                _ => None,
            })
            .collect();
        let containers = self.containers();
        for finding in findings {
            let Probe::Member(member) = &finding.probe else {
                continue;
            };
            let known = containers.get(&member.container).map(Entry::about);
            let is_missing = |index: &u32| match &known {
                Some(about) => about.missing.contains(index),
                None => true,
            };
            finding.missing = (0..member.of.min(MEMBERS_MAX))
                .filter(is_missing)
                .filter(|index| !members.contains(&(member.container, *index)))
                .collect();
        }
    }

    /// Loads a container of these resources, or of these and those that were
    /// given before and wait for them. It is [blocked](State::Blocked)
    /// afterwards if some are still missing. The errors are told at the head of
    /// the file; besides, the module's own.
    pub fn load(&self, load: Load<'_>) -> Result<ContainerId> {
        let module = self.modules.get(load.module)?;
        self.check(&load, &module.manifest())?;
        let mut all: Option<Members> = None;
        for resource in load.resources {
            let probe = module.probe(&resource)?;
            let first = Members::first(load.module, resource, probe)?;
            match &mut all {
                Some(all) => all.join(first)?,
                None => all = Some(first),
            }
        }
        let nothing = || Error::new(Errno::EINVAL, "there is nothing to load");
        let blocked = Blocked {
            module: load.module.into(),
            owner: load.owner,
            options: load.options,
            members: all.ok_or_else(nothing)?,
        };
        self.load_or_block(module, blocked)
    }

    /// Gives a resource that has appeared to the blocked container that waits
    /// for it, and loads that if it is the last. `None` if nobody waits for it
    /// who `may` have it.
    pub fn offer(
        &self,
        resource: Resource,
        may: impl Fn(&About) -> bool,
    ) -> Result<Option<ContainerId>> {
        let resources = [resource];
        for finding in self.probe(None, &resources)? {
            let Probe::Member(member) = &finding.probe else {
                continue;
            };
            let waiting = match self.containers().get(&member.container) {
                Some(Entry::Blocked(blocked)) if may(&blocked.about()) => {
                    (blocked.owner, blocked.options.clone())
                }
                _ => continue,
            };
            let module = self.modules.get(finding.module)?;
            let [resource] = resources;
            let blocked = Blocked {
                module: finding.module.into(),
                owner: waiting.0,
                options: waiting.1,
                members: Members::first(finding.module, resource, finding.probe)?,
            };
            return self.load_or_block(module, blocked).map(Some);
        }
        Ok(None)
    }

    fn load_or_block(&self, module: &dyn AnyModule, mut new: Blocked) -> Result<ContainerId> {
        let id = new.members.container;
        let mut containers = self.containers();
        match containers.remove(&id) {
            None if containers.len() >= CONTAINERS_MAX => {
                let message =
                    format!("{CONTAINERS_MAX} containers are loaded; unload others first");
                return Err(Error::new(Errno::EMFILE, message));
            }
            None => {}
            Some(Entry::Blocked(mut waiting)) => {
                if let Err(error) = waiting.members.join(new.members) {
                    containers.insert(id, Entry::Blocked(waiting));
                    return Err(error);
                }
                new.members = waiting.members;
            }
            Some(other) => {
                let message = format!("`{}` is loaded already", other.about().name);
                containers.insert(id, other);
                return Err(Error::new(Errno::EBUSY, message));
            }
        }
        if !new.members.suffice(new.options.degraded) {
            containers.insert(id, Entry::Blocked(new));
            return Ok(id);
        }
        let about = new.about();
        containers.insert(id, Entry::Busy(about.clone()));
        drop(containers);
        // The module may take its time, so no lock is held meanwhile.
        let loaded = new
            .members
            .into_resources()
            .and_then(|resources| module.load(resources, &new.options));
        let mut containers = self.containers();
        containers.remove(&id);
        let loaded = Loaded::new(about, loaded?);
        containers.insert(id, Entry::Loaded(Arc::new(loaded)));
        Ok(id)
    }

    /// The containers that may be meant by an id, a name, or the path of a
    /// resource, of those that `may` be meant.
    pub fn find(&self, text: &str, may: impl Fn(&About) -> bool) -> Vec<ContainerId> {
        let path = Path::new(text);
        let is_meant = |about: &About| {
            about.id.to_string() == text
                || about.name == text
                || about.members.iter().any(|member| member.path == path)
        };
        let containers = self.containers();
        let all = containers.values().map(Entry::about);
        all.filter(|about| is_meant(about) && may(about))
            .map(|about| about.id)
            .collect()
    }

    /// All containers, in the order of their ids.
    #[must_use]
    pub fn status(&self) -> Vec<ContainerStatus> {
        let ids: Vec<_> = self.containers().keys().copied().collect();
        ids.into_iter()
            .filter_map(|container| self.status_of(container))
            .collect()
    }

    /// One container; `None` if it is neither loaded nor blocked.
    #[must_use]
    pub fn status_of(&self, container: ContainerId) -> Option<ContainerStatus> {
        let (about, state, loaded) = {
            let containers = self.containers();
            let entry = containers.get(&container)?;
            let loaded = match entry {
                Entry::Loaded(loaded) => Some(Arc::clone(loaded)),
                _ => None,
            };
            (entry.about(), entry.state(), loaded)
        };
        let mut status = ContainerStatus::new(about, state);
        // It is asked without a lock, since it may take its time.
        if let Some(loaded) = loaded {
            loaded.let_go_of_unused();
            status.state = state_of(&loaded);
            status.volumes = loaded.volumes();
            status.ask(&*loaded.container);
        }
        Some(status)
    }

    /// The volumes and block volumes of a container, in the order of their keys.
    pub fn volumes(&self, container: ContainerId) -> Result<Vec<VolumeStatus>> {
        Ok(self.loaded(container)?.volumes())
    }

    /// How many volumes are mounted.
    #[must_use]
    pub fn mounted_volumes(&self) -> usize {
        let containers = self.containers();
        let mounted = containers.values().map(|entry| match entry {
            Entry::Loaded(loaded) => loaded.mounted_keys().len(),
            _ => 0,
        });
        mounted.sum()
    }

    /// Mounts a volume, detached, and serves it on threads of this process.
    /// `EINVAL` if its container is not loaded, `ENOENT` if that has no such
    /// volume.
    pub fn mount(
        &self,
        volume: &VolumeId,
        options: &Options,
        hold: Hold,
        owner: u32,
    ) -> Result<Mounted> {
        let loaded = self.loaded(volume.container)?;
        loaded.mount(&volume.key, options, hold, owner)
    }

    /// Takes one mount of a volume away. `EINVAL` if there is none of that
    /// number, or it was handed out; `EBUSY` if it is used.
    pub fn unmount_one(&self, volume: &VolumeId, mount: u64, how: Unmount) -> Result<()> {
        let loaded = self.loaded(volume.container)?;
        match loaded.volume(&volume.key) {
            Some(served) => served.unmount_one(mount, how),
            None => Err(Error::new(
                Errno::EINVAL,
                format!("`{volume}` is not mounted"),
            )),
        }
    }

    /// Unmounts a volume everywhere, in order: what was written is on the
    /// resources before. `EINVAL` if it is not mounted, `EBUSY` if others still
    /// use it.
    pub fn unmount(&self, volume: &VolumeId, how: Unmount) -> Result<()> {
        self.loaded(volume.container)?.unmount(&volume.key, how)
    }

    /// Puts everything that was acknowledged on the resources.
    pub fn synchronize(&self, container: ContainerId) -> Result<()> {
        self.loaded(container)?.synchronize()
    }

    /// Makes a volume in a container, of that size in bytes if it has one.
    /// `EOPNOTSUPP` if the container makes none.
    pub fn create_volume(
        &self,
        container: ContainerId,
        name: &str,
        bytes: Option<u64>,
    ) -> Result<VolumeId> {
        let loaded = self.loaded(container)?;
        let key = loaded.management()?.create(name, bytes)?;
        Ok(VolumeId { container, key })
    }

    /// Gives a volume another name.
    pub fn rename_volume(&self, volume: &VolumeId, name: &str) -> Result<()> {
        let loaded = self.loaded(volume.container)?;
        loaded.management()?.rename(&volume.key, name)
    }

    /// Gives a volume another size, in bytes.
    pub fn resize_volume(&self, volume: &VolumeId, bytes: u64) -> Result<()> {
        let loaded = self.loaded(volume.container)?;
        loaded.management()?.resize(&volume.key, bytes)
    }

    /// Removes a volume with what it contains. `EBUSY` while it is mounted.
    pub fn remove_volume(&self, volume: &VolumeId) -> Result<()> {
        let loaded = self.loaded(volume.container)?;
        if loaded.volume(&volume.key).is_some() {
            return Err(in_use(&volume.to_string(), "mounted; unmount it first"));
        }
        loaded.management()?.remove(&volume.key)
    }

    /// Unloads a container: every descriptor of it is closed. `EINVAL` if it is
    /// not loaded, `EBUSY` while it is mounted, unless its users are to be
    /// aborted.
    pub fn unload(&self, container: ContainerId, how: Unmount) -> Result<()> {
        if let (Unmount::Abort, Ok(loaded)) = (how, self.loaded(container)) {
            for key in loaded.mounted_keys() {
                loaded.unmount(&key, Unmount::Abort)?;
            }
        }
        let mut containers = self.containers();
        let loaded = match containers.get(&container) {
            Some(Entry::Loaded(loaded)) => Arc::clone(loaded),
            Some(Entry::Blocked(_)) => {
                let blocked = containers.remove(&container);
                drop(containers);
                drop(blocked);
                return Ok(());
            }
            Some(Entry::Busy(about)) => return Err(in_use(&about.name, "being loaded")),
            None => return Err(not_loaded(&container.to_string(), containers.is_empty())),
        };
        // Two are the table's and ours; another one is about to mount.
        if Arc::strong_count(&loaded) > 2 || loaded.is_mounted() {
            return Err(in_use(&loaded.about.name, "mounted; unmount it first"));
        }
        containers.insert(container, Entry::Busy(loaded.about.clone()));
        drop(containers);
        let synchronized = loaded.container.synchronize();
        if let (Err(error), true) = (synchronized, how != Unmount::Abort) {
            self.containers().insert(container, Entry::Loaded(loaded));
            return Err(error);
        }
        // Gives the resources back, which may take its time, too.
        drop(loaded);
        self.containers().remove(&container);
        Ok(())
    }

    /// The container, if it is loaded.
    pub(crate) fn loaded(&self, container: ContainerId) -> Result<Arc<Loaded>> {
        let containers = self.containers();
        match containers.get(&container) {
            Some(Entry::Loaded(loaded)) => Ok(Arc::clone(loaded)),
            Some(Entry::Blocked(blocked)) => {
                let message = format!(
                    "`{}` is blocked: of its members, {} missing",
                    blocked.members.name,
                    missing(&blocked.members.missing())
                );
                Err(Error::new(Errno::EAGAIN, message))
            }
            Some(Entry::Busy(about)) => Err(in_use(&about.name, "being loaded or unloaded")),
            None => Err(not_loaded(&container.to_string(), containers.is_empty())),
        }
    }

    fn check(&self, load: &Load<'_>, manifest: &ModuleManifest) -> Result<()> {
        let name = load.module;
        if !self.enablement.is_enabled(name)? {
            let message = format!(
                "module `{name}` is disabled; enable it with `transom modules enable {name}`"
            );
            return Err(Error::new(Errno::EPERM, message));
        }
        if let (true, Some(resource)) = (load.force, load.resources.first()) {
            let message = format!(
                "module `{name}` cannot format `{}` while it loads it; load it without force",
                resource.path().display()
            );
            return Err(Error::new(Errno::EOPNOTSUPP, message));
        }
        let known: Vec<_> = manifest.options.iter().map(|(name, _)| *name).collect();
        let mut given = load.options.named.iter().map(|(name, _)| name.as_str());
        if let Some(unknown) = given.find(|option| !known.contains(option)) {
            let known = match known.is_empty() {
                true => "none".into(),
                false => known.join(", "),
            };
            let message = format!("module `{name}` has no option `{unknown}`; it has: {known}");
            return Err(Error::new(Errno::EINVAL, message));
        }
        Ok(())
    }

    fn containers(&self) -> MutexGuard<'_, BTreeMap<ContainerId, Entry>> {
        self.containers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl ContainerStatus {
    fn new(about: About, state: State) -> Self {
        Self {
            about,
            state,
            trouble: None,
            volumes: Vec::new(),
            manages_volumes: false,
            jobs: Vec::new(),
            cache: None,
        }
    }

    fn ask(&mut self, container: &dyn AnyContainer) {
        self.trouble = container.trouble();
        self.manages_volumes = container.management().is_some();
        if let Some(jobs) = container.jobs() {
            self.jobs = jobs.kinds().to_vec();
        }
        self.cache = container.cache().map(|cache| CacheStatus {
            used: cache.used(),
            wanted: cache.wanted(),
        });
    }
}

impl Entry {
    fn about(&self) -> About {
        match self {
            Self::Busy(about) => about.clone(),
            Self::Blocked(blocked) => blocked.about(),
            Self::Loaded(loaded) => loaded.about.clone(),
        }
    }

    fn state(&self) -> State {
        match self {
            Self::Busy(_) => State::NotReady,
            Self::Blocked(_) => State::Blocked,
            Self::Loaded(loaded) => state_of(loaded),
        }
    }
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} {:?}", self.state(), self.about())
    }
}

impl Blocked {
    fn about(&self) -> About {
        let members = self.members.listed();
        let path = members
            .first()
            .map(|member| member.path.display().to_string());
        About {
            id: self.members.container,
            module: self.module.clone(),
            name: match self.members.name.is_empty() {
                true => path.unwrap_or_default(),
                false => self.members.name.clone(),
            },
            owner: self.owner,
            read_only: self.options.read_only,
            missing: self.members.missing(),
            members,
        }
    }
}

fn state_of(loaded: &Loaded) -> State {
    match loaded.is_mounted() {
        true => State::Active,
        false => State::Ready,
    }
}

fn not_loaded(what: &str, is_nothing: bool) -> Error {
    let message = match is_nothing {
        true => format!("`{what}` is not loaded; nothing is"),
        false => format!("`{what}` is not loaded"),
    };
    Error::new(Errno::EINVAL, message)
}

fn in_use(name: &str, how: &str) -> Error {
    Error::new(Errno::EBUSY, format!("`{name}` is {how}"))
}

fn missing(indices: &[u32]) -> String {
    match indices {
        [only] => format!("{only} is"),
        several => {
            let names: Vec<_> = several.iter().map(u32::to_string).collect();
            format!("{} are", names.join(", "))
        }
    }
}
