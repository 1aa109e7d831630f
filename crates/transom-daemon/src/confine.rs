//! What the daemon gives up before it listens.
//!
//! It is root's, and serves everybody. So whoever finds a mistake in it should
//! not find the machine: it keeps the capabilities that serving files takes, and
//! none that lead into the kernel, the network or other processes' memory; it
//! gains nothing by executing a program; and the system calls of such things are
//! gone. `docs/security.md` says what is left.

use std::fmt;

use rustix::io::Errno;
use rustix::thread::CapabilitySet;
use transom_sys::confinement::{deny_needless_calls, keep_capabilities};

/// The capabilities that the daemon keeps, and what for.
pub const KEPT: [(CapabilitySet, &str); 13] = [
    (
        CapabilitySet::SYS_ADMIN,
        "mounts, backing files for passthrough, loop devices",
    ),
    (
        CapabilitySet::DAC_OVERRIDE,
        "files of all users: those that views and volumes are made of",
    ),
    (
        CapabilitySet::DAC_READ_SEARCH,
        "files that are found by handle again after a restart",
    ),
    (
        CapabilitySet::CHOWN,
        "files that callers make in volumes belong to them",
    ),
    (
        CapabilitySet::FOWNER,
        "modes, times and attributes of callers' files",
    ),
    (
        CapabilitySet::FSETID,
        "set-group-id directories keep their meaning in volumes",
    ),
    (
        CapabilitySet::MKNOD,
        "device files that root makes in volumes",
    ),
    (
        CapabilitySet::SETFCAP,
        "capabilities of programs that root installs in volumes",
    ),
    (
        CapabilitySet::LINUX_IMMUTABLE,
        "chattr +i and +a, by root, in volumes",
    ),
    (CapabilitySet::SETUID, "acting for a client"),
    (CapabilitySet::SETGID, "acting for a client, in its groups"),
    (
        CapabilitySet::SYS_RESOURCE,
        "threads that serve disks say so; limits of descriptors",
    ),
    (
        CapabilitySet::SYS_PTRACE,
        "seeing in which namespaces a caller is; ptrace(2) itself is gone",
    ),
];

/// The daemon could not be confined, and must not serve.
#[derive(Debug)]
pub struct ConfineError {
    what: &'static str,
    source: Errno,
}

/// Confines the calling thread and all that it starts from then on, for good:
/// to be called before there are others, and before anything takes note of the
/// capabilities there are.
pub fn confine() -> Result<(), ConfineError> {
    let failed = |what| move |source| ConfineError { what, source };
    let kept = KEPT
        .iter()
        .fold(CapabilitySet::empty(), |all, (capability, _)| {
            all | *capability
        });
    keep_capabilities(kept).map_err(failed("give up capabilities"))?;
    deny_needless_calls().map_err(failed("give up system calls"))
}

impl fmt::Display for ConfineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {}", self.what)
    }
}

impl std::error::Error for ConfineError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}
