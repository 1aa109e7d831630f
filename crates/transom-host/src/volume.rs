//! A volume that is served, and its mounts.
//!
//! All mounts of a volume are of one superblock, and so show the same names and
//! pages: the first starts a session, further ones are clones of its mount. The
//! host *holds* a mount of its own besides, until the volume is to be unmounted:
//! the kernel tells nobody how many others there are, but when the last of all
//! is gone, the session ends.
//!
//! To unmount is: no new mounts; what was written is brought to stable storage;
//! the mounts that the host has attached are detached; the host lets go. If
//! others still have a mount then, they are served until they let go, too,
//! unless that is cut short by force.

use std::fmt;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::mount::MountAttrFlags;
use transom_fuse::{Options, Statistics};
use transom_module::{Errno, Error, Result};
use transom_sys::fuse_control::Connection;
use transom_sys::mount::{self, Change, Reach};
use transom_sys::write_back_apart;

use crate::attachment::{Attachment, Target};
use crate::erased::{AnyContainer, Serving};

/// How long others may take to let go of a mount that was detached.
const LET_GO_PATIENCE: Duration = Duration::from_secs(2);

/// A served volume.
pub(crate) struct ServedVolume {
    /// As it was served first: what mounts of one superblock have in common.
    options: Options,
    serving: Arc<dyn Serving>,
    mounts: Mutex<Mounts>,
}

struct Mounts {
    /// `None` once it is to be unmounted, or if it is to end with its last user.
    held: Option<OwnedFd>,
    attached: Vec<Attachment>,
    handed_out: u64,
}

/// Whether the host has a mount of its own of what it serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// The volume ends with the last user of its only mount.
    No,
    /// It is served until it is [unmounted](crate::Host::unmount), and can be
    /// mounted further times.
    UntilUnmounted,
}

/// How a volume is unmounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unmount {
    /// Those who still use it are waited for, a while.
    Orderly,
    /// Those who still use it get errors from then on.
    Force,
}

impl ServedVolume {
    /// Serves the volume of that key. Returns it with its first mount.
    ///
    pub(crate) fn start(
        container: &dyn AnyContainer,
        key: &str,
        options: &Options,
        hold: Hold,
    ) -> Result<(Self, OwnedFd)> {
        let (root, serving) = container.serve(key, options)?;
        let (held, mount) = match hold {
            Hold::UntilUnmounted => {
                let mount = clone_of(&root, options.attributes)?;
                (Some(root), mount)
            }
            Hold::No => (None, root),
        };
        let volume = Self {
            options: options.clone(),
            serving,
            mounts: Mutex::new(Mounts {
                held,
                attached: Vec::new(),
                handed_out: 1,
            }),
        };
        Ok((volume, mount))
    }

    /// A further mount. `EINVAL` if it cannot be as asked, since it is of the
    /// same superblock; `EBUSY` if the volume is being unmounted.
    pub(crate) fn mount(&self, options: &Options) -> Result<OwnedFd> {
        let refused = |what: &str| {
            let message = format!("the volume is mounted already, with {what}; unmount it first");
            Err(Error::new(Errno::EINVAL, message))
        };
        if options.passthrough != self.options.passthrough {
            return refused("another `passthrough`");
        }
        if options.idmapped != self.options.idmapped {
            return refused("another `idmapped`");
        }
        if self.options.read_only && !options.read_only {
            return refused("`ro`");
        }
        let mut mounts = self.mounts();
        let Some(held) = &mounts.held else {
            let message =
                "the volume is still in use, and cannot be mounted again before it is not";
            return Err(Error::new(Errno::EBUSY, message));
        };
        let mut attributes = options.attributes;
        attributes.set(MountAttrFlags::MOUNT_ATTR_RDONLY, options.read_only);
        let mount = clone_of(held, attributes)?;
        mounts.handed_out += 1;
        Ok(mount)
    }

    /// Remembers where a mount was attached.
    pub(crate) fn attached(&self, attachment: Attachment) {
        let mut mounts = self.mounts();
        mounts.handed_out = mounts.handed_out.saturating_sub(1);
        mounts.attached.push(attachment);
    }

    fn status(&self) -> MountedStatus {
        let mut mounts = self.mounts();
        mounts.attached.retain(Attachment::is_there);
        let path = |attachment: &Attachment| attachment.path().to_owned();
        MountedStatus {
            attached: mounts.attached.iter().map(path).collect(),
            handed_out: mounts.handed_out,
            passthrough: self.serving.passthrough(),
            items: self.serving.items(),
            statistics: self.serving.statistics(),
        }
    }

    /// Lets go if everything that was mounted of it was attached by us and has
    /// been unmounted by others since.
    pub(crate) fn let_go_if_unused(&self) {
        let mut mounts = self.mounts();
        mounts.attached.retain(Attachment::is_there);
        if mounts.attached.is_empty() && mounts.handed_out == 0 {
            mounts.held = None;
        }
    }

    /// Brings everything to stable storage that was written to it.
    pub(crate) fn synchronize(&self) -> Result<()> {
        let failed = |error| Error::from_host(error, "cannot write back the volume");
        let held = self.mounts().held.as_ref().map(OwnedFd::try_clone);
        if let Some(held) = held.transpose().map_err(failed)? {
            // What was written through a mapping is still the kernel's.
            write_back_apart(&held).map_err(failed)?;
        }
        self.serving.synchronize()
    }

    /// Detaches and lets go, after everything was synchronized. `EBUSY` if
    /// others still use it.
    pub(crate) fn unmount(&self, how: Unmount) -> Result<()> {
        let (held, attached) = {
            let mut mounts = self.mounts();
            (mounts.held.take(), std::mem::take(&mut mounts.attached))
        };
        for (index, attachment) in attached.iter().enumerate() {
            if let Err(error) = attachment.detach() {
                let mut mounts = self.mounts();
                mounts.attached.extend_from_slice(&attached[index..]);
                mounts.held = held;
                let message = format!("cannot unmount `{}`", attachment.path().display());
                return Err(Error::from_host(error, message));
            }
        }
        let connection = held.as_ref().map(Connection::of);
        drop(held);
        let patience = match how {
            Unmount::Orderly => LET_GO_PATIENCE,
            Unmount::Force => Duration::ZERO,
        };
        if self.serving.wait(patience) {
            return Ok(());
        }
        if let (Unmount::Force, Some(connection)) = (how, connection) {
            connection
                .and_then(Connection::abort)
                .map_err(|error| Error::from_host(error, "cannot cut off the users of a volume"))?;
            if self.serving.wait(LET_GO_PATIENCE) {
                return Ok(());
            }
        }
        let message = "somebody still uses the volume, and is served until they let go; unmount \
                       it by force to cut them off";
        Err(Error::new(Errno::EBUSY, message))
    }

    /// Whether it is mounted nowhere any more.
    pub(crate) fn is_over(&self) -> bool {
        self.serving.wait(Duration::ZERO)
    }

    fn mounts(&self) -> MutexGuard<'_, Mounts> {
        self.mounts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A mount of a volume, detached.
#[derive(Debug)]
pub struct Mounted {
    /// Attach it with [`Target::attach`](crate::Target::attach), or
    /// `move_mount(2)`. As long as it is open, it cannot be unmounted there.
    pub mount: OwnedFd,
    /// What serves it.
    pub served: Served,
}

impl Mounted {
    pub(crate) fn new(mount: OwnedFd, volume: Arc<ServedVolume>) -> Self {
        let served = Served(volume);
        Self { mount, served }
    }

    /// Puts the mount onto a directory, where the host finds it again when the
    /// volume is unmounted.
    pub fn attach(self, target: Target) -> std::io::Result<Attachment> {
        let attachment = target.attach(self.mount)?;
        self.served.0.attached(attachment.clone());
        Ok(attachment)
    }
}

/// A volume that is served.
pub struct Served(Arc<ServedVolume>);

impl Served {
    /// Whether the kernel accepts backing files for it from this process.
    #[must_use]
    pub fn passthrough_permitted(&self) -> bool {
        self.0.serving.passthrough_permitted()
    }

    /// Waits until nobody has a mount of it.
    #[must_use]
    pub fn to_the_end(&self) -> Statistics {
        self.0.serving.wait(Duration::MAX);
        self.0.serving.statistics()
    }
}

impl fmt::Debug for Served {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Served").finish_non_exhaustive()
    }
}

/// A volume or block volume, and what is served of it.
#[derive(Debug, Clone)]
pub struct VolumeStatus {
    /// What the container knows it by.
    pub key: String,
    /// What people call it.
    pub name: String,
    /// It can be mounted.
    pub is_volume: bool,
    /// It can be published as a block device.
    pub is_block: bool,
    /// How it is mounted, if it is.
    pub mounted: Option<MountedStatus>,
}

/// How a volume is mounted.
#[derive(Debug, Clone)]
pub struct MountedStatus {
    /// Where the host has attached it.
    pub attached: Vec<PathBuf>,
    /// How many detached mounts were handed out besides.
    pub handed_out: u64,
    /// Whether the kernel reads host files by itself.
    pub passthrough: bool,
    /// Items that the kernel refers to.
    pub items: usize,
    /// Requests so far.
    pub statistics: Statistics,
}

impl VolumeStatus {
    pub(crate) fn new(key: String, name: String, served: Option<&ServedVolume>) -> Self {
        Self {
            key,
            name,
            is_volume: false,
            is_block: false,
            mounted: served.map(ServedVolume::status),
        }
    }
}

/// A further detached mount of the same superblock.
fn clone_of(mount: &OwnedFd, attributes: MountAttrFlags) -> Result<OwnedFd> {
    let failed = |error: rustix::io::Errno| Error::from_host(error.into(), "cannot clone a mount");
    let clone = mount::clone(mount, c"", Reach::Mount).map_err(failed)?;
    mount::change(&clone, Reach::Mount, Change::private(attributes)).map_err(failed)?;
    Ok(clone)
}
