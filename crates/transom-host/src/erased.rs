//! Modules, containers and sessions without their types, for tables of
//! different ones.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno as HostErrno;
use transom_fuse::{MountError, Options, Session, Statistics};
use transom_module::{
    BlockVolumes, Cache, Container, Context, Errno, Error, Jobs, Listing, LoadOptions, Maintenance,
    Module, ModuleManifest, Probe, Resource, Resources, Result, Volume, VolumeManagement,
};
use transom_sys::fuse_device;

/// Any [`Module`].
pub(crate) trait AnyModule: Send + Sync {
    fn manifest(&self) -> ModuleManifest;
    fn probe(&self, resource: &Resource) -> Result<Probe>;
    fn load(&self, resources: Resources, options: &LoadOptions) -> Result<Arc<dyn AnyContainer>>;
    fn maintenance(&self) -> Option<&dyn Maintenance>;
}

impl<M: Module> AnyModule for M {
    fn manifest(&self) -> ModuleManifest {
        Module::manifest(self)
    }

    fn probe(&self, resource: &Resource) -> Result<Probe> {
        Module::probe(self, resource)
    }

    fn load(&self, resources: Resources, options: &LoadOptions) -> Result<Arc<dyn AnyContainer>> {
        Ok(Arc::new(Module::load(self, resources, options)?))
    }

    fn maintenance(&self) -> Option<&dyn Maintenance> {
        Module::maintenance(self)
    }
}

/// Any [`Container`].
pub(crate) trait AnyContainer: Send + Sync {
    fn volumes(&self) -> Vec<Listing>;
    /// A detached mount of the volume of that key, and what serves it.
    fn serve(&self, key: &str, options: &Options) -> Result<(OwnedFd, Arc<dyn Serving>)>;
    fn synchronize(&self) -> Result<()>;
    fn trouble(&self) -> Option<String>;
    fn management(&self) -> Option<&dyn VolumeManagement>;
    fn blocks(&self) -> Option<&dyn BlockVolumes>;
    fn jobs(&self) -> Option<&dyn Jobs>;
    fn cache(&self) -> Option<&dyn Cache>;
}

impl<C: Container> AnyContainer for C {
    fn volumes(&self) -> Vec<Listing> {
        Container::volumes(self)
    }

    fn serve(&self, key: &str, options: &Options) -> Result<(OwnedFd, Arc<dyn Serving>)> {
        let volume = self.volume(key)?;
        let mut session =
            Session::start(volume, options).map_err(|error| refused(error, &options.source))?;
        let mount = session.take_mount().ok_or(Errno::EIO)?;
        Ok((mount, Arc::new(session)))
    }

    fn synchronize(&self) -> Result<()> {
        Container::synchronize(self)
    }

    fn trouble(&self) -> Option<String> {
        Container::trouble(self)
    }

    fn management(&self) -> Option<&dyn VolumeManagement> {
        Container::management(self)
    }

    fn blocks(&self) -> Option<&dyn BlockVolumes> {
        Container::blocks(self)
    }

    fn jobs(&self) -> Option<&dyn Jobs> {
        Container::jobs(self)
    }

    fn cache(&self) -> Option<&dyn Cache> {
        Container::cache(self)
    }
}

fn refused(error: MountError, source: &str) -> Error {
    let message = format!("cannot mount `{source}`: {error}");
    match error {
        MountError::Device(error) | MountError::Mount(error) => Error::from_host(error, message),
        MountError::Root(error) => Error::new(error.errno(), format!("{message}: {error}")),
        _ => Error::new(Errno::EOPNOTSUPP, message),
    }
}

/// Any [`Session`] whose mount somebody else holds.
pub(crate) trait Serving: Send + Sync {
    /// Waits until it is mounted nowhere any more; false if that took longer.
    fn wait(&self, patience: Duration) -> bool;
    fn statistics(&self) -> Statistics;
    /// Whether the kernel reads host files by itself.
    fn passthrough(&self) -> bool;
    /// Whether the kernel would accept a host file, asked of the kernel.
    fn passthrough_permitted(&self) -> bool;
    /// Items that the kernel refers to.
    fn items(&self) -> usize;
    /// Has the kernel keep about so many at most.
    fn set_items_max(&self, items: usize);
    /// Brings what was written to the volume to stable storage.
    fn synchronize(&self) -> Result<()>;
}

impl<V: Volume> Serving for Session<V> {
    fn wait(&self, patience: Duration) -> bool {
        Session::wait(self, patience)
    }

    fn statistics(&self) -> Statistics {
        Session::statistics(self)
    }

    fn passthrough(&self) -> bool {
        Session::passthrough(self)
    }

    fn passthrough_permitted(&self) -> bool {
        // The kernel asks for the privilege before it looks at the file, and
        // this one, the device, it takes from nobody.
        let offer = || fuse_device::backing_open(self.connection(), self.connection().as_fd());
        match offer() {
            Ok(number) => {
                let _ = fuse_device::backing_close(self.connection(), number);
                true
            }
            Err(error) => error.raw_os_error() != Some(HostErrno::PERM.raw_os_error()),
        }
    }

    fn items(&self) -> usize {
        self.live_items()
    }

    fn set_items_max(&self, items: usize) {
        Session::set_items_max(self, items);
    }

    fn synchronize(&self) -> Result<()> {
        match self.definition().synchronization() {
            Some(volume) => volume.synchronize(&Context::internal()),
            None => Ok(()),
        }
    }
}
