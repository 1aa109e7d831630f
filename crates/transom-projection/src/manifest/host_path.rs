//! Host paths, and the names that are derived from them where none is given.
//!
//! A name is derived textually: `.` and doubled slashes are dropped and `..`
//! takes back the name before it. That is where the action will look for the
//! path too, because the directories of a view are never symbolic links of the
//! host. The *host* path is kept as it was written, so that on the host `..`
//! means what it means to the kernel.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use super::error::{Problem, Unusable};
use crate::{PATH_BYTES_MAX, ViewPath};

/// A host path with the name it gets inside a view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedPath {
    /// The name inside the view.
    pub name: ViewPath,
    /// The host path, absolute if the base it was resolved against is.
    pub host: PathBuf,
    /// Whether it was written with a trailing `/`, which says that it is a
    /// directory.
    pub is_directory: bool,
}

impl NamedPath {
    /// Derives the name: of an absolute path, the path below `/`; of a relative
    /// one, the path below `under`.
    pub(super) fn derive(written: &[u8], base: &Path, under: &ViewPath) -> Result<Self, Problem> {
        let host = resolve(written, base)?;
        let start = if written.starts_with(b"/") {
            &[][..]
        } else {
            under.as_bytes()
        };
        let name = clean(start, written).ok_or(Problem::LeavesView)?;
        if name.is_empty() {
            return Err(Problem::NamesRoot);
        }
        Ok(Self {
            name: ViewPath::parse(&name).map_err(Problem::Name)?,
            host,
            is_directory: is_directory(written),
        })
    }

    /// Takes the name as given: with a leading `/` from the root of the view,
    /// otherwise below `under`.
    pub(super) fn given(
        name: &[u8],
        written: &[u8],
        base: &Path,
        under: &ViewPath,
    ) -> Result<Self, Problem> {
        let name = match name.strip_prefix(b"/") {
            Some(name) => ViewPath::parse(name),
            None => ViewPath::parse(name).map(|name| under.join_path(&name)),
        };
        Ok(Self {
            name: name.map_err(Problem::Name)?,
            host: resolve(written, base)?,
            is_directory: is_directory(written),
        })
    }
}

/// The absolute host path that `written` means beside `base`.
pub(super) fn resolve(written: &[u8], base: &Path) -> Result<PathBuf, Problem> {
    const WHAT: &str = "the host path";
    // Nothing would quietly mean the base.
    check_not_empty(WHAT, written)?;
    let base = base.as_os_str().as_bytes();
    let mut path = Vec::with_capacity(base.len() + 1 + written.len());
    if !written.starts_with(b"/") {
        path.extend_from_slice(base);
        if !base.ends_with(b"/") {
            path.push(b'/');
        }
    }
    path.extend_from_slice(written);
    check_string(WHAT, &path, PATH_BYTES_MAX)?;
    Ok(PathBuf::from(OsString::from_vec(path)))
}

/// `start/path` without `.`, `..` and doubled or trailing slashes, or `None` if
/// a `..` leads above the start of it all.
pub(super) fn clean(start: &[u8], path: &[u8]) -> Option<Vec<u8>> {
    let mut clean = Vec::with_capacity(start.len() + 1 + path.len());
    clean.extend_from_slice(start);
    for name in path.split(|byte| *byte == b'/') {
        match name {
            b"" | b"." => {}
            b".." if clean.is_empty() => return None,
            b".." => {
                let parent = clean.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
                clean.truncate(parent);
            }
            _ => {
                if !clean.is_empty() {
                    clean.push(b'/');
                }
                clean.extend_from_slice(name);
            }
        }
    }
    Some(clean)
}

/// Checks that there are any bytes.
pub(super) fn check_not_empty(what: &'static str, bytes: &[u8]) -> Result<(), Problem> {
    if bytes.is_empty() {
        let why = Unusable::Empty;
        return Err(Problem::Unusable { what, why });
    }
    Ok(())
}

/// Checks bytes that are handed to the kernel as a string of at most `max`
/// bytes.
pub(super) fn check_string(what: &'static str, bytes: &[u8], max: usize) -> Result<(), Problem> {
    let why = if bytes.contains(&0) {
        Unusable::Nul
    } else if bytes.len() > max {
        let length = bytes.len();
        Unusable::TooLong { length, max }
    } else {
        return Ok(());
    };
    Err(Problem::Unusable { what, why })
}

fn is_directory(written: &[u8]) -> bool {
    written.ends_with(b"/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn derive(written: &str, under: &str) -> Result<(String, PathBuf), String> {
        let under = match under {
            "" => ViewPath::root(),
            _ => ViewPath::parse(under.as_bytes()).unwrap(),
        };
        NamedPath::derive(written.as_bytes(), Path::new("/base"), &under)
            .map(|path| (path.name.to_string(), path.host))
            .map_err(|problem| problem.to_string())
    }

    #[test]
    fn names_are_derived_from_paths() {
        let cases = [
            ("main.c", "", "main.c", "/base/main.c"),
            ("main.c", "work", "work/main.c", "/base/main.c"),
            ("./a//b", "work", "work/a/b", "/base/./a//b"),
            ("../a", "work/src", "work/a", "/base/../a"),
            ("a/../../b", "work", "b", "/base/a/../../b"),
            (".", "work", "work", "/base/."),
            ("/usr/include/", "work", "usr/include", "/usr/include/"),
            (
                "/usr/lib/../include",
                "",
                "usr/include",
                "/usr/lib/../include",
            ),
        ];
        for (written, under, name, host) in cases {
            let expected = Ok((name.to_owned(), PathBuf::from(host)));
            assert_eq!(derive(written, under), expected, "{written} under {under}");
        }
    }

    #[test]
    fn paths_without_a_name_are_refused() {
        let long = "a".repeat(300);
        let longer = "a/".repeat(2100);
        let cases = [
            ("../a", "", "above the root"),
            ("../../a", "work", "above the root"),
            ("/..", "", "above the root"),
            ("/", "", "the root of the view cannot"),
            (".", "", "the root of the view cannot"),
            ("..", "work", "the root of the view cannot"),
            ("", "work", "the host path is empty"),
            ("a\0b", "", "NUL"),
            (&long, "", "300 bytes"),
            (&longer, "", "the host path is 4206 bytes long"),
        ];
        for (written, under, message) in cases {
            let error = derive(written, under).unwrap_err();
            assert!(error.contains(message), "{written} under {under}: {error}");
        }
    }
}
