use std::fmt;
use std::io::{self, Read};

use sha2::{Digest as _, Sha256};

use crate::backend::wire;

/// The longest hash, in bytes: that of SHA-512.
const HASH_BYTES_MAX: usize = 64;

/// The name of some bytes: their hash and their length.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest {
    hash: Box<str>,
    size: u64,
}

/// How digests are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HashFunction {
    /// The usual one. What has a digest can be checked.
    Sha256,
    /// Another one. Bazel is believed.
    Unchecked,
}

/// What is no digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDigest {
    /// There is none.
    #[error("there is no digest")]
    None,
    /// It is not written as digests are.
    #[error("{0:?} is no hash: an even number of hexadecimal digits, in lower case, is wanted")]
    Hash(String),
    /// A length below zero.
    #[error("{0} is no length")]
    Size(i64),
}

impl Digest {
    /// The hash, in hexadecimal.
    #[must_use]
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// How many bytes have it.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Checks what came over the wire.
    pub fn parse(digest: Option<&wire::Digest>) -> Result<Self, InvalidDigest> {
        let digest = digest.ok_or(InvalidDigest::None)?;
        let size =
            u64::try_from(digest.size_bytes).map_err(|_| InvalidDigest::Size(digest.size_bytes))?;
        Ok(Self {
            hash: check_hash(&digest.hash)?.into(),
            size,
        })
    }
}

/// Whether `hash` is written as hashes are.
pub(super) fn check_hash(hash: &str) -> Result<&str, InvalidDigest> {
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    let is_valid = !hash.is_empty()
        && hash.len().is_multiple_of(2)
        && hash.len() <= 2 * HASH_BYTES_MAX
        && hash.bytes().all(is_digit);
    match is_valid {
        true => Ok(hash),
        false => Err(InvalidDigest::Hash(
            hash.chars().take(2 * HASH_BYTES_MAX).collect(),
        )),
    }
}

impl HashFunction {
    /// The function of that name in a manifest.
    #[must_use]
    pub fn of_name(name: &str) -> Self {
        match name {
            "SHA-256" | "SHA256" => Self::Sha256,
            _ => Self::Unchecked,
        }
    }

    /// The digest of `bytes`, if it can be told.
    #[must_use]
    pub fn digest(self, bytes: &[u8]) -> Option<Digest> {
        self.digest_of_stream(bytes).ok().flatten()
    }

    /// The digest of everything that can be read, if it can be told.
    pub fn digest_of_stream(self, mut stream: impl Read) -> io::Result<Option<Digest>> {
        if self != Self::Sha256 {
            return Ok(None);
        }
        let mut hasher = Sha256::new();
        let mut buffer = vec![0; 1 << 16];
        let mut size = 0;
        loop {
            let count = match stream.read(&mut buffer) {
                Ok(0) => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                read => read?,
            };
            hasher.update(&buffer[..count]);
            size += count as u64;
        }
        let hash = hasher.finalize();
        let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Some(Digest {
            hash: hash.into(),
            size,
        }))
    }
}

impl From<&Digest> for wire::Digest {
    fn from(digest: &Digest) -> Self {
        Self {
            hash: digest.hash.to_string(),
            size_bytes: digest.size.cast_signed(),
        }
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.hash, self.size)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(hash: &str, size_bytes: i64) -> Result<Digest, InvalidDigest> {
        Digest::parse(Some(&wire::Digest {
            hash: hash.into(),
            size_bytes,
        }))
    }

    #[test]
    fn the_digest_of_nothing_is_the_well_known_one() {
        let empty = HashFunction::Sha256.digest(b"").unwrap();
        let known = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(Ok(empty), parsed(known, 0));
        assert_eq!(HashFunction::of_name("BLAKE3").digest(b""), None);
    }

    #[test]
    fn what_is_no_digest_is_refused() {
        let error = |text: &str| InvalidDigest::Hash(text.into());
        assert_eq!(parsed("", 0), Err(error("")));
        assert_eq!(parsed("abc", 0), Err(error("abc")));
        assert_eq!(parsed("AB", 0), Err(error("AB")));
        assert_eq!(parsed("../x", 0), Err(error("../x")));
        assert!(parsed(&"a".repeat(130), 0).is_err());
        assert_eq!(parsed("ab", -1), Err(InvalidDigest::Size(-1)));
        assert_eq!(Digest::parse(None), Err(InvalidDigest::None));
    }
}
