//! Numbers that stand for the beginnings of paths.
//!
//! A message may give a number to a prefix, and every later message of the
//! stream may use it: so the long common part of a thousand paths is sent once.
//! Number 0 stands for nothing, which makes a path absolute.

use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::hash_map::Entry;

/// The most prefixes of one stream.
pub const PREFIXES_MAX: usize = 1 << 20;
/// The most bytes of them together.
pub const PREFIXES_BYTES_MAX: usize = 1 << 28;

/// What is wrong with a prefix or its use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PrefixError {
    #[error("`{0}` is no prefix number")]
    NotANumber(String),
    #[error("prefix {number} stands for `{known}` and cannot stand for `{new}` too")]
    Taken {
        number: u32,
        known: String,
        new: String,
    },
    #[error("more than {PREFIXES_MAX} prefixes, or {PREFIXES_BYTES_MAX} bytes of them")]
    TooMany,
    #[error("prefix {0} was never given")]
    Unknown(u32),
    #[error("`{suffix}` cannot be absolute after prefix {number}")]
    AbsoluteSuffix { number: u32, suffix: String },
}

/// The prefixes of a stream so far.
#[derive(Debug, Default)]
pub(crate) struct Prefixes {
    by_number: HashMap<u32, String>,
    bytes: usize,
}

impl Prefixes {
    /// Learns a prefix, or hears of it again.
    pub(crate) fn learn(&mut self, number: &str, prefix: Cow<'_, str>) -> Result<(), PrefixError> {
        let Ok(parsed) = number.parse() else {
            return Err(PrefixError::NotANumber(number.to_owned()));
        };
        let known = match parsed {
            0 => Some(""),
            _ => self.by_number.get(&parsed).map(String::as_str),
        };
        if let Some(known) = known {
            if known == prefix {
                return Ok(());
            }
            return Err(PrefixError::Taken {
                number: parsed,
                known: known.to_owned(),
                new: prefix.into_owned(),
            });
        }
        let bytes = self.bytes + prefix.len();
        if self.by_number.len() == PREFIXES_MAX || bytes > PREFIXES_BYTES_MAX {
            return Err(PrefixError::TooMany);
        }
        self.bytes = bytes;
        if let Entry::Vacant(entry) = self.by_number.entry(parsed) {
            entry.insert(prefix.into_owned());
        }
        Ok(())
    }

    /// The path that a prefix and what follows it make.
    pub(crate) fn path(&self, number: u32, suffix: &str) -> Result<String, PrefixError> {
        if number == 0 {
            return Ok(suffix.to_owned());
        }
        let prefix = self.by_number.get(&number);
        let prefix = prefix.ok_or(PrefixError::Unknown(number))?;
        if suffix.starts_with('/') {
            return Err(PrefixError::AbsoluteSuffix {
                number,
                suffix: suffix.to_owned(),
            });
        }
        let needs_slash = !suffix.is_empty() && !prefix.is_empty() && !prefix.ends_with('/');
        let slash = if needs_slash { "/" } else { "" };
        Ok([prefix, slash, suffix].concat())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_joined_with_one_slash() {
        let mut prefixes = Prefixes::default();
        for (number, prefix) in [("1", "/"), ("2", "/a/b"), ("0", "")] {
            prefixes.learn(number, prefix.into()).unwrap();
        }
        for (number, suffix, path) in [
            (0, "/x", "/x"),
            (1, "__main__", "/__main__"),
            (2, "c.h", "/a/b/c.h"),
            (2, "", "/a/b"),
            (1, "", "/"),
        ] {
            assert_eq!(prefixes.path(number, suffix).unwrap(), path);
        }
        assert_eq!(prefixes.path(7, "x"), Err(PrefixError::Unknown(7)));
        assert!(matches!(
            prefixes.path(2, "/x"),
            Err(PrefixError::AbsoluteSuffix { .. })
        ));
    }

    #[test]
    fn a_number_has_one_meaning() {
        let mut prefixes = Prefixes::default();
        prefixes.learn("3", "/a".into()).unwrap();
        prefixes.learn("3", "/a".into()).unwrap();
        for (number, prefix) in [("3", "/b"), ("0", "/a")] {
            let error = prefixes.learn(number, prefix.into()).unwrap_err();
            assert!(matches!(error, PrefixError::Taken { .. }), "{error}");
        }
        for number in ["", "-1", "x", "4294967296"] {
            let error = prefixes.learn(number, "/".into()).unwrap_err();
            assert_eq!(error, PrefixError::NotANumber(number.into()));
        }
    }
}
