//! Making files as somebody else: the file system credentials of one thread.
//!
//! What a new file is like, the kernel decides by the thread that makes it:
//! its owner and group, whether it may keep a set-group-id bit, what a default
//! access control list or else the umask leave of its permissions. A server
//! that makes files for others would have to do all of that over again, and
//! never quite like the file system below. So a thread of it takes the
//! credentials of the other for the one call. It keeps the capabilities by
//! which it may write to any directory, since the other's right to it was
//! checked where the other asked.

use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;

use rustix::fs::{Gid, Mode};
use rustix::io::{Errno, Result};
use rustix::thread::{CapabilitySet, CapabilitySets, UnshareFlags};

/// What is kept of the capabilities while acting for another user. `FSETID` is
/// not: it would let users make set-group-id files of groups they are not in.
const KEPT: CapabilitySet = CapabilitySet::DAC_OVERRIDE
    .union(CapabilitySet::DAC_READ_SEARCH)
    .union(CapabilitySet::MKNOD);

thread_local! {
    static HAS_OWN_UMASK: Cell<bool> = const { Cell::new(false) };
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
    groups: Vec<Gid>,
    capabilities: CapabilitySets,
}

impl Credentials {
    /// Those of the calling thread, for all threads that will use them.
    pub fn of_this_thread() -> Result<Self> {
        Ok(Self {
            uid: rustix::process::geteuid().as_raw(),
            gid: rustix::process::getegid().as_raw(),
            groups: rustix::process::getgroups()?,
            capabilities: rustix::thread::capabilities(None)?,
        })
    }

    /// Lets the calling thread make files for `maker`, until the returned
    /// value is dropped. The thread no longer shares umask and working
    /// directory with the others from then on.
    ///
    /// `EPERM` for another user or group, if this process may not take their
    /// credentials or cannot, because its user namespace does not know them.
    pub fn act_for(&self, maker: Maker) -> Result<Acting<'_>> {
        if !HAS_OWN_UMASK.get() {
            // SAFETY: the table of open files stays shared, which is what makes
            // other flags of this call dangerous.
            unsafe { rustix::thread::unshare_unsafe(UnshareFlags::FS)? };
            HAS_OWN_UMASK.set(true);
        }
        let mut acting = Acting {
            own: self,
            umask: rustix::process::umask(Mode::from_raw_mode(maker.umask.into())),
            is_other: false,
            not_send: PhantomData,
        };
        if (maker.uid, maker.gid) != (self.uid, self.gid) {
            if !self.may_change() {
                return Err(Errno::PERM);
            }
            acting.is_other = true;
            self.become_other(maker)?;
        }
        Ok(acting)
    }

    fn may_change(&self) -> bool {
        let needed = CapabilitySet::SETUID | CapabilitySet::SETGID;
        self.capabilities.effective.contains(needed)
    }

    fn become_other(&self, maker: Maker) -> Result<()> {
        if maker.uid != self.uid {
            let group = maker.group.map(Gid::from_raw);
            rustix::thread::set_thread_groups(group.as_slice())?;
        }
        set_fsgid(maker.gid)?;
        if maker.uid != self.uid {
            set_fsuid(maker.uid)?;
            let mut capabilities = self.capabilities;
            capabilities.effective &= KEPT;
            rustix::thread::set_capabilities(None, capabilities)?;
        }
        Ok(())
    }

    fn restore(&self) -> Result<()> {
        set_fsuid(self.uid)?;
        rustix::thread::set_capabilities(None, self.capabilities)?;
        set_fsgid(self.gid)?;
        rustix::thread::set_thread_groups(&self.groups)
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

/// The calling thread makes files for somebody else while this lives.
#[derive(Debug)]
pub struct Acting<'own> {
    own: &'own Credentials,
    umask: Mode,
    is_other: bool,
    /// The credentials are those of one thread.
    not_send: PhantomData<*const ()>,
}

impl Drop for Acting<'_> {
    fn drop(&mut self) {
        // Nothing forbids a thread to take back what it was; only memory could
        // be lacking. It must not go on as somebody it is not.
        if self.is_other && self.own.restore().is_err() {
            std::process::abort();
        }
        rustix::process::umask(self.umask);
    }
}

fn set_fsuid(uid: u32) -> Result<()> {
    set_fs_id(libc::SYS_setfsuid, uid)
}

fn set_fsgid(gid: u32) -> Result<()> {
    set_fs_id(libc::SYS_setfsgid, gid)
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
