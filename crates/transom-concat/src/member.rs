//! One resource of a container, open.

use std::fmt::{self, Display};
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{FallocateFlags, Stat};
use rustix::io::Errno as HostErrno;
use transom_module::{Errno, Error, Resource, Result};

use crate::label::{LABEL_BYTES, Label};
use crate::layout::BLOCK_BYTES;
use crate::lock::Taken;
use crate::store::Medium;

/// A regular file or block device that nobody else uses as a member meanwhile.
#[derive(Debug)]
pub(crate) struct Member {
    path: PathBuf,
    taken: Taken,
    /// How often it has failed to read or write.
    errors: AtomicU64,
}

/// Zeroes to write where the kernel cannot make them.
static ZEROES: [u8; 1 << 16] = [0; 1 << 16];

impl Member {
    /// Takes it. Errors are those of [`Taken::take`].
    pub(crate) fn open(resource: &Resource, read_only: bool) -> Result<Self> {
        Ok(Self {
            path: resource.path().to_owned(),
            taken: Taken::take(resource, read_only)?,
            errors: AtomicU64::new(0),
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn file(&self) -> &File {
        self.taken.file()
    }

    pub(crate) fn errors(&self) -> u64 {
        self.errors.load(Ordering::Relaxed)
    }

    /// Its size now, in bytes.
    pub(crate) fn size(&self) -> Result<u64> {
        self.check("examine", size_of(self.file()))
    }

    /// Whose it is, among others.
    pub(crate) fn status(&self) -> Result<Stat> {
        self.check(
            "examine",
            rustix::fs::fstat(self.file()).map_err(Into::into),
        )
    }

    /// Makes a range read as zeroes, without using space where that is possible.
    pub(crate) fn write_zeroes(&self, offset: u64, bytes: u64) -> Result<()> {
        // Of a block device, the second makes the kernel write them.
        if self.punch(offset, bytes)? || self.allocate(FallocateFlags::ZERO_RANGE, offset, bytes)? {
            return Ok(());
        }
        let mut at = offset;
        while at < offset + bytes {
            let length = (offset + bytes - at).min(ZEROES.len() as u64);
            self.write(at, &ZEROES[..length as usize])?;
            at += length;
        }
        Ok(())
    }

    /// Gives space back, where the member can do that: its content is zeroes
    /// then, and this true.
    pub(crate) fn punch(&self, offset: u64, bytes: u64) -> Result<bool> {
        self.allocate(FallocateFlags::PUNCH_HOLE, offset, bytes)
    }

    /// False if the member cannot do that.
    fn allocate(&self, how: FallocateFlags, offset: u64, bytes: u64) -> Result<bool> {
        let how = how | FallocateFlags::KEEP_SIZE;
        match rustix::fs::fallocate(self.file(), how, offset, bytes) {
            Ok(()) => Ok(true),
            // The latter for what the blocks of a device are too large for.
            Err(HostErrno::OPNOTSUPP | HostErrno::INVAL) => Ok(false),
            Err(error) => self.check("zero", Err(error.into())),
        }
    }

    fn check<T>(&self, what: &str, result: io::Result<T>) -> Result<T> {
        result.map_err(|error| {
            self.errors.fetch_add(1, Ordering::Relaxed);
            let message = format!("cannot {what} {}: {error}", self.shown());
            match error.kind() {
                io::ErrorKind::UnexpectedEof => Error::new(Errno::EIO, message),
                _ => Error::from_host(error, message),
            }
        })
    }
}

impl Medium for Member {
    fn shown(&self) -> impl Display {
        Shown(&self.path)
    }

    fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        self.check("read", self.file().read_exact_at(buffer, offset))
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<()> {
        self.check("write", self.file().write_all_at(data, offset))
    }

    fn synchronize(&self) -> Result<()> {
        self.check("synchronize", self.file().sync_data())
    }
}

/// The two copies of a label: that at the beginning, and that at the end, which
/// is where the one at the beginning says, or at the end of the resource if that
/// one says nothing.
pub(crate) fn read_labels(file: &File) -> [Result<Option<Label>>; 2] {
    let first = read_label(file, 0);
    let end = match &first {
        Ok(Some(label)) => Ok(label.used[label.index]),
        _ => size_of(file),
    };
    let second = match end {
        Ok(end) => read_label(file, second_label_offset(end)),
        Err(error) => Err(Error::from_host(error, "it cannot be examined")),
    };
    [first, second]
}

/// Where the second label of a member is of which so much is used.
pub(crate) fn second_label_offset(used: u64) -> u64 {
    (used / BLOCK_BYTES * BLOCK_BYTES).saturating_sub(LABEL_BYTES as u64)
}

fn read_label(file: &File, offset: u64) -> Result<Option<Label>> {
    let mut bytes = [0; LABEL_BYTES];
    match file.read_exact_at(&mut bytes, offset) {
        Ok(()) => Label::decode(&bytes),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(Error::from_host(error, "its label cannot be read")),
    }
}

/// The size of a file or block device. Where the descriptor stands plays no
/// part in anything here.
pub(crate) fn size_of(file: impl AsFd) -> io::Result<u64> {
    Ok(rustix::fs::seek(file, rustix::fs::SeekFrom::End(0))?)
}

/// A path in messages.
struct Shown<'a>(&'a Path);

impl Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.0.display())
    }
}
