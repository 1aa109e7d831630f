//! What the mappings of one sandbox come to.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{Mode, OFlags};
use transom_projection::Mapping as Declared;
use transom_projection::{Declaration, Errors, Origin, Tree, TreeError, ViewPath, shown};

use super::protocol::Mapping;

/// What Bazel maps where a file is to be empty: `/dev/null`.
const NULL_DEVICE: (u32, u32) = (1, 3);

/// Why a mapping is not possible.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MappingError {
    /// The host would not show what is to be mapped.
    #[error("cannot map `{}` as `/{path}`: {error}", shown(source_path))]
    Host {
        /// Where in the sandbox.
        path: ViewPath,
        /// Where on the host.
        source_path: PathBuf,
        /// What the host said.
        error: io::Error,
    },
    /// Neither file nor directory.
    #[error(
        "cannot map `{}` as `/{path}`: it is neither a file nor a directory",
        shown(source_path)
    )]
    Special {
        /// Where in the sandbox.
        path: ViewPath,
        /// Where on the host.
        source_path: PathBuf,
    },
    /// A name that is mapped already, or lies in what is.
    #[error("cannot map `/{path}`: `/{within}` is mapped already")]
    Taken {
        /// The name.
        path: ViewPath,
        /// What is mapped.
        within: ViewPath,
    },
    /// The sandbox itself was mapped, but not as a writable directory.
    #[error("the root of a sandbox can only be mapped to a writable directory")]
    Root,
    /// The names do not go together.
    #[error(transparent)]
    Tree(Errors<TreeError>),
}

/// The mappings of one sandbox: a tree to be pinned, and what is not of it.
#[derive(Debug)]
pub(crate) struct Contents {
    /// What is read, and the directories that are written.
    pub(crate) tree: Tree,
    pub(crate) writable: HashMap<ViewPath, Arc<OwnedFd>>,
    pub(crate) files: Files,
}

/// Files that the tree does not have, by the directory they are in.
pub(crate) type Files = HashMap<ViewPath, BTreeMap<OsString, OwnFile>>;

#[derive(Debug, Clone)]
pub(crate) enum OwnFile {
    /// A host file that may be written.
    Writable(Arc<OwnedFd>),
    /// A file with nothing in it.
    Empty,
}

impl Contents {
    /// Looks at everything that is mapped. `id` is the sandbox, for messages.
    pub(crate) fn new(id: &str, mappings: &[Mapping]) -> Result<Self, MappingError> {
        let origin = Origin {
            source: format!("sandbox `{}`", shown(id)).into(),
            line: None,
        };
        let mut declarations = Vec::with_capacity(mappings.len());
        let mut directories = Vec::new();
        let mut contents = Self {
            tree: Tree::build(Vec::new()).map_err(MappingError::Tree)?,
            writable: HashMap::new(),
            files: HashMap::new(),
        };
        for mapping in without_redundant(mappings)? {
            let found = Found::at(mapping)?;
            let declared = match found {
                Found::Declared(declared) if !mapping.path.is_root() => declared,
                Found::Writable(directory) => {
                    contents.writable.insert(mapping.path.clone(), directory);
                    directories.push(mapping.path.clone());
                    continue;
                }
                Found::Own(file) if !mapping.path.is_root() => {
                    let parent = mapping.path.parent().unwrap_or_default();
                    let name = mapping.path.file_name().unwrap_or_default();
                    let files = contents.files.entry(parent.clone()).or_default();
                    files.insert(name.to_owned(), file);
                    directories.push(parent);
                    continue;
                }
                Found::Declared(_) | Found::Own(_) => return Err(MappingError::Root),
            };
            declarations.push(Declaration {
                name: mapping.path.clone(),
                mapping: declared,
                origin: origin.clone(),
            });
        }
        contents.tree = Tree::build(declarations).map_err(MappingError::Tree)?;
        for directory in directories {
            let required = contents.tree.require_directory(&directory, &origin);
            required.map_err(|error| MappingError::Tree(error.into()))?;
        }
        Ok(contents)
    }
}

/// The mappings in the order of their names, without those that only say again
/// what a directory around them says.
fn without_redundant(mappings: &[Mapping]) -> Result<Vec<&Mapping>, MappingError> {
    let mut sorted: Vec<_> = mappings.iter().collect();
    sorted.sort_by(|one, other| one.path.cmp(&other.path));
    let mut kept: Vec<&Mapping> = Vec::with_capacity(sorted.len());
    // The last one that has no names of its own below it, and the last of all.
    let mut closed: Option<&Mapping> = None;
    for mapping in sorted {
        let same = kept.last().filter(|last| last.path == mapping.path);
        let around = closed.filter(|closed| mapping.path.starts_with(&closed.path));
        match around.or(same.copied()) {
            None => {
                kept.push(mapping);
                if !mapping.writable {
                    closed = Some(mapping);
                }
            }
            Some(around) if says_again(around, mapping) => {}
            Some(around) => {
                return Err(MappingError::Taken {
                    path: mapping.path.clone(),
                    within: around.path.clone(),
                });
            }
        }
    }
    Ok(kept)
}

fn says_again(around: &Mapping, mapping: &Mapping) -> bool {
    let depth = around.path.names().count();
    let below: PathBuf = mapping.path.names().skip(depth).collect();
    around.writable == mapping.writable
        && mapping.source.strip_prefix(&around.source) == Ok(below.as_path())
}

/// What is at the host's end of a mapping.
enum Found {
    Declared(Declared),
    Writable(Arc<OwnedFd>),
    Own(OwnFile),
}

impl Found {
    fn at(mapping: &Mapping) -> Result<Self, MappingError> {
        let failed = |error| MappingError::Host {
            path: mapping.path.clone(),
            source_path: mapping.source.clone(),
            error,
        };
        let source = mapping.source.clone();
        let metadata = match fs::metadata(&source) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound && !mapping.writable => {
                // A link that leads to nothing is one nevertheless.
                let target = fs::read_link(&source).map_err(|_| failed(error))?;
                let target = target.into_os_string();
                return Ok(Self::Declared(Declared::Symlink { target }));
            }
            Err(error) => return Err(failed(error)),
        };
        let kind = metadata.file_type();
        Ok(match (kind.is_dir(), mapping.writable) {
            (true, true) => Self::Writable(open(&source, OFlags::DIRECTORY).map_err(failed)?),
            (true, false) => Self::Declared(Declared::Directory { source }),
            (false, true) if kind.is_file() => {
                let file = open(&source, OFlags::empty()).map_err(failed)?;
                Self::Own(OwnFile::Writable(file))
            }
            (false, false) if kind.is_file() => Self::Declared(Declared::File {
                source,
                executable: None,
            }),
            _ if kind.is_char_device() && device(&metadata) == NULL_DEVICE => {
                Self::Own(OwnFile::Empty)
            }
            _ => {
                return Err(MappingError::Special {
                    path: mapping.path.clone(),
                    source_path: source,
                });
            }
        })
    }
}

fn device(metadata: &fs::Metadata) -> (u32, u32) {
    let device = metadata.rdev();
    (rustix::fs::major(device), rustix::fs::minor(device))
}

fn open(path: &Path, flags: OFlags) -> io::Result<Arc<OwnedFd>> {
    let flags = flags | OFlags::PATH | OFlags::CLOEXEC;
    Ok(Arc::new(rustix::fs::open(path, flags, Mode::empty())?))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn mapping(path: &str, source: &Path, writable: bool) -> Mapping {
        Mapping {
            path: ViewPath::parse_inside(path.as_bytes()).unwrap(),
            source: source.to_owned(),
            writable,
        }
    }

    fn contents(mappings: &[Mapping]) -> Result<Contents, String> {
        Contents::new("7", mappings).map_err(|error| error.to_string())
    }

    #[test]
    fn files_directories_links_and_what_is_written() {
        let host = tempfile::tempdir().unwrap();
        let at = |name: &str| host.path().join(name);
        fs::create_dir(at("dir")).unwrap();
        fs::write(at("file"), "").unwrap();
        symlink("file", at("link")).unwrap();
        symlink("nowhere", at("dangling")).unwrap();
        let contents = contents(&[
            mapping("/", &at("dir"), true),
            mapping("/a/file", &at("file"), false),
            mapping("/a/link", &at("link"), false),
            mapping("/a/dangling", &at("dangling"), false),
            mapping("/a/dir", &at("dir"), false),
            mapping("/b/out", &at("dir"), true),
            mapping("/c/written", &at("file"), true),
            mapping("/c/empty", Path::new("/dev/null"), false),
        ])
        .unwrap();
        // a, its four names, b, out, c.
        assert_eq!(contents.tree.len(), 8);
        assert_eq!(contents.writable.len(), 2);
        let files = &contents.files[&ViewPath::parse(b"c").unwrap()];
        assert!(matches!(
            files["written".as_ref() as &std::ffi::OsStr],
            OwnFile::Writable(_)
        ));
        assert!(matches!(
            files["empty".as_ref() as &std::ffi::OsStr],
            OwnFile::Empty
        ));
    }

    #[test]
    fn what_a_directory_has_already_may_be_said_again() {
        let host = tempfile::tempdir().unwrap();
        let at = |name: &str| host.path().join(name);
        fs::create_dir_all(at("dir/sub")).unwrap();
        fs::write(at("dir/sub/file"), "").unwrap();
        let whole = mapping("/d", &at("dir"), false);
        let file = mapping("/d/sub/file", &at("dir/sub/file"), false);
        let both = contents(&[file.clone(), whole.clone(), file.clone()]).unwrap();
        assert_eq!(both.tree.len(), 1);
        let other = mapping("/d/sub/file", &at("dir/sub"), false);
        for bad in [
            [whole.clone(), other],
            [whole.clone(), mapping("/d/sub", &at("dir/sub"), true)],
            [
                file.clone(),
                mapping("/d/sub/file/x", &at("dir/sub/file"), false),
            ],
            [
                mapping("/w", &at("dir"), true),
                mapping("/w", &at("dir/sub"), true),
            ],
        ] {
            let error = contents(&bad).unwrap_err();
            assert!(error.contains("is mapped already"), "{error}");
        }
    }

    #[test]
    fn what_cannot_be_mapped_is_named() {
        let host = tempfile::tempdir().unwrap();
        let missing = host.path().join("missing");
        for (mapping, expected) in [
            (mapping("/x", &missing, false), "missing` as `/x`"),
            (mapping("/x", &missing, true), "No such file"),
            (
                mapping("/x", Path::new("/dev/zero"), false),
                "neither a file",
            ),
            (mapping("/", host.path(), false), "root of a sandbox"),
        ] {
            let error = contents(&[mapping]).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }
}
