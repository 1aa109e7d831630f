use std::cmp::Ordering;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use crate::shown;
use transom_module::{InvalidName, Name};

/// The longest path inside a view, in bytes (`PATH_MAX` of Linux less its
/// terminating NUL).
pub const PATH_BYTES_MAX: usize = 4095;

/// Where something is inside a view: names from the view's root down.
///
/// A view path is bytes, relative, and already clean: no empty names, no `.`,
/// no `..`, no NUL. The empty path is the root itself. Whoever holds one can
/// hand it to the kernel without a look at it.
///
/// Paths order as a walk of the tree meets them: a directory right before what
/// lies below it, and siblings by their bytes.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct ViewPath(Vec<u8>);

impl ViewPath {
    /// The root of a view.
    #[must_use]
    pub fn root() -> Self {
        Self::default()
    }

    /// Checks a path as a user declares it: relative, without `.` or `..`.
    /// One trailing `/` is forgiven, nothing else is.
    pub fn parse(bytes: &[u8]) -> Result<Self, InvalidViewPath> {
        if bytes.first() == Some(&b'/') {
            return Err(InvalidViewPath::Absolute);
        }
        let bytes = bytes.strip_suffix(b"/").unwrap_or(bytes);
        if bytes.is_empty() {
            return Err(InvalidViewPath::Empty);
        }
        if bytes.len() > PATH_BYTES_MAX {
            return Err(InvalidViewPath::TooLong(bytes.len()));
        }
        for name in bytes.split(|byte| *byte == b'/') {
            Name::check(name).map_err(InvalidViewPath::Name)?;
        }
        Ok(Self(bytes.to_vec()))
    }

    /// Like [`parse`](Self::parse), for a path seen from inside the view,
    /// where a leading `/` means the root and `/` alone is the root.
    pub fn parse_inside(bytes: &[u8]) -> Result<Self, InvalidViewPath> {
        let start = bytes.iter().position(|byte| *byte != b'/');
        match start {
            None if bytes.is_empty() => Err(InvalidViewPath::Empty),
            None => Ok(Self::root()),
            Some(start) => Self::parse(&bytes[start..]),
        }
    }

    /// The path of `name` below this one.
    #[must_use]
    pub fn join(&self, name: &Name) -> Self {
        let mut bytes = self.0.clone();
        if !bytes.is_empty() {
            bytes.push(b'/');
        }
        bytes.extend_from_slice(name.as_bytes());
        Self(bytes)
    }

    /// The path `below` this one.
    #[must_use]
    pub fn join_path(&self, below: &Self) -> Self {
        match (self.is_root(), below.is_root()) {
            (true, _) => below.clone(),
            (_, true) => self.clone(),
            _ => Self([&self.0[..], b"/", &below.0].concat()),
        }
    }

    /// The directory that holds this path, `None` for the root.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        if self.is_root() {
            return None;
        }
        let end = self.0.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
        Some(Self(self.0[..end].to_vec()))
    }

    /// The last name, `None` for the root.
    #[must_use]
    pub fn file_name(&self) -> Option<&OsStr> {
        self.names().next_back()
    }

    /// The names from the root down.
    pub fn names(&self) -> impl DoubleEndedIterator<Item = &OsStr> {
        self.0
            .split(|byte| *byte == b'/')
            .filter(|name| !name.is_empty())
            .map(OsStr::from_bytes)
    }

    /// Whether this path is `ancestor` or lies below it.
    #[must_use]
    pub fn starts_with(&self, ancestor: &Self) -> bool {
        match self.0.strip_prefix(&ancestor.0[..]) {
            Some(rest) => ancestor.is_root() || rest.is_empty() || rest[0] == b'/',
            None => false,
        }
    }

    /// Whether this is the root.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The path relative to the view's root, without a leading `/`.
    #[must_use]
    pub fn as_os_str(&self) -> &OsStr {
        OsStr::from_bytes(&self.0)
    }

    /// The bytes of [`as_os_str`](Self::as_os_str).
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The path with a leading `/`, as the action sees it when the view is its
    /// root.
    #[must_use]
    pub fn to_absolute(&self) -> OsString {
        OsString::from_vec([b"/", &self.0[..]].concat())
    }
}

impl Ord for ViewPath {
    fn cmp(&self, other: &Self) -> Ordering {
        // NUL, which no path holds, stands in for the separator: it sorts
        // before every byte that a name can go on with.
        let key = |byte: &u8| if *byte == b'/' { 0 } else { *byte };
        self.0.iter().map(key).cmp(other.0.iter().map(key))
    }
}

impl PartialOrd for ViewPath {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for ViewPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_root() {
            f.write_str("/")
        } else {
            fmt::Display::fmt(&shown(self.as_os_str()), f)
        }
    }
}

impl fmt::Debug for ViewPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_os_str(), f)
    }
}

/// Why some bytes cannot be a [`ViewPath`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidViewPath {
    /// No bytes.
    #[error("the name is empty")]
    Empty,
    /// Begins with `/`.
    #[error("names are relative to the root of the view; remove the leading `/`")]
    Absolute,
    /// Longer than [`PATH_BYTES_MAX`]; the length in bytes.
    #[error("the name is {0} bytes long, at most {PATH_BYTES_MAX} are allowed")]
    TooLong(usize),
    /// One component is not a name.
    #[error("{0}")]
    Name(InvalidName),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> ViewPath {
        ViewPath::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn declared_paths_are_relative_and_clean() {
        let parse = |text: &str| ViewPath::parse(text.as_bytes());
        assert_eq!(parse("a/b.c").unwrap().to_string(), "a/b.c");
        assert_eq!(parse("a/").unwrap().to_string(), "a");
        assert_eq!(parse(""), Err(InvalidViewPath::Empty));
        assert_eq!(parse("/etc/passwd"), Err(InvalidViewPath::Absolute));
        assert_eq!(
            parse("a/../b"),
            Err(InvalidViewPath::Name(InvalidName::Dots))
        );
        assert_eq!(parse("./a"), Err(InvalidViewPath::Name(InvalidName::Dots)));
        assert_eq!(
            parse("a//b"),
            Err(InvalidViewPath::Name(InvalidName::Empty))
        );
        assert_eq!(parse("a\0b"), Err(InvalidViewPath::Name(InvalidName::Nul)));
        assert_eq!(
            parse(&"a".repeat(300)),
            Err(InvalidViewPath::Name(InvalidName::TooLong(300)))
        );
        assert_eq!(
            parse(&"a/".repeat(3000)),
            Err(InvalidViewPath::TooLong(5999))
        );
    }

    #[test]
    fn paths_seen_from_inside_may_be_absolute() {
        assert!(ViewPath::parse_inside(b"/").unwrap().is_root());
        assert_eq!(
            ViewPath::parse_inside(b"//usr/bin").unwrap().to_string(),
            "usr/bin"
        );
    }

    #[test]
    fn order_is_that_of_a_walk() {
        let sorted = ["a", "a/b", "a/b/c", "a-b", "a.c", "b"].map(path);
        assert!(sorted.is_sorted());
        assert!(ViewPath::root() < sorted[0]);
    }

    #[test]
    fn relations() {
        let path = ViewPath::parse(b"a/bc").unwrap();
        assert!(path.starts_with(&ViewPath::root()));
        assert!(path.starts_with(&ViewPath::parse(b"a").unwrap()));
        assert!(!path.starts_with(&ViewPath::parse(b"a/b").unwrap()));
        assert_eq!(path.parent().unwrap().to_string(), "a");
        assert!(path.parent().unwrap().parent().unwrap().is_root());
        assert_eq!(path.file_name(), Some(OsStr::new("bc")));
    }
}
