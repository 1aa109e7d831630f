//! Listings of open directories.

use std::ffi::OsStr;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::sync::{Mutex, PoisonError};

use rustix::fs::{FileType, Mode, OFlags, RawDir, RawDirEntry, SeekFrom};
use transom_module::{
    Context, Cookie, DirectoryEntry, DirectorySink, Errno, ItemId, ItemKind, OpenDirectories,
    Result,
};

use crate::host::refused;
use crate::item::Item;
use crate::volume::{Handle, Passthrough};

/// How much is asked of the host at once: as much as usually is asked of us. An
/// entry has the same length here and there.
const BUFFER_BYTES: usize = 32 << 10;
/// The same where entries are told with attributes, which take several times as
/// long. What does not fit any more would have to be asked for again.
const BUFFER_BYTES_WITH_ATTRIBUTES: usize = 4 << 10;

/// A host directory that is being listed. Its positions are our cookies: the
/// host's file system keeps them good while entries come and go.
#[derive(Debug)]
pub struct Listing {
    pub(crate) stream: OwnedFd,
    /// Where the stream goes on, if that is known.
    position: Option<Cookie>,
}

impl Listing {
    pub(crate) fn open(directory: &Item) -> Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let stream = rustix::fs::openat(&directory.descriptor, c".", flags, Mode::empty());
        Ok(Self {
            stream: stream.map_err(refused)?,
            position: Some(Cookie::default()),
        })
    }
}

impl OpenDirectories for Passthrough {
    fn open_directory(&self, _: &Context<'_>, directory: &Item) -> Result<Handle> {
        Ok(Handle::Directory(Mutex::new(Listing::open(directory)?)))
    }

    fn enumerate_open(
        &self,
        _: &Context<'_>,
        directory: &Item,
        handle: &Handle,
        from: Cookie,
        sink: &mut dyn DirectorySink<Item>,
    ) -> Result<()> {
        let Handle::Directory(listing) = handle else {
            return Err(Errno::ENOTDIR.into());
        };
        let mut listing = listing.lock().unwrap_or_else(PoisonError::into_inner);
        self.list(directory, &mut listing, from, sink)
    }
}

impl Passthrough {
    pub(crate) fn list(
        &self,
        directory: &Item,
        listing: &mut Listing,
        from: Cookie,
        sink: &mut dyn DirectorySink<Item>,
    ) -> Result<()> {
        if listing.position.take() != Some(from) {
            rustix::fs::seek(&listing.stream, SeekFrom::Start(from.0)).map_err(refused)?;
        }
        let mut last = from;
        let mut buffer = [MaybeUninit::uninit(); BUFFER_BYTES];
        let buffer = if sink.takes_attributes() {
            &mut buffer[..BUFFER_BYTES_WITH_ATTRIBUTES]
        } else {
            &mut buffer[..]
        };
        let mut entries = RawDir::new(listing.stream.as_fd(), buffer);
        while let Some(entry) = entries.next() {
            let entry = entry.map_err(refused)?;
            if !self.push(directory, &entry, sink)? {
                return Ok(());
            }
            last = Cookie(entry.next_entry_cookie());
        }
        listing.position = Some(last);
        Ok(())
    }

    /// False if the entry did not fit.
    fn push(
        &self,
        directory: &Item,
        entry: &RawDirEntry<'_>,
        sink: &mut dyn DirectorySink<Item>,
    ) -> Result<bool> {
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        let next = Cookie(entry.next_entry_cookie());
        let kind = kind_of(entry.file_type());
        let id = match name.as_bytes() {
            b"." => directory.id,
            b".." if directory.id == ItemId::ROOT => ItemId::ROOT,
            b".." => self.numbering.id(directory.device, entry.ino())?,
            _ if sink.expects_attributes() || kind.is_none() => {
                match self.find(directory, name) {
                    Ok(found) => return Ok(sink.push_found(name, found, next)),
                    // It has gone meanwhile.
                    Err(error) if error.errno() == Errno::ENOENT => return Ok(true),
                    // Whoever asks for the name will see the error.
                    Err(_) => self.numbering.id(directory.device, entry.ino())?,
                }
            }
            _ => self.numbering.id(directory.device, entry.ino())?,
        };
        Ok(sink.push(DirectoryEntry {
            name,
            id,
            kind: kind.unwrap_or(ItemKind::File),
            next,
        }))
    }
}

fn kind_of(file_type: FileType) -> Option<ItemKind> {
    ItemKind::from_mode(file_type.as_raw_mode())
}
