use std::num::NonZeroU32;

use super::*;

fn path(text: &str) -> ViewPath {
    ViewPath::parse(text.as_bytes()).unwrap()
}

fn file(source: &str) -> Mapping {
    Mapping::File {
        source: source.into(),
        executable: None,
    }
}

fn whole(source: &str) -> Mapping {
    Mapping::Directory {
        source: source.into(),
    }
}

fn link(target: &str) -> Mapping {
    Mapping::Symlink {
        target: target.into(),
    }
}

/// Declarations from lines 1, 2, ... of `m.json`.
fn declarations<const N: usize>(entries: [(&str, Mapping); N]) -> Vec<Declaration> {
    entries
        .into_iter()
        .zip(1..)
        .map(|((name, mapping), line)| Declaration {
            name: path(name),
            mapping,
            origin: Origin {
                source: "m.json".into(),
                line: Some(line),
            },
        })
        .collect()
}

fn declaration(name: &str, mapping: Mapping) -> Declaration {
    declarations([(name, mapping)]).remove(0)
}

fn build<const N: usize>(entries: [(&str, Mapping); N]) -> Result<Tree, String> {
    Tree::build(declarations(entries)).map_err(|errors| errors.to_string())
}

/// All names in the order of a walk, directories with a trailing `/`.
fn names(tree: &Tree) -> Vec<String> {
    let mut names = Vec::new();
    let mut pending = vec![NodeId::ROOT];
    while let Some(id) = pending.pop() {
        let slash = match tree.node(id).kind {
            Kind::Directory(_) => "/",
            _ => "",
        };
        names.push(format!("{}{slash}", tree.path(id)));
        pending.extend(tree.sorted(id).rev());
    }
    names
}

fn listed(tree: &Tree, directory: &str, from: usize) -> Vec<(String, usize)> {
    let directory = tree.declared(&path(directory)).unwrap();
    tree.listing(directory, from)
        .map(|(child, next)| (tree.path(child).to_string(), next))
        .collect()
}

#[test]
fn parents_are_implied_and_order_does_not_matter() {
    let tree = build([
        ("b/c/d", file("/x")),
        ("a.c", file("/x")),
        ("a/b", link("nowhere")),
        ("b/c", Mapping::EmptyDirectory),
        ("a", Mapping::EmptyDirectory),
    ])
    .unwrap();
    assert_eq!(
        names(&tree),
        ["//", "a/", "a/b", "a.c", "b/", "b/c/", "b/c/d"]
    );
    assert_eq!(tree.len(), 6);
}

#[test]
fn conflicts_name_both_declarations() {
    let error = |result: Result<Tree, String>| result.map(drop).unwrap_err();
    assert_eq!(
        error(build([("a", file("/x")), ("a", file("/y"))])),
        "m.json:2: `a` is declared already at m.json:1; remove one of the two"
    );
    assert_eq!(
        error(build([("a/b", file("/x")), ("a", file("/y"))])),
        "m.json:1: `a/b` needs `a` to be a directory, but m.json:2 declares a file there; remove \
         one of the two"
    );
    assert_eq!(
        error(build([("a", link("b")), ("a/b/c", file("/y"))])),
        "m.json:2: `a/b/c` needs `a` to be a directory, but m.json:1 declares a symbolic link \
         there; remove one of the two"
    );
    assert_eq!(
        error(build([
            ("a/b", Mapping::EmptyDirectory),
            ("a", whole("/y"))
        ])),
        "m.json:1: `a/b` lies inside `a`, which m.json:2 maps as a whole; remove it, or declare \
         what `a` holds name by name"
    );
    assert_eq!(
        error(build([
            ("a", Mapping::EmptyDirectory),
            ("a", Mapping::EmptyDirectory)
        ])),
        "m.json:2: `a` is declared already at m.json:1; remove one of the two"
    );
    let root = Declaration {
        name: ViewPath::root(),
        ..declaration("a", Mapping::EmptyDirectory)
    };
    assert!(matches!(
        Tree::build(vec![root]).unwrap_err().shown(),
        [TreeError::Root { .. }]
    ));
}

#[test]
fn several_errors_are_shown_at_once_but_not_all() {
    let twice: Vec<_> = (0..50)
        .flat_map(|n| [n, n])
        .map(|n| declaration(&format!("f{n}"), file("/x")))
        .collect();
    let errors = Tree::build(twice).unwrap_err();
    assert_eq!(errors.shown().len(), crate::ERRORS_SHOWN_MAX);
    assert!(errors.to_string().ends_with("(stopped after 20 errors)"));
}

#[test]
fn symlink_loops_are_refused_once_with_their_chain() {
    let error = build([
        ("in", link("sub/a")),
        ("sub/a", link("/other/b")),
        ("other/b", link("../sub/./a")),
        ("other/fine", link("../sub")),
    ])
    .map(drop)
    .unwrap_err();
    assert_eq!(error.lines().count(), 1, "{error}");
    assert!(
        error.contains("`sub/a` -> `/other/b`, `other/b` -> `../sub/./a`, and so on"),
        "{error}"
    );
    assert!(build([("a", link("a"))]).is_err());
    assert!(build([("a", link("a/b"))]).is_err());
    assert!(build([("d/up", link("../d/up/x"))]).is_err());
}

#[test]
fn symlinks_that_end_are_fine() {
    build([
        ("dangling", link("nowhere/at/all")),
        ("d/self", link(".")),
        ("d/up", link("..")),
        ("above", link("../../../d")),
        ("usr", whole("/usr")),
        ("inside", link("usr/inside/usr")),
        ("through", link("d/self/self/self/f")),
        ("d/f", file("/x")),
        ("below-file", link("d/f/g")),
    ])
    .unwrap();
}

#[test]
fn a_chain_longer_than_the_kernel_follows_is_refused() {
    let chain = |length: usize| {
        let links = (0..length).map(|n| declaration(&n.to_string(), link(&(n + 1).to_string())));
        Tree::build(links.collect())
    };
    assert!(chain(40).is_ok());
    assert!(chain(42).is_err());
}

#[test]
fn mount_points_are_made_where_they_fit() {
    let mut tree = build([("a/b", file("/x")), ("usr", whole("/usr"))]).unwrap();
    let origin = Origin {
        source: "--out".into(),
        line: None,
    };
    for name in ["proc", "a", "a/c/d"] {
        tree.require_directory(&path(name), &origin).unwrap();
        tree.require_directory(&path(name), &origin).unwrap();
    }
    assert_eq!(
        names(&tree),
        ["//", "a/", "a/b", "a/c/", "a/c/d/", "proc/", "usr"]
    );
    let mut refused = |name: &str| {
        tree.require_directory(&path(name), &origin)
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        refused("a/b"),
        "--out: `a/b` has to be a plain directory, but m.json:1 declares a file there; remove one \
         of the two"
    );
    assert_eq!(
        refused("usr"),
        "--out: `usr` has to be a plain directory, but m.json:2 declares a host directory as a \
         whole there; remove one of the two"
    );
    assert!(refused("usr/local/x").contains("lies inside `usr`, which m.json:2 maps"));
}

#[test]
fn slots_stay_while_names_come_and_go() {
    let mut tree = build([
        ("d/a", file("/a")),
        ("d/b", file("/b")),
        ("d/c", file("/c")),
    ])
    .unwrap();
    let mut log = Log::default();
    tree.withdraw(&path("d/a"), NonZeroU32::MIN, &mut log)
        .unwrap();
    tree.add(declaration("d/0", file("/0")), &mut log).unwrap();
    let expected = [("d/b", 2), ("d/c", 3), ("d/0", 4)].map(|(name, next)| (name.into(), next));
    assert_eq!(listed(&tree, "d", 0), expected);
    assert_eq!(listed(&tree, "d", 2), expected[1..]);
    assert_eq!(listed(&tree, "d", 99), []);

    tree.add(declaration("d/a", link("b")), &mut log).unwrap();
    assert_eq!(listed(&tree, "d", 0)[0], ("d/a".into(), 1));
    assert_eq!(tree.nodes().len(), 6, "the slot was used again");
    assert_eq!(
        names(&tree),
        ["//", "d/", "d/0", "d/a", "d/b", "d/c"],
        "look-ups are sorted whatever the slots are"
    );
}

#[test]
fn a_directory_that_comes_back_is_empty() {
    let mut tree = build([("d/sub/a", file("/a"))]).unwrap();
    let mut log = Log::default();
    tree.withdraw(&path("d"), NonZeroU32::MIN, &mut log)
        .unwrap();
    assert_eq!(names(&tree), ["//"]);
    tree.add(declaration("d/b", file("/b")), &mut log).unwrap();
    assert_eq!(names(&tree), ["//", "d/", "d/b"]);
}

#[test]
fn undo_takes_back_every_kind_of_edit() {
    let entries = || {
        declarations([
            ("d/a", file("/a")),
            ("d/b", file("/b")),
            ("w", whole("/w")),
            ("e/f/g", link("x")),
        ])
    };
    let mut tree = Tree::build(entries()).unwrap();
    let untouched = format!("{:?}", Tree::build(entries()).unwrap());
    let mut log = Log::default();
    tree.add(declaration("d/new/x", file("/x")), &mut log)
        .unwrap();
    tree.withdraw(&path("d"), NonZeroU32::MIN, &mut log)
        .unwrap();
    tree.add(declaration("d", file("/now-a-file")), &mut log)
        .unwrap();
    tree.replace(declaration("w", Mapping::EmptyDirectory), &mut log)
        .unwrap();
    tree.add(declaration("w/below", file("/x")), &mut log)
        .unwrap();
    tree.redirect(&path("w/below"), Path::new("/y").into(), &mut log)
        .unwrap();
    tree.add(declaration("e/f", Mapping::EmptyDirectory), &mut log)
        .unwrap();
    tree.add(declaration("e/f/g/h", file("/x")), &mut log)
        .unwrap_err();
    tree.undo(log);
    assert_eq!(format!("{tree:?}"), untouched);
}

#[test]
fn edits_that_make_no_sense_are_refused() {
    let mut tree = build([("d/a", file("/a")), ("l", link("x")), ("w", whole("/w"))]).unwrap();
    let mut log = Log::default();
    assert_eq!(
        tree.replace(declaration("d", file("/x")), &mut log),
        Err(EditError::NotEmpty)
    );
    for missing in ["x", "d/x", "l/x", "w/x", "d/a/x"] {
        let missing = path(missing);
        assert_eq!(
            tree.withdraw(&missing, NonZeroU32::MIN, &mut log),
            Err(EditError::Missing),
            "{missing}"
        );
    }
    assert_eq!(
        tree.redirect(&path("l"), Path::new("/x").into(), &mut log),
        Err(EditError::NoSource("a symbolic link"))
    );
    let error = tree.add(declaration("d", file("/x")), &mut log);
    assert_eq!(
        error.unwrap_err().to_string(),
        "m.json:1: `d/a` needs `d` to be a directory, but m.json:1 declares a file there; remove \
         one of the two"
    );
    assert_eq!(log.touched().count(), 0);
}

#[test]
fn what_a_tree_declares_makes_the_same_tree_again() {
    let mut tree = build([
        ("a/b/f", file("/f")),
        ("a/l", link("b")),
        ("e", Mapping::EmptyDirectory),
        ("w", whole("/w")),
    ])
    .unwrap();
    let origin = Origin {
        source: "test".into(),
        line: None,
    };
    tree.require_directory(&path("a/out"), &origin).unwrap();
    let required: Vec<_> = tree.required().collect();
    assert_eq!(required, [path("a"), path("a/out")]);
    let mut again = Tree::build(tree.declarations().collect()).unwrap();
    for directory in &required {
        again.require_directory(directory, &origin).unwrap();
    }
    assert_eq!(names(&again), names(&tree));
}
