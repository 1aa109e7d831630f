use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

/// A host file that holds an item's bytes.
///
/// Returned by `open`, it asks the kernel to do the I/O on that file itself.
/// Where the kernel or the server's privilege does not allow it, the transport
/// reads and writes the same file instead, so that a module writes one path
/// only.
///
/// Clones share the descriptors; they are closed with the last of them.
#[derive(Clone)]
pub struct Backing {
    file: Arc<OwnedFd>,
    opened: Option<Arc<OwnedFd>>,
}

impl Backing {
    /// Takes a descriptor of a regular file, best one opened with `O_PATH`: it
    /// is kept for as long as the item lives, and one open for writing would
    /// keep the file from being executed on the host all that time.
    #[must_use]
    pub fn new(file: impl Into<Arc<OwnedFd>>) -> Self {
        Self {
            file: file.into(),
            opened: None,
        }
    }

    /// Adds a descriptor of the same file that is open in the way this one open
    /// asks for. It is used, and kept, for this open alone. Without it, the
    /// transport opens the file anew, which may not be permitted: a file can be
    /// made open for writing and at once read-only.
    #[must_use]
    pub fn with_opened(mut self, opened: impl Into<Arc<OwnedFd>>) -> Self {
        self.opened = Some(opened.into());
        self
    }

    /// The descriptor that is open as this one open asks for, if there is one.
    #[must_use]
    pub fn opened(&self) -> Option<&Arc<OwnedFd>> {
        self.opened.as_ref()
    }
}

impl AsFd for Backing {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl fmt::Debug for Backing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Backing").field(&self.file).finish()
    }
}
