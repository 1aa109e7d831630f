use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;

use transom_projection::{ViewPath, shown};

use super::{Store, Unresolved};
use crate::backend::content::{Content, NotCaptured};
use crate::backend::directory::{
    Directory, Entry, FileNode, Listed, Listing, Node, TREE_DEPTH_MAX,
};
use crate::backend::{Digest, HashFunction};

/// Makes one tree.
pub(super) struct Resolver<'a> {
    store: &'a Store,
    function: HashFunction,
    exec_root: &'a Path,
    /// What became of each digest: a tree may contain one again and again.
    met: HashMap<Digest, Option<Arc<Directory>>>,
    pub(super) missing: BTreeSet<String>,
}

impl<'a> Resolver<'a> {
    pub(super) fn new(store: &'a Store, function: HashFunction, exec_root: &'a Path) -> Self {
        Self {
            store,
            function,
            exec_root,
            met: HashMap::new(),
            missing: BTreeSet::new(),
        }
    }

    /// `None` if something is missing in it.
    pub(super) fn directory(
        &mut self,
        digest: &Digest,
        path: &ViewPath,
        depth: usize,
    ) -> Result<Option<Arc<Directory>>, Unresolved> {
        if depth > TREE_DEPTH_MAX {
            return Err(Unresolved::TooDeep(path.clone()));
        }
        if let Some(met) = self.met.get(digest) {
            return Ok(met.clone());
        }
        let blob = {
            let mut tables = self.store.tables();
            if let Some(made) = tables.directories.get(digest).cloned() {
                tables.counts.directories_found += 1;
                return Ok(Some(made));
            }
            tables.blobs.get(digest.hash()).cloned()
        };
        // What is empty is always there.
        let blob = match blob {
            None if digest.size() == 0 => Some(Arc::default()),
            blob => blob,
        };
        let made = match blob {
            Some(blob) => self.make(digest, &blob, path, depth)?,
            None => {
                self.missing.insert(digest.hash().into());
                None
            }
        };
        self.met.insert(digest.clone(), made.clone());
        Ok(made)
    }

    fn make(
        &mut self,
        digest: &Digest,
        blob: &[u8],
        path: &ViewPath,
        depth: usize,
    ) -> Result<Option<Arc<Directory>>, Unresolved> {
        if self
            .function
            .digest(blob)
            .is_some_and(|found| found != *digest)
        {
            return Err(Unresolved::WrongDigest {
                path: path.clone(),
                digest: digest.clone(),
            });
        }
        let Listing(listing) = Listing::decode(blob).map_err(|source| Unresolved::Directory {
            path: path.clone(),
            digest: digest.clone(),
            source,
        })?;
        let count = listing.len();
        let mut entries = Vec::with_capacity(count);
        for (name, listed) in listing {
            let path = path.join(&name);
            let node = match listed {
                Listed::Directory(digest) => self
                    .directory(&digest, &path, depth + 1)?
                    .map(Node::Directory),
                Listed::File {
                    digest,
                    is_executable,
                } => self.content(&digest, &path)?.map(|content| {
                    Node::File(FileNode {
                        id: self.store.next_id(),
                        digest,
                        content,
                        is_executable,
                    })
                }),
                Listed::Symlink { target } => Some(Node::Symlink {
                    id: self.store.next_id(),
                    target: target.into(),
                }),
            };
            entries.extend(node.map(|node| Entry { name, node }));
        }
        if entries.len() < count {
            return Ok(None);
        }
        let made = Arc::new(Directory::new(entries, self.function));
        let mut tables = self.store.tables();
        tables.counts.directories_made += 1;
        if made.is_single_use() {
            return Ok(Some(made));
        }
        // Another request may have been faster. There is one of each.
        let made = tables.directories.entry(digest.clone()).or_insert(made);
        Ok(Some(made.clone()))
    }

    fn content(
        &mut self,
        digest: &Digest,
        path: &ViewPath,
    ) -> Result<Option<Arc<Content>>, Unresolved> {
        let known = self.store.tables().contents.get(digest.hash()).cloned();
        let content = match known {
            Some(known) => known,
            None if digest.size() == 0 => {
                let Ok(empty) = Content::inline(b"", false) else {
                    return Err(Unresolved::NoDescriptor(path.clone()));
                };
                self.store
                    .tables()
                    .add_content(digest.hash(), Arc::new(empty))
            }
            None => {
                let host_path = self.exec_root.join(path.as_os_str());
                match self.store.capture(&host_path, false) {
                    Ok(captured) => {
                        check_size(&captured, digest, path)?;
                        self.store
                            .tables()
                            .add_content(digest.hash(), Arc::new(captured))
                    }
                    Err(NotCaptured::NotThere(problem)) => {
                        tracing::debug!("`{path}` was not pushed, and {problem}");
                        self.missing.insert(digest.hash().into());
                        return Ok(None);
                    }
                    Err(NotCaptured::NoDescriptor) => {
                        return Err(Unresolved::NoDescriptor(path.clone()));
                    }
                }
            }
        };
        check_size(&content, digest, path)?;
        content.note_use();
        Ok(Some(content))
    }
}

/// What costs nothing is checked always.
fn check_size(content: &Content, digest: &Digest, path: &ViewPath) -> Result<(), Unresolved> {
    if content.size() == digest.size() {
        return Ok(());
    }
    let host_path = content.host_path();
    Err(Unresolved::WrongSize {
        path: path.clone(),
        host_path: host_path
            .map_or_else(|| "what was pushed".into(), |path| shown(path).to_string()),
        digest: digest.clone(),
        found: content.size(),
    })
}
