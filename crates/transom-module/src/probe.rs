//! What a module recognizes in a resource before it is loaded.

use std::fmt;
use std::str::FromStr;

use crate::{Errno, Error};

/// What a container is known by, for as long as it exists: a UUID (RFC 9562).
///
/// Where the resources have one written on them, it is that; otherwise the host
/// makes one. The module is told which, and never says it again, so the host
/// and a module cannot disagree on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContainerId([u8; 16]);

impl ContainerId {
    /// That of no container, for modules that are driven without a host.
    pub const NIL: Self = Self([0; 16]);

    /// The identity of these bytes, as they are written on resources.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The bytes, to write them on resources.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0
    }
}

impl fmt::Display for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            if matches!(index, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl FromStr for ContainerId {
    type Err = Error;

    /// `EINVAL` for what is not a UUID in its usual form.
    fn from_str(text: &str) -> Result<Self, Error> {
        let parse = || {
            let digits: Vec<u8> = text.bytes().filter(|&byte| byte != b'-').collect();
            let hyphens: Vec<_> = text.match_indices('-').map(|(at, _)| at).collect();
            if digits.len() != 32 || hyphens != [8, 13, 18, 23] {
                return None;
            }
            let mut bytes = [0; 16];
            for (byte, pair) in bytes.iter_mut().zip(digits.chunks(2)) {
                let high = char::from(pair[0]).to_digit(16)?;
                let low = char::from(pair[1]).to_digit(16)?;
                *byte = u8::try_from(high << 4 | low).ok()?;
            }
            Some(Self(bytes))
        };
        let not_one = || Error::new(Errno::EINVAL, format!("`{text}` is not a UUID"));
        parse().ok_or_else(not_one)
    }
}

/// What a resource is to a module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probe {
    /// Nothing that it knows.
    NotRecognized,
    /// A container by itself, without an identity written on it.
    Alone,
    /// One of the members of a container.
    Member(Membership),
}

/// Which member of which container a resource is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    /// The container, as it is written on all of its members.
    pub container: ContainerId,
    /// What people call the container. Empty if it has no name.
    pub name: String,
    /// Which member it is, from 0.
    pub index: u32,
    /// How many members the container has. At least 1, more than `index`.
    pub of: u32,
    /// With how many members, at least, it can be loaded
    /// [degraded](crate::LoadOptions::degraded); `of` if it never can. The
    /// module may still refuse those that are there.
    pub enough: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identities_are_written_as_uuids() {
        let text = "00112233-4455-6677-8899-aabbccddeeff";
        let id: ContainerId = text.parse().unwrap();
        assert_eq!(id.to_bytes()[..3], [0, 0x11, 0x22]);
        assert_eq!(id.to_string(), text);
        let upper: ContainerId = text.to_uppercase().parse().unwrap();
        assert_eq!(upper, id);
        for wrong in [
            "",
            "00112233445566778899aabbccddeeff",
            "00112233-4455-6677-8899-aabbccddeefg",
            "0011223-34455-6677-8899-aabbccddeeff",
            "00112233-4455-6677-8899-aabbccddeef\u{e9}",
        ] {
            let error = wrong.parse::<ContainerId>().unwrap_err();
            assert_eq!(error.errno(), Errno::EINVAL, "{wrong}");
        }
    }
}
