//! Block volumes as disks.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use transom_block::{
    LoopDevice, LoopOptions, NbdServer, ReadOnly, UblkDevice, Withdrawal, publish_loop,
    publish_ublk,
};
use transom_module::{BlockVolume, ContainerId, Errno, Error, Result};

use crate::host::in_use;
use crate::loaded::Loaded;
use crate::{Entry, EventKind, Host, Ledger, Leftover, VolumeId};

/// How a block volume is published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BlockKind {
    /// As a loop device over a file that is served.
    Loop,
    /// By name on a socket, over NBD.
    Nbd,
    /// As a device that the host answers for.
    Ublk,
}

/// A block volume that is published.
pub(crate) struct Published {
    kind: BlockKind,
    key: String,
    owner: u32,
    volume: Arc<dyn BlockVolume>,
    disk: Disk,
    /// What is noted of it for the case that we are killed.
    _entry: Option<Entry>,
}

/// What others use.
enum Disk {
    Loop(LoopDevice),
    Ublk(UblkDevice),
    Nbd {
        server: Arc<NbdServer>,
        socket: PathBuf,
        export: String,
    },
}

/// What there is to say of a published block volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockStatus {
    /// The volume.
    pub volume: VolumeId,
    /// How it is published.
    pub kind: BlockKind,
    /// What it is called: the path of the device, or an NBD URI.
    pub name: String,
    /// Where the device is, or the socket.
    pub path: PathBuf,
    /// Its size in bytes.
    pub bytes: u64,
    /// It cannot be written.
    pub read_only: bool,
    /// The user that it was published for.
    pub owner: u32,
}

impl Disk {
    fn name(&self) -> String {
        match self {
            Self::Loop(device) => device.path().display().to_string(),
            Self::Ublk(device) => device.path().display().to_string(),
            // As in the NBD project's doc/uri.md.
            Self::Nbd { socket, export, .. } => {
                format!("nbd+unix:///{export}?socket={}", socket.display())
            }
        }
    }

    fn path(&self) -> PathBuf {
        match self {
            Self::Loop(device) => device.path().to_owned(),
            Self::Ublk(device) => device.path().to_owned(),
            Self::Nbd { socket, .. } => socket.clone(),
        }
    }

    fn withdraw(&self, how: Withdrawal) -> Result<()> {
        match self {
            Self::Loop(device) => device.withdraw(how),
            Self::Ublk(device) => device.withdraw(how),
            Self::Nbd { server, export, .. } => server.withdraw(export, how),
        }
    }

    /// Gives it the size that its volume has now. Clients of NBD learn of that
    /// when they connect again.
    fn resize(&self) -> Result<()> {
        match self {
            Self::Loop(device) => device.resize(),
            Self::Ublk(device) => device.resize(),
            Self::Nbd { .. } => Ok(()),
        }
    }
}

impl Published {
    fn is(&self, key: &str, kind: BlockKind) -> bool {
        self.key == key && self.kind == kind
    }

    fn status(&self, container: ContainerId) -> BlockStatus {
        let geometry = self.volume.geometry();
        BlockStatus {
            volume: VolumeId {
                container,
                key: self.key.clone(),
            },
            kind: self.kind,
            name: self.disk.name(),
            path: self.disk.path(),
            bytes: geometry.bytes,
            read_only: geometry.read_only,
            owner: self.owner,
        }
    }
}

/// How disks are made. The NBD server is started with the first disk that needs
/// it.
pub(crate) struct Disks {
    nbd_socket: Option<PathBuf>,
    nbd: Mutex<Option<Arc<NbdServer>>>,
}

impl Disks {
    pub(crate) fn at(nbd_socket: Option<PathBuf>) -> Self {
        Self {
            nbd_socket,
            nbd: Mutex::default(),
        }
    }

    fn make(
        &self,
        volume: &VolumeId,
        label: &str,
        kind: BlockKind,
        content: Arc<dyn BlockVolume>,
    ) -> Result<Disk> {
        match kind {
            BlockKind::Loop => {
                let options = LoopOptions {
                    label: label.into(),
                    ..LoopOptions::default()
                };
                Ok(Disk::Loop(publish_loop(content, &options)?))
            }
            BlockKind::Ublk => Ok(Disk::Ublk(publish_ublk(content)?)),
            BlockKind::Nbd => {
                let Some(socket) = &self.nbd_socket else {
                    let message = "this host offers nothing over NBD";
                    return Err(Error::new(Errno::EOPNOTSUPP, message));
                };
                let server = {
                    let mut nbd = self.nbd.lock().unwrap_or_else(PoisonError::into_inner);
                    match &*nbd {
                        Some(server) => Arc::clone(server),
                        None => Arc::clone(nbd.insert(Arc::new(NbdServer::listen(socket)?))),
                    }
                };
                let export = volume.to_string();
                server.export(&export, content)?;
                Ok(Disk::Nbd {
                    server,
                    socket: socket.clone(),
                    export,
                })
            }
        }
    }
}

impl fmt::Debug for Disks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Disks")
            .field("nbd_socket", &self.nbd_socket)
            .finish_non_exhaustive()
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
        let is_published = |published: &Published| published.is(&volume.key, kind);
        if loaded.published().iter().any(is_published) {
            return Err(in_use(&volume.to_string(), "published already"));
        }
        let mut content = blocks.block_volume(&volume.key)?;
        if read_only {
            content = Arc::new(ReadOnly::new(content));
        }
        // It may take its time, so no lock is held meanwhile.
        let label = &loaded.about.name;
        let disk = self
            .disks()
            .make(volume, label, kind, Arc::clone(&content))?;
        let published = Published {
            kind,
            key: volume.key.clone(),
            owner,
            volume: content,
            _entry: note(self.ledger(), &disk)?,
            disk,
        };
        let status = published.status(volume.container);
        loaded.published().push(published);
        let kind = EventKind::Published {
            volume: volume.key.clone(),
        };
        self.tell(volume, kind, &format!("is {} now", status.name));
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
                let message = format!("`{volume}` is not published like that");
                Error::new(Errno::EINVAL, message)
            })?;
        all[position].disk.withdraw(how)?;
        let withdrawn = all.remove(position);
        drop(all);
        let name = withdrawn.disk.name();
        drop(withdrawn);
        let kind = EventKind::Withdrawn {
            volume: volume.key.clone(),
        };
        self.tell(volume, kind, &format!("is not {name} any more"));
        Ok(())
    }

    /// Everything that is published.
    #[must_use]
    pub fn published(&self) -> Vec<BlockStatus> {
        let all = self.all_loaded();
        all.iter().flat_map(|loaded| loaded.disks()).collect()
    }
}

/// Notes what has to be removed if we are killed. The kernel removes a ublk
/// device with its server by itself.
fn note(ledger: Option<&Ledger>, disk: &Disk) -> Result<Option<Entry>> {
    let leftover = match disk {
        Disk::Loop(device) => Leftover::Loop(device.identity()),
        Disk::Nbd { socket, .. } => Leftover::Socket(socket.clone()),
        Disk::Ublk(_) => return Ok(None),
    };
    ledger.map(|ledger| ledger.enter(&leftover)).transpose()
}

impl Loaded {
    /// What is published of it.
    pub(crate) fn disks(&self) -> Vec<BlockStatus> {
        let published = self.published();
        let status = |published: &Published| published.status(self.about.id);
        published.iter().map(status).collect()
    }

    /// Whether the volume of that key is a disk.
    pub(crate) fn is_published(&self, key: &str) -> bool {
        let all = self.published();
        all.iter().any(|published| published.key == key)
    }

    /// Takes all disks away, whoever uses them.
    pub(crate) fn withdraw_all(&self) -> Result<()> {
        let mut all = self.published();
        for published in all.iter() {
            published.disk.withdraw(Withdrawal::Forced)?;
        }
        all.clear();
        Ok(())
    }

    /// Gives the disks of a volume the size that it has now.
    pub(crate) fn resize_published(&self, key: &str) -> Result<()> {
        let all = self.published();
        all.iter()
            .filter(|published| published.key == key)
            .try_for_each(|published| published.disk.resize())
    }
}
