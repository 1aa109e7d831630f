//! A view as naively as it can be written: a map from paths to what they are.
//!
//! Random operations are applied to the model and to a [`Subject`] (the
//! projection called directly, or a mounted view), and afterwards both have to
//! show the same tree. Nothing here is shared with the code under test but the
//! types that declarations are made of.

mod host_files;
mod operations;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use transom_projection::{Change, Declaration, Mapping, ViewPath};

pub use host_files::HostFiles;
pub use operations::{NAMES, Operation, declarations, operations};

/// How many symbolic links the kernel follows in one path.
const SYMLINKS_FOLLOWED_MAX: usize = 40;

/// What somebody inside a view sees at a path, when no symbolic link is
/// followed, neither on the way nor at the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// Nothing.
    Absent,
    /// A regular file.
    File {
        /// What it holds.
        bytes: Vec<u8>,
        /// Whether its owner may execute it.
        executable: bool,
    },
    /// A symbolic link with this target.
    Symlink(OsString),
    /// A directory with these names.
    Directory(BTreeSet<OsString>),
}

/// A view under test.
pub trait Subject {
    /// Looks at a path.
    fn see(&mut self, path: &ViewPath) -> Seen;

    /// Steers the view; says whether the batch was accepted.
    fn steer(&mut self, changes: Vec<Change>) -> bool;
}

/// The naive view.
#[derive(Debug, Clone, Default)]
pub struct Model {
    entries: BTreeMap<ViewPath, Entry>,
}

#[derive(Debug, Clone)]
enum Entry {
    File {
        bytes: Vec<u8>,
        executable: Executable,
    },
    Whole(PathBuf),
    Symlink(OsString),
    Directory {
        implied: bool,
    },
}

#[derive(Debug, Clone, Copy)]
struct Executable {
    declared: Option<bool>,
    on_host: bool,
}

/// The operation is not possible.
#[derive(Debug)]
struct Refused;

/// Where a path has led so far.
#[derive(Debug, Default)]
struct Place {
    /// Declared names, from the root.
    at: Vec<OsString>,
    /// How many names below `at`, which is a whole directory then.
    below: usize,
}

impl Model {
    /// The model of some declarations; `None` if they contradict each other.
    #[must_use]
    pub fn build(declarations: &[Declaration]) -> Option<Self> {
        let mut model = Self::default();
        // In the order of the paths a directory is declared before it is
        // implied, and whatever is in the way comes first.
        let mut sorted: Vec<_> = declarations.iter().collect();
        sorted.sort_by(|one, other| one.name.cmp(&other.name));
        for declaration in sorted {
            model.add(declaration).ok()?;
        }
        let links_end = model.entries.keys().all(|name| model.ends(name));
        links_end.then_some(model)
    }

    /// Applies a batch as a whole or not at all; says whether it did.
    pub fn steer(&mut self, changes: &[Change]) -> bool {
        let mut changed = self.clone();
        let is_possible = changes.iter().all(|change| changed.apply(change).is_ok());
        let links_end = changes.iter().all(|change| match change {
            Change::Add(declaration) | Change::Replace(declaration) => {
                changed.ends(&declaration.name)
            }
            Change::Withdraw(_) | Change::Redirect { .. } => true,
        });
        if is_possible && links_end {
            *self = changed;
        }
        is_possible && links_end
    }

    /// What is at `path`.
    #[must_use]
    pub fn see(&self, path: &ViewPath) -> Seen {
        if path.is_root() {
            return Seen::Directory(self.names(path));
        }
        match self.entries.get(path) {
            Some(Entry::File { bytes, executable }) => Seen::File {
                bytes: bytes.clone(),
                executable: executable.declared.unwrap_or(executable.on_host),
            },
            Some(Entry::Symlink(target)) => Seen::Symlink(target.clone()),
            Some(Entry::Directory { .. }) => Seen::Directory(self.names(path)),
            Some(Entry::Whole(source)) => see_on_host(source),
            None => self.see_below_whole(path),
        }
    }

    /// Compares every path that could matter. Panics where `subject` differs.
    pub fn compare(&self, subject: &mut impl Subject) {
        for path in self.probes() {
            assert_eq!(
                subject.see(&path),
                self.see(&path),
                "at `{path}` of {self:#?}"
            );
        }
    }

    fn apply(&mut self, change: &Change) -> Result<(), Refused> {
        match change {
            Change::Add(declaration) => self.add(declaration),
            Change::Replace(Declaration { name, mapping, .. }) => {
                let is_empty = self.names(name).is_empty();
                match (self.entries.get(name), mapping) {
                    (None, _) => return Err(Refused),
                    (Some(Entry::Directory { .. }), mapping)
                        if !is_empty && *mapping != Mapping::EmptyDirectory =>
                    {
                        return Err(Refused);
                    }
                    _ => {}
                }
                self.entries.insert(name.clone(), Entry::of(mapping)?);
                Ok(())
            }
            Change::Withdraw(name) => {
                if !self.entries.contains_key(name) {
                    return Err(Refused);
                }
                self.entries.retain(|path, _| !path.starts_with(name));
                Ok(())
            }
            Change::Redirect { name, source } => {
                let source = source.clone();
                let mapping = match self.entries.get(name).ok_or(Refused)? {
                    Entry::File { executable, .. } => Mapping::File {
                        source,
                        executable: executable.declared,
                    },
                    Entry::Whole(_) => Mapping::Directory { source },
                    Entry::Symlink(_) | Entry::Directory { .. } => return Err(Refused),
                };
                self.entries.insert(name.clone(), Entry::of(&mapping)?);
                Ok(())
            }
        }
    }

    fn add(&mut self, Declaration { name, mapping, .. }: &Declaration) -> Result<(), Refused> {
        let entry = Entry::of(mapping)?;
        let mut ancestor = name.parent();
        while let Some(directory) = ancestor.filter(|directory| !directory.is_root()) {
            match self.entries.get(&directory) {
                None => {
                    let implied = Entry::Directory { implied: true };
                    self.entries.insert(directory.clone(), implied);
                }
                Some(Entry::Directory { .. }) => {}
                Some(_) => return Err(Refused),
            }
            ancestor = directory.parent();
        }
        match (self.entries.get(name), &entry) {
            (None, _) | (Some(Entry::Directory { implied: true }), Entry::Directory { .. }) => {
                self.entries.insert(name.clone(), entry);
                Ok(())
            }
            _ => Err(Refused),
        }
    }

    /// The names that are declared in a directory.
    fn names(&self, directory: &ViewPath) -> BTreeSet<OsString> {
        self.entries
            .keys()
            .filter(|path| path.parent().as_ref() == Some(directory))
            .filter_map(|path| path.file_name().map(OsStr::to_os_string))
            .collect()
    }

    fn see_below_whole(&self, path: &ViewPath) -> Seen {
        let mut below = Vec::new();
        let mut ancestor = path.clone();
        while let (Some(parent), Some(name)) = (ancestor.parent(), ancestor.file_name()) {
            below.push(name.to_os_string());
            if let Some(Entry::Whole(source)) = self.entries.get(&parent) {
                let mut host_path = source.clone();
                for name in below.iter().rev() {
                    if !is_directory(&host_path) {
                        return Seen::Absent;
                    }
                    host_path.push(name);
                }
                return see_on_host(&host_path);
            }
            ancestor = parent;
        }
        Seen::Absent
    }

    /// Whether following what is at `name`, if it is a symbolic link, comes to
    /// an end.
    fn ends(&self, name: &ViewPath) -> bool {
        let Some(Entry::Symlink(_)) = self.entries.get(name) else {
            return true;
        };
        let mut left = SYMLINKS_FOLLOWED_MAX + 1;
        self.follow(Place::default(), name.as_os_str(), &mut left);
        left > 0
    }

    /// Follows `path` from `start`; `None` when it leads to nothing known, or
    /// when `left` links have been followed.
    fn follow(&self, start: Place, path: &OsStr, left: &mut usize) -> Option<Place> {
        let mut place = match path.as_bytes().first() {
            Some(b'/') => Place::default(),
            _ => start,
        };
        for name in path.as_bytes().split(|byte| *byte == b'/') {
            let at = &mut place.at;
            let entry = self.entries.get(&joined(at));
            let is_whole = matches!(entry, Some(Entry::Whole(_)));
            let is_directory =
                at.is_empty() || is_whole || matches!(entry, Some(Entry::Directory { .. }));
            match name {
                b"" => continue,
                _ if !is_directory => return None,
                b"." => continue,
                b".." if place.below > 0 => {
                    place.below -= 1;
                    continue;
                }
                b".." => {
                    at.pop();
                    continue;
                }
                _ if is_whole => {
                    place.below += 1;
                    continue;
                }
                name => at.push(OsStr::from_bytes(name).to_os_string()),
            }
            if let Some(Entry::Symlink(target)) = self.entries.get(&joined(at)) {
                *left -= 1;
                if *left == 0 {
                    return None;
                }
                at.pop();
                place = self.follow(place, target, left)?;
            } else if !self.entries.contains_key(&joined(at)) {
                return None;
            }
        }
        Some(place)
    }

    /// Paths worth looking at: everything declared, what could be declared
    /// beside or below it, and what whole directories hold.
    fn probes(&self) -> BTreeSet<ViewPath> {
        let mut probes = BTreeSet::from([ViewPath::root()]);
        for path in self.entries.keys() {
            for name in NAMES
                .iter()
                .copied()
                .chain(HostFiles::NAMES_BELOW.map(str::as_bytes))
            {
                let below = ViewPath::parse(name).expect("a clean path");
                probes.insert(path.join_path(&below));
                probes.insert(path.parent().unwrap_or_default().join_path(&below));
            }
            probes.insert(path.clone());
        }
        probes
    }
}

impl Entry {
    /// What a mapping leads to at this moment.
    fn of(mapping: &Mapping) -> Result<Self, Refused> {
        match mapping {
            Mapping::File { source, executable } => match see_on_host(&real(source)?) {
                Seen::File {
                    bytes,
                    executable: on_host,
                } => Ok(Self::File {
                    bytes,
                    executable: Executable {
                        declared: *executable,
                        on_host,
                    },
                }),
                _ => Err(Refused),
            },
            Mapping::Directory { source } => {
                let source = real(source)?;
                is_directory(&source)
                    .then_some(Self::Whole(source))
                    .ok_or(Refused)
            }
            Mapping::Symlink { target } => Ok(Self::Symlink(target.clone())),
            Mapping::EmptyDirectory => Ok(Self::Directory { implied: false }),
        }
    }
}

fn real(source: &Path) -> Result<PathBuf, Refused> {
    fs::canonicalize(source).map_err(|_| Refused)
}

fn is_directory(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir())
}

/// Looks at the host; pipes and the like are not there.
fn see_on_host(path: &Path) -> Seen {
    let Ok(metadata) = fs::symlink_metadata(path) else {
        return Seen::Absent;
    };
    if metadata.is_symlink() {
        Seen::Symlink(fs::read_link(path).expect("a symbolic link").into())
    } else if metadata.is_dir() {
        let names = fs::read_dir(path).expect("a readable directory");
        let names = names.map(|entry| entry.expect("a readable directory"));
        Seen::Directory(
            names
                .filter(|entry| see_on_host(&entry.path()) != Seen::Absent)
                .map(|entry| entry.file_name())
                .collect(),
        )
    } else if metadata.is_file() {
        Seen::File {
            bytes: fs::read(path).expect("a readable file"),
            executable: metadata.permissions().mode() & 0o100 != 0,
        }
    } else {
        Seen::Absent
    }
}

fn joined(names: &[OsString]) -> ViewPath {
    ViewPath::parse(names.join(OsStr::new("/")).as_bytes()).unwrap_or_default()
}
