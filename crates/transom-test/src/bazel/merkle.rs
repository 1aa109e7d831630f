use std::collections::BTreeMap;
use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use prost::Message;
use transom_bazel::backend::{HashFunction, wire};

/// One input of an action.
#[derive(Debug, Clone)]
pub enum Input {
    /// A file at its own path below the exec root.
    File(String),
    /// A file that an action sees elsewhere, as programs see their runfiles.
    Displaced {
        /// Where the action sees it.
        path: String,
        /// Where it is.
        exec_path: String,
    },
    /// Bytes that are in no file, as parameter files are.
    Virtual {
        /// Where the action sees them.
        path: String,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// A symbolic link.
    Symlink {
        /// Where it is.
        path: String,
        /// What it says.
        target: String,
    },
    /// An empty directory.
    Directory(String),
}

/// The inputs of an action, as REAPI has them.
#[derive(Debug, Clone, Default)]
pub struct MerkleTree {
    /// The digest of the root.
    pub root: wire::Digest,
    /// Serialized directories by hash.
    pub blobs: HashMap<String, Vec<u8>>,
    /// Contents that are not at the default location, by hash.
    pub content: HashMap<String, wire::Content>,
}

#[derive(Debug, Default)]
struct Node {
    directories: BTreeMap<String, Node>,
    files: BTreeMap<String, wire::FileNode>,
    symlinks: BTreeMap<String, String>,
}

impl MerkleTree {
    /// Hashes the `inputs` of an action in `workspace`, a directory of
    /// `exec_root`.
    pub fn build(exec_root: &Path, workspace: &str, inputs: &[Input]) -> io::Result<Self> {
        let mut tree = Self::default();
        let mut root = Node::default();
        for input in inputs {
            match input {
                Input::File(path) => {
                    let found = fs::canonicalize(exec_root.join(workspace).join(path))?;
                    let is_executable = fs::metadata(&found)?.permissions().mode() & 0o100 != 0;
                    let digest = digest(&fs::read(found)?);
                    root.file(workspace, path, digest, is_executable);
                }
                Input::Displaced { path, exec_path } => {
                    let host_path = exec_root.join(workspace).join(exec_path);
                    let digest = digest(&fs::read(&host_path)?);
                    let location = wire::Content {
                        // As Bazel does it: relative to the exec root.
                        source: Some(wire::Source::Location(format!("{workspace}/{exec_path}"))),
                        retention: wire::Retention::Reuse as i32,
                    };
                    tree.content.insert(digest.hash.clone(), location);
                    root.file(workspace, path, digest, true);
                }
                Input::Virtual { path, bytes } => {
                    let digest = digest(bytes);
                    let inline = wire::Content {
                        source: Some(wire::Source::Inline(bytes.clone())),
                        retention: wire::Retention::SingleUse as i32,
                    };
                    tree.content.insert(digest.hash.clone(), inline);
                    root.file(workspace, path, digest, false);
                }
                Input::Symlink { path, target } => {
                    let (directory, name) = root.way_to(workspace, path);
                    directory.symlinks.insert(name, target.clone());
                }
                Input::Directory(path) => {
                    root.way_to(workspace, &format!("{path}/."));
                }
            }
        }
        tree.root = root.seal(&mut tree.blobs);
        Ok(tree)
    }
}

impl Node {
    fn file(&mut self, workspace: &str, path: &str, digest: wire::Digest, is_executable: bool) {
        let (directory, name) = self.way_to(workspace, path);
        let file = wire::FileNode {
            name: name.clone(),
            digest: Some(digest),
            is_executable,
        };
        directory.files.insert(name, file);
    }

    /// The directory that holds `path`, and the last name.
    fn way_to(&mut self, workspace: &str, path: &str) -> (&mut Self, String) {
        let mut names: Vec<&str> = std::iter::once(workspace).chain(path.split('/')).collect();
        let last = names.pop().unwrap_or_default().to_owned();
        let directory = names.into_iter().fold(self, |node, name| {
            node.directories.entry(name.to_owned()).or_default()
        });
        (directory, last)
    }

    fn seal(self, blobs: &mut HashMap<String, Vec<u8>>) -> wire::Digest {
        let directories = self.directories.into_iter();
        let directory = wire::Directory {
            files: self.files.into_values().collect(),
            directories: directories
                .map(|(name, node)| wire::DirectoryNode {
                    name,
                    digest: Some(node.seal(blobs)),
                })
                .collect(),
            symlinks: self
                .symlinks
                .into_iter()
                .map(|(name, target)| wire::SymlinkNode { name, target })
                .collect(),
        };
        let bytes = directory.encode_to_vec();
        let digest = digest(&bytes);
        blobs.insert(digest.hash.clone(), bytes);
        digest
    }
}

fn digest(bytes: &[u8]) -> wire::Digest {
    let digest = HashFunction::Sha256.digest(bytes);
    wire::Digest::from(&digest.expect("SHA-256 is known"))
}
