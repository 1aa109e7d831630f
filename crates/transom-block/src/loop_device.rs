//! Block volumes as loop devices.
//!
//! ```text
//!   /dev/loopN ─► loop driver ─► a file on a detached FUSE mount ─► the block volume
//!                                         └─► passthrough: the host file, without us
//! ```
//!
//! The mount is seen by nobody, and lives for as long as the device is attached.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, StatxFlags};
use transom_fuse::{MountError, Options, Passthrough, Session, Statistics};
use transom_module::{Backing, BlockVolume, Errno, Error, Invalidation, Result};
use transom_sys::io_flusher::starting_io_flushers;
use transom_sys::loop_device::{self as kernel, Attachment, Detach, LoopDeviceError};

use crate::disk_file::{DiskFile, Item};
use crate::{Withdrawal, extent};

/// How much of a label becomes part of the name of a file, in bytes.
const LABEL_BYTES_MAX: usize = 24;
/// How long somebody may have a device open that is to be withdrawn.
const LOOK_PATIENCE: Duration = Duration::from_millis(300);
/// How long to wait before trying again.
const LOOK_PAUSE: Duration = Duration::from_millis(20);

/// How a block volume is published as a loop device.
#[derive(Debug, Clone)]
pub struct LoopOptions {
    /// What losetup(8) shows, among others: what is neither a letter, a digit
    /// nor one of `.-_` is shown as `_`, and no more than 24 bytes of it.
    pub label: String,
    /// Let the kernel read and write the host file that has the content, if
    /// there is one.
    pub passthrough: bool,
    /// Requests that take longer fail. As with a real disk, a file system that
    /// meets such an error may become read-only.
    pub deadline: Option<Duration>,
}

impl Default for LoopOptions {
    fn default() -> Self {
        Self {
            label: "transom".into(),
            passthrough: true,
            deadline: Options::default().deadline,
        }
    }
}

/// A block volume as a loop device. Dropping it detaches the device as soon as
/// nobody uses it any more; until then it is served.
pub struct LoopDevice {
    // Dropped before the session, without which it could not be detached.
    attached: Attached,
    session: Session<DiskFile>,
}

/// What is to be remembered of a loop device, to be able to
/// [detach](detach_abandoned) it when its server is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoopIdentity {
    /// The device.
    pub path: PathBuf,
    /// The name of the file that it was attached to, which no other has.
    pub name: String,
}

/// Publishes a block volume. Needs to be root.
///
/// Where the volume has a [`backing`](BlockVolume::backing) and the options
/// allow it, the kernel reads and writes that file and sends requests only to
/// flush and to discard.
pub fn publish_loop(volume: Arc<dyn BlockVolume>, options: &LoopOptions) -> Result<LoopDevice> {
    let geometry = volume.geometry();
    let block_bytes = geometry.block_bytes;
    if !extent::is_block_size(block_bytes) {
        let message = format!("a loop device cannot have blocks of {block_bytes} bytes");
        return Err(Error::new(Errno::EINVAL, message));
    }
    let name = unique_name(&options.label);
    let definition = DiskFile::define(&name, volume, options.passthrough);
    let direct = match definition.volume.backing() {
        Some(backing) => takes_direct(&backing, block_bytes),
        // We take any request, and the kernel makes several at a time.
        None => true,
    };
    let served = Options {
        source: "transom-block".into(),
        subtype: "transom-block".into(),
        read_only: false,
        passthrough: match options.passthrough {
            true => Passthrough::On,
            false => Passthrough::Off,
        },
        deadline: options.deadline,
        ..Options::default()
    };
    let session =
        starting_io_flushers(|| Session::start(definition, &served)).map_err(cannot_serve)?;
    let mount = session.mount().ok_or(Errno::EIO)?;
    let how = Attachment {
        writable: !geometry.read_only,
        block_bytes,
        direct,
    };
    let device = kernel::LoopDevice::attach(mount, &name, how).map_err(|error| failed(&error))?;
    Ok(LoopDevice {
        attached: Attached(device),
        session,
    })
}

impl LoopDevice {
    /// Where the device is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.attached.0.path
    }

    /// What is to be remembered, in case this process is killed.
    #[must_use]
    pub fn identity(&self) -> LoopIdentity {
        let kernel::LoopDevice { path, name } = self.attached.0.clone();
        LoopIdentity { path, name }
    }

    /// Whether the kernel reads and writes a host file by itself.
    #[must_use]
    pub fn passthrough(&self) -> bool {
        self.session.statistics().passthrough_opens > 0
    }

    /// The requests that reached this process so far.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        self.session.statistics()
    }

    /// Gives the device the size that the volume has now. Who uses it sees that
    /// at once.
    pub fn resize(&self) -> Result<()> {
        let changed = Invalidation::Content(Item::Content.id());
        self.session
            .invalidate(&[changed])
            .map_err(|error| Error::from_host(error, "cannot tell the kernel of a new size"))?;
        self.attached.0.read_size().map_err(|error| failed(&error))
    }

    /// Detaches the device. `EBUSY` while somebody has it open, for example as
    /// a mount; nothing has changed then. `ENXIO` if it is detached already.
    ///
    /// Withdrawn by force it has no content from now on, so that whoever uses
    /// it meets errors, and is detached with its last user.
    pub fn withdraw(&self, how: Withdrawal) -> Result<()> {
        match how {
            Withdrawal::IfUnused => self.attached.detach_if_unused(),
            Withdrawal::Forced => {
                self.session.volume().withdraw();
                self.attached.detach(Detach::Forced)
            }
        }
        .map_err(|error| failed(&error))
    }
}

impl fmt::Debug for LoopDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoopDevice")
            .field("identity", &self.identity())
            .finish_non_exhaustive()
    }
}

/// Detaches a device whose server is gone, when its last user closes it or now
/// if there is none. False if it is not attached any more, or to something
/// else: then nothing is done.
pub fn detach_abandoned(identity: &LoopIdentity) -> Result<bool> {
    let device = kernel::LoopDevice {
        path: identity.path.clone(),
        name: identity.name.clone(),
    };
    match device.detach(Detach::AtLastClose) {
        Ok(()) => Ok(true),
        Err(LoopDeviceError::Gone(_)) => Ok(false),
        // No device at all is there, or none of this kind.
        Err(LoopDeviceError::Node(..)) if !device.is_attached() => Ok(false),
        Err(error) => Err(failed(&error)),
    }
}

/// Detaches when it is dropped.
struct Attached(kernel::LoopDevice);

impl Attached {
    fn detach(&self, when: Detach) -> std::result::Result<(), LoopDeviceError> {
        self.0.detach(when)
    }

    /// Waits a moment for those who only look: udev(7) opens every device that
    /// somebody has closed, to see what is on it now.
    fn detach_if_unused(&self) -> std::result::Result<(), LoopDeviceError> {
        let end = Instant::now() + LOOK_PATIENCE;
        loop {
            match self.detach(Detach::IfUnused) {
                Err(LoopDeviceError::Busy(_)) if Instant::now() < end => thread::sleep(LOOK_PAUSE),
                detached => return detached,
            }
        }
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        match self.detach(Detach::AtLastClose) {
            Ok(()) | Err(LoopDeviceError::Gone(_)) => {}
            Err(error) => tracing::warn!(%error, "a loop device stays attached"),
        }
    }
}

/// The name of a file that no other has.
fn unique_name(label: &str) -> String {
    let shown = |character: char| match character {
        '.' | '-' | '_' => character,
        _ if character.is_ascii_alphanumeric() => character,
        _ => '_',
    };
    let label: String = label.chars().map(shown).take(LABEL_BYTES_MAX).collect();
    // Each is seeded by the kernel.
    let random = || RandomState::new().hash_one(std::process::id());
    format!("{label}.{:016x}{:016x}", random(), random())
}

/// Whether requests of single blocks can go past the page cache of the file.
fn takes_direct(file: &Backing, block_bytes: u32) -> bool {
    let stat = rustix::fs::statx(file, c"", AtFlags::EMPTY_PATH, StatxFlags::DIOALIGN);
    stat.is_ok_and(|stat| {
        let said = stat.stx_mask & StatxFlags::DIOALIGN.bits() != 0;
        let align = stat.stx_dio_offset_align;
        said && align != 0 && block_bytes.is_multiple_of(align)
    })
}

fn cannot_serve(error: MountError) -> Error {
    let message = format!("cannot serve the file of a loop device: {error}");
    match error {
        MountError::Device(source) | MountError::Mount(source) => Error::from_host(source, message),
        _ => Error::new(Errno::EIO, message),
    }
}

fn failed(error: &LoopDeviceError) -> Error {
    Error::new(Errno::from_raw(error.raw_os_error()), error.to_string())
}
