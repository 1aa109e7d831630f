//! Modules, containers and sessions without their types, for tables of
//! different ones.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno as HostErrno;
use transom_fuse::{MountError, Options, Session, Statistics};
use transom_module::{
    Container, Errno, Error, Listing, LoadOptions, Module, ModuleManifest, Resources, Result,
    Volume,
};
use transom_sys::fuse_device;

/// Any [`Module`].
pub(crate) trait AnyModule: Send + Sync {
    fn manifest(&self) -> ModuleManifest;
    fn load(&self, resources: Resources, options: &LoadOptions) -> Result<Box<dyn AnyContainer>>;
}

impl<M: Module> AnyModule for M {
    fn manifest(&self) -> ModuleManifest {
        Module::manifest(self)
    }

    fn load(&self, resources: Resources, options: &LoadOptions) -> Result<Box<dyn AnyContainer>> {
        Ok(Box::new(Module::load(self, resources, options)?))
    }
}

/// Any [`Container`].
pub(crate) trait AnyContainer: Send + Sync {
    /// A detached mount of the volume, and what serves it.
    fn mount(&self, options: &Options) -> Result<(OwnedFd, Arc<dyn Serving>)>;
}

impl<C: Container> AnyContainer for C {
    fn mount(&self, options: &Options) -> Result<(OwnedFd, Arc<dyn Serving>)> {
        let volume = self.volume(Listing::ONLY)?;
        let mut session =
            Session::start(volume, options).map_err(|error| refused(error, &options.source))?;
        let mount = session.take_mount().ok_or(Errno::EIO)?;
        Ok((mount, Arc::new(session)))
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
    fn passthrough_permitted(&self) -> bool;
}

impl<V: Volume> Serving for Session<V> {
    fn wait(&self, patience: Duration) -> bool {
        Session::wait(self, patience)
    }

    fn statistics(&self) -> Statistics {
        Session::statistics(self)
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
}
