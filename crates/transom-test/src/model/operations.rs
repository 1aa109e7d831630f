use std::sync::Arc;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use transom_projection::{Change, Declaration, Mapping, Origin, ViewPath};

use super::HostFiles;

/// The names that random paths are made of: few, so that they collide.
pub const NAMES: [&[u8]; 4] = [b"a", b"b", b"B", b"\xff c"];

/// One step of a random test.
#[derive(Debug, Clone)]
pub enum Operation {
    /// Steer the view.
    Steer(Vec<Change>),
    /// Replace that regular file on the host.
    Replace(usize),
}

/// Random declarations; about half of the lists contradict themselves.
pub fn declarations(files: &HostFiles) -> impl Strategy<Value = Vec<Declaration>> + use<> {
    vec(declaration(files), 0..6)
}

/// Random operations, possible and impossible ones.
pub fn operations(files: &HostFiles) -> impl Strategy<Value = Vec<Operation>> + use<> {
    let sources = sources(files);
    let change = prop_oneof![
        4 => declaration(files).prop_map(Change::Add),
        2 => declaration(files).prop_map(Change::Replace),
        2 => path().prop_map(Change::Withdraw),
        1 => (path(), prop::sample::select(sources))
            .prop_map(|(name, source)| Change::Redirect { name, source }),
    ];
    let operation = prop_oneof![
        3 => vec(change, 1..4).prop_map(Operation::Steer),
        1 => (0..HostFiles::FILES).prop_map(Operation::Replace),
    ];
    vec(operation, 0..8)
}

fn declaration(files: &HostFiles) -> impl Strategy<Value = Declaration> + use<> {
    let origin = Origin {
        source: Arc::from("random"),
        line: None,
    };
    (path(), mapping(files)).prop_map(move |(name, mapping)| Declaration {
        name,
        mapping,
        origin: origin.clone(),
    })
}

fn mapping(files: &HostFiles) -> impl Strategy<Value = Mapping> + use<> {
    let file = (
        prop::sample::select(sources(files)),
        option::of(any::<bool>()),
    );
    let directories: Vec<_> = (0..HostFiles::DIRECTORIES)
        .map(|index| files.directory(index))
        .collect();
    let targets = ["a", "b", "../a", "/a/b", "B/../b", ".", "nowhere"];
    prop_oneof![
        4 => file.prop_map(|(source, executable)| Mapping::File { source, executable }),
        2 => prop::sample::select(directories).prop_map(|source| Mapping::Directory { source }),
        2 => prop::sample::select(targets.to_vec())
            .prop_map(|target| Mapping::Symlink { target: target.into() }),
        2 => Just(Mapping::EmptyDirectory),
    ]
}

/// Regular files mostly.
fn sources(files: &HostFiles) -> Vec<std::path::PathBuf> {
    let regular = (0..HostFiles::FILES).map(|index| files.file(index));
    let other = [files.link(), files.directory(0), files.missing()];
    // Twice as many regular files as there are, to weigh them.
    regular.clone().chain(regular).chain(other).collect()
}

fn path() -> impl Strategy<Value = ViewPath> {
    vec(prop::sample::select(NAMES.to_vec()), 1..4)
        .prop_map(|names| ViewPath::parse(&names.join(&b'/')).expect("names joined by slashes"))
}
