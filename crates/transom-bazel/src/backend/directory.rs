//! Directories of a Merkle tree: values that are shared and never change.
//!
//! A tree is made of what its root's digest stands for, so two trees with a
//! subtree in common share that subtree. A tree with one more directory in it
//! shares everything but the way to that directory.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use prost::Message;
use transom_module::{InvalidName, ItemId, NAME_BYTES_MAX, Name};
use transom_projection::{PATH_BYTES_MAX, ViewPath};

use crate::backend::content::Content;
use crate::backend::digest::InvalidDigest;
use crate::backend::{Digest, HashFunction, wire};

/// The most entries of one directory.
pub const DIRECTORY_ENTRIES_MAX: usize = 1 << 20;

/// The deepest tree.
pub const TREE_DEPTH_MAX: usize = 256;

/// A directory with everything below it.
#[derive(Debug)]
pub struct Directory {
    /// Sorted by name.
    entries: Box<[Entry]>,
    /// By which its files can be checked.
    function: HashFunction,
    is_single_use: bool,
}

/// A name in a directory, and what it leads to.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) name: Name,
    pub(crate) node: Node,
}

/// What a name leads to.
#[derive(Debug, Clone)]
pub(crate) enum Node {
    Directory(Arc<Directory>),
    File(FileNode),
    Symlink { id: ItemId, target: Arc<OsStr> },
}

#[derive(Debug, Clone)]
pub(crate) struct FileNode {
    /// Its number in every sandbox that it is in.
    pub(crate) id: ItemId,
    pub(crate) digest: Digest,
    pub(crate) content: Arc<Content>,
    pub(crate) is_executable: bool,
}

/// A directory as it came, checked: its digests lead to nothing yet.
#[derive(Debug)]
pub(crate) struct Listing(pub(crate) Vec<(Name, Listed)>);

#[derive(Debug)]
pub(crate) enum Listed {
    Directory(Digest),
    File { digest: Digest, is_executable: bool },
    Symlink { target: OsString },
}

/// Why some bytes are no directory.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DirectoryError {
    /// They are no message.
    #[error("it cannot be decoded: {0}")]
    Decode(#[from] prost::DecodeError),
    /// An entry that no directory can have.
    #[error("its entry {name:?}: {source}")]
    Name {
        /// The name.
        name: String,
        /// What is wrong with it.
        source: InvalidName,
    },
    /// An entry without a digest.
    #[error("its entry {name:?}: {source}")]
    Digest {
        /// The name.
        name: String,
        /// What is wrong with the digest.
        source: InvalidDigest,
    },
    /// A link that cannot exist.
    #[error(
        "its entry {0:?}: a symbolic link needs a target, shorter than {PATH_BYTES_MAX} bytes and without NUL"
    )]
    Target(String),
    /// Not in canonical form.
    #[error("its entry {0:?} does not come after the one before it in its list")]
    Unsorted(String),
    /// Not in canonical form.
    #[error("its entry {0:?} is there twice")]
    Twice(String),
    /// Too many of them.
    #[error("it has {0} entries; at most {DIRECTORY_ENTRIES_MAX} are accepted")]
    TooMany(usize),
}

impl Listing {
    /// Checks a serialized [`wire::Directory`].
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, DirectoryError> {
        let wire::Directory {
            files,
            directories,
            symlinks,
        } = wire::Directory::decode(bytes)?;
        let count = files.len() + directories.len() + symlinks.len();
        if count > DIRECTORY_ENTRIES_MAX {
            return Err(DirectoryError::TooMany(count));
        }
        check_sorted(files.iter().map(|file| &file.name))?;
        check_sorted(directories.iter().map(|directory| &directory.name))?;
        check_sorted(symlinks.iter().map(|link| &link.name))?;

        let mut entries = Vec::with_capacity(count);
        for file in files {
            let digest = parse_digest(&file.name, file.digest.as_ref())?;
            let is_executable = file.is_executable;
            let listed = Listed::File {
                digest,
                is_executable,
            };
            entries.push((parse_name(&file.name)?, listed));
        }
        for directory in directories {
            let digest = parse_digest(&directory.name, directory.digest.as_ref())?;
            entries.push((parse_name(&directory.name)?, Listed::Directory(digest)));
        }
        for link in symlinks {
            let target = link.target;
            if target.is_empty() || target.len() >= PATH_BYTES_MAX || target.contains('\0') {
                return Err(DirectoryError::Target(link.name));
            }
            let listed = Listed::Symlink {
                target: target.into(),
            };
            entries.push((parse_name(&link.name)?, listed));
        }
        entries.sort_by(|(one, _), (other, _)| one.cmp(other));
        let twice = entries.windows(2).find(|pair| pair[0].0 == pair[1].0);
        match twice {
            Some(pair) => Err(DirectoryError::Twice(shortened(&pair[0].0.to_string()))),
            None => Ok(Self(entries)),
        }
    }
}

impl Directory {
    /// A directory of `entries`, which are sorted and of different names.
    pub(crate) fn new(entries: Vec<Entry>, function: HashFunction) -> Self {
        let is_single_use = entries.iter().any(|entry| match &entry.node {
            Node::Directory(directory) => directory.is_single_use,
            Node::File(file) => file.content.is_single_use(),
            Node::Symlink { .. } => false,
        });
        Self {
            entries: entries.into(),
            function,
            is_single_use,
        }
    }

    /// Whether something below it is of use to one action alone.
    #[must_use]
    pub fn is_single_use(&self) -> bool {
        self.is_single_use
    }

    pub(crate) fn function(&self) -> HashFunction {
        self.function
    }

    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The place of a name among the entries.
    pub(crate) fn find(&self, name: &OsStr) -> Option<usize> {
        self.position(name).ok()
    }

    /// The same tree with a directory at `path`, and with those on the way
    /// there. What is in the way of it is the error.
    pub(crate) fn with_directory(self: &Arc<Self>, path: &ViewPath) -> Result<Arc<Self>, ViewPath> {
        let names: Vec<&OsStr> = path.names().collect();
        self.with_names(&names)
            .map_err(|depth| ViewPath::parse(&joined(&names[..depth])).unwrap_or_default())
    }

    /// The error is the number of the name that is no directory.
    fn with_names(self: &Arc<Self>, names: &[&OsStr]) -> Result<Arc<Self>, usize> {
        let Some((first, rest)) = names.split_first() else {
            return Ok(self.clone());
        };
        let found = self.position(first);
        let child = match found.map(|index| &self.entries[index].node) {
            Ok(Node::Directory(child)) => child.clone(),
            Ok(_) => return Err(1),
            Err(_) => Arc::new(Self::new(Vec::new(), self.function)),
        };
        let new = child.with_names(rest).map_err(|depth| depth + 1)?;
        if found.is_ok() && Arc::ptr_eq(&child, &new) {
            return Ok(self.clone());
        }
        let mut entries = self.entries.to_vec();
        match found {
            Ok(index) => entries[index].node = Node::Directory(new),
            Err(index) => {
                let name = Name::new(first.as_bytes()).expect("a name of a path");
                entries.insert(
                    index,
                    Entry {
                        name,
                        node: Node::Directory(new),
                    },
                );
            }
        }
        Ok(Arc::new(Self::new(entries, self.function)))
    }

    /// Whether one of the `contents` is in the tree. Looks at each directory
    /// once, however often it is there.
    pub(crate) fn find_content(&self, contents: &[Arc<Content>]) -> Option<usize> {
        let mut seen = HashSet::new();
        let mut pending = vec![self];
        while let Some(directory) = pending.pop() {
            if !seen.insert(std::ptr::from_ref(directory)) {
                continue;
            }
            for entry in &directory.entries {
                match &entry.node {
                    Node::Directory(child) => pending.push(child),
                    Node::File(file) => {
                        let is_this = |content: &Arc<Content>| Arc::ptr_eq(content, &file.content);
                        if let Some(index) = contents.iter().position(is_this) {
                            return Some(index);
                        }
                    }
                    Node::Symlink { .. } => {}
                }
            }
        }
        None
    }

    fn position(&self, name: &OsStr) -> Result<usize, usize> {
        self.entries
            .binary_search_by(|entry| (*entry.name).cmp(name))
    }
}

fn joined(names: &[&OsStr]) -> Vec<u8> {
    names.join(OsStr::new("/")).into_encoded_bytes()
}

fn check_sorted<'a>(names: impl Iterator<Item = &'a String>) -> Result<(), DirectoryError> {
    let mut last: Option<&String> = None;
    for name in names {
        if last.is_some_and(|last| last >= name) {
            return Err(DirectoryError::Unsorted(shortened(name)));
        }
        last = Some(name);
    }
    Ok(())
}

fn parse_name(name: &str) -> Result<Name, DirectoryError> {
    Name::new(name).map_err(|source| DirectoryError::Name {
        name: shortened(name),
        source,
    })
}

fn parse_digest(name: &str, digest: Option<&wire::Digest>) -> Result<Digest, DirectoryError> {
    Digest::parse(digest).map_err(|source| DirectoryError::Digest {
        name: shortened(name),
        source,
    })
}

fn shortened(name: &str) -> String {
    name.chars().take(NAME_BYTES_MAX).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;

    fn digest(text: &str) -> Option<wire::Digest> {
        HashFunction::Sha256
            .digest(text.as_bytes())
            .as_ref()
            .map(wire::Digest::from)
    }

    fn file(name: &str) -> wire::FileNode {
        wire::FileNode {
            name: name.into(),
            digest: digest(name),
            is_executable: false,
        }
    }

    fn link(name: &str, target: &str) -> wire::SymlinkNode {
        wire::SymlinkNode {
            name: name.into(),
            target: target.into(),
        }
    }

    fn decoded(directory: &wire::Directory) -> Result<Vec<String>, String> {
        match Listing::decode(&directory.encode_to_vec()) {
            Ok(Listing(entries)) => Ok(entries.iter().map(|(name, _)| name.to_string()).collect()),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn entries_of_all_kinds_are_one_sorted_list() {
        let directory = wire::Directory {
            files: vec![file("b"), file("d")],
            directories: vec![wire::DirectoryNode {
                name: "c".into(),
                digest: digest(""),
            }],
            symlinks: vec![link("a", "../x")],
        };
        assert_eq!(decoded(&directory).unwrap(), ["a", "b", "c", "d"]);
    }

    #[test]
    fn what_is_not_canonical_is_refused_by_name() {
        let with_files = |files: Vec<wire::FileNode>| wire::Directory {
            files,
            ..wire::Directory::default()
        };
        let with_links = |symlinks| wire::Directory {
            symlinks,
            ..wire::Directory::default()
        };
        let mut twice = with_files(vec![file("a")]);
        twice.symlinks = vec![link("a", "b")];
        let mut bare = file("a");
        bare.digest = None;
        let cases = [
            (
                with_files(vec![file("b"), file("a")]),
                "\"a\" does not come after",
            ),
            (
                with_files(vec![file("a"), file("a")]),
                "\"a\" does not come after",
            ),
            (twice, "\"a\" is there twice"),
            (with_files(vec![file("..")]), "\"..\": `.` and `..`"),
            (
                with_files(vec![file("a/b")]),
                "\"a/b\": a name contains `/`",
            ),
            (with_files(vec![file("")]), "\"\": a name is empty"),
            (with_files(vec![bare]), "\"a\": there is no digest"),
            (
                with_links(vec![link("l", "")]),
                "\"l\": a symbolic link needs",
            ),
            (
                with_links(vec![link("l", "a\0")]),
                "\"l\": a symbolic link needs",
            ),
        ];
        for (directory, expected) in cases {
            let error = decoded(&directory).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
        assert!(Listing::decode(b"\xff").is_err());
    }

    /// Every directory of a tree, by path.
    fn directories(root: &Arc<Directory>) -> BTreeMap<String, *const Directory> {
        let mut all = BTreeMap::new();
        let mut pending = vec![(String::new(), root.clone())];
        while let Some((path, directory)) = pending.pop() {
            for entry in directory.entries() {
                if let Node::Directory(child) = &entry.node {
                    pending.push((format!("{path}/{}", entry.name), child.clone()));
                }
            }
            all.insert(path, Arc::as_ptr(&directory));
        }
        all
    }

    proptest! {
        #[test]
        fn a_new_directory_costs_only_the_way_to_it(
            paths in prop::collection::btree_set("[ab](/[ab]){0,4}", 0..8),
            added in "[abc](/[abc]){0,4}",
        ) {
            let empty = Arc::new(Directory::new(Vec::new(), HashFunction::Sha256));
            let path = |text: &str| ViewPath::parse(text.as_bytes()).unwrap();
            let tree = paths.iter().fold(empty, |tree, text| {
                tree.with_directory(&path(text)).unwrap()
            });
            let before = directories(&tree);
            let with = tree.with_directory(&path(&added)).unwrap();
            let after = directories(&with);

            let way: BTreeSet<String> = path(&added)
                .names()
                .scan(String::new(), |way, name| {
                    *way = format!("{way}/{}", name.display());
                    Some(way.clone())
                })
                .chain([String::new()])
                .collect();
            let is_new = !before.keys().any(|path| *path == format!("/{added}"));
            for (path, directory) in &after {
                let is_shared = before.get(path) == Some(directory);
                prop_assert_eq!(is_shared, !(is_new && way.contains(path)), "{}", path);
            }
            prop_assert_eq!(
                after.len(),
                before.keys().chain(&way).collect::<BTreeSet<_>>().len()
            );
        }
    }
}
