//! A host file as a block volume.

use std::fmt;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::fs::{FallocateFlags, FileType, OFlags, SeekFrom};
use rustix::io::Errno as HostErrno;
use transom_module::{Backing, BlockVolume, Errno, Error, Geometry, Result, write_zeroes_as_data};

use crate::extent;

/// A regular file of the host, or one of its block devices, as a block volume.
///
/// It is as large as the file is at that moment, in whole blocks. What is
/// discarded becomes a hole of the file, so that it takes no space there.
pub struct FileVolume {
    file: Arc<OwnedFd>,
    kind: Kind,
    block_bytes: u32,
    preferred_bytes: u32,
    read_only: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    File,
    Device,
}

impl FileVolume {
    /// Takes a file that is open for reading, or for reading and writing; the
    /// first makes a volume that is read-only. Blocks have 512 bytes, or what
    /// the device has.
    ///
    /// `EINVAL` for what is neither a regular file nor a block device, or is
    /// open in another way.
    pub fn new(file: impl Into<Arc<OwnedFd>>) -> Result<Self> {
        let file = file.into();
        let flags = rustix::fs::fcntl_getfl(&*file).map_err(failed)?;
        let access = flags & (OFlags::RWMODE | OFlags::PATH);
        if access == OFlags::WRONLY || access.contains(OFlags::PATH) {
            let message = "the file of a block volume has to be open for reading";
            return Err(Error::new(Errno::EINVAL, message));
        }
        if flags.contains(OFlags::APPEND) {
            let message = "the file of a block volume must not be open for appending (O_APPEND)";
            return Err(Error::new(Errno::EINVAL, message));
        }
        let stat = rustix::fs::fstat(&*file).map_err(failed)?;
        let (kind, block_bytes) = match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => (Kind::File, extent::BLOCK_BYTES_MIN),
            FileType::BlockDevice => {
                let bytes = rustix::fs::ioctl_blksszget(&*file).map_err(failed)?;
                (Kind::Device, bytes)
            }
            _ => {
                let message = "a block volume needs a regular file or a block device";
                return Err(Error::new(Errno::EINVAL, message));
            }
        };
        let preferred = u32::try_from(stat.st_blksize).unwrap_or(0);
        let volume = Self {
            file,
            kind,
            block_bytes,
            preferred_bytes: preferred.checked_next_power_of_two().unwrap_or(0),
            read_only: access == OFlags::RDONLY,
        };
        volume.with_block_bytes(block_bytes)
    }

    /// The same with blocks of that size. `EINVAL` if it is no power of 2, or
    /// out of 512 to 4096, or smaller than the device's own.
    pub fn with_block_bytes(self, block_bytes: u32) -> Result<Self> {
        if !extent::is_block_size(block_bytes) || block_bytes < self.block_bytes {
            let message = format!(
                "blocks cannot have {block_bytes} bytes: it has to be a power of 2 from {} to {}",
                self.block_bytes,
                extent::BLOCK_BYTES_MAX
            );
            return Err(Error::new(Errno::EINVAL, message));
        }
        Ok(Self {
            block_bytes,
            preferred_bytes: self.preferred_bytes.max(block_bytes),
            ..self
        })
    }

    fn bytes(&self) -> rustix::io::Result<u64> {
        match self.kind {
            Kind::File => Ok(rustix::fs::fstat(&*self.file)?.st_size.cast_unsigned()),
            // Its status does not tell. Nobody uses the position that this sets.
            Kind::Device => rustix::fs::seek(&*self.file, SeekFrom::End(0)),
        }
    }

    /// Makes a hole, which reads as zeroes; of a device, what amounts to it.
    fn punch(&self, range: &Range<u64>) -> rustix::io::Result<()> {
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        rustix::fs::fallocate(&*self.file, flags, range.start, range.end - range.start)
    }

    fn writable(&self) -> Result<()> {
        match self.read_only {
            true => Err(Errno::EROFS.into()),
            false => Ok(()),
        }
    }
}

impl BlockVolume for FileVolume {
    fn geometry(&self) -> Geometry {
        // A file that cannot be asked can neither be read.
        let bytes = self.bytes().unwrap_or(0);
        Geometry {
            bytes: bytes - bytes % u64::from(self.block_bytes),
            block_bytes: self.block_bytes,
            preferred_bytes: self.preferred_bytes,
            read_only: self.read_only,
            discards: !self.read_only,
        }
    }

    fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        let mut filled = 0;
        while filled < buffer.len() {
            let at = offset + filled as u64;
            match rustix::io::pread(&*self.file, &mut buffer[filled..], at) {
                Ok(0) => {
                    let message = format!("the file of a block volume ends before byte {at}");
                    return Err(Error::new(Errno::EIO, message));
                }
                Ok(count) => filled += count,
                Err(HostErrno::INTR) => {}
                Err(error) => return Err(failed(error)),
            }
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<()> {
        self.writable()?;
        let mut written = 0;
        while written < data.len() {
            match rustix::io::pwrite(&*self.file, &data[written..], offset + written as u64) {
                Ok(count) => written += count,
                Err(HostErrno::INTR) => {}
                Err(error) => return Err(failed(error)),
            }
        }
        Ok(())
    }

    fn flush(&self) -> Result<()> {
        rustix::fs::fdatasync(&*self.file).map_err(failed)
    }

    fn discard(&self, range: Range<u64>) -> Result<()> {
        self.writable()?;
        self.punch(&range).map_err(failed)
    }

    fn write_zeroes(&self, range: Range<u64>) -> Result<()> {
        self.writable()?;
        match self.punch(&range) {
            Err(HostErrno::OPNOTSUPP) => write_zeroes_as_data(self, range),
            punched => punched.map_err(failed),
        }
    }

    fn backing(&self) -> Option<Backing> {
        let whole = self.bytes().ok()? % u64::from(self.block_bytes) == 0;
        (self.kind == Kind::File && whole)
            .then(|| Backing::new(self.file.clone()).with_opened(self.file.clone()))
    }
}

impl fmt::Debug for FileVolume {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileVolume")
            .field("kind", &self.kind)
            .field("geometry", &self.geometry())
            .finish_non_exhaustive()
    }
}

fn failed(error: HostErrno) -> Error {
    Errno::from_raw(error.raw_os_error()).into()
}
