use std::sync::atomic::{AtomicBool, Ordering};

/// Who asked. Numbers are as the serving process sees them; a process of
/// another pid namespace that the server cannot see has pid 0. Through an
/// idmapped mount, only what makes something, lists extended attributes or
/// controls carries a user and a group (those that a new item shall have);
/// elsewhere both are `u32::MAX`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caller {
    /// File system user id.
    pub uid: u32,
    /// File system group id.
    pub gid: u32,
    /// Thread id, 0 when unknown or asked by the kernel itself.
    pub pid: u32,
    /// When something is made in a directory: the directory's group, if the
    /// caller is a member of it otherwise than by `gid`.
    pub directory_group: Option<u32>,
}

/// What an operation knows besides its arguments.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// Who asked.
    pub caller: Caller,
    cancelled: Option<&'a AtomicBool>,
}

impl<'a> Context<'a> {
    /// A context whose operation can be cancelled through `cancelled`.
    #[must_use]
    pub fn new(caller: Caller, cancelled: &'a AtomicBool) -> Self {
        Self {
            caller,
            cancelled: Some(cancelled),
        }
    }

    /// A context for calls made by the host itself, as its own user, that
    /// nobody cancels. Tests that drive a volume without a mount use it too.
    #[must_use]
    pub fn internal() -> Context<'static> {
        Context {
            caller: Caller {
                uid: 0,
                gid: 0,
                pid: 0,
                directory_group: None,
            },
            cancelled: None,
        }
    }

    /// Whether the answer is no longer wanted: the caller was killed or the
    /// deadline passed. The caller has been answered already; a handler that
    /// waits or loops should look here and give up.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.cancelled
            .is_some_and(|flag| flag.load(Ordering::Relaxed))
    }
}
