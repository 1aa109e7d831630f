//! Where outputs go, as the host's file system knows it.
//!
//! A path is no identity: `real/f`, `link/f` and `./real/../real/f` may be one
//! name, and `x/y` lies in `x` however the two are spelled. So a destination is
//! resolved to a [`Place`], and to the places of all directories around it.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};
use std::rc::Rc;

use rustix::fs::{Access, AtFlags, CWD, FileType};
use rustix::io::Errno;
use transom_projection::shown;

/// Something in the host's tree: a directory that exists, or a name that is
/// below one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Place {
    device: u64,
    inode: u64,
    below: PathBuf,
}

impl Place {
    fn of_directory(path: &Path) -> std::io::Result<Self> {
        let metadata = fs::metadata(path)?;
        Ok(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            below: PathBuf::new(),
        })
    }

    pub(super) fn entry(&self, name: &OsStr) -> Self {
        Self {
            below: self.below.join(name),
            ..self.clone()
        }
    }
}

/// A directory, which may have to be made.
#[derive(Debug)]
pub(super) struct Directory {
    /// Its path, without symbolic links and `..`.
    pub(super) path: PathBuf,
    /// Itself and those around it, innermost first.
    pub(super) places: Vec<Place>,
    /// The innermost of them that exists.
    pub(super) existing: PathBuf,
}

impl Directory {
    /// Says why not in words.
    fn resolve(path: &Path) -> Result<Self, String> {
        let names: Vec<Component<'_>> = path.components().collect();
        for known in (1..=names.len()).rev() {
            let existing: PathBuf = names[..known].iter().collect();
            match fs::canonicalize(&existing) {
                Ok(existing) => return Self::below(existing, &names[known..]),
                Err(error)
                    if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {}
                Err(error) => return Err(format!("`{}`: {error}", shown(&existing))),
            }
        }
        Err("its path is not absolute".into())
    }

    /// The directory called `rest` below one that exists and holds nothing of
    /// the first of those names.
    fn below(existing: PathBuf, rest: &[Component<'_>]) -> Result<Self, String> {
        let unusable = |error: std::io::Error| format!("`{}`: {error}", shown(&existing));
        if rest.contains(&Component::ParentDir) {
            // What is to be made is a directory and no link, so `..` is what
            // it looks like, and may lead to something that exists.
            let mut path = existing;
            for name in rest {
                match name {
                    Component::ParentDir => _ = path.pop(),
                    name => path.push(name),
                }
            }
            return Self::resolve(&path);
        }
        if !fs::metadata(&existing).map_err(unusable)?.is_dir() {
            return Err(format!("`{}` is not a directory", shown(&existing)));
        }
        let mut places = existing
            .ancestors()
            .map(Place::of_directory)
            .collect::<std::io::Result<Vec<_>>>()
            .map_err(unusable)?;
        let mut path = existing.clone();
        for name in rest {
            path.push(name);
            if places.len() == existing.ancestors().count() && fs::symlink_metadata(&path).is_ok() {
                return Err(format!("`{}` is a symbolic link to nothing", shown(&path)));
            }
            let place = places.first().map(|around| around.entry(name.as_os_str()));
            places.splice(0..0, place);
        }
        Ok(Self {
            path,
            places,
            existing,
        })
    }

    /// Whether names can be made in it, as far as permissions tell.
    pub(super) fn check_writable(&self) -> Result<(), String> {
        let wanted = Access::WRITE_OK | Access::EXEC_OK;
        match rustix::fs::accessat(CWD, &self.existing, wanted, AtFlags::EACCESS) {
            Err(error @ (Errno::ACCESS | Errno::PERM | Errno::ROFS)) => {
                Err(format!("`{}`: {error}", shown(&self.existing)))
            }
            _ => Ok(()),
        }
    }
}

/// Resolves the paths of directories, each of them once.
#[derive(Default)]
pub(super) struct Directories {
    resolved: HashMap<PathBuf, Result<Rc<Directory>, String>>,
}

impl Directories {
    pub(super) fn resolve(&mut self, path: &Path) -> Result<Rc<Directory>, String> {
        if let Some(known) = self.resolved.get(path) {
            return known.clone();
        }
        let directory = Directory::resolve(path).map(Rc::new);
        self.resolved.insert(path.to_owned(), directory.clone());
        directory
    }
}

/// The destination of an output.
#[derive(Debug)]
pub(super) struct Destination {
    /// The directory it lies in.
    pub(super) directory: Rc<Directory>,
    /// Its name there.
    pub(super) name: OsString,
    /// What is there now. Not followed: a symbolic link is replaced, and
    /// nothing is written through it.
    pub(super) found: Option<FileType>,
}

impl Destination {
    /// Says why not in words.
    pub(super) fn resolve(path: &Path, directories: &mut Directories) -> Result<Self, String> {
        let mut path = std::path::absolute(path).map_err(|error| error.to_string())?;
        if path.ends_with("..") {
            path = fs::canonicalize(&path).map_err(|error| error.to_string())?;
        }
        let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
            return Err("it is the root of the host".into());
        };
        let directory = directories.resolve(directory)?;
        let found = rustix::fs::lstat(directory.path.join(name));
        Ok(Self {
            found: found.ok().map(|stat| FileType::from_raw_mode(stat.st_mode)),
            name: name.to_owned(),
            directory,
        })
    }

    /// Its path, without symbolic links and `..`.
    pub(super) fn path(&self) -> PathBuf {
        self.directory.path.join(&self.name)
    }

    /// Its name in its directory.
    pub(super) fn place(&self) -> Option<Place> {
        let around = self.directory.places.first();
        around.map(|around| around.entry(&self.name))
    }

    /// Itself, as what lies in it would be found: by name if it does not exist.
    pub(super) fn as_directory(&self) -> Option<Place> {
        match self.found {
            Some(FileType::Directory) => Place::of_directory(&self.path()).ok(),
            _ => self.place(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn place(path: &Path) -> Place {
        let destination = Destination::resolve(path, &mut Directories::default()).unwrap();
        destination.place().unwrap()
    }

    #[test]
    fn one_name_has_one_place_however_it_is_spelled() {
        let directory = transom_test::temp_dir().unwrap();
        let at = |name: &str| directory.path().join(name);
        fs::create_dir(at("real")).unwrap();
        symlink("real", at("link")).unwrap();
        for same in [
            "link/f",
            "./real/../real/f",
            "real/new/../f",
            "new/../real/f",
        ] {
            assert_eq!(place(&at(same)), place(&at("real/f")), "{same}");
        }
        assert_eq!(place(&at("link/new/f")), place(&at("real/new/f")));
        for other in ["real/g", "f", "real/f/f", "link"] {
            assert_ne!(place(&at(other)), place(&at("real/f")), "{other}");
        }
    }

    #[test]
    fn what_no_directory_can_be_made_in_is_named() {
        let directory = transom_test::temp_dir().unwrap();
        let at = |name: &str| directory.path().join(name);
        fs::write(at("file"), "").unwrap();
        symlink("nothing", at("dangling")).unwrap();
        let why = |name: &str| {
            Destination::resolve(&at(name), &mut Directories::default())
                .map(|_| ())
                .unwrap_err()
        };
        assert!(why("file/f").ends_with("file` is not a directory"));
        assert!(why("file/new/f").ends_with("file` is not a directory"));
        assert!(why("dangling/f").ends_with("dangling` is a symbolic link to nothing"));
        let root = Destination::resolve(Path::new("/.."), &mut Directories::default());
        assert_eq!(root.unwrap_err(), "it is the root of the host");
    }
}
