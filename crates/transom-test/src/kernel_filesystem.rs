use std::io;

use rustix::fs::statfs;
use rustix::mount::{MountFlags, mount};

/// A file system by which the kernel shows its own state, at the one place
/// where everybody expects it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KernelFilesystem {
    kind: &'static str,
    /// Where it is if somebody has mounted it.
    pub(crate) path: &'static str,
    /// From linux/magic.h.
    magic: u64,
}

/// The kernel's tracing.
pub(crate) const TRACEFS: KernelFilesystem = KernelFilesystem {
    kind: "tracefs",
    path: "/sys/kernel/tracing",
    magic: 0x7472_6163,
};

/// One directory for each FUSE connection.
pub(crate) const FUSECTL: KernelFilesystem = KernelFilesystem {
    kind: "fusectl",
    path: "/sys/fs/fuse/connections",
    magic: 0x6573_5543,
};

impl KernelFilesystem {
    /// Where it is, having mounted it if nobody has. It then stays: the system
    /// would have mounted it at boot.
    pub(crate) fn mounted(self) -> io::Result<&'static str> {
        let failed = |error: rustix::io::Errno| {
            let message = format!("{} cannot be mounted at {}: {error}", self.kind, self.path);
            io::Error::new(io::Error::from(error).kind(), message)
        };
        if statfs(self.path).map_err(failed)?.f_type as u64 != self.magic {
            mount(self.kind, self.path, self.kind, MountFlags::empty(), None).map_err(failed)?;
        }
        Ok(self.path)
    }
}
