use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

/// A host file that holds an item's bytes.
///
/// Returned by `open`, it asks the kernel to do the I/O on that file itself.
/// Where the kernel or the server's privilege does not allow it, the transport
/// reads from the same descriptor instead, so that a module writes one path
/// only. The descriptor may be opened with `O_PATH`.
///
/// Clones share the descriptor; it is closed with the last of them.
#[derive(Clone)]
pub struct Backing(Arc<OwnedFd>);

impl Backing {
    /// Takes a descriptor of a regular file.
    #[must_use]
    pub fn new(file: impl Into<Arc<OwnedFd>>) -> Self {
        Self(file.into())
    }
}

impl AsFd for Backing {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl fmt::Debug for Backing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Backing").field(&self.0).finish()
    }
}
