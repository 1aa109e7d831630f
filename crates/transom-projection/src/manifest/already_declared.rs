use std::collections::HashMap;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::host_path::clean;
use crate::{Declaration, Mapping, ViewPath};

/// Knows what of a depfile adds nothing.
///
/// Depfiles name what somebody else declares: the source file that is an input
/// of its own, headers that other depfiles name too, and all that lies in a
/// directory declared as a whole. Where name and host file are the same, such a
/// prerequisite is no conflict but simply covered.
pub(super) struct AlreadyDeclared<'a> {
    by_name: HashMap<&'a [u8], &'a Mapping>,
    inserted: HashMap<ViewPath, PathBuf>,
}

impl<'a> AlreadyDeclared<'a> {
    /// Knows these declarations.
    pub(super) fn by(declarations: &'a [Declaration]) -> Self {
        let by_name = declarations
            .iter()
            .map(|declaration| (declaration.name.as_bytes(), &declaration.mapping));
        Self {
            by_name: by_name.collect(),
            inserted: HashMap::new(),
        }
    }

    /// Remembers a declaration; true if it adds something to those known.
    pub(super) fn insert(&mut self, declaration: &Declaration) -> bool {
        let Declaration { name, mapping, .. } = declaration;
        let (Mapping::File { source, .. } | Mapping::Directory { source }) = mapping else {
            return true;
        };
        if self.inserted.get(name) == Some(source) || self.is_covered(name.as_bytes(), source) {
            return false;
        }
        self.inserted.insert(name.clone(), source.clone());
        true
    }

    fn is_covered(&self, name: &[u8], source: &Path) -> bool {
        match self.by_name.get(name) {
            Some(Mapping::File { source: other, .. } | Mapping::Directory { source: other })
                if is_same(other.as_os_str().as_bytes(), source) =>
            {
                return true;
            }
            _ => {}
        }
        let slashes = name.iter().enumerate().filter(|(_, byte)| **byte == b'/');
        let mut ancestors = slashes.map(|(slash, _)| name.split_at(slash));
        ancestors.any(|(ancestor, rest)| match self.by_name.get(ancestor) {
            Some(Mapping::Directory { source: directory }) => {
                is_same(&[directory.as_os_str().as_bytes(), rest].concat(), source)
            }
            _ => false,
        })
    }
}

/// Whether two absolute host paths are the same but for how they are written.
fn is_same(path: &[u8], other: &Path) -> bool {
    clean(b"", path) == clean(b"", other.as_os_str().as_bytes())
}
