use std::borrow::Borrow;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::ops::Deref;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// The longest name of a directory entry, in bytes (`NAME_MAX` of Linux).
pub const NAME_BYTES_MAX: usize = 255;

/// One component of a path: the name of an entry in a directory.
///
/// A name is bytes, not text. It is never empty, never `.` or `..`, holds
/// neither `/` nor NUL, and is at most [`NAME_BYTES_MAX`] bytes long; whoever
/// holds a `Name` need not check again.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Box<OsStr>);

impl Name {
    /// Checks `bytes` and keeps them as a name.
    pub fn new(bytes: impl Into<Vec<u8>>) -> std::result::Result<Self, InvalidName> {
        let bytes = bytes.into();
        Self::check(&bytes)?;
        Ok(Self(OsString::from_vec(bytes).into_boxed_os_str()))
    }

    /// Says whether `bytes` can be a name, without keeping them.
    pub fn check(bytes: &[u8]) -> std::result::Result<(), InvalidName> {
        match bytes {
            b"" => Err(InvalidName::Empty),
            b"." | b".." => Err(InvalidName::Dots),
            _ if bytes.len() > NAME_BYTES_MAX => Err(InvalidName::TooLong(bytes.len())),
            _ if bytes.contains(&0) => Err(InvalidName::Nul),
            _ if bytes.contains(&b'/') => Err(InvalidName::Slash),
            _ => Ok(()),
        }
    }

    /// The bytes of the name.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl Deref for Name {
    type Target = OsStr;

    fn deref(&self) -> &OsStr {
        &self.0
    }
}

// `OsStr` and its bytes order and hash alike on Unix, so a map keyed by `Name`
// can be asked with a borrowed `OsStr`.
impl Borrow<OsStr> for Name {
    fn borrow(&self) -> &OsStr {
        &self.0
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0.display(), f)
    }
}

/// Why some bytes cannot be a [`Name`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InvalidName {
    /// No bytes at all.
    Empty,
    /// `.` or `..`.
    Dots,
    /// Contains `/`.
    Slash,
    /// Contains a NUL byte.
    Nul,
    /// Longer than [`NAME_BYTES_MAX`]; the length in bytes.
    TooLong(usize),
}

impl fmt::Display for InvalidName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => write!(f, "a name is empty"),
            Self::Dots => write!(f, "`.` and `..` are not allowed"),
            Self::Slash => write!(f, "a name contains `/`"),
            Self::Nul => write!(f, "a name contains a NUL byte"),
            Self::TooLong(length) => {
                write!(
                    f,
                    "a name is {length} bytes long, at most {NAME_BYTES_MAX} are allowed"
                )
            }
        }
    }
}

impl std::error::Error for InvalidName {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_a_name() {
        let cases: &[(&[u8], std::result::Result<(), InvalidName>)] = &[
            (b"main.c", Ok(())),
            (b"\xff\xfe", Ok(())),
            (b"...", Ok(())),
            (&[b'a'; 255], Ok(())),
            (&[b'a'; 256], Err(InvalidName::TooLong(256))),
            (b"", Err(InvalidName::Empty)),
            (b".", Err(InvalidName::Dots)),
            (b"..", Err(InvalidName::Dots)),
            (b"a/b", Err(InvalidName::Slash)),
            (b"a\0b", Err(InvalidName::Nul)),
        ];
        for (bytes, expected) in cases {
            assert_eq!(&Name::check(bytes), expected, "{bytes:?}");
            assert_eq!(&Name::new(*bytes).map(drop), expected, "{bytes:?}");
        }
    }
}
