//! What is written at both ends of a member, once and for all: which member of
//! which container it is. What changes is in the table (`store.rs`).

use rustix::rand::{GetRandomFlags, getrandom};
use sha2::{Digest, Sha256};
use transom_module::{ContainerId, Errno, Error, Membership, Result};
use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout};

use crate::layout::{BLOCK_BYTES, CHUNK_BYTES_MAX, CHUNK_BYTES_MIN, Layout, Space, data_bytes};

/// The most members that a container can have.
pub(crate) const MEMBERS_MAX: usize = 64;
/// The longest name of a container, in bytes.
pub(crate) const CONTAINER_NAME_BYTES_MAX: usize = 255;
/// The largest member, in bytes: the last offset that the kernel knows.
const USED_BYTES_MAX: u64 = i64::MAX as u64 / MEMBERS_MAX as u64;
/// The size of a label.
pub(crate) const LABEL_BYTES: usize = 4096;
pub(crate) const MAGIC: [u8; 16] = *b"transom-concat\r\n";
const VERSION: u32 = 1;

/// A member's label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Label {
    pub(crate) container: ContainerId,
    pub(crate) name: String,
    /// Which member this is.
    pub(crate) index: usize,
    pub(crate) layout: Layout,
    /// How many bytes of each member are used, from its beginning to the end of
    /// its second label.
    pub(crate) used: Vec<u64>,
}

/// A label as it is written. All numbers are little-endian.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Written {
    magic: [u8; 16],
    version: U32,
    index: U32,
    members: U32,
    /// 0 linear, 1 striped.
    layout: U32,
    /// 0 if linear.
    chunk: U64,
    container: [u8; 16],
    /// UTF-8, filled up with zeroes.
    name: [u8; CONTAINER_NAME_BYTES_MAX + 1],
    /// As many as there are members, filled up with zeroes.
    used: [U64; MEMBERS_MAX],
    reserved: [u8; 3240],
    /// SHA-256 of all before.
    checksum: [u8; 32],
}

const _: () = assert!(size_of::<Written>() == LABEL_BYTES);

impl Label {
    /// The label that `bytes` are, `None` if they were never meant to be one.
    /// `EIO` if they are a damaged one, or one of another version.
    pub(crate) fn decode(bytes: &[u8; LABEL_BYTES]) -> Result<Option<Self>> {
        let written = Written::read_from_bytes(bytes).map_err(|_| Errno::EIO)?;
        if written.magic != MAGIC {
            return Ok(None);
        }
        let damaged = |what: &str| Error::new(Errno::EIO, format!("its label has {what}"));
        if written.checksum() != written.checksum {
            return Err(damaged("a wrong checksum"));
        }
        if written.version.get() != VERSION {
            let version = written.version.get();
            return Err(damaged(&format!(
                "version {version}, of which this program knows only {VERSION}"
            )));
        }
        written
            .label()
            .map(Some)
            .ok_or_else(|| damaged("impossible values"))
    }

    /// The bytes to write.
    pub(crate) fn encode(&self) -> [u8; LABEL_BYTES] {
        let mut written = Written::new_zeroed();
        written.magic = MAGIC;
        written.version = VERSION.into();
        written.index = U32::new(self.index as u32);
        written.members = U32::new(self.used.len() as u32);
        let (layout, chunk) = match self.layout {
            Layout::Linear => (0, 0),
            Layout::Stripe { chunk } => (1, chunk),
        };
        written.layout = U32::new(layout);
        written.chunk = U64::new(chunk);
        written.container = self.container.to_bytes();
        for (to, from) in written.name.iter_mut().zip(self.name.bytes()) {
            *to = from;
        }
        for (to, from) in written.used.iter_mut().zip(&self.used) {
            *to = U64::new(*from);
        }
        written.checksum = written.checksum();
        zerocopy::transmute!(written)
    }

    /// Whether all that it says can be: what is decoded is so always.
    pub(crate) fn is_possible(&self) -> bool {
        let chunk_is_possible = match self.layout {
            Layout::Linear => true,
            Layout::Stripe { chunk } => {
                chunk.is_power_of_two() && (CHUNK_BYTES_MIN..=CHUNK_BYTES_MAX).contains(&chunk)
            }
        };
        let used_is_possible = |used: &u64| {
            *used <= USED_BYTES_MAX && used.is_multiple_of(BLOCK_BYTES) && data_bytes(*used) > 0
        };
        chunk_is_possible
            && self.index < self.used.len()
            && self.used.len() <= MEMBERS_MAX
            && self.used.iter().all(used_is_possible)
            && self.space().bytes() > 0
            && is_name(&self.name)
    }

    /// The address space of the container.
    pub(crate) fn space(&self) -> Space {
        Space::new(self.layout, &self.used)
    }

    /// What the host is told of it. The members of a linear container can do
    /// something each by itself.
    pub(crate) fn membership(&self) -> Membership {
        let of = self.used.len() as u32;
        Membership {
            container: self.container,
            name: self.name.clone(),
            index: self.index as u32,
            of,
            enough: match self.layout {
                Layout::Linear => 1,
                Layout::Stripe { .. } => of,
            },
        }
    }

    /// What to call the container in messages.
    pub(crate) fn shown(&self) -> String {
        match self.name.is_empty() {
            true => self.container.to_string(),
            false => format!("`{}`", self.name),
        }
    }

    /// Whether it is of the same container, and agrees on what that is.
    pub(crate) fn agrees_with(&self, other: &Self) -> bool {
        let as_other = Self {
            index: other.index,
            ..self.clone()
        };
        as_other == *other
    }
}

impl Written {
    fn label(&self) -> Option<Label> {
        let name_bytes = self.name.iter().position(|byte| *byte == 0)?;
        let name = str::from_utf8(&self.name[..name_bytes]).ok()?;
        let used = self.used.get(..self.members.get() as usize)?;
        let layout = match (self.layout.get(), self.chunk.get()) {
            (0, 0) => Layout::Linear,
            (1, chunk) => Layout::Stripe { chunk },
            _ => return None,
        };
        let label = Label {
            container: ContainerId::from_bytes(self.container),
            name: name.to_owned(),
            index: self.index.get() as usize,
            layout,
            used: used.iter().map(|used| used.get()).collect(),
        };
        label.is_possible().then_some(label)
    }

    fn checksum(&self) -> [u8; 32] {
        let covered = LABEL_BYTES - self.checksum.len();
        Sha256::digest(&self.as_bytes()[..covered]).into()
    }
}

/// Whether a container can be called that. It may have no name.
pub(crate) fn is_name(name: &str) -> bool {
    name.len() <= CONTAINER_NAME_BYTES_MAX && !name.contains(|c: char| c.is_control() || c == '/')
}

/// The identity of a new container: a random UUID (RFC 9562, version 4).
pub(crate) fn new_identity() -> Result<ContainerId> {
    let mut bytes = [0; 16];
    getrandom(&mut bytes, GetRandomFlags::empty())
        .map_err(|error| Error::from_host(error.into(), "cannot get random numbers"))?;
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    Ok(ContainerId::from_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn label() -> Label {
        Label {
            container: new_identity().unwrap(),
            name: "pool".into(),
            index: 1,
            layout: Layout::Stripe { chunk: 65536 },
            used: vec![16 << 20, 8 << 20],
        }
    }

    fn sealed(written: &mut Written) -> [u8; LABEL_BYTES] {
        written.checksum = written.checksum();
        written.as_bytes().try_into().unwrap()
    }

    #[test]
    fn a_label_is_read_as_it_was_written() {
        let label = label();
        assert_eq!(Label::decode(&label.encode()).unwrap(), Some(label));
    }

    #[test]
    fn a_changed_label_is_damaged() {
        let bytes = label().encode();
        for at in 0..LABEL_BYTES {
            let mut changed = bytes;
            changed[at] ^= 1;
            match Label::decode(&changed) {
                Ok(None) => assert!(at < MAGIC.len(), "{at}"),
                Ok(Some(label)) => panic!("{at}: {label:?}"),
                Err(error) => assert_eq!(error.errno(), Errno::EIO),
            }
        }
    }

    #[test]
    fn impossible_values_are_refused_though_the_checksum_is_right() {
        type Change = fn(&mut Written);
        let changes: &[(&str, Change)] = &[
            ("version", |label| label.version = 2.into()),
            ("index", |label| label.index = 2.into()),
            ("no member", |label| label.members = 0.into()),
            ("too many members", |label| label.members = u32::MAX.into()),
            ("layout", |label| label.layout = 2.into()),
            ("linear chunk", |label| label.layout = 0.into()),
            ("chunk", |label| label.chunk = 65537.into()),
            ("chunk 0", |label| label.chunk = 0.into()),
            ("huge chunk", |label| label.chunk = (1 << 63).into()),
            ("name", |label| label.name = [b'x'; 256]),
            ("name", |label| label.name[0] = b'\n'),
            ("name", |label| label.name[0] = 0xff),
            ("used", |label| label.used[0] = 4096.into()),
            ("used", |label| label.used[1] = u64::MAX.into()),
            ("used", |label| {
                label.used[1] = (0_u64.wrapping_sub(4096)).into();
            }),
            ("unaligned", |label| label.used[1] = ((8 << 20) + 1).into()),
        ];
        for (what, change) in changes {
            let mut written = Written::read_from_bytes(&label().encode()).unwrap();
            change(&mut written);
            let error = Label::decode(&sealed(&mut written)).expect_err(what);
            assert_eq!(error.errno(), Errno::EIO, "{what}");
        }
    }

    #[test]
    fn identities_are_random_uuids() {
        let one = new_identity().unwrap();
        assert_ne!(one, new_identity().unwrap());
        assert_eq!(&one.to_string()[14..15], "4");
    }

    proptest! {
        #[test]
        fn whatever_is_sealed_is_refused_or_possible(
            head in prop::collection::vec(any::<u8>(), 824),
            small in any::<bool>(),
        ) {
            let mut bytes = label().encode();
            // Small numbers get further.
            for (to, from) in bytes[16..].iter_mut().zip(&head) {
                *to = if small { from & 1 } else { *from };
            }
            bytes[16..20].copy_from_slice(&VERSION.to_le_bytes());
            let mut written = Written::read_from_bytes(&bytes).unwrap();
            if let Ok(label) = Label::decode(&sealed(&mut written)) {
                let label = label.unwrap();
                prop_assert!(label.is_possible());
                prop_assert_eq!(Label::decode(&label.encode()).unwrap(), Some(label));
            }
        }
    }
}
