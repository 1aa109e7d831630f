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
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use transom_module::{
    ContainerId, Errno, Error, LoadOptions, ModuleManifest, Probe, Resource, Result,
};

use crate::erased::AnyModule;
use crate::loaded::{About, Loaded};
use crate::members::Members;
use crate::publishing::Disks;
use crate::resource::{self, Wanted};
use crate::{Budgets, Enablement, EventKind, Events, Ledger, Modules, Tasks, memory_bytes};

/// Most containers that can be loaded or blocked at a time.
pub const CONTAINERS_MAX: usize = 10_000;

/// Loads resources, mounts what was loaded, and gives it back.
#[derive(Debug)]
pub struct Host {
    modules: Modules,
    enablement: Enablement,
    containers: Mutex<BTreeMap<ContainerId, Entry>>,
    tasks: Tasks,
    events: Events,
    budgets: Budgets,
    ledger: Option<Ledger>,
    disks: Disks,
}

/// What a host keeps, and where.
#[derive(Debug, Default)]
pub struct HostOptions {
    /// A directory, for this host alone, for what tasks save; without, it does
    /// not outlive the host.
    pub tasks: Option<PathBuf>,
    /// Where it is noted what has to be removed if the host is killed.
    pub ledger: Option<Ledger>,
    /// How much memory the caches of all containers may use, in bytes; without,
    /// half of what there is.
    pub cache_bytes: Option<u64>,
    /// Where block volumes are offered over NBD; without, they are not.
    pub nbd_socket: Option<PathBuf>,
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
    /// How much its cache may use, in bytes; without, its share.
    pub cache_bytes: Option<u64>,
}

/// What the host has of a container.
pub(crate) enum Entry {
    /// It is being loaded or unloaded.
    Busy(About),
    Blocked(Blocked),
    Loaded(Arc<Loaded>),
}

/// A container some of whose members are missing.
pub(crate) struct Blocked {
    module: String,
    owner: u32,
    cache_bytes: Option<u64>,
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

impl Host {
    /// Nothing is loaded yet.
    pub fn new(modules: Modules, enablement: Enablement, options: HostOptions) -> Result<Self> {
        let events = Events::new();
        let half_of_memory = || memory_bytes().map_or(u64::MAX, |bytes| bytes / 2);
        let cache_bytes = options.cache_bytes.unwrap_or_else(half_of_memory);
        Ok(Self {
            modules,
            enablement,
            containers: Mutex::default(),
            tasks: Tasks::new(options.tasks, events.clone())?,
            budgets: Budgets::new(cache_bytes, events.clone()),
            events,
            ledger: options.ledger,
            disks: Disks::at(options.nbd_socket),
        })
    }

    /// What long work is done.
    #[must_use]
    pub fn tasks(&self) -> &Tasks {
        &self.tasks
    }

    /// What the caches of containers may use.
    #[must_use]
    pub fn budgets(&self) -> &Budgets {
        &self.budgets
    }

    /// Removes what an earlier host has left that was killed. Returns what was
    /// removed and what could not be, in sentences for people.
    #[must_use]
    pub fn clean_up(&self) -> Vec<String> {
        self.ledger.as_ref().map_or_else(Vec::new, Ledger::clean_up)
    }

    pub(crate) fn ledger(&self) -> Option<&Ledger> {
        self.ledger.as_ref()
    }

    pub(crate) fn disks(&self) -> &Disks {
        &self.disks
    }

    /// What has happened.
    #[must_use]
    pub fn events(&self) -> &Events {
        &self.events
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
        descriptor: &OwnedFd,
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
            cache_bytes: load.cache_bytes,
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
                    (blocked.owner, blocked.cache_bytes, blocked.options.clone())
                }
                _ => continue,
            };
            let module = self.modules.get(finding.module)?;
            let [resource] = resources;
            let blocked = Blocked {
                module: finding.module.into(),
                owner: waiting.0,
                cache_bytes: waiting.1,
                options: waiting.2,
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
        let about = new.about();
        if !new.members.suffice(new.options.degraded) {
            containers.insert(id, Entry::Blocked(new));
            drop(containers);
            let message = format!("`{}` waits: {}", about.name, missing(&about.missing));
            self.events.tell(Some(id), EventKind::Blocked, message);
            return Ok(id);
        }
        containers.insert(id, Entry::Busy(about.clone()));
        drop(containers);
        // The module may take its time, so no lock is held meanwhile.
        let loaded = new
            .members
            .into_resources()
            .and_then(|resources| module.load(resources, &new.options))
            .map(|container| Arc::new(Loaded::new(about, container)))
            .inspect(|loaded| self.budgets.enter(id, &loaded.cache, new.cache_bytes));
        let mut containers = self.containers();
        containers.remove(&id);
        let loaded = loaded?;
        containers.insert(id, Entry::Loaded(Arc::clone(&loaded)));
        drop(containers);
        let About {
            name,
            missing: gone,
            ..
        } = &loaded.about;
        if gone.is_empty() {
            let message = format!("`{name}` was loaded");
            self.events.tell(Some(id), EventKind::Loaded, message);
        } else {
            let message = format!("`{name}` was loaded although {}", missing(gone));
            self.events.tell(Some(id), EventKind::Degraded, message);
        }
        self.resume_work_of(&loaded);
        Ok(id)
    }

    /// The containers that may be meant by an id, a name, or the path of a
    /// resource, of those that `may` be meant. Only if there is none, by the last
    /// name of such a path.
    pub fn find(&self, text: &str, may: impl Fn(&About) -> bool) -> Vec<ContainerId> {
        let path = Path::new(text);
        let containers = self.containers();
        let all = containers.values().map(Entry::about);
        let all: Vec<_> = all.filter(may).collect();
        let those = |is_meant: &dyn Fn(&About) -> bool| -> Vec<_> {
            let meant = all.iter().filter(|about| is_meant(about));
            meant.map(|about| about.id).collect()
        };
        let exactly = those(&|about| {
            about.id.to_string() == text
                || about.name == text
                || about.members.iter().any(|member| member.path == path)
        });
        match exactly.is_empty() {
            false => exactly,
            true => those(&|about| {
                let mut members = about.members.iter();
                members.any(|member| member.path.file_name() == Some(path.as_os_str()))
            }),
        }
    }

    /// The container, if it is loaded.
    pub(crate) fn loaded(&self, container: ContainerId) -> Result<Arc<Loaded>> {
        let containers = self.containers();
        match containers.get(&container) {
            Some(Entry::Loaded(loaded)) => Ok(Arc::clone(loaded)),
            Some(Entry::Blocked(blocked)) => {
                let message = format!(
                    "`{}` is blocked: {}",
                    blocked.members.name,
                    missing(&blocked.members.missing())
                );
                Err(Error::new(Errno::EAGAIN, message))
            }
            Some(Entry::Busy(about)) => Err(in_use(&about.name, "being loaded or unloaded")),
            None => Err(not_loaded(&container.to_string(), containers.is_empty())),
        }
    }

    /// Says how much memory a container may use as a cache, in bytes.
    pub fn limit_cache(&self, container: ContainerId, bytes: u64) -> Result<()> {
        self.loaded(container)?;
        self.budgets.declare(container, Some(bytes));
        Ok(())
    }

    /// All that are loaded, in the order of their ids.
    pub(crate) fn all_loaded(&self) -> Vec<Arc<Loaded>> {
        let containers = self.containers();
        let loaded = containers.values().filter_map(|entry| match entry {
            Entry::Loaded(loaded) => Some(Arc::clone(loaded)),
            _ => None,
        });
        loaded.collect()
    }

    fn check(&self, load: &Load<'_>, manifest: &ModuleManifest) -> Result<()> {
        let name = load.module;
        self.require_enabled(name)?;
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

    /// `EPERM` if it is not.
    pub(crate) fn require_enabled(&self, module: &str) -> Result<()> {
        if self.enablement.is_enabled(module)? {
            return Ok(());
        }
        let message = format!(
            "module `{module}` is disabled; enable it with `transom modules enable {module}`"
        );
        Err(Error::new(Errno::EPERM, message))
    }

    pub(crate) fn containers(&self) -> MutexGuard<'_, BTreeMap<ContainerId, Entry>> {
        self.containers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    pub(crate) fn about(&self) -> About {
        match self {
            Self::Busy(about) => about.clone(),
            Self::Blocked(blocked) => blocked.about(),
            Self::Loaded(loaded) => loaded.about.clone(),
        }
    }

    pub(crate) fn state(&self) -> State {
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

pub(crate) fn state_of(loaded: &Loaded) -> State {
    match loaded.is_used() {
        true => State::Active,
        false => State::Ready,
    }
}

pub(crate) fn not_loaded(what: &str, is_nothing: bool) -> Error {
    let message = match is_nothing {
        true => format!("`{what}` is not loaded; nothing is"),
        false => format!("`{what}` is not loaded"),
    };
    Error::new(Errno::EINVAL, message)
}

pub(crate) fn in_use(name: &str, how: &str) -> Error {
    Error::new(Errno::EBUSY, format!("`{name}` is {how}"))
}

fn missing(indices: &[u32]) -> String {
    match indices {
        [only] => format!("member {only} is missing"),
        several => {
            let names: Vec<_> = several.iter().map(u32::to_string).collect();
            format!("members {} are missing", names.join(", "))
        }
    }
}
