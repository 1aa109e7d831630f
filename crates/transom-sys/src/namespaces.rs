//! Namespaces of this very process.

use rustix::io::Result;
use rustix::thread::UnshareFlags;

/// Moves this process into a new user namespace and a new mount namespace that
/// belongs to it. `EINVAL` if it has more than one thread, `EPERM` where user
/// namespaces are forbidden, `ENOSPC` where their number is limited.
pub fn unshare_user_and_mounts() -> Result<()> {
    // SAFETY: the table of open files stays shared, which is what makes other
    // flags of this call dangerous.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWUSER | UnshareFlags::NEWNS) }
}
