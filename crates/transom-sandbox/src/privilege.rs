//! What this process may do, and how a process without privilege gets enough.

use std::fs;
use std::os::unix::fs::MetadataExt;

use rustix::io::Errno;
use rustix::thread::CapabilitySet;
use transom_sys::namespaces;

use crate::error::{Result, host};

/// The inode number of the initial user namespace, in every kernel
/// (`PROC_USER_INIT_INO` of `<linux/nsfs.h>`).
const INITIAL_USER_NAMESPACE: u64 = 0xEFFF_FFFD;

/// What this process may do to mounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Privilege {
    /// Nothing: it has to [`enter_user_namespace`] first.
    None,
    /// What a user namespace allows: everything this crate needs. The kernel
    /// does not accept backing files for passthrough from it.
    Namespace,
    /// Everything: `CAP_SYS_ADMIN` in the initial user namespace.
    Host,
}

/// Says what this process may do.
pub fn detect() -> Result<Privilege> {
    let sets =
        rustix::thread::capabilities(None).map_err(host("cannot examine", "our capabilities"))?;
    if !sets.effective.contains(CapabilitySet::SYS_ADMIN) {
        return Ok(Privilege::None);
    }
    let namespace = rustix::fs::stat("/proc/self/ns/user")
        .map_err(host("cannot examine", "/proc/self/ns/user"))?;
    Ok(if namespace.st_ino == INITIAL_USER_NAMESPACE {
        Privilege::Host
    } else {
        Privilege::Namespace
    })
}

/// Why no user namespace could be entered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NoUserNamespace {
    /// The kernel lets only a process with one thread change its namespace.
    #[error("a user namespace can only be entered before threads are started; there are {0}")]
    Threads(usize),
    /// The machine is configured to forbid it.
    #[error("user namespaces are disabled on this machine ({source}); {remedy}, or run as root")]
    Disabled {
        /// What to change.
        remedy: &'static str,
        /// The kernel's answer.
        source: Errno,
    },
    /// The ids could not be mapped.
    #[error("cannot write {file}: {source}")]
    Map {
        /// Which map.
        file: &'static str,
        /// The kernel's answer.
        source: std::io::Error,
    },
}

/// Moves this process into a new user namespace, in which it has all
/// capabilities, and a new mount namespace that belongs to it. Users and
/// groups keep their numbers; other users than our own are not mapped.
pub fn enter_user_namespace() -> std::result::Result<(), NoUserNamespace> {
    let threads = fs::read_dir("/proc/self/task").map_or(1, Iterator::count);
    if threads > 1 {
        return Err(NoUserNamespace::Threads(threads));
    }
    let user = rustix::process::geteuid().as_raw();
    let group = rustix::process::getegid().as_raw();
    namespaces::unshare_user_and_mounts().map_err(|source| NoUserNamespace::Disabled {
        remedy: remedy(source),
        source,
    })?;
    let write = |file, text: &str| {
        fs::write(file, text).map_err(|source| NoUserNamespace::Map { file, source })
    };
    // Without this the kernel lets nobody map a group: leaving a group could
    // give access that membership denies.
    write("/proc/self/setgroups", "deny")?;
    write("/proc/self/uid_map", &format!("{user} {user} 1"))?;
    write("/proc/self/gid_map", &format!("{group} {group} 1"))
}

fn remedy(errno: Errno) -> &'static str {
    let is =
        |path: &str, value: &str| fs::read_to_string(path).is_ok_and(|text| text.trim() == value);
    if errno == Errno::NOSPC {
        return "raise the sysctl `user.max_user_namespaces`";
    }
    if is("/proc/sys/kernel/unprivileged_userns_clone", "0") {
        return "set the sysctl `kernel.unprivileged_userns_clone` to 1";
    }
    if is(
        "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
        "1",
    ) {
        return "set the sysctl `kernel.apparmor_restrict_unprivileged_userns` to 0";
    }
    if fs::metadata("/")
        .is_ok_and(|root| fs::metadata("/proc/1/root").is_ok_and(|init| init.ino() != root.ino()))
    {
        return "leave the chroot";
    }
    "allow them in the security policy of the container or the machine"
}

/// Maps for the user namespace of an action.
pub(crate) struct IdentityMaps {
    pub(crate) uid_map: Vec<u8>,
    pub(crate) gid_map: Vec<u8>,
    /// Whether the action's user 0 is the initial root user, if it is mapped.
    pub(crate) maps_initial_root: bool,
}

/// Maps every id that is mapped in our own namespace to itself.
pub(crate) fn identity_maps() -> Result<IdentityMaps> {
    let read = |path| {
        fs::read_to_string(path).map_err(|error| {
            let errno = Errno::from_io_error(&error).unwrap_or(Errno::IO);
            host("cannot read", path)(errno)
        })
    };
    let uids = read("/proc/self/uid_map")?;
    let gids = read("/proc/self/gid_map")?;
    Ok(IdentityMaps {
        uid_map: identity(&uids),
        gid_map: identity(&gids),
        maps_initial_root: extents(&uids).any(|(_, outside, _)| outside == 0),
    })
}

fn identity(map: &str) -> Vec<u8> {
    extents(map)
        .map(|(inside, _, count)| format!("{inside} {inside} {count}\n"))
        .collect::<String>()
        .into_bytes()
}

/// The lines of an id map: first id inside, first id outside, how many.
fn extents(map: &str) -> impl Iterator<Item = (u32, u32, u32)> {
    map.lines().filter_map(|line| {
        let mut numbers = line
            .split_ascii_whitespace()
            .map_while(|text| text.parse().ok());
        Some((numbers.next()?, numbers.next()?, numbers.next()?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mapped_id_maps_to_itself() {
        let map = "         0       1000          1\n         1     100000      65536\n";
        assert_eq!(identity(map), b"0 0 1\n1 1 65536\n");
        assert_eq!(identity("0 0 4294967295\n"), b"0 0 4294967295\n");
    }
}
