//! INIT: what the kernel offers, what we take, and a record of both.

use std::fmt;

use transom_module::{Volume, VolumeDefinition};
use transom_sys::fuse_abi as abi;
use transom_sys::fuse_abi::init;

use crate::{Options, Passthrough};

/// How deep the file systems below a backing file may be stacked. With 2, host
/// files may lie on an overlay (every container's root does); the price is
/// that our mount cannot be an overlay's lower layer, which views never are:
/// they are composed of bind mounts.
const MAX_STACK_DEPTH: u32 = 2;

/// Pages of one request: 1 MiB, which is also `fs.fuse.max_pages_limit`.
const MAX_PAGES: u16 = 256;

/// Largest write in bytes.
const MAX_WRITE: u32 = 1 << 20;
/// The same for a volume that takes none: the least the kernel accepts.
const MAX_WRITE_READ_ONLY: u32 = 4096;

/// Background requests (readahead, releases) the kernel may queue.
const MAX_BACKGROUND: u16 = 64;

/// Asked for whenever the kernel offers it.
///
/// `PARALLEL_DIROPS`: without it, lookups in one directory wait for each other.
/// `DONT_MASK`: the umask is applied where the item is made, which knows of
/// default access control lists. `CREATE_SUPP_GROUP`: tells whether the caller
/// is in the group of the directory. `WRITEBACK_CACHE` is never asked for: it
/// excludes passthrough.
const ALWAYS: u64 = init::ASYNC_READ
    | init::ASYNC_DIO
    | init::ATOMIC_O_TRUNC
    | init::BIG_WRITES
    | init::DONT_MASK
    | init::DO_READDIRPLUS
    | init::READDIRPLUS_AUTO
    | init::PARALLEL_DIROPS
    | init::MAX_PAGES
    | init::CACHE_SYMLINKS
    | init::SETXATTR_EXT
    | init::INIT_EXT
    | init::CREATE_SUPP_GROUP
    | init::HAS_EXPIRE_ONLY
    | init::DIRECT_IO_ALLOW_MMAP
    | init::HAS_RESEND;

/// What a volume wants of the connection beyond what is always asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted {
    /// Flags of INIT.
    pub(crate) flags: u64,
    /// Largest write in bytes.
    pub(crate) max_write: u32,
}

impl Wanted {
    /// For a volume as it is defined and mounted.
    pub(crate) fn new<V: Volume>(definition: &VolumeDefinition<V>, options: &Options) -> Self {
        let is_written = !options.read_only;
        let chosen = [
            (init::PASSTHROUGH, options.passthrough != Passthrough::Off),
            (init::NO_OPENDIR_SUPPORT, definition.stateless_directories),
            // Pages stay until we say otherwise, or until size or time differ.
            (init::AUTO_INVAL_DATA, definition.changed_by_others),
            (init::EXPLICIT_INVAL_DATA, !definition.changed_by_others),
            (init::POSIX_ACL, definition.access_control_lists),
            // Otherwise the kernel asks for `security.capability` before every
            // write.
            (init::HANDLE_KILLPRIV_V2, is_written),
            (init::POSIX_LOCKS, definition.locks().is_some()),
            (init::FLOCK_LOCKS, definition.locks().is_some()),
            (init::ALLOW_IDMAP, options.idmapped),
            // A handle of a file must not be a way around a view.
            (
                init::EXPORT_SUPPORT,
                definition.persistent_items().is_some(),
            ),
            (
                init::NO_EXPORT_SUPPORT,
                definition.persistent_items().is_none(),
            ),
        ];
        Self {
            flags: chosen
                .into_iter()
                .filter_map(|(flag, wanted)| wanted.then_some(flag))
                .fold(0, std::ops::BitOr::bitor),
            max_write: if is_written {
                MAX_WRITE
            } else {
                MAX_WRITE_READ_ONLY
            },
        }
    }
}

/// What server and kernel agreed on. Plain data: kept by whoever keeps the
/// connection, it lets another server [attach](crate::Session::attach) to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Negotiated {
    /// Minor protocol version of the kernel.
    pub minor: u32,
    /// Flags the kernel offered.
    pub offered: u64,
    /// Flags that are in force.
    pub granted: u64,
    /// Largest write in bytes.
    pub max_write: u32,
}

impl Negotiated {
    /// Whether the kernel does I/O on backing files for this connection. Each
    /// file may still be refused, for lack of privilege or for where it lies.
    #[must_use]
    pub fn passthrough(&self) -> bool {
        self.granted & init::PASSTHROUGH != 0
    }

    /// Whether directories are opened without a request.
    #[must_use]
    pub fn stateless_directories(&self) -> bool {
        self.granted & init::NO_OPENDIR_SUPPORT != 0
    }
}

/// The kernel speaks a version that this crate does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnsupportedVersion {
    /// What the kernel said.
    pub major: u32,
    /// What the kernel said.
    pub minor: u32,
}

impl fmt::Display for UnsupportedVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the kernel speaks FUSE {}.{}, needed is {}.{} or newer (Linux 6.9)",
            self.major,
            self.minor,
            abi::MAJOR,
            abi::MINOR_OLDEST
        )
    }
}

impl std::error::Error for UnsupportedVersion {}

/// Chooses from what the kernel offered in INIT, and says how to answer.
pub(crate) fn negotiate(
    (major, minor): (u32, u32),
    max_readahead: u32,
    offered: u64,
    wanted: Wanted,
) -> Result<(Negotiated, abi::InitOut), UnsupportedVersion> {
    if major != abi::MAJOR || minor < abi::MINOR_OLDEST {
        return Err(UnsupportedVersion { major, minor });
    }
    let granted = (ALWAYS | wanted.flags) & offered;
    let negotiated = Negotiated {
        minor: minor.min(abi::MINOR),
        offered,
        granted,
        max_write: wanted.max_write,
    };
    let [flags, flags2] = [granted as u32, (granted >> 32) as u32];
    let passthrough = granted & init::PASSTHROUGH != 0;
    let answer = abi::InitOut {
        major: abi::MAJOR,
        minor: abi::MINOR,
        max_readahead,
        flags,
        max_background: MAX_BACKGROUND,
        congestion_threshold: MAX_BACKGROUND * 3 / 4,
        max_write: wanted.max_write,
        time_gran: 1,
        max_pages: MAX_PAGES,
        map_alignment: 0,
        flags2,
        max_stack_depth: if passthrough { MAX_STACK_DEPTH } else { 0 },
        request_timeout: 0,
        unused: [0; 11],
    };
    Ok((negotiated, answer))
}

#[cfg(test)]
mod tests {
    use super::*;

    const WANTED: Wanted = Wanted {
        flags: init::PASSTHROUGH | init::NO_OPENDIR_SUPPORT,
        max_write: 4096,
    };

    #[test]
    fn only_what_is_offered_is_granted() {
        let (negotiated, answer) =
            negotiate((7, 45), 0, init::PASSTHROUGH | init::ASYNC_READ, WANTED).unwrap();
        assert!(negotiated.passthrough());
        assert!(!negotiated.stateless_directories());
        assert_eq!(answer.flags2, (init::PASSTHROUGH >> 32) as u32);
        assert_eq!(answer.flags, init::ASYNC_READ as u32);
        assert_eq!(answer.max_stack_depth, 2);
    }

    #[test]
    fn passthrough_and_writeback_exclude_each_other() {
        let (negotiated, _) = negotiate((7, 45), 0, u64::MAX, WANTED).unwrap();
        assert_eq!(negotiated.granted & init::WRITEBACK_CACHE, 0);
        let without = Wanted { flags: 0, ..WANTED };
        let (negotiated, answer) = negotiate((7, 45), 0, u64::MAX, without).unwrap();
        assert!(!negotiated.passthrough());
        assert_eq!(answer.max_stack_depth, 0);
    }

    #[test]
    fn old_kernels_are_refused_with_the_version_they_need() {
        let error = negotiate((7, 39), 0, 0, WANTED).unwrap_err();
        assert!(error.to_string().contains("7.40"), "{error}");
    }
}
