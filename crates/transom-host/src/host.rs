//! Loading and unloading. One error number each, whatever the module:
//!
//! | | |
//! |---|---|
//! | `ENODEV` | there is no such module |
//! | `EPERM` | the module is disabled |
//! | `EOPNOTSUPP` | loading by force would format the resource, which no module can |
//! | `EINVAL` | the resource is of a kind that the module does not load, or an option is unknown |
//! | `EACCES` | no right to the resource |
//! | `EBUSY` | loading: it is loaded; unloading: it is mounted |
//! | `EINVAL` | unloading: nothing is loaded, or it is not this |
//!
//! After an error of loading nothing is loaded, and nothing is open.

use std::fmt;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use transom_fuse::{Options, Statistics};
use transom_module::{ContainerId, Errno, Error, LoadOptions, ModuleManifest, Resources, Result};

use crate::erased::{AnyContainer, Serving};
use crate::{Enablement, Modules, resource};

/// Loads resources, mounts what was loaded, and gives it back.
///
/// A loaded resource is known by its module and by the path that it was loaded
/// by.
#[derive(Debug)]
pub struct Host {
    modules: Modules,
    enablement: Enablement,
    loaded: Mutex<Vec<Arc<Loaded>>>,
}

/// What to load, and how.
#[derive(Debug, Clone)]
pub struct Load<'a> {
    /// The name of the module.
    pub module: &'a str,
    /// Where the resource is.
    pub resource: &'a Path,
    /// How the module is to load it.
    pub options: LoadOptions,
    /// Format the resource if it contains nothing that the module knows.
    pub force: bool,
}

/// A loaded resource. As long as somebody else holds one, it is being mounted.
struct Loaded {
    module: String,
    resource: PathBuf,
    container: Box<dyn AnyContainer>,
    mounts: Mutex<Vec<Arc<dyn Serving>>>,
}

impl Host {
    /// Nothing is loaded yet.
    #[must_use]
    pub fn new(modules: Modules, enablement: Enablement) -> Self {
        Self {
            modules,
            enablement,
            loaded: Mutex::default(),
        }
    }

    /// The modules it loads with.
    #[must_use]
    pub fn modules(&self) -> &Modules {
        &self.modules
    }

    /// Loads a resource. The errors are told at the head of the file; besides,
    /// those of opening it, and the module's own.
    pub fn load(&self, load: &Load<'_>) -> Result<()> {
        let module = self.modules.get(load.module)?;
        let manifest = module.manifest();
        self.check(load, &manifest)?;
        require_not_loaded(&self.loaded(), load)?;
        let resource = resource::open(load.resource, &manifest, load.options.read_only)?;
        // The module may take its time, so no lock is held meanwhile.
        let loaded = Loaded {
            module: load.module.into(),
            resource: load.resource.into(),
            container: module.load(Resources::alone(ContainerId::NIL, resource), &load.options)?,
            mounts: Mutex::default(),
        };
        let mut all = self.loaded();
        require_not_loaded(&all, load)?;
        all.push(Arc::new(loaded));
        Ok(())
    }

    /// Mounts the volume of what was loaded, detached, and serves it on threads
    /// of this process. `EINVAL` if it is not loaded.
    pub fn mount(&self, module: &str, resource: &Path, options: &Options) -> Result<Mounted> {
        let loaded = {
            let all = self.loaded();
            Arc::clone(&all[position(&all, module, resource)?])
        };
        let (mount, serving) = loaded.container.mount(options)?;
        let mut mounts = loaded.mounts();
        mounts.retain(|mount| !is_over(mount));
        mounts.push(Arc::clone(&serving));
        drop(mounts);
        let served = Served(serving);
        Ok(Mounted { mount, served })
    }

    /// Unloads what was loaded: every descriptor of it is closed. `EINVAL` if
    /// it is not loaded, `EBUSY` while it is mounted.
    pub fn unload(&self, module: &str, resource: &Path) -> Result<()> {
        let mut all = self.loaded();
        let position = position(&all, module, resource)?;
        let loaded = &all[position];
        let is_being_mounted = Arc::strong_count(loaded) > 1;
        if is_being_mounted || !loaded.mounts().iter().all(is_over) {
            let message = format!("`{}` is mounted; unmount it first", resource.display());
            return Err(Error::new(Errno::EBUSY, message));
        }
        let unloaded = all.remove(position);
        drop(all);
        // Gives the resource back, which may take its time, too.
        drop(unloaded);
        Ok(())
    }

    fn check(&self, load: &Load<'_>, manifest: &ModuleManifest) -> Result<()> {
        let name = load.module;
        if !self.enablement.is_enabled(name)? {
            let message = format!(
                "module `{name}` is disabled; enable it with `transom modules enable {name}`"
            );
            return Err(Error::new(Errno::EPERM, message));
        }
        if load.force {
            let message = format!(
                "module `{name}` cannot format `{}`; load it without force",
                load.resource.display()
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

    fn loaded(&self) -> MutexGuard<'_, Vec<Arc<Loaded>>> {
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Loaded {
    fn mounts(&self) -> MutexGuard<'_, Vec<Arc<dyn Serving>>> {
        self.mounts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Loaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loaded")
            .field("module", &self.module)
            .field("resource", &self.resource)
            .finish_non_exhaustive()
    }
}

fn position(all: &[Arc<Loaded>], module: &str, resource: &Path) -> Result<usize> {
    let is_it = |loaded: &Arc<Loaded>| loaded.module == module && loaded.resource == resource;
    all.iter().position(is_it).ok_or_else(|| {
        let resource = resource.display();
        let message = match all {
            [] => format!("`{resource}` is not loaded; nothing is"),
            _ => format!("`{resource}` is not loaded by module `{module}`"),
        };
        Error::new(Errno::EINVAL, message)
    })
}

fn require_not_loaded(all: &[Arc<Loaded>], load: &Load<'_>) -> Result<()> {
    match position(all, load.module, load.resource) {
        Ok(_) => {
            let message = format!("`{}` is loaded already", load.resource.display());
            Err(Error::new(Errno::EBUSY, message))
        }
        Err(_) => Ok(()),
    }
}

fn is_over(mount: &Arc<dyn Serving>) -> bool {
    mount.wait(Duration::ZERO)
}

/// A volume that is mounted, detached, and served.
#[derive(Debug)]
pub struct Mounted {
    /// The detached mount: attach it with `move_mount(2)`. As long as it is
    /// open, it cannot be unmounted there.
    pub mount: OwnedFd,
    /// The threads that serve it.
    pub served: Served,
}

/// A volume that is served for as long as anybody has a mount of it.
pub struct Served(Arc<dyn Serving>);

impl Served {
    /// Whether the kernel accepts backing files for it from this process.
    #[must_use]
    pub fn passthrough_permitted(&self) -> bool {
        self.0.passthrough_permitted()
    }

    /// Waits until nobody has a mount of it.
    #[must_use]
    pub fn to_the_end(&self) -> Statistics {
        self.0.wait(Duration::MAX);
        self.0.statistics()
    }
}

impl fmt::Debug for Served {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Served").finish_non_exhaustive()
    }
}
