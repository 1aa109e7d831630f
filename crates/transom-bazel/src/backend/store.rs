//! What Bazel has pushed, and the trees that were made of it.
//!
//! Three tables, all by hash: serialized directories as they came, contents,
//! and directories that were made. The last is the cache: a directory in
//! it is complete with everything below, so whoever asks for its digest is
//! done. Making one opens each file once that nobody has pushed or opened yet.
//!
//! The bytes of directories are kept for good, although what was made of them
//! is kept too. Bazel believes that what it pushed once is there. It is told
//! what is missing and pushes that again, but only twice, and of a directory
//! that is missing nobody can tell what is missing below. What was made, and
//! contents, can be made again at once, and are forgotten when descriptors run
//! out: contents that were pushed come back after one answer.

mod resolver;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use transom_module::ItemId;
use transom_projection::{Projection, ViewPath, shown};

use crate::backend::content::{Changed, Content, NotCaptured};
use crate::backend::digest::{InvalidDigest, check_hash};
use crate::backend::directory::{Directory, DirectoryError, TREE_DEPTH_MAX};
use crate::backend::{Digest, HashFunction, wire};
use resolver::Resolver;

/// The most bytes of serialized directories: those of some ten million files.
pub const DIRECTORY_BYTES_MAX: usize = 1 << 30;

/// The most bytes of contents that came with messages.
pub const INLINE_BYTES_MAX: u64 = 1 << 30;

/// The most contents. What a process may have open is the limit before.
pub const CONTENTS_MAX: usize = 1 << 22;

/// How many files that were changed in place are remembered.
const CHANGES_MAX: usize = 1 << 12;

/// See the head of this file.
#[derive(Debug)]
pub struct Store {
    projection: Projection,
    tables: Mutex<Tables>,
    next_id: AtomicU64,
}

#[derive(Debug, Default)]
struct Tables {
    blobs: HashMap<Box<str>, Arc<[u8]>>,
    blob_bytes: usize,
    contents: HashMap<Box<str>, Arc<Content>>,
    /// Hashes of those contents that one action alone has a use for.
    single_use: HashSet<Box<str>>,
    inline_bytes: u64,
    directories: HashMap<Digest, Arc<Directory>>,
    /// Files that turned out to be changed, the latest last.
    changes: Vec<(Arc<Content>, Changed)>,
    /// How many there were before these.
    changes_forgotten: usize,
    counts: StoreStatistics,
}

/// What a store has done so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StoreStatistics {
    /// Directories made.
    pub directories_made: u64,
    /// Directories, with all that is below, that were found made.
    pub directories_found: u64,
    /// Host files opened.
    pub files_opened: u64,
    /// How often everything that is not in use was forgotten.
    pub times_forgotten: u64,
}

/// Why there is no tree.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Unresolved {
    /// These hashes lead to nothing; pushing them helps.
    #[error("{} digests are missing", .0.len())]
    Missing(BTreeSet<String>),
    /// A digest that is none.
    #[error("the digest of the input root: {0}")]
    Root(#[from] InvalidDigest),
    /// Bytes that are no directory.
    #[error("the directory `{path}` ({digest}): {source}")]
    Directory {
        /// Where it is in the tree.
        path: ViewPath,
        /// Its digest.
        digest: Digest,
        /// What is wrong with it.
        source: DirectoryError,
    },
    /// Bytes that do not have the digest they were pushed under.
    #[error("the directory `{path}`: what was pushed as {digest} has another digest")]
    WrongDigest {
        /// Where it is in the tree.
        path: ViewPath,
        /// The digest.
        digest: Digest,
    },
    /// A tree without end.
    #[error("the directory `{0}` is too deep: at most {TREE_DEPTH_MAX} levels are accepted")]
    TooDeep(ViewPath),
    /// A host file that is not what its digest says.
    #[error("the file `{path}`: `{host_path}` has {found} bytes, its digest says {}: it was changed during the build", .digest.size())]
    WrongSize {
        /// Where it is in the tree.
        path: ViewPath,
        /// Where it is on the host.
        host_path: String,
        /// Its digest.
        digest: Digest,
        /// How many bytes it has.
        found: u64,
    },
    /// There is no room.
    #[error(
        "the file `{0}`: no more files can be held open, and nothing that is held can be given up; raise the limit of open files (`ulimit -n`), or run fewer actions at once"
    )]
    NoDescriptor(ViewPath),
    /// There is no room.
    #[error(
        "directories of {DIRECTORY_BYTES_MAX} bytes have been pushed, which is the limit; `bazel shutdown` begins anew"
    )]
    Full,
}

impl Store {
    /// An empty store, which pins host files by means of `projection`.
    #[must_use]
    pub fn new(projection: Projection) -> Self {
        Self {
            projection,
            tables: Mutex::default(),
            next_id: AtomicU64::new(ItemId::ROOT.raw() + 1),
        }
    }

    /// Takes what was pushed. Host paths are read now; relative ones begin at
    /// `exec_root`. What cannot be taken is missing when it is needed.
    pub fn push(&self, push: wire::Push, exec_root: &Path) {
        for (hash, bytes) in push.blobs {
            if let Err(error) = check_hash(&hash) {
                tracing::warn!("a directory was pushed whose digest is none: {error}");
                continue;
            }
            self.tables().add_blob(hash, bytes);
        }
        for (hash, content) in push.content {
            if let Err(error) = check_hash(&hash) {
                tracing::warn!("a file was pushed whose digest is none: {error}");
                continue;
            }
            if let Err(problem) = self.push_content(&hash, content, exec_root) {
                tracing::warn!("the file with the hash {hash} was pushed in vain: {problem}");
            }
        }
    }

    /// The tree below `root`. A file that was not pushed is captured at its
    /// path below `exec_root`.
    pub fn resolve(
        &self,
        root: Option<&wire::Digest>,
        function: HashFunction,
        exec_root: &Path,
    ) -> Result<Arc<Directory>, Unresolved> {
        let root = Digest::parse(root)?;
        let mut resolver = Resolver::new(self, function, exec_root);
        match resolver.directory(&root, &ViewPath::root(), 0)? {
            Some(directory) => Ok(directory),
            None if self.tables().is_full() => Err(Unresolved::Full),
            None => Err(Unresolved::Missing(resolver.missing)),
        }
    }

    /// What was done so far.
    #[must_use]
    pub fn statistics(&self) -> StoreStatistics {
        self.tables().counts
    }

    /// A number no item has had.
    pub(crate) fn next_id(&self) -> ItemId {
        ItemId::new(self.next_id.fetch_add(1, Ordering::Relaxed)).expect("numbers start above zero")
    }

    /// Remembers a file that is not what its digest says. Whoever needs that
    /// digest next will have to find it anew. Says whether that is news.
    pub(crate) fn note_change(&self, content: &Arc<Content>, change: &Changed) -> bool {
        let mut tables = self.tables();
        if tables
            .changes
            .iter()
            .any(|(known, _)| Arc::ptr_eq(known, content))
        {
            return false;
        }
        if tables.changes.len() == CHANGES_MAX {
            tables.changes.remove(0);
            tables.changes_forgotten += 1;
        }
        tables.changes.push((content.clone(), change.clone()));
        tables
            .contents
            .retain(|_, known| !Arc::ptr_eq(known, content));
        tables.directories.clear();
        true
    }

    /// How many changes were noted so far.
    pub(crate) fn changes_noted(&self) -> usize {
        let tables = self.tables();
        tables.changes_forgotten + tables.changes.len()
    }

    /// A file in `tree` that was noted as changed after `before` others.
    pub(crate) fn change_in(&self, tree: &Directory, before: usize) -> Option<Changed> {
        let tables = self.tables();
        let skipped = before.saturating_sub(tables.changes_forgotten);
        let changes = tables.changes.get(skipped..).unwrap_or_default();
        if changes.is_empty() {
            return None;
        }
        let contents: Vec<_> = changes.iter().map(|(content, _)| content.clone()).collect();
        tree.find_content(&contents)
            .map(|index| changes[index].1.clone())
    }

    /// Forgets contents that one action alone had a use for, and has not any
    /// more.
    pub(crate) fn forget_single_use(&self) {
        let mut tables = self.tables();
        let Tables {
            contents,
            single_use,
            inline_bytes,
            ..
        } = &mut *tables;
        single_use.retain(|hash| {
            let is_wanted =
                |content: &Arc<Content>| Arc::strong_count(content) > 1 || !content.was_used();
            let is_kept = contents.get(hash).is_some_and(is_wanted);
            if !is_kept && let Some(content) = contents.remove(hash) {
                *inline_bytes -= size_in_memory(&content);
            }
            is_kept
        });
    }

    fn push_content(
        &self,
        hash: &str,
        content: wire::Content,
        exec_root: &Path,
    ) -> Result<(), String> {
        let is_single_use = content.retention() == wire::Retention::SingleUse;
        let content = match content.source.ok_or("it has no source")? {
            wire::Source::Inline(bytes) => {
                let known = self.tables().inline_bytes;
                if known.saturating_add(bytes.len() as u64) > INLINE_BYTES_MAX {
                    return Err(format!(
                        "{known} bytes came with messages already, and the limit is {INLINE_BYTES_MAX}"
                    ));
                }
                Content::inline(&bytes, is_single_use).map_err(|error| error.to_string())?
            }
            wire::Source::Location(path) => {
                let path = exec_root.join(path);
                self.capture(&path, is_single_use)
                    .map_err(|not| match not {
                        NotCaptured::NotThere(problem) => problem,
                        NotCaptured::NoDescriptor => {
                            format!("`{}` cannot be held open, too many files are", shown(&path))
                        }
                    })?
            }
        };
        self.tables().add_content(hash, Arc::new(content));
        Ok(())
    }

    fn capture(&self, path: &Path, is_single_use: bool) -> Result<Content, NotCaptured> {
        let captured = match Content::capture(&self.projection, path, is_single_use) {
            Err(NotCaptured::NoDescriptor) => {
                self.tables().forget_unused();
                Content::capture(&self.projection, path, is_single_use)
            }
            done => done,
        };
        self.tables().counts.files_opened += u64::from(captured.is_ok());
        captured
    }

    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tables {
    fn is_full(&self) -> bool {
        self.blob_bytes >= DIRECTORY_BYTES_MAX
    }

    fn add_blob(&mut self, hash: String, bytes: Vec<u8>) {
        if self.is_full() {
            tracing::warn!(
                "the directory with the hash {hash} was pushed in vain: {}",
                Unresolved::Full
            );
            return;
        }
        self.blob_bytes += hash.len() + bytes.len();
        let old = self.blobs.insert(hash.into(), bytes.into());
        self.blob_bytes -= old.map_or(0, |old| old.len());
    }

    /// Whoever was first with the same bytes stays: others refer to it.
    fn add_content(&mut self, hash: &str, content: Arc<Content>) -> Arc<Content> {
        if let Some(known) = self.contents.get(hash) {
            return known.clone();
        }
        if self.contents.len() >= CONTENTS_MAX {
            self.forget_unused();
        }
        self.inline_bytes += size_in_memory(&content);
        if content.is_single_use() {
            self.single_use.insert(hash.into());
        }
        self.contents.insert(hash.into(), content.clone());
        content
    }

    /// Forgets what can be had again and no sandbox uses.
    fn forget_unused(&mut self) {
        self.directories.clear();
        let in_memory = &mut self.inline_bytes;
        self.contents.retain(|_, content| {
            let is_used = Arc::strong_count(content) > 1;
            if !is_used {
                *in_memory -= size_in_memory(content);
            }
            is_used
        });
        self.counts.times_forgotten += 1;
    }
}

/// The bytes of it that are not in a host file.
fn size_in_memory(content: &Content) -> u64 {
    match content.host_path() {
        None => content.size(),
        Some(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use prost::Message;
    use transom_projection::{HostRoot, ProjectionOptions};

    use super::*;

    fn digest(bytes: &[u8]) -> Digest {
        HashFunction::Sha256.digest(bytes).unwrap()
    }

    #[test]
    fn what_one_action_uses_stays_until_it_was_used() {
        let host = HostRoot::of_process().unwrap();
        let store = Store::new(Projection::new(host, ProjectionOptions::default()));
        let nowhere = Path::new("/nonexistent");
        let directory = wire::Directory {
            files: vec![wire::FileNode {
                name: "p.params".into(),
                digest: Some(wire::Digest::from(&digest(b"--own"))),
                is_executable: false,
            }],
            ..wire::Directory::default()
        };
        let blob = directory.encode_to_vec();
        let root = digest(&blob);
        let content = wire::Content {
            source: Some(wire::Source::Inline(b"--own".to_vec())),
            retention: wire::Retention::SingleUse as i32,
        };
        let push = wire::Push {
            blobs: [(root.hash().to_owned(), blob)].into(),
            content: [(digest(b"--own").hash().to_owned(), content)].into(),
        };
        store.push(push, nowhere);
        let root = wire::Digest::from(&root);
        let resolve = || store.resolve(Some(&root), HashFunction::Sha256, nowhere);

        // The sandboxes of others come and go meanwhile.
        store.forget_single_use();
        let tree = resolve().unwrap();
        store.forget_single_use();
        assert!(resolve().is_ok(), "it is in use");
        drop(tree);
        store.forget_single_use();
        let missing = resolve().unwrap_err();
        assert!(matches!(missing, Unresolved::Missing(_)), "{missing}");
        assert_eq!(store.tables().inline_bytes, 0);
    }
}
