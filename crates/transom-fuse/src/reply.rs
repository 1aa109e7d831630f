//! Encoding of answers.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use transom_module::{
    Attributes, Cookie, DirectoryEntry, Entry, Errno, ItemKind, Lifetime, StatFs, Timestamp,
};
use transom_sys::fuse_abi as abi;
use zerocopy::{FromZeros, Immutable, IntoBytes};

/// What a handler made of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Success; that many bytes of the payload buffer follow.
    Payload(usize),
    /// The error number the caller sees.
    Error(Errno),
    /// Nothing is sent: the request wants no answer.
    Silence,
}

impl Answer {
    /// Success without a payload.
    pub const EMPTY: Self = Self::Payload(0);

    /// Puts a structure at the start of `payload`.
    pub(crate) fn value<T: IntoBytes + Immutable>(payload: &mut [u8], value: &T) -> Self {
        Self::bytes(payload, value.as_bytes())
    }

    /// Puts bytes at the start of `payload`.
    pub(crate) fn bytes(payload: &mut [u8], bytes: &[u8]) -> Self {
        match payload.get_mut(..bytes.len()) {
            Some(place) => {
                place.copy_from_slice(bytes);
                Self::Payload(bytes.len())
            }
            None => Self::Error(Errno::ERANGE),
        }
    }
}

pub(crate) fn attr(attributes: &Attributes) -> abi::Attr {
    let Attributes {
        id,
        kind,
        permissions,
        links,
        uid,
        gid,
        device,
        size,
        blocks,
        block_size,
        ..
    } = *attributes;
    let seconds = |time: Timestamp| time.seconds.cast_unsigned();
    abi::Attr {
        ino: id.raw(),
        size,
        blocks,
        atime: seconds(attributes.accessed),
        mtime: seconds(attributes.modified),
        ctime: seconds(attributes.changed),
        atimensec: attributes.accessed.nanoseconds,
        mtimensec: attributes.modified.nanoseconds,
        ctimensec: attributes.changed.nanoseconds,
        mode: kind.mode_bits() | u32::from(permissions & 0o7777),
        nlink: links,
        uid,
        gid,
        rdev: device,
        blksize: block_size,
        flags: 0,
    }
}

/// Seconds and nanoseconds of a lifetime. The kernel cuts what it cannot
/// count.
fn valid(lifetime: Lifetime) -> (u64, u32) {
    (
        lifetime.duration().as_secs(),
        lifetime.duration().subsec_nanos(),
    )
}

pub(crate) fn attr_out(attributes: &Attributes, lifetime: Lifetime) -> abi::AttrOut {
    let (attr_valid, attr_valid_nsec) = valid(lifetime);
    abi::AttrOut {
        attr_valid,
        attr_valid_nsec,
        dummy: 0,
        attr: attr(attributes),
    }
}

pub(crate) fn statx_out(attributes: &Attributes, lifetime: Lifetime) -> abi::StatxOut {
    let (attr_valid, attr_valid_nsec) = valid(lifetime);
    let time = |time: Timestamp| abi::SxTime {
        tv_sec: time.seconds,
        tv_nsec: time.nanoseconds,
        reserved: 0,
    };
    let plain = attr(attributes);
    let mut mask = libc::STATX_BASIC_STATS;
    if attributes.created.is_some() {
        mask |= libc::STATX_BTIME;
    }
    abi::StatxOut {
        attr_valid,
        attr_valid_nsec,
        flags: 0,
        spare: [0; 2],
        stat: abi::Statx {
            mask,
            blksize: plain.blksize,
            nlink: plain.nlink,
            uid: plain.uid,
            gid: plain.gid,
            mode: plain.mode as u16,
            ino: plain.ino,
            size: plain.size,
            blocks: plain.blocks,
            atime: time(attributes.accessed),
            btime: time(attributes.created.unwrap_or_default()),
            ctime: time(attributes.changed),
            mtime: time(attributes.modified),
            rdev_major: libc::major(plain.rdev.into()),
            rdev_minor: libc::minor(plain.rdev.into()),
            ..abi::Statx::new_zeroed()
        },
    }
}

pub(crate) fn entry_out<I>(entry: &Entry<I>) -> abi::EntryOut {
    let (entry_valid, entry_valid_nsec) = valid(entry.name_lifetime);
    let (attr_valid, attr_valid_nsec) = valid(entry.attributes_lifetime);
    abi::EntryOut {
        nodeid: entry.attributes.id.raw(),
        generation: entry.generation,
        entry_valid,
        attr_valid,
        entry_valid_nsec,
        attr_valid_nsec,
        attr: attr(&entry.attributes),
    }
}

/// A name that does not exist, which the kernel may remember: node 0.
pub(crate) fn absent_out(lifetime: Lifetime) -> abi::EntryOut {
    let (entry_valid, entry_valid_nsec) = valid(lifetime);
    let attr = abi::Attr::new_zeroed();
    abi::EntryOut {
        nodeid: 0,
        generation: 0,
        entry_valid,
        attr_valid: 0,
        entry_valid_nsec,
        attr_valid_nsec: 0,
        attr,
    }
}

pub(crate) fn statfs_out(space: &StatFs) -> abi::StatfsOut {
    abi::StatfsOut {
        blocks: space.blocks,
        bfree: space.blocks_free,
        bavail: space.blocks_available,
        files: space.items,
        ffree: space.items_free,
        bsize: space.block_size,
        namelen: space.name_bytes_max,
        frsize: space.block_size,
        padding: 0,
        spare: [0; 6],
    }
}

/// Packs a listing into a buffer, entry after entry, each aligned to 8 bytes.
pub(crate) struct ListingWriter<'a> {
    buffer: &'a mut [u8],
    used: usize,
}

impl<'a> ListingWriter<'a> {
    pub(crate) fn new(buffer: &'a mut [u8]) -> Self {
        Self { buffer, used: 0 }
    }

    pub(crate) fn used(&self) -> usize {
        self.used
    }

    /// An entry of READDIR. False if it does not fit.
    pub(crate) fn push(&mut self, entry: &DirectoryEntry<'_>) -> bool {
        self.pack(&[], entry.id.raw(), entry.kind, entry.name, entry.next)
    }

    /// An entry of READDIRPLUS. Node 0 in `found` means that nothing is said
    /// of it but its number and kind.
    pub(crate) fn push_plus(&mut self, found: &abi::EntryOut, entry: &DirectoryEntry<'_>) -> bool {
        self.pack(
            found.as_bytes(),
            entry.id.raw(),
            entry.kind,
            entry.name,
            entry.next,
        )
    }

    fn pack(&mut self, head: &[u8], ino: u64, kind: ItemKind, name: &OsStr, next: Cookie) -> bool {
        let name = name.as_bytes();
        let dirent = abi::Dirent {
            ino,
            off: next.0,
            namelen: name.len() as u32,
            // `d_type` is the file type bits shifted down (`DT_DIR` and so on).
            kind: kind.mode_bits() >> 12,
        };
        let parts = [head, dirent.as_bytes(), name];
        let length = parts
            .iter()
            .map(|part| part.len())
            .sum::<usize>()
            .next_multiple_of(8);
        let Some(place) = self.buffer.get_mut(self.used..self.used + length) else {
            return false;
        };
        place.fill(0);
        let mut at = 0;
        for part in parts {
            place[at..at + part.len()].copy_from_slice(part);
            at += part.len();
        }
        self.used += length;
        true
    }
}

#[cfg(test)]
mod tests {
    use transom_module::ItemId;
    use zerocopy::FromBytes;

    use super::*;

    #[test]
    fn listings_are_aligned_and_stop_when_full() {
        let mut buffer = [0xff; 64];
        let mut listing = ListingWriter::new(&mut buffer);
        let entry = |name| DirectoryEntry {
            name: OsStr::new(name),
            id: ItemId::new(5).unwrap(),
            kind: ItemKind::Directory,
            next: Cookie(9),
        };
        assert!(listing.push(&entry("abc")));
        assert_eq!(listing.used(), 32);
        assert!(!listing.push(&entry("a name that is too long")));
        assert!(listing.push(&entry("abcdefgh")));
        assert_eq!(listing.used(), 64);
        let (dirent, _) = abi::Dirent::read_from_prefix(&buffer[..]).unwrap();
        assert_eq!(
            (dirent.ino, dirent.off, dirent.namelen, dirent.kind),
            (5, 9, 3, 4)
        );
        assert_eq!(&buffer[24..32], b"abc\0\0\0\0\0");
    }

    #[test]
    fn answers_that_do_not_fit_are_errors() {
        let mut payload = [0; 4];
        assert_eq!(
            Answer::bytes(&mut payload, b"12345"),
            Answer::Error(Errno::ERANGE)
        );
        assert_eq!(Answer::bytes(&mut payload, b"123"), Answer::Payload(3));
    }
}
