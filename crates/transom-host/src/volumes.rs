//! Volumes of loaded containers: mounted, unmounted, made and removed.

use transom_fuse::Options;
use transom_module::{ContainerId, Errno, Error, Result};

use crate::host::in_use;
use crate::volume::{Hold, Mounted, Unmount};
use crate::{EventKind, Host, VolumeId};

impl Host {
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
        let mut mounted = loaded.mount(&volume.key, options, hold, owner)?;
        mounted.ledger = self.ledger().cloned();
        // What is limited may be the volumes, and now there is another.
        if let Some(budget) = self.budgets().status_of(volume.container) {
            loaded.limit_items(budget.limit);
        }
        let kind = EventKind::Mounted {
            volume: volume.key.clone(),
        };
        self.tell(volume, kind, "was mounted");
        Ok(mounted)
    }

    /// Takes one mount of a volume away. `EINVAL` if there is none of that
    /// number, or it was handed out; `EBUSY` if it is used.
    pub fn unmount_one(&self, volume: &VolumeId, mount: u64, how: Unmount) -> Result<()> {
        let loaded = self.loaded(volume.container)?;
        match loaded.volume(&volume.key) {
            Some(served) => {
                if how != Unmount::Abort {
                    loaded.synchronize_volume(&served)?;
                }
                served.unmount_one(mount, how)?;
                served.end_if_unused(how);
                let kind = EventKind::Unmounted {
                    volume: volume.key.clone(),
                };
                self.tell(volume, kind, "was unmounted at one place");
                Ok(())
            }
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
        self.loaded(volume.container)?.unmount(&volume.key, how)?;
        let kind = EventKind::Unmounted {
            volume: volume.key.clone(),
        };
        self.tell(volume, kind, "was unmounted");
        Ok(())
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
        let volume = VolumeId { container, key };
        let kind = EventKind::VolumeCreated {
            volume: volume.key.clone(),
        };
        self.tell(&volume, kind, "was made");
        Ok(volume)
    }

    /// Gives a volume another name.
    pub fn rename_volume(&self, volume: &VolumeId, name: &str) -> Result<()> {
        let loaded = self.loaded(volume.container)?;
        loaded.management()?.rename(&volume.key, name)?;
        let kind = EventKind::VolumeRenamed {
            volume: volume.key.clone(),
        };
        self.tell(volume, kind, &format!("is called `{name}` now"));
        Ok(())
    }

    /// Gives a volume another size, in bytes.
    pub fn resize_volume(&self, volume: &VolumeId, bytes: u64) -> Result<()> {
        let loaded = self.loaded(volume.container)?;
        loaded.management()?.resize(&volume.key, bytes)?;
        loaded.resize_published(&volume.key)?;
        let kind = EventKind::VolumeResized {
            volume: volume.key.clone(),
        };
        self.tell(volume, kind, &format!("has {bytes} bytes now"));
        Ok(())
    }

    /// Removes a volume with what it contains. `EBUSY` while it is mounted.
    pub fn remove_volume(&self, volume: &VolumeId) -> Result<()> {
        let loaded = self.loaded(volume.container)?;
        if loaded.volume(&volume.key).is_some() {
            return Err(in_use(&volume.to_string(), "mounted; unmount it first"));
        }
        if loaded.is_published(&volume.key) {
            return Err(in_use(&volume.to_string(), "a disk; withdraw it first"));
        }
        loaded.management()?.remove(&volume.key)?;
        let kind = EventKind::VolumeRemoved {
            volume: volume.key.clone(),
        };
        self.tell(volume, kind, "was removed");
        Ok(())
    }

    pub(crate) fn tell(&self, volume: &VolumeId, kind: EventKind, what: &str) {
        let message = format!("volume `{}` {what}", volume.key);
        self.events().tell(Some(volume.container), kind, message);
    }
}
