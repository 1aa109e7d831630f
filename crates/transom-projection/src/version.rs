//! Versions of host files: pinning one, and noticing that the host has moved
//! on.
//!
//! A mapping is pinned when it is made: the file is opened and its stamp kept.
//! From then on two things can happen to it on the host, and they differ in
//! what can still be served.
//!
//! * **Another file takes its name** (an editor's or a compiler's
//!   write-and-rename). The pinned inode is as it was, the descriptor keeps
//!   it alive, and it goes on being served: the action sees one consistent
//!   version, the next action pins the new one.
//! * **Its bytes are changed in place.** The pinned version does not exist any
//!   more, for nobody. All one can do is to notice, and to refuse or report.
//!
//! **How it is noticed.** Every event that matters moves the inode's ctime,
//! which cannot be set by hand, so one `statx` on the descriptor with an equal
//! ctime proves that nothing happened. (Since Linux 6.13 the common file
//! systems hand out a fine-grained time whenever the last one has been seen by
//! a `statx`, so a change right after the pin is visible too.) A ctime that did
//! move can be innocent: a hard link was made or removed, the mode was changed,
//! and above all *being replaced by rename* moves the ctime of the victim,
//! since it loses a link. Hence the order of the questions:
//!
//! 1. Size or mtime differ: changed in place.
//! 2. The name leads nowhere: deleted. (The bytes are intact, but a file that
//!    was declared and is gone is a mistake worth an error.)
//! 3. The name leads to another inode: replaced.
//! 4. Same inode; link count, mode or owner differ: that explains the ctime,
//!    unchanged.
//! 5. Nothing explains the ctime: touched. A hard link was made and removed
//!    again, as caches do all the time, or an extended attribute was set; or
//!    somebody wrote and then set the mtime back. Without the old bytes the two
//!    cannot be told apart.
//!
//! What is touched is served, and told in the summary, but no action fails for
//! it: a write that is hidden like that takes intent, and a build that fails
//! because a cache linked its inputs makes people turn the check off. Someone
//! who writes, sets the mtime back *and* changes the link count leaves no trace
//! at all.
//!
//! **Without a descriptor.** When the [budget](crate::descriptors) is used up
//! a version is pinned by its stamp alone, and every open
//! walks the path again and compares. A replaced file cannot be served then,
//! and is refused.
//!
//! **Sharing.** All views of a projection that agree on the door to the host,
//! path, stamp, executable override and policy share one [`Version`], and with it the item
//! number, hence the kernel's cached inode, its pages and its backing id. A
//! view that is traced has versions of its own, since shared ones cannot tell
//! whose open it was.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::{fmt, io};

use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use transom_module::{Backing, ItemId, Timestamp};

use crate::descriptors::Kept;
use crate::host::{HeldFile, HostFile, HostRoot, Location, errno_of, stamp_of};
use crate::sync::lock;
use crate::trace::Touched;
use crate::{Stamp, shown};

/// What to do about a host file that was changed in place after it was pinned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnChange {
    /// Opening it fails with `ESTALE`, and it is reported.
    #[default]
    Refuse,
    /// What it holds now is served, and it is reported.
    Report,
    /// What it holds now is served; nobody looks.
    Ignore,
}

/// What has become of a pinned version. "Now" is the stamp of what is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "state")]
pub enum VersionState {
    /// The file is as it was pinned.
    Unchanged,
    /// Its change time moved, and nothing tells why.
    Touched {
        /// Its stamp now.
        now: Stamp,
    },
    /// The bytes of the pinned file were changed.
    ChangedInPlace {
        /// Its stamp now.
        now: Stamp,
    },
    /// The name leads to another file; the pinned one is intact.
    Replaced {
        /// The stamp of the other file.
        now: Stamp,
    },
    /// The name leads nowhere.
    Deleted,
    /// The host would not say.
    Unknown {
        /// The error number it answered with.
        errno: i32,
    },
}

/// A pinned version that cannot be served.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` {}", shown(&host_path), state.description())]
pub struct StaleVersion {
    /// The host path it was pinned at.
    pub host_path: Arc<Path>,
    /// Why it cannot be served.
    pub state: VersionState,
    /// Whether that is known for the first time.
    pub is_news: bool,
}

impl VersionState {
    /// What happened, as the rest of a sentence that begins with a path.
    #[must_use]
    pub fn description(&self) -> &'static str {
        match self {
            Self::Unchanged => "is unchanged",
            Self::Touched { .. } => {
                "has another change time than when it was pinned, and everything else as it was"
            }
            Self::ChangedInPlace { .. } => "was changed in place after it was pinned",
            Self::Replaced { .. } => "was replaced by another file after it was pinned",
            Self::Deleted => "was deleted after it was pinned",
            Self::Unknown { .. } => "could be pinned, but the host does not let us look again",
        }
    }
}

impl VersionState {
    fn of_failed_look(error: &io::Error) -> Self {
        match error.kind() {
            // Stale: its directory is another one now.
            io::ErrorKind::NotFound
            | io::ErrorKind::NotADirectory
            | io::ErrorKind::StaleNetworkFileHandle => Self::Deleted,
            _ => Self::Unknown {
                errno: errno_of(error).raw_os_error(),
            },
        }
    }
}

/// One version of one regular host file.
pub struct Version {
    id: ItemId,
    stamp: Stamp,
    executable: Option<bool>,
    on_change: OnChange,
    host_path: Arc<Path>,
    location: Location,
    pin: Pin,
    /// Its bytes were asked for, so what becomes of them matters.
    opened: AtomicBool,
    /// The client that it is served to could read it, as it was pinned.
    readable: AtomicBool,
    touched: Touched,
    /// The first state that was noticed and is worth a report.
    noticed: OnceLock<VersionState>,
    table: Weak<VersionTable>,
}

enum Pin {
    Descriptor(Kept),
    /// Only the stamp, and the descriptor of the latest open as long as
    /// somebody uses it: all of them get the same one.
    Stamp(Mutex<Weak<OwnedFd>>),
}

/// Everything a version is made from.
pub(crate) struct NewVersion {
    pub(crate) file: HeldFile,
    pub(crate) host_path: Arc<Path>,
    pub(crate) location: Location,
    pub(crate) executable: Option<bool>,
    pub(crate) on_change: OnChange,
}

impl Version {
    /// The item number of this version.
    #[must_use]
    pub fn id(&self) -> ItemId {
        self.id
    }

    /// What identifies it.
    #[must_use]
    pub fn stamp(&self) -> &Stamp {
        &self.stamp
    }

    /// The host path it was pinned at.
    #[must_use]
    pub fn host_path(&self) -> &Arc<Path> {
        &self.host_path
    }

    /// Whether a descriptor is kept for it: else it is pinned by its stamp
    /// alone, and cannot be served once its name leads elsewhere.
    #[must_use]
    pub fn is_held_open(&self) -> bool {
        matches!(self.pin, Pin::Descriptor(_))
    }

    /// The override of its executable bits.
    #[must_use]
    pub fn executable(&self) -> Option<bool> {
        self.executable
    }

    /// Permission bits as the view shows them: those of the host file, with
    /// the executable bits overridden. "Executable" is for whoever may read.
    #[must_use]
    pub fn permissions(&self) -> u16 {
        let host = self.stamp.mode & 0o7777;
        let shown = match self.executable {
            None => host,
            Some(true) => host | (host & 0o444) >> 2,
            Some(false) => host & !0o111,
        };
        u16::try_from(shown).expect("masked to 12 bits")
    }

    /// The host file to serve, if the policy allows to serve it. It is opened
    /// with `O_PATH`. What the policy wants reported is remembered.
    pub fn open(&self) -> Result<Backing, StaleVersion> {
        self.opened.store(true, Ordering::Relaxed);
        let (state, found) = match (&self.pin, self.on_change) {
            (Pin::Descriptor(_), OnChange::Ignore) => (VersionState::Unchanged, None),
            _ => self.examine(),
        };
        let backing = match (&self.pin, found) {
            (Pin::Descriptor(kept), _) => Some(backing(kept)),
            (Pin::Stamp(latest), Some(found)) => Some(shared(latest, found)),
            (Pin::Stamp(_), None) => None,
        };
        let is_served = match (state, self.on_change) {
            (VersionState::Unchanged | VersionState::Touched { .. }, _) => true,
            (VersionState::Replaced { .. }, _) => matches!(self.pin, Pin::Descriptor(_)),
            (_, OnChange::Ignore) => true,
            (VersionState::ChangedInPlace { .. }, policy) => policy == OnChange::Report,
            (VersionState::Deleted | VersionState::Unknown { .. }, _) => false,
        };
        // What nobody could look at may be all right the next time.
        let is_known = !matches!(state, VersionState::Unknown { .. });
        let is_changed = matches!(state, VersionState::ChangedInPlace { .. });
        let is_noted = is_known && (is_changed || !is_served) && self.noticed.set(state).is_ok();
        match backing {
            Some(backing) if is_served && !self.is_allowed(&backing) => Err(StaleVersion {
                host_path: self.host_path.clone(),
                state: VersionState::Unknown {
                    errno: Errno::ACCESS.raw_os_error(),
                },
                // It is news to nobody but who asks.
                is_news: false,
            }),
            Some(backing) if is_served => Ok(backing),
            _ => Err(StaleVersion {
                host_path: self.host_path.clone(),
                state,
                is_news: is_noted || !is_known,
            }),
        }
    }

    /// The host file to mount. Same as [`open`](Self::open), but nobody looks
    /// whether it is still what was pinned: a mount shows whatever becomes of
    /// the file later, so only a look at the end
    /// ([`View::verify`](crate::View::verify)) is worth anything.
    pub fn open_to_mount(&self) -> Result<Backing, StaleVersion> {
        match &self.pin {
            Pin::Descriptor(kept) => {
                self.opened.store(true, Ordering::Relaxed);
                Ok(backing(kept))
            }
            Pin::Stamp(_) => self.open(),
        }
    }

    /// What has become of it.
    #[must_use]
    pub fn check(&self) -> VersionState {
        self.examine().0
    }

    /// Whether [`open`](Self::open) or [`open_to_mount`](Self::open_to_mount)
    /// was called.
    pub(crate) fn was_opened(&self) -> bool {
        self.opened.load(Ordering::Relaxed)
    }

    /// The state that made [`open`](Self::open) refuse or report.
    pub(crate) fn noticed(&self) -> Option<VersionState> {
        self.noticed.get().copied()
    }

    pub(crate) fn on_change(&self) -> OnChange {
        self.on_change
    }

    /// What requests did to it. Exact for versions that are not shared.
    pub(crate) fn touched(&self) -> &Touched {
        &self.touched
    }

    /// Whether a client, if it is served to one, may read it now. Below a whole
    /// directory nobody has asked before it is opened; and whoever takes a
    /// permission away moves the change time.
    fn is_allowed(&self, file: &Backing) -> bool {
        let root = self.location.root();
        if !root.is_for_client() {
            return true;
        }
        let is_as_pinned =
            stamp_of(file.as_fd()).is_ok_and(|now| now.changed == self.stamp.changed);
        if is_as_pinned && self.readable.load(Ordering::Relaxed) {
            return true;
        }
        let may_read = root.may_read(file.as_fd(), self.stamp.kind());
        if is_as_pinned {
            self.readable.store(may_read, Ordering::Relaxed);
        }
        may_read
    }

    /// The state, and what the name leads to if it was looked up.
    fn examine(&self) -> (VersionState, Option<OwnedFd>) {
        if let Pin::Descriptor(kept) = &self.pin {
            match stamp_of(kept.as_fd()) {
                Ok(now) if now.changed == self.stamp.changed && self.has_same_bytes(&now) => {
                    return (VersionState::Unchanged, None);
                }
                Ok(now) if !self.has_same_bytes(&now) => {
                    return (VersionState::ChangedInPlace { now }, None);
                }
                // The ctime moved, or the host's disk is in trouble: look at
                // the name.
                _ => {}
            }
        }
        match self.location.find(&self.host_path) {
            Ok(HostFile { descriptor, stamp }) => (self.compare(stamp), Some(descriptor)),
            Err(error) => (VersionState::of_failed_look(&error), None),
        }
    }

    /// What it means that the name leads to `now`.
    fn compare(&self, now: Stamp) -> VersionState {
        let pinned = &self.stamp;
        if !now.is_same_inode(pinned) {
            return VersionState::Replaced { now };
        }
        let ctime_is_explained = (now.links, now.mode, now.uid, now.gid)
            != (pinned.links, pinned.mode, pinned.uid, pinned.gid);
        if !self.has_same_bytes(&now) {
            VersionState::ChangedInPlace { now }
        } else if now.changed == pinned.changed || ctime_is_explained {
            VersionState::Unchanged
        } else {
            VersionState::Touched { now }
        }
    }

    fn has_same_bytes(&self, now: &Stamp) -> bool {
        (now.size, now.modified) == (self.stamp.size, self.stamp.modified)
    }
}

fn backing(kept: &Kept) -> Backing {
    Backing::new(kept.descriptor().clone())
}

/// `found`, unless an equal descriptor is in use already.
fn shared(latest: &Mutex<Weak<OwnedFd>>, found: OwnedFd) -> Backing {
    let mut latest = lock(latest);
    let descriptor = latest.upgrade().unwrap_or_else(|| Arc::new(found));
    *latest = Arc::downgrade(&descriptor);
    Backing::new(descriptor)
}

impl Drop for Version {
    fn drop(&mut self) {
        if let Some(table) = self.table.upgrade() {
            table.forget(self);
        }
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Version")
            .field("id", &self.id)
            .field("host_path", &self.host_path)
            .field("is_held_open", &self.is_held_open())
            .finish_non_exhaustive()
    }
}

/// The versions that are alive, for sharing.
#[derive(Debug, Default)]
pub(crate) struct VersionTable(Mutex<HashMap<Key, Weak<Version>>>);

/// What versions have to agree on to be one.
#[derive(Debug, PartialEq, Eq)]
struct Key {
    root: Arc<HostRoot>,
    host_path: Arc<Path>,
    device: u64,
    inode: u64,
    size: u64,
    modified: Timestamp,
    changed: Timestamp,
    executable: Option<bool>,
    on_change: OnChange,
}

impl VersionTable {
    /// The version of that file that exists already, or a new one with the
    /// number `id`.
    pub(crate) fn share(
        self: &Arc<Self>,
        new: NewVersion,
        id: impl FnOnce() -> ItemId,
    ) -> Arc<Version> {
        let key = Key::of(
            &new.file.stamp,
            &new.location,
            &new.host_path,
            new.executable,
            new.on_change,
        );
        let mut versions = lock(&self.0);
        if let Some(version) = versions.get(&key).and_then(Weak::upgrade) {
            return version;
        }
        let version = Arc::new(self.make(new, id()));
        versions.insert(key, Arc::downgrade(&version));
        version
    }

    /// A version that nobody shares.
    pub(crate) fn alone(self: &Arc<Self>, new: NewVersion, id: ItemId) -> Arc<Version> {
        Arc::new(self.make(new, id))
    }

    fn make(self: &Arc<Self>, new: NewVersion, id: ItemId) -> Version {
        let HeldFile { stamp, kept } = new.file;
        Version {
            id,
            stamp,
            executable: new.executable,
            on_change: new.on_change,
            host_path: new.host_path,
            location: new.location,
            pin: kept.map_or_else(|| Pin::Stamp(Mutex::default()), Pin::Descriptor),
            opened: AtomicBool::new(false),
            readable: AtomicBool::new(false),
            touched: Touched::default(),
            noticed: OnceLock::new(),
            table: Arc::downgrade(self),
        }
    }

    /// Called when the last reference to `version` is gone.
    fn forget(&self, version: &Version) {
        let key = Key::of(
            &version.stamp,
            &version.location,
            &version.host_path,
            version.executable,
            version.on_change,
        );
        let mut versions = lock(&self.0);
        // The place may belong to an equal version that was made since.
        if versions
            .get(&key)
            .is_some_and(|live| live.strong_count() == 0)
        {
            versions.remove(&key);
        }
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // Enough to tell files apart, and much cheaper than the path.
        (self.device, self.inode, self.changed).hash(state);
    }
}

impl Key {
    fn of(
        stamp: &Stamp,
        location: &Location,
        host_path: &Arc<Path>,
        executable: Option<bool>,
        on_change: OnChange,
    ) -> Self {
        Self {
            root: location.root().clone(),
            host_path: host_path.clone(),
            device: stamp.device,
            inode: stamp.inode,
            size: stamp.size,
            modified: stamp.modified,
            changed: stamp.changed,
            executable,
            on_change,
        }
    }
}
