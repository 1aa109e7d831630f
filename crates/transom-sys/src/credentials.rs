//! Making files as somebody else: the file system credentials of one thread.
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

use std::cell::Cell;
use std::fmt;

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
        let other = Other::become_maker(self, maker)?;
        match make() {
            Err(Errno::ACCESS | Errno::PERM) => {
                other.may_pass()?;
                make()
            }
            result => result,
        }
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
    maker: Maker,
}

impl<'own> Other<'own> {
    fn become_maker(own: &'own Credentials, maker: Maker) -> Result<Self> {
        // From here on, whatever was done is undone.
        let other = Self { own, maker };
        if let Some(group) = maker.group {
            rustix::thread::set_thread_groups(&[Gid::from_raw(group)])?;
        }
        if maker.gid != own.gid {
            set_fs_id(libc::SYS_setfsgid, maker.gid)?;
        }
        if maker.uid != own.uid {
            set_fs_id(libc::SYS_setfsuid, maker.uid)?;
        }
        Ok(other)
    }

    fn may_pass(&self) -> Result<()> {
        let mut capabilities = rustix::thread::capabilities(None)?;
        capabilities.effective |= TO_PASS & self.own.capabilities.permitted;
        rustix::thread::set_capabilities(None, capabilities)
    }

    fn undo(&self) -> Result<()> {
        let (own, maker) = (self.own, self.maker);
        if maker.uid != own.uid {
            set_fs_id(libc::SYS_setfsuid, own.uid)?;
        }
        if maker.gid != own.gid {
            set_fs_id(libc::SYS_setfsgid, own.gid)?;
        }
        if maker.group.is_some() {
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
