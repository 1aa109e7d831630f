//! The trees that are made of what Bazel pushes, and what that costs.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use proptest::prelude::*;
use prost::Message;
use tempfile::TempDir;
use transom_bazel::backend::{
    Directory, HashFunction, Store, StoreStatistics, TREE_DEPTH_MAX, Unresolved, wire,
};
use transom_projection::{HostRoot, Projection, ProjectionOptions};
use transom_test::bazel::{Input, MerkleTree};
use transom_test::temp_dir;

/// An exec root with files, and a store that knows nothing yet.
struct Fixture {
    directory: TempDir,
    store: Store,
}

impl Fixture {
    fn new() -> Self {
        Self::with_descriptors(None)
    }

    fn with_descriptors(descriptors: Option<usize>) -> Self {
        let options = ProjectionOptions {
            owners: None,
            descriptors,
        };
        Self {
            directory: temp_dir().unwrap(),
            store: Store::new(Projection::new(HostRoot::of_process().unwrap(), options)),
        }
    }

    fn exec_root(&self) -> &Path {
        self.directory.path()
    }

    fn file(&self, path: &str, content: &str) -> Input {
        let host_path = self.exec_root().join("w").join(path);
        fs::create_dir_all(host_path.parent().unwrap()).unwrap();
        // Another file of that name, as tools that build make it.
        let new = host_path.with_extension("new");
        fs::write(&new, content).unwrap();
        fs::rename(new, host_path).unwrap();
        Input::File(path.into())
    }

    fn tree(&self, inputs: &[Input]) -> MerkleTree {
        MerkleTree::build(self.exec_root(), "w", inputs).unwrap()
    }

    fn push(&self, tree: &MerkleTree) {
        let push = wire::Push {
            blobs: tree.blobs.clone(),
            content: tree.content.clone(),
        };
        self.store.push(push, self.exec_root());
    }

    fn resolve(&self, root: &wire::Digest) -> Result<Arc<Directory>, Unresolved> {
        self.store
            .resolve(Some(root), HashFunction::Sha256, self.exec_root())
    }

    /// What it cost to push and make a tree.
    fn cost(&self, inputs: &[Input]) -> StoreStatistics {
        let before = self.store.statistics();
        let tree = self.tree(inputs);
        self.push(&tree);
        self.resolve(&tree.root).unwrap();
        let after = self.store.statistics();
        StoreStatistics {
            directories_made: after.directories_made - before.directories_made,
            directories_found: after.directories_found - before.directories_found,
            files_opened: after.files_opened - before.files_opened,
            times_forgotten: after.times_forgotten - before.times_forgotten,
        }
    }
}

#[test]
fn an_unchanged_subtree_costs_nothing_the_second_time() {
    let fixture = Fixture::new();
    let mut inputs: Vec<Input> = (0..400)
        .map(|number| {
            let path = format!("lib/d{}/f{number}", number % 40);
            fixture.file(&path, &format!("content {number}"))
        })
        .collect();
    // The root, w, lib, and forty in it.
    let cold = StoreStatistics {
        directories_made: 43,
        files_opened: 400,
        ..StoreStatistics::default()
    };
    assert_eq!(fixture.cost(&inputs), cold);

    let warm = StoreStatistics {
        directories_found: 1,
        ..StoreStatistics::default()
    };
    assert_eq!(fixture.cost(&inputs), warm);

    // One file is another: its directory and those above it are too.
    fixture.file("lib/d7/f7", "changed");
    let changed = StoreStatistics {
        directories_made: 4,
        directories_found: 39,
        files_opened: 1,
        ..StoreStatistics::default()
    };
    assert_eq!(fixture.cost(&inputs), changed);

    // Another action, with a source of its own beside the same library.
    inputs.push(fixture.file("main.c", "main"));
    let other_action = StoreStatistics {
        directories_made: 2,
        directories_found: 1,
        files_opened: 1,
        ..StoreStatistics::default()
    };
    assert_eq!(fixture.cost(&inputs), other_action);
}

#[test]
fn a_tree_that_contains_one_directory_again_and_again_is_made_once() {
    let fixture = Fixture::new();
    let mut blobs = HashMap::new();
    let mut add = |directory: &wire::Directory| {
        let bytes = directory.encode_to_vec();
        let digest = HashFunction::Sha256.digest(&bytes).unwrap();
        blobs.insert(digest.hash().to_owned(), bytes);
        wire::Digest::from(&digest)
    };
    let of_two = |child: &wire::Digest| wire::Directory {
        directories: ["a", "b"]
            .map(|name| wire::DirectoryNode {
                name: name.into(),
                digest: Some(child.clone()),
            })
            .into(),
        ..wire::Directory::default()
    };
    let mut roots = vec![add(&wire::Directory {
        symlinks: vec![wire::SymlinkNode {
            name: "l".into(),
            target: "t".into(),
        }],
        ..wire::Directory::default()
    })];
    for _ in 0..=TREE_DEPTH_MAX {
        roots.push(add(&of_two(roots.last().unwrap())));
    }
    let push = wire::Push {
        blobs,
        ..wire::Push::default()
    };
    fixture.store.push(push.clone(), fixture.exec_root());
    // 2^100 paths.
    fixture.resolve(&roots[100]).unwrap();
    assert_eq!(fixture.store.statistics().directories_made, 101);

    let deep = Fixture::new();
    deep.store.push(push, deep.exec_root());
    let error = deep.resolve(roots.last().unwrap()).unwrap_err();
    assert!(matches!(error, Unresolved::TooDeep(_)), "{error}");
}

#[test]
fn what_is_missing_is_named_all_at_once() {
    let fixture = Fixture::new();
    let inputs = [fixture.file("a/f", "one"), fixture.file("b/f", "two")];
    let tree = fixture.tree(&inputs);
    fs::remove_file(fixture.exec_root().join("w/a/f")).unwrap();
    let missing = |fixture: &Fixture| match fixture.resolve(&tree.root) {
        Err(Unresolved::Missing(hashes)) => hashes,
        other => panic!("{other:?}"),
    };
    assert_eq!(missing(&fixture), BTreeSet::from([tree.root.hash.clone()]));
    fixture.push(&tree);
    let file = HashFunction::Sha256.digest(b"one").unwrap();
    assert_eq!(missing(&fixture), BTreeSet::from([file.hash().to_owned()]));

    let inline = wire::Content {
        source: Some(wire::Source::Inline(b"one".to_vec())),
        retention: wire::Retention::Reuse as i32,
    };
    let push = wire::Push {
        content: [(file.hash().to_owned(), inline)].into(),
        ..wire::Push::default()
    };
    fixture.store.push(push, fixture.exec_root());
    fixture.resolve(&tree.root).unwrap();
}

#[test]
fn what_is_not_what_its_digest_says_is_refused_by_name() {
    let fixture = Fixture::new();
    let inputs = [fixture.file("d/f", "one")];
    let mut tree = fixture.tree(&inputs);
    fs::write(fixture.exec_root().join("w/d/f"), "longer").unwrap();
    fixture.push(&tree);
    let error = fixture.resolve(&tree.root).unwrap_err().to_string();
    assert!(error.starts_with("the file `w/d/f`: `"), "{error}");
    assert!(
        error.contains("w/d/f` has 6 bytes, its digest says 3"),
        "{error}"
    );

    let fixture = Fixture::new();
    let other = wire::Directory::default().encode_to_vec();
    tree.blobs.insert(tree.root.hash.clone(), other);
    fixture.push(&tree);
    let error = fixture.resolve(&tree.root).unwrap_err();
    assert!(matches!(error, Unresolved::WrongDigest { .. }), "{error}");

    let fixture = Fixture::new();
    let bytes = b"no directory".to_vec();
    let digest = HashFunction::Sha256.digest(&bytes).unwrap();
    let push = wire::Push {
        blobs: [(digest.hash().to_owned(), bytes)].into(),
        ..wire::Push::default()
    };
    fixture.store.push(push, fixture.exec_root());
    let error = fixture.resolve(&wire::Digest::from(&digest)).unwrap_err();
    assert!(matches!(error, Unresolved::Directory { .. }), "{error}");
}

#[test]
fn what_nobody_uses_makes_room_for_what_somebody_needs() {
    let fixture = Fixture::with_descriptors(Some(10));
    let tree_of = |name: &str, count: u32| {
        let inputs: Vec<Input> = (0..count)
            .map(|number| fixture.file(&format!("{name}/{number}"), &format!("{name} {number}")))
            .collect();
        let tree = fixture.tree(&inputs);
        fixture.push(&tree);
        tree.root
    };
    let (first, second) = (tree_of("first", 8), tree_of("second", 8));
    let used = fixture.resolve(&first).unwrap();
    let error = fixture.resolve(&second).unwrap_err();
    assert!(matches!(error, Unresolved::NoDescriptor(_)), "{error}");
    drop(used);
    fixture.resolve(&second).unwrap();
    // What was forgotten is made again: its directories are still there.
    fixture.resolve(&first).unwrap();
    assert!(fixture.store.statistics().times_forgotten >= 2);
}

#[test]
fn what_one_action_alone_uses_is_made_for_each() {
    let fixture = Fixture::new();
    let inputs = [
        fixture.file("lib/f", "shared"),
        Input::Virtual {
            path: "p.params".into(),
            bytes: b"--own".to_vec(),
        },
    ];
    fixture.cost(&inputs);
    // The root and w hold the parameters; lib does not.
    let again = StoreStatistics {
        directories_made: 2,
        directories_found: 1,
        ..StoreStatistics::default()
    };
    assert_eq!(fixture.cost(&inputs), again);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn each_digest_is_made_once(
        paths in prop::collection::btree_set("[a-c](/[a-c]){0,3}/f[01]", 1..20),
        contents in prop::collection::vec("[xy]{1,2}", 20),
    ) {
        let fixture = Fixture::new();
        let inputs: Vec<Input> = paths
            .iter()
            .zip(&contents)
            .map(|(path, content)| fixture.file(path, content))
            .collect();
        let tree = fixture.tree(&inputs);
        let used: BTreeSet<_> = contents.iter().take(paths.len()).collect();
        let cost = fixture.cost(&inputs);
        prop_assert_eq!(cost.directories_made as usize, tree.blobs.len());
        prop_assert_eq!(cost.files_opened as usize, used.len());
        prop_assert_eq!(fixture.cost(&inputs).directories_made, 0);
    }
}

/// Files that are given by path are opened relative to the exec root.
#[test]
fn a_relative_location_begins_at_the_exec_root() {
    let fixture = Fixture::new();
    fixture.file("real", "bytes");
    let displaced = Input::Displaced {
        path: "tool.runfiles/real".into(),
        exec_path: "real".into(),
    };
    let tree = fixture.tree(&[displaced]);
    fixture.push(&tree);
    let real: PathBuf = fixture.exec_root().join("w/real");
    fs::remove_file(real).unwrap();
    fixture.resolve(&tree.root).unwrap();
    assert_eq!(fixture.store.statistics().files_opened, 1);
}
