//! Acting as somebody else: the file system credentials of one thread.
//!
//! # Making files
//!
//! What a new file is like, the kernel decides by the thread that makes it:
//! its owner and group, whether it may keep a set-group-id bit, what a default
//! access control list or else the umask leave of its permissions. A server
//! that makes files for others would have to do all of that over again, and
//! never quite like the file system below. So a thread of it takes the user
//! and group of the other for the one call.
//!
//! Each change of credentials costs as much as a simple system call on a file,
//! so there are as few as can be. The kernel itself takes away the capabilities
//! over files from a thread of root's that acts for another user, and gives
//! them back afterwards. Where the other's right comes from a group we do not
//! know of, the file system then refuses what was allowed when the other asked;
//! only then are those capabilities raised that let it pass.
//!
//! # Opening files
//!
//! A server that opens files for a [`Client`] must open none that the client
//! could not have opened. So the thread takes user, group and all supplementary
//! groups of the client, and puts aside every capability: besides those over
//! files there are some that the kernel asks about when special files are
//! opened. Nothing is raised if an open is refused.
//!
//! Only the ids for file systems change, not the effective ones: while those
//! are the client's, it could change priority and processors of the thread
//! (`sched_setattr(2)` compares effective ids), which works for others too. The
//! price is that a few file systems ask about other ids than those for file
//! systems. Who opens for clients has to know them.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::sync::Arc;

use rustix::fs::{Gid, Mode};
use rustix::io::{Errno, Result};
use rustix::thread::{CapabilitiesSecureBits, CapabilitySet, CapabilitySets, UnshareFlags};

/// What lets everybody make anything anywhere. `FSETID` is not among it: users
/// could make set-group-id files of groups they are not in.
const TO_PASS: CapabilitySet = CapabilitySet::DAC_OVERRIDE
    .union(CapabilitySet::DAC_READ_SEARCH)
    .union(CapabilitySet::MKNOD);

thread_local! {
    static IS_PREPARED: Cell<bool> = const { Cell::new(false) };
    /// For whom this thread opens files now.
    static CLIENT: RefCell<Option<Arc<Client>>> = const { RefCell::new(None) };
    /// The umask that this thread has set for itself alone.
    static UMASK: Cell<Option<u16>> = const { Cell::new(None) };
}

/// For whom something is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Maker {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// The one supplementary group that matters: the directory's.
    pub group: Option<u32>,
    /// Permission bits to take away, unless an access control list decides.
    pub umask: u16,
}

/// Somebody for whom files are opened.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Client {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Supplementary group ids.
    pub groups: Vec<u32>,
}

/// The credentials that the threads of this process have by themselves.
pub struct Credentials {
    uid: u32,
    gid: u32,
    capabilities: CapabilitySets,
    may_change: bool,
}

impl Credentials {
    /// Those of the calling thread, for all threads that will use them.
    pub fn of_this_thread() -> Result<Self> {
        let uid = rustix::process::geteuid();
        let capabilities = rustix::thread::capabilities(None)?;
        let needed = CapabilitySet::SETUID | CapabilitySet::SETGID;
        let keeps = CapabilitiesSecureBits::NO_SETUID_FIXUP;
        Ok(Self {
            uid: uid.as_raw(),
            gid: rustix::process::getegid().as_raw(),
            capabilities,
            // Only then does the kernel take and give capabilities as we need.
            may_change: uid.is_root()
                && capabilities.effective == capabilities.permitted
                && capabilities.effective.contains(needed)
                && !rustix::thread::capabilities_secure_bits()?.contains(keeps),
        })
    }

    /// Calls `make` as `maker`. If it is refused, it may be called again.
    ///
    /// For good, the thread no longer shares umask and working directory with
    /// the others, and its umask is that of the latest maker. If it is root's,
    /// it is in no supplementary group, where groups can be left.
    ///
    /// `EPERM` for another user or group, if this process is not root, or if
    /// its user namespace does not know them.
    pub fn make_for<T>(&self, maker: Maker, make: impl Fn() -> Result<T>) -> Result<T> {
        self.prepare_thread()?;
        set_umask(maker.umask);
        if (maker.uid, maker.gid) == (self.uid, self.gid) {
            return make();
        }
        if !self.may_change {
            return Err(Errno::PERM);
        }
        let group = maker.group.map(Gid::from_raw);
        let other = Other::become_somebody(self, maker.uid, maker.gid, group.as_slice())?;
        match make() {
            Err(Errno::ACCESS | Errno::PERM) => {
                other.may_pass()?;
                make()
            }
            result => result,
        }
    }

    /// Whether [`act_as`](Self::act_as) works for other users than our own.
    #[must_use]
    pub fn may_act_for_others(&self) -> bool {
        self.may_change
    }

    /// Calls `act` with the rights that `client` has over files, and without a
    /// capability. Does nothing more than that if the thread acts for `client`
    /// already, so that whoever opens many files can change credentials once.
    ///
    /// For good, the thread becomes what [`make_for`](Self::make_for) makes it.
    ///
    /// `EPERM` if this process is not root, if its user namespace does not know
    /// the client's ids, or if the thread acts for another client.
    pub fn act_as<T>(&self, client: &Arc<Client>, act: impl FnOnce() -> T) -> Result<T> {
        let acts_already = CLIENT.with_borrow(|now| match now {
            None => Ok(false),
            Some(now) if Arc::ptr_eq(now, client) || now == client => Ok(true),
            Some(_) => Err(Errno::PERM),
        })?;
        if acts_already {
            return Ok(act());
        }
        if !self.may_change {
            return Err(Errno::PERM);
        }
        self.prepare_thread()?;
        let groups: Vec<_> = client.groups.iter().copied().map(Gid::from_raw).collect();
        let other = Other::become_somebody(self, client.uid, client.gid, &groups)?;
        other.may_nothing()?;
        CLIENT.set(Some(Arc::clone(client)));
        Ok(act())
    }

    fn prepare_thread(&self) -> Result<()> {
        if IS_PREPARED.get() {
            return Ok(());
        }
        // SAFETY: the table of open files stays shared, which is what makes
        // other flags of this call dangerous.
        unsafe { rustix::thread::unshare_unsafe(UnshareFlags::FS)? };
        if self.may_change {
            match rustix::thread::set_thread_groups(&[]) {
                // A user namespace that was made without privilege lets nobody
                // leave a group. It knows no other user to act for, either.
                Ok(()) | Err(Errno::PERM) => {}
                Err(error) => return Err(error),
            }
        }
        IS_PREPARED.set(true);
        Ok(())
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("uid", &self.uid)
            .field("gid", &self.gid)
            .finish_non_exhaustive()
    }
}

/// Usually everybody has the same.
fn set_umask(umask: u16) {
    if UMASK.replace(Some(umask)) != Some(umask) {
        rustix::process::umask(Mode::from_raw_mode(umask.into()));
    }
}

/// The calling thread acts for somebody else.
struct Other<'own> {
    own: &'own Credentials,
    uid: u32,
    gid: u32,
    has_groups: bool,
}

impl<'own> Other<'own> {
    fn become_somebody(own: &'own Credentials, uid: u32, gid: u32, groups: &[Gid]) -> Result<Self> {
        // From here on, whatever was done is undone.
        let other = Self {
            own,
            uid,
            gid,
            has_groups: !groups.is_empty(),
        };
        if other.has_groups {
            rustix::thread::set_thread_groups(groups)?;
        }
        if gid != own.gid {
            set_fs_id(libc::SYS_setfsgid, gid)?;
        }
        if uid != own.uid {
            set_fs_id(libc::SYS_setfsuid, uid)?;
        }
        Ok(other)
    }

    fn may_pass(&self) -> Result<()> {
        let mut capabilities = rustix::thread::capabilities(None)?;
        capabilities.effective |= TO_PASS & self.own.capabilities.permitted;
        rustix::thread::set_capabilities(None, capabilities)
    }

    fn may_nothing(&self) -> Result<()> {
        let capabilities = CapabilitySets {
            effective: CapabilitySet::empty(),
            ..self.own.capabilities
        };
        rustix::thread::set_capabilities(None, capabilities)
    }

    fn undo(&self) -> Result<()> {
        let own = self.own;
        if CLIENT.take().is_some() {
            rustix::thread::set_capabilities(None, own.capabilities)?;
        }
        if self.uid != own.uid {
            set_fs_id(libc::SYS_setfsuid, own.uid)?;
        }
        if self.gid != own.gid {
            set_fs_id(libc::SYS_setfsgid, own.gid)?;
        }
        if self.has_groups {
            rustix::thread::set_thread_groups(&[])?;
        }
        Ok(())
    }
}

impl Drop for Other<'_> {
    fn drop(&mut self) {
        // Nothing forbids root to take back what it was; only memory could be
        // lacking. The thread must not go on as somebody it is not.
        if self.undo().is_err() {
            std::process::abort();
        }
    }
}

/// These two calls do not tell whether they did anything. But they return what
/// was before, and -1 is an id that is never accepted.
fn set_fs_id(call: libc::c_long, id: u32) -> Result<()> {
    // SAFETY: the call takes one number and changes the calling thread's
    // credentials only.
    let is_now = unsafe {
        libc::syscall(call, id);
        libc::syscall(call, u32::MAX)
    };
    if is_now == libc::c_long::from(id) {
        Ok(())
    } else {
        Err(Errno::PERM)
    }
}
