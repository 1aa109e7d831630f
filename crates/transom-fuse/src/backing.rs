//! Backing files: as numbers for the kernel, and as open files for us where
//! the kernel does not do the I/O.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, OnceLock, Weak};

use rustix::fs::{FallocateFlags, Mode, OFlags, SeekFrom, Stat};
use rustix::io::{Errno, ReadWriteFlags};
use rustix::thread::CapabilitySet;
use transom_module::{Backing, OpenMode, Region, Synchronize};
use transom_sys::fuse_device;

/// `RWF_NOAPPEND` of `<linux/fs.h>`: a write to a file opened with `O_APPEND`
/// goes where it says (Linux 6.9).
const RWF_NOAPPEND: u32 = 0x20;

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
        Ok(Self {
            number: fuse_device::backing_open(connection, file)?,
            connection: Arc::downgrade(connection),
        })
    }

    /// Registers `file` so that what is written to it loses its set-id bits,
    /// whoever writes.
    ///
    /// The kernel writes with the credentials of the one who registered the
    /// file. Root's would keep the bits for every user of the mount.
    pub(crate) fn register_writable(
        connection: &Arc<OwnedFd>,
        file: BorrowedFd<'_>,
    ) -> io::Result<Self> {
        let own = rustix::thread::capabilities(None)?;
        let mut less = own;
        less.effective.remove(CapabilitySet::FSETID);
        rustix::thread::set_capabilities(None, less)?;
        let registered = Self::register(connection, file);
        rustix::thread::set_capabilities(None, own)?;
        registered
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

/// The backing file of one open, for what is done here: everything without
/// passthrough; with it, what the kernel sends all the same (`readahead(2)`
/// and `posix_fadvise(WILLNEED)`, synchronizing, allocating, seeking, copying).
#[derive(Debug)]
pub(crate) struct HostFile {
    backing: Backing,
    mode: OpenMode,
    opened: OnceLock<Arc<OwnedFd>>,
}

impl HostFile {
    pub(crate) fn new(backing: Backing, mode: OpenMode) -> Self {
        let opened = backing.opened().cloned();
        Self {
            backing,
            mode,
            opened: opened.map_or_else(OnceLock::new, OnceLock::from),
        }
    }

    /// What names the file, to be registered.
    pub(crate) fn file(&self) -> BorrowedFd<'_> {
        self.backing.as_fd()
    }

    pub(crate) fn stat(&self) -> io::Result<Stat> {
        Ok(rustix::fs::fstat(&self.backing)?)
    }

    /// Opens the file in the way the caller has it open, if it is not yet.
    pub(crate) fn open(&self) -> io::Result<BorrowedFd<'_>> {
        if let Some(file) = self.opened.get() {
            return Ok(file.as_fd());
        }
        // The kernel has checked the caller's right to it. O_DIRECT is not for
        // us: our buffers are not aligned as it wants.
        let mut flags = OFlags::CLOEXEC | OFlags::NOCTTY;
        flags |= match (self.mode.read, self.mode.write) {
            (true, true) => OFlags::RDWR,
            (false, true) => OFlags::WRONLY,
            (_, false) => OFlags::RDONLY,
        };
        flags.set(OFlags::SYNC, self.mode.synchronous);
        // A file may be such that it can only be opened like that.
        flags.set(OFlags::APPEND, self.mode.append);
        let path = format!("/proc/self/fd/{}", self.backing.as_fd().as_raw_fd());
        let file = rustix::fs::open(path, flags, Mode::empty())?;
        Ok(self.opened.get_or_init(|| Arc::new(file)).as_fd())
    }

    /// Reads until the buffer is full or the file ends.
    pub(crate) fn read(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let file = self.open()?;
        let mut filled = 0;
        while filled < buffer.len() {
            match rustix::io::pread(file, &mut buffer[filled..], offset + filled as u64) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(filled)
    }

    /// Writes all of `data`, or as much as there is room for: an error is
    /// returned only if nothing was written before it.
    pub(crate) fn write(&self, offset: u64, data: &[u8], append: bool) -> io::Result<usize> {
        let file = self.open()?;
        let flags = if append {
            ReadWriteFlags::APPEND
        } else if self.mode.append {
            // What comes back from a mapping has its place.
            ReadWriteFlags::from_bits_retain(RWF_NOAPPEND)
        } else {
            ReadWriteFlags::empty()
        };
        let mut written = 0;
        while written < data.len() {
            let rest = [IoSlice::new(&data[written..])];
            match rustix::io::pwritev2(file, &rest, offset + written as u64, flags) {
                Ok(0) => break,
                Ok(count) => written += count,
                Err(Errno::INTR) => {}
                Err(error) if written == 0 => return Err(error.into()),
                Err(_) => break,
            }
        }
        Ok(written)
    }

    pub(crate) fn resize(&self, size: u64) -> io::Result<()> {
        Ok(rustix::fs::ftruncate(self.open()?, size)?)
    }

    pub(crate) fn set_permissions(&self, mode: u32) -> io::Result<()> {
        let permissions = Mode::from_raw_mode(mode & 0o7777);
        Ok(rustix::fs::fchmod(self.open()?, permissions)?)
    }

    pub(crate) fn synchronize(&self, what: Synchronize) -> io::Result<()> {
        let file = self.open()?;
        Ok(match what {
            Synchronize::Data => rustix::fs::fdatasync(file),
            Synchronize::All => rustix::fs::fsync(file),
        }?)
    }

    /// `mode` is that of `fallocate(2)`.
    pub(crate) fn allocate(&self, mode: u32, offset: u64, length: u64) -> io::Result<()> {
        let mode = FallocateFlags::from_bits_retain(mode);
        Ok(rustix::fs::fallocate(self.open()?, mode, offset, length)?)
    }

    pub(crate) fn seek(&self, offset: u64, region: Region) -> io::Result<u64> {
        let to = match region {
            Region::Data => SeekFrom::Data(offset),
            Region::Hole => SeekFrom::Hole(offset),
        };
        Ok(rustix::fs::seek(self.open()?, to)?)
    }

    pub(crate) fn copy_to(
        &self,
        offset: u64,
        to: &Self,
        to_offset: u64,
        length: u64,
    ) -> io::Result<u64> {
        let (mut from_at, mut to_at) = (offset, to_offset);
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let copied = rustix::fs::copy_file_range(
            self.open()?,
            Some(&mut from_at),
            to.open()?,
            Some(&mut to_at),
            length,
        )?;
        Ok(copied as u64)
    }
}
