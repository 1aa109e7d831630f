//! The content of one file: what its digest names, as a descriptor that has
//! exactly those bytes.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::{MemfdFlags, Mode, OFlags, SealFlags};
use rustix::io::Errno;
use transom_module::{Backing, Timestamp};
use transom_projection::{
    OnChange, PinProblem, Projection, Stamp, Version, VersionState, ViewOptions, shown,
};

use crate::backend::{Digest, HashFunction};

/// Bytes with a digest, held until nobody needs them.
#[derive(Debug)]
pub struct Content {
    bytes: Bytes,
    size: u64,
    modified: Timestamp,
    is_single_use: bool,
    was_used: AtomicBool,
}

#[derive(Debug)]
enum Bytes {
    /// In a file in memory.
    Inline(Backing),
    /// In a host file, pinned.
    Host {
        version: Arc<Version>,
        /// The stamp of a file that was written to and still has these bytes.
        proved: Mutex<Option<Stamp>>,
    },
}

/// A host file that is not what its digest says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{path}` {what}")]
pub(crate) struct Changed {
    path: String,
    what: String,
}

/// Why a file's content could not be captured.
#[derive(Debug)]
pub(crate) enum NotCaptured {
    /// There is no such file, or nothing that is a file.
    NotThere(String),
    /// No more files can be held open.
    NoDescriptor,
}

impl Content {
    /// Pins the host file at `path`, to be read by nobody but us again: another
    /// file of that name will not be noticed.
    pub(crate) fn capture(
        projection: &Projection,
        path: &Path,
        is_single_use: bool,
    ) -> Result<Self, NotCaptured> {
        let options = ViewOptions {
            on_change: OnChange::Refuse,
            ..ViewOptions::default()
        };
        let version = match projection.pin_file(path, options) {
            Ok(version) => version,
            Err(PinProblem::Host(error)) if is_exhaustion(&error) => {
                return Err(NotCaptured::NoDescriptor);
            }
            Err(problem) => return Err(NotCaptured::NotThere(problem.at(path))),
        };
        // Its stamp alone does not let us serve it when the name is gone.
        if !version.is_held_open() {
            return Err(NotCaptured::NoDescriptor);
        }
        Ok(Self {
            size: version.stamp().size,
            modified: version.stamp().modified,
            bytes: Bytes::Host {
                version,
                proved: Mutex::default(),
            },
            is_single_use,
            was_used: AtomicBool::new(false),
        })
    }

    /// Keeps bytes that came with the message.
    pub(crate) fn inline(bytes: &[u8], is_single_use: bool) -> io::Result<Self> {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let mut file = File::from(rustix::fs::memfd_create(c"transom-inline", flags)?);
        file.write_all(bytes)?;
        rustix::fs::fcntl_add_seals(
            &file,
            SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK,
        )?;
        Ok(Self {
            bytes: Bytes::Inline(Backing::new(OwnedFd::from(file))),
            size: bytes.len() as u64,
            modified: Timestamp::now(),
            is_single_use,
            was_used: AtomicBool::new(false),
        })
    }

    /// How many bytes it has.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// When they were last changed.
    #[must_use]
    pub fn modified(&self) -> Timestamp {
        self.modified
    }

    /// Whether it is of use to one action alone.
    #[must_use]
    pub fn is_single_use(&self) -> bool {
        self.is_single_use
    }

    /// Whether it has been in a tree. Until then it is still waited for.
    pub(crate) fn was_used(&self) -> bool {
        self.was_used.load(Ordering::Relaxed)
    }

    /// Notes that it is in a tree.
    pub(crate) fn note_use(&self) {
        self.was_used.store(true, Ordering::Relaxed);
    }

    /// The host file it was captured from.
    #[must_use]
    pub fn host_path(&self) -> Option<&Path> {
        match &self.bytes {
            Bytes::Inline(_) => None,
            Bytes::Host { version, .. } => Some(version.host_path()),
        }
    }

    /// What the kernel reads, once it is certain that it is what `digest`
    /// says. That is one `statx`, unless somebody wrote to the file.
    pub(crate) fn open(&self, digest: &Digest, function: HashFunction) -> Result<Backing, Changed> {
        let (version, proved) = match &self.bytes {
            Bytes::Inline(backing) => return Ok(backing.clone()),
            Bytes::Host { version, proved } => (version, proved),
        };
        let changed = |what: String| Changed {
            path: shown(version.host_path()).to_string(),
            what,
        };
        let backing = version
            .open_to_mount()
            .map_err(|stale| changed(stale.state.description().into()))?;
        let VersionState::ChangedInPlace { now } = version.check() else {
            return Ok(backing);
        };
        let mut proved = proved.lock().unwrap_or_else(PoisonError::into_inner);
        if *proved == Some(now) {
            return Ok(backing);
        }
        let found = read(&backing).and_then(|file| function.digest_of_stream(file));
        match found {
            Ok(Some(found)) if found == *digest => {
                *proved = Some(now);
                Ok(backing)
            }
            Ok(_) => Err(changed(format!(
                "was changed in place: it is not any more what it was when its digest was taken ({digest})"
            ))),
            Err(error) => Err(changed(format!(
                "was changed in place and cannot be read: {error}"
            ))),
        }
    }
}

/// Opens again what may have been opened only as a name.
fn read(backing: &Backing) -> io::Result<File> {
    let link = format!("/proc/self/fd/{}", backing.as_fd().as_raw_fd());
    let file = rustix::fs::open(link, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    Ok(File::from(file))
}

fn is_exhaustion(error: &io::Error) -> bool {
    let exhaustion = [Errno::MFILE, Errno::NFILE];
    exhaustion
        .iter()
        .any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}
