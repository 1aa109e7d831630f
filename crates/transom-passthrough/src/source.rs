use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno as HostErrno;
use rustix::mount::MountAttrFlags;
use transom_module::{
    AccessTimes, Container, Errno, Error, Lifetime, Listing, LoadOptions, Resource, Result,
    VolumeDefinition,
};
use transom_sys::credentials::Credentials;
use transom_sys::mount::{self, Change, Reach};

use crate::extended_attributes::has_access_control_lists;
use crate::host::{refused, reopen};
use crate::persistent_items::Layout;
use crate::volume::Passthrough;

/// A directory of the host that was loaded: what all mounts of it share.
#[derive(Debug)]
pub struct Source(Arc<Shared>);

#[derive(Debug)]
pub(crate) struct Shared {
    /// Opened with `O_PATH`.
    pub(crate) root: Arc<OwnedFd>,
    /// The root again, opened to be read: what concerns the file system as a
    /// whole is asked of this one.
    pub(crate) root_opened: OwnedFd,
    pub(crate) own: Credentials,
    pub(crate) read_only: bool,
    pub(crate) lifetime: Lifetime,
    pub(crate) access_control_lists: bool,
    /// How the host finds files without a name, if it does and lets us.
    pub(crate) layout: Option<Layout>,
}

impl Source {
    /// Makes a mount of its own for the directory. What the kernel does on a
    /// file of it obeys that mount, not the one that people see.
    pub(crate) fn clone_of(
        resource: &Resource,
        options: &LoadOptions,
        lifetime: Lifetime,
    ) -> Result<Self> {
        let path = resource.path().display();
        let failed = |what: &str, error: HostErrno| {
            Error::from_host(io::Error::from(error), format!("cannot {what} `{path}`"))
        };
        // `ENOTDIR` if it is something else, `EACCES` without a right to it.
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::openat(resource, c".", flags, Mode::empty())
            .map_err(|error| failed("read the directory", error))?;
        let mut reach = Reach::Mount;
        let mut root = mount::clone(resource, c"", reach);
        // In a user namespace, mounts that were there before it may hide
        // something and must not be stripped away.
        if matches!(root, Err(HostErrno::INVAL)) {
            reach = Reach::Tree;
            root = mount::clone(resource, c"", reach);
        }
        let root = root.map_err(|error| failed("make a mount of its own of", error))?;
        let mut attributes = match options.access_times {
            None => MountAttrFlags::empty(),
            Some(AccessTimes::Relative) => MountAttrFlags::MOUNT_ATTR_RELATIME,
            Some(AccessTimes::Never) => MountAttrFlags::MOUNT_ATTR_NOATIME,
            Some(AccessTimes::Always) => MountAttrFlags::MOUNT_ATTR_STRICTATIME,
        };
        attributes.set(MountAttrFlags::MOUNT_ATTR_RDONLY, options.read_only);
        let change = Change {
            replace_access_times: options.access_times.is_some(),
            ..Change::private(attributes)
        };
        mount::change(&root, reach, change)
            .map_err(|error| failed("change the mount of", error))?;
        Self::at(root, options.read_only, lifetime)
    }

    /// Takes a directory as it is, opened with `O_PATH`, with what is mounted
    /// below it. What the kernel does on a file of it obeys the mount it was
    /// found through, so a detached clone is what to give.
    ///
    /// Where one directory is mounted twice below it, the kernel sees it at the
    /// place where it was found last.
    pub fn at(root: OwnedFd, read_only: bool, lifetime: Lifetime) -> Result<Self> {
        Ok(Self(Arc::new(Shared::at(root, read_only, lifetime)?)))
    }

    /// The volume, to be served. Once for each mount that is to be served by
    /// itself.
    pub fn volume(&self) -> Result<VolumeDefinition<Passthrough>> {
        let mut definition = VolumeDefinition::new(Passthrough::new(self.0.clone())?)
            .with_controls()
            .with_extended_attributes()
            .with_naming()
            .with_open_directories()
            .with_synchronization();
        if !self.0.read_only {
            definition = definition.with_changes();
        }
        if self.0.layout.is_some() {
            definition = definition.with_persistent_items();
        }
        definition.changed_by_others = true;
        definition.access_control_lists = self.0.access_control_lists;
        Ok(definition)
    }
}

impl Shared {
    pub(crate) fn at(root: OwnedFd, read_only: bool, lifetime: Lifetime) -> Result<Self> {
        let root_opened = reopen(&root, OFlags::RDONLY | OFlags::DIRECTORY)?;
        Ok(Self {
            own: Credentials::of_this_thread().map_err(refused)?,
            read_only,
            lifetime,
            access_control_lists: has_access_control_lists(&root),
            layout: Layout::of_file_system(&root_opened),
            root: Arc::new(root),
            root_opened,
        })
    }
}

impl Container for Source {
    type Volume = Passthrough;

    fn volume(&self, key: &str) -> Result<VolumeDefinition<Passthrough>> {
        match key {
            Listing::ONLY => self.volume(),
            _ => Err(Errno::ENOENT.into()),
        }
    }
}
