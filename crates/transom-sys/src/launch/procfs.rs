//! The `/proc` of the new pid namespace.

use std::ffi::CStr;
use std::os::fd::OwnedFd;

use rustix::fs::CWD;
use rustix::io::Errno;
use rustix::mount::MountAttrFlags;

use crate::mount::{self, Change, Reach};

/// Settings of the whole machine, which the initial root user may write
/// whatever capabilities it lacks.
const READ_ONLY: &[&CStr] = &[
    c"acpi",
    c"asound",
    c"bus",
    c"fs",
    c"irq",
    c"mtrr",
    c"scsi",
    c"sys",
    c"sysrq-trigger",
];

/// Memory, keys and timings of the whole machine, which the initial root user
/// may read.
const EMPTY: &[&CStr] = &[
    c"interrupts",
    c"kcore",
    c"keys",
    c"kpagecgroup",
    c"kpagecount",
    c"kpageflags",
    c"latency_stats",
    c"sched_debug",
    c"timer_list",
    c"timer_stats",
];

/// A detached `/proc` for our pid namespace.
pub(super) fn new() -> Result<OwnedFd, Errno> {
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    Ok(mount::new(c"proc", &[], attributes)?.finish())
}

/// Makes what reaches beyond the namespaces read-only or empty. Must be called
/// while the host's `/dev/null` can be reached.
pub(super) fn mask(proc: &OwnedFd) -> Result<(), Errno> {
    for name in READ_ONLY {
        let Some(part) = existing(mount::clone(proc, name, Reach::Mount))? else {
            continue;
        };
        let read_only = Change::private(MountAttrFlags::MOUNT_ATTR_RDONLY);
        mount::change(&part, Reach::Mount, read_only)?;
        mount::attach(&part, proc, name)?;
    }
    for name in EMPTY {
        if existing(rustix::fs::accessat(
            proc,
            *name,
            rustix::fs::Access::EXISTS,
            rustix::fs::AtFlags::empty(),
        ))?
        .is_some()
        {
            let null = mount::clone(CWD, c"/dev/null", Reach::Mount)?;
            mount::attach(&null, proc, name)?;
        }
    }
    Ok(())
}

fn existing<T>(result: Result<T, Errno>) -> Result<Option<T>, Errno> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error),
    }
}
