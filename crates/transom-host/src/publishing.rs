//! Block volumes as disks.

use std::path::PathBuf;
use std::sync::Arc;

use transom_block::{LoopDevice, LoopIdentity, LoopOptions, ReadOnly, Withdrawal, publish_loop};
use transom_module::{BlockVolume, ContainerId, Errno, Error, Result};

use crate::host::in_use;
use crate::loaded::Loaded;
use crate::{EventKind, Host, VolumeId};

/// How a block volume is published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BlockKind {
    /// As a loop device over a file that is served.
    Loop,
}

/// A block volume that is published.
pub(crate) struct Published {
    kind: BlockKind,
    key: String,
    owner: u32,
    volume: Arc<dyn BlockVolume>,
    device: LoopDevice,
}

/// What there is to say of a published block volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockStatus {
    /// The volume.
    pub volume: VolumeId,
    /// How it is published.
    pub kind: BlockKind,
    /// Where the device is.
    pub path: PathBuf,
    /// Its size in bytes.
    pub bytes: u64,
    /// It cannot be written.
    pub read_only: bool,
    /// The user that it was published for.
    pub owner: u32,
    /// What is remembered of a loop device, to detach it when we were killed.
    pub identity: Option<LoopIdentity>,
}

impl Published {
    fn status(&self, container: ContainerId) -> BlockStatus {
        let geometry = self.volume.geometry();
        BlockStatus {
            volume: VolumeId {
                container,
                key: self.key.clone(),
            },
            kind: self.kind,
            path: self.device.path().to_owned(),
            bytes: geometry.bytes,
            read_only: geometry.read_only,
            owner: self.owner,
            identity: Some(self.device.identity()),
        }
    }
}

impl Host {
    /// Publishes a block volume. `EOPNOTSUPP` if the container has none,
    /// `ENOENT` if it is not among them, `EBUSY` if it is published in that way
    /// already.
    pub fn publish(
        &self,
        volume: &VolumeId,
        kind: BlockKind,
        read_only: bool,
        owner: u32,
    ) -> Result<BlockStatus> {
        let loaded = self.loaded(volume.container)?;
        let Some(blocks) = loaded.container.blocks() else {
            let message = format!("module `{}` has no block volumes", loaded.about.module);
            return Err(Error::new(Errno::EOPNOTSUPP, message));
        };
        if loaded
            .published()
            .iter()
            .any(|published| published.is(&volume.key, kind))
        {
            return Err(in_use(&volume.to_string(), "published already"));
        }
        let mut content = blocks.block_volume(&volume.key)?;
        if read_only {
            content = Arc::new(ReadOnly::new(content));
        }
        let options = LoopOptions {
            label: loaded.about.name.clone(),
            ..LoopOptions::default()
        };
        // It may take its time, so no lock is held meanwhile.
        let published = Published {
            kind,
            key: volume.key.clone(),
            owner,
            device: publish_loop(Arc::clone(&content), &options)?,
            volume: content,
        };
        let status = published.status(volume.container);
        loaded.published().push(published);
        let kind = EventKind::Published {
            volume: volume.key.clone(),
        };
        self.tell(volume, kind, &format!("is {} now", status.path.display()));
        Ok(status)
    }

    /// Takes a disk away. `EINVAL` if it is not published in that way, `EBUSY`
    /// while it is used, unless by force.
    pub fn withdraw(&self, volume: &VolumeId, kind: BlockKind, how: Withdrawal) -> Result<()> {
        let loaded = self.loaded(volume.container)?;
        let mut all = loaded.published();
        let position = all
            .iter()
            .position(|published| published.is(&volume.key, kind))
            .ok_or_else(|| {
                Error::new(
                    Errno::EINVAL,
                    format!("`{volume}` is not published like that"),
                )
            })?;
        all[position].device.withdraw(how)?;
        let withdrawn = all.remove(position);
        drop(all);
        let path = withdrawn.device.path().to_owned();
        drop(withdrawn);
        let kind = EventKind::Withdrawn {
            volume: volume.key.clone(),
        };
        self.tell(volume, kind, &format!("is not {} any more", path.display()));
        Ok(())
    }

    /// Everything that is published.
    #[must_use]
    pub fn published(&self) -> Vec<BlockStatus> {
        self.all_loaded()
            .iter()
            .flat_map(|loaded| loaded.block_status())
            .collect()
    }
}

impl Published {
    fn is(&self, key: &str, kind: BlockKind) -> bool {
        self.key == key && self.kind == kind
    }
}

impl Loaded {
    pub(crate) fn block_status(&self) -> Vec<BlockStatus> {
        let published = self.published();
        let status = |published: &Published| published.status(self.about.id);
        published.iter().map(status).collect()
    }

    /// Whether the volume of that key is a disk.
    pub(crate) fn is_published(&self, key: &str) -> bool {
        self.published()
            .iter()
            .any(|published| published.key == key)
    }

    /// Takes all disks away, whoever uses them.
    pub(crate) fn withdraw_all(&self) -> Result<()> {
        let mut all = self.published();
        for published in all.iter() {
            published.device.withdraw(Withdrawal::Forced)?;
        }
        all.clear();
        Ok(())
    }

    /// Gives the disks of a volume the size that it has now.
    pub(crate) fn resize_published(&self, key: &str) -> Result<()> {
        let all = self.published();
        all.iter()
            .filter(|published| published.key == key)
            .try_for_each(|published| published.device.resize())
    }
}
