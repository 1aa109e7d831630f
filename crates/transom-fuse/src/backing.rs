//! Backing files registered with the kernel.
//!
//! The kernel's rules, all measured (and asserted in `tests/it/passthrough.rs`):
//! a node keeps one backing id for as long as any open of it exists, a second
//! id is `EIO` even for the same host file; passthrough and ordinary opens of
//! one node exclude each other, also `EIO`. So the choice is made once per
//! node, at its first open, and stays until the kernel forgets the node.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::OnceLock;
use std::sync::{Arc, Weak};

use rustix::fs::{Mode, OFlags};
use transom_module::Backing;
use transom_sys::fuse_device;

/// A backing file's number in one connection. Dropping it gives the number
/// back to the kernel; files already open through it keep working.
#[derive(Debug)]
pub(crate) struct BackingId {
    number: i32,
    // Weak: a number of a connection that is gone needs no giving back, and
    // must not keep the connection alive.
    connection: Weak<OwnedFd>,
}

impl BackingId {
    /// Registers `file`. See [`fuse_device::backing_open`] for the errors.
    pub(crate) fn register(connection: &Arc<OwnedFd>, file: BorrowedFd<'_>) -> io::Result<Self> {
        let number = fuse_device::backing_open(connection, file)?;
        Ok(Self {
            number,
            connection: Arc::downgrade(connection),
        })
    }

    pub(crate) fn number(&self) -> i32 {
        self.number
    }
}

impl Drop for BackingId {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.upgrade() {
            // Fails only when the connection was aborted, which freed the
            // number.
            let _ = fuse_device::backing_close(connection.as_fd(), self.number);
        }
    }
}

/// A node's backing file, as its first open settled it.
#[derive(Debug)]
pub(crate) struct NodeBacking {
    file: Backing,
    /// Present if the kernel reads the file itself.
    id: Option<BackingId>,
    readable: OnceLock<OwnedFd>,
}

impl NodeBacking {
    pub(crate) fn new(file: Backing, id: Option<BackingId>) -> Self {
        Self {
            file,
            id,
            readable: OnceLock::new(),
        }
    }

    pub(crate) fn id(&self) -> Option<&BackingId> {
        self.id.as_ref()
    }

    /// Length of the file now, in bytes.
    pub(crate) fn size(&self) -> io::Result<u64> {
        Ok(rustix::fs::fstat(&self.file)?.st_size.cast_unsigned())
    }

    /// Reads for the kernel. Needed without passthrough, and with it for
    /// `readahead(2)` and `posix_fadvise(WILLNEED)`, which the kernel sends
    /// here all the same.
    pub(crate) fn read(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let file = self.readable()?;
        let mut filled = 0;
        while filled < buffer.len() {
            match rustix::io::pread(file, &mut buffer[filled..], offset + filled as u64) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(filled)
    }

    fn readable(&self) -> io::Result<&OwnedFd> {
        if let Some(file) = self.readable.get() {
            return Ok(file);
        }
        // The module may have opened the file with O_PATH.
        let path = format!(
            "/proc/self/fd/{}",
            std::os::fd::AsRawFd::as_raw_fd(&self.file.as_fd())
        );
        let file = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        Ok(self.readable.get_or_init(|| file))
    }
}
