//! A volume that is served, and its mounts.
//!
//! All mounts of a volume are of one superblock, and so show the same names and
//! pages: the first starts a session, further ones are clones of its mount. The
//! host *holds* a mount of its own besides, until the volume is to be unmounted:
//! the kernel tells nobody how many others there are, but when the last of all
//! is gone, the session ends.
//!
//! To unmount is: no new mounts; what was written is brought to stable storage;
//! the mounts that the host has attached are taken away; the host lets go. Those
//! that were handed out are nobody's to take away: whoever has one is served
//! until they let go, too, or are cut off.

use std::fmt;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::mount::MountAttrFlags;
use transom_fuse::{Options, Statistics};
use transom_module::{Errno, Error, Result};
use transom_sys::fuse_control::Connection;
use transom_sys::mount::{self, Change, Reach};
use transom_sys::write_back_apart;

use crate::attachment::{self, Attachment, Target};
use crate::erased::{AnyContainer, Serving};
use crate::{Entry, Ledger, Leftover};

/// How long others may take to let go of a mount that was detached.
const LET_GO_PATIENCE: Duration = Duration::from_secs(2);

/// How long the kernel may take to end a mount that nobody uses.
const UNUSED_PATIENCE: Duration = Duration::from_millis(100);

/// A served volume.
pub(crate) struct ServedVolume {
    /// As it was served first: what mounts of one superblock have in common.
    options: Options,
    serving: Arc<dyn Serving>,
    connection: Connection,
    mounts: Mutex<Mounts>,
}

struct Mounts {
    /// `None` once it is to be unmounted, or if it is to end with its last user.
    held: Option<OwnedFd>,
    all: Vec<Known>,
}

struct Known {
    mount: Mount,
    /// What is noted of it for the case that we are killed.
    _entry: Option<Entry>,
}

/// One mount of a volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// The kernel's number for it, which no other mount ever gets.
    pub id: u64,
    /// Where the host has attached it; `None` for one that was handed out.
    pub attachment: Option<Attachment>,
    /// Nothing can be written through it.
    pub read_only: bool,
    /// The user that it was made for.
    pub owner: u32,
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
    /// If nobody uses it.
    Orderly,
    /// It is out of sight at once, and ends with its last user.
    Detach,
    /// At once: those who still use it get errors from then on.
    Abort,
}

impl Unmount {
    /// How long to wait for the end of a volume that is not mounted any more.
    fn patience(self) -> Duration {
        match self {
            Self::Orderly => LET_GO_PATIENCE,
            Self::Detach | Self::Abort => UNUSED_PATIENCE,
        }
    }
}

impl ServedVolume {
    /// Serves the volume of that key. Returns it with its first mount.
    ///
    pub(crate) fn start(
        container: &dyn AnyContainer,
        key: &str,
        options: &Options,
        hold: Hold,
        owner: u32,
    ) -> Result<(Self, OwnedFd)> {
        let (root, serving) = container.serve(key, options)?;
        let connection = Connection::of(&root)
            .map_err(|error| Error::from_host(error, "cannot examine a mount"))?;
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
            connection,
            mounts: Mutex::new(Mounts {
                held,
                all: vec![Known::handed_out(&mount, options, owner)?],
            }),
        };
        Ok((volume, mount))
    }

    /// A further mount. `EINVAL` if it cannot be as asked, since it is of the
    /// same superblock; `EBUSY` if the volume is being unmounted.
    pub(crate) fn mount(&self, options: &Options, owner: u32) -> Result<OwnedFd> {
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
        mounts.all.push(Known::handed_out(&mount, options, owner)?);
        Ok(mount)
    }

    /// Remembers where a mount was attached.
    fn attached(&self, attachment: &Attachment, entry: Option<Entry>) {
        let mut mounts = self.mounts();
        let mut all = mounts.all.iter_mut();
        if let Some(known) = all.find(|known| known.mount.id == attachment.id()) {
            known.mount.attachment = Some(attachment.clone());
            known._entry = entry;
        }
    }

    /// Lets go if everything that was mounted of it was attached by us and has
    /// been unmounted by others since.
    pub(crate) fn let_go_if_unused(&self) {
        let held = {
            let mut mounts = self.mounts();
            mounts.forget_unmounted();
            match mounts.all.is_empty() {
                true => mounts.held.take(),
                false => None,
            }
        };
        if let Some(held) = held {
            drop(held);
            self.serving.wait(UNUSED_PATIENCE);
        }
    }

    /// The same after a mount was taken away: if it was the last, whoever asks
    /// next is to find that the volume is not mounted.
    pub(crate) fn end_if_unused(&self, how: Unmount) {
        self.let_go_if_unused();
        if self.mounts().all.is_empty() {
            self.serving.wait(how.patience());
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

    /// Takes every mount away and lets go. `EBUSY` if others still use it: if it
    /// is one that was attached, nothing has changed for that and those after
    /// it.
    pub(crate) fn unmount(&self, how: Unmount) -> Result<()> {
        let attached: Vec<_> = {
            let mounts = self.mounts();
            let all = mounts.all.iter();
            all.filter_map(|known| known.mount.attachment.clone())
                .collect()
        };
        for attachment in attached {
            self.take_away(&attachment, how)?;
        }
        let held = self.mounts().held.take();
        drop(held);
        if self.serving.wait(how.patience()) || how == Unmount::Detach {
            return Ok(());
        }
        if how == Unmount::Abort {
            self.connection
                .abort()
                .map_err(|error| Error::from_host(error, "cannot cut off the users of a volume"))?;
            if self.serving.wait(LET_GO_PATIENCE) {
                return Ok(());
            }
        }
        let message = "somebody has a mount that was handed out, or a view that was made while \
                       it was mounted, and is served until they let go; abort it to cut them off";
        Err(Error::new(Errno::EBUSY, message))
    }

    /// Takes one mount away. `EINVAL` if there is none of that number, or it was
    /// handed out.
    pub(crate) fn unmount_one(&self, id: u64, how: Unmount) -> Result<()> {
        let found = {
            let mounts = self.mounts();
            let found = mounts.all.iter().find(|known| known.mount.id == id);
            found.and_then(|known| known.mount.attachment.clone())
        };
        let Some(attachment) = found else {
            let message = format!("mount {id} was handed out: whoever has it lets go of it");
            return Err(Error::new(Errno::EINVAL, message));
        };
        self.take_away(&attachment, how)
    }

    fn take_away(&self, attachment: &Attachment, how: Unmount) -> Result<()> {
        let done = match how {
            Unmount::Orderly => attachment.unmount(),
            Unmount::Detach | Unmount::Abort => attachment.detach(),
        };
        done.map_err(|error| {
            let message = format!("cannot unmount `{}`", attachment.path().display());
            Error::from_host(error, message)
        })?;
        let mut mounts = self.mounts();
        mounts.all.retain(|known| known.mount.id != attachment.id());
        Ok(())
    }

    /// Whether it is mounted nowhere any more.
    pub(crate) fn is_over(&self) -> bool {
        self.serving.wait(Duration::ZERO)
    }

    /// Items that the kernel refers to.
    pub(crate) fn items(&self) -> usize {
        self.serving.items()
    }

    /// Items that it would refer to if memory were no matter: never more than it
    /// was allowed at first.
    pub(crate) fn items_wanted(&self) -> usize {
        let items = self.serving.items();
        items.saturating_mul(2).min(self.options.items_max)
    }

    /// Has the kernel keep fewer, or as many as at first.
    pub(crate) fn limit_items(&self, items: usize) {
        self.serving
            .set_items_max(items.min(self.options.items_max));
    }

    fn status(&self) -> MountedStatus {
        let mut mounts = self.mounts();
        mounts.forget_unmounted();
        MountedStatus {
            mounts: mounts.all.iter().map(|known| known.mount.clone()).collect(),
            passthrough: self.serving.passthrough(),
            items: self.serving.items(),
            statistics: self.serving.statistics(),
        }
    }

    fn mounts(&self) -> MutexGuard<'_, Mounts> {
        self.mounts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Mounts {
    /// Others may unmount what we have attached.
    fn forget_unmounted(&mut self) {
        self.all.retain(|known| {
            let attachment = known.mount.attachment.as_ref();
            attachment.is_none_or(Attachment::is_there)
        });
    }
}

impl Known {
    fn handed_out(mount: &OwnedFd, options: &Options, owner: u32) -> Result<Self> {
        let id = attachment::mount_id(mount)
            .map_err(|error| Error::from_host(error.into(), "cannot examine a mount"))?;
        let mount = Mount {
            id,
            attachment: None,
            read_only: options.read_only,
            owner,
        };
        Ok(Self {
            mount,
            _entry: None,
        })
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
    /// Where it is noted that it was attached.
    pub(crate) ledger: Option<Ledger>,
}

impl Mounted {
    pub(crate) fn new(mount: OwnedFd, volume: Arc<ServedVolume>) -> Self {
        Self {
            mount,
            served: Served(volume),
            ledger: None,
        }
    }

    /// The kernel's number for it.
    #[must_use]
    pub fn id(&self) -> u64 {
        attachment::mount_id(&self.mount).unwrap_or(0)
    }

    /// Puts the mount onto a directory, where the host finds it again when the
    /// volume is unmounted, or when the next one cleans up.
    pub fn attach(self, target: Target) -> Result<Attachment> {
        let failed = |error| {
            let message = format!("cannot mount on `{}`", target.path().display());
            Error::from_host(error, message)
        };
        let expected = Attachment::to_be(&self.mount, target.path().to_owned()).map_err(failed)?;
        let note = |ledger: &Ledger| ledger.enter(&Leftover::Mount(expected.clone()));
        let entry = self.ledger.as_ref().map(note).transpose()?;
        let path = target.path().to_owned();
        let attachment = target.attach(self.mount).map_err(|error| {
            let message = format!("cannot mount on `{}`", path.display());
            Error::from_host(error, message)
        })?;
        self.served.0.attached(&attachment, entry);
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
    /// Every mount that is known of it.
    pub mounts: Vec<Mount>,
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
