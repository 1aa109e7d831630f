//! Why a name answers the way it does.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use serde_json::json;
use transom_projection::{Change, Tree};

use crate::fixture::{Fixture, directory, file, file_with, link, path, whole};

#[test]
fn without_a_view_declarations_are_explained() {
    let tree = Tree::build(vec![
        file_with("src/main.c", Path::new("/srv/main.c"), false),
        file("src/main.h", Path::new("/srv/main.h")),
        file("src/mainly-other.txt", Path::new("/srv/x")),
        whole("usr", Path::new("/usr")),
        link("include", "src"),
        link("dangling", "nowhere"),
        directory("empty"),
    ])
    .unwrap();
    let at = "declared at test.json:7";
    let cases = [
        (
            "src/main.c",
            format!("is the host file `/srv/main.c`, shown as not executable, {at}"),
        ),
        (
            "src",
            "is a directory of the view with 3 names, implied by test.json:7".to_owned(),
        ),
        (
            "empty",
            format!("is a directory of the view with 0 names, {at}"),
        ),
        (
            "usr",
            format!("is the host directory `/usr` as a whole, {at}"),
        ),
        (
            "usr/bin/gcc",
            "is `/usr/bin/gcc` on the host, if that exists; `usr` is mapped as a whole at \
             test.json:7"
                .to_owned(),
        ),
        (
            "include",
            format!("is a symbolic link to `src`, {at}, which leads to `src`"),
        ),
        (
            "dangling",
            format!("is a symbolic link to `nowhere`, {at}, which leads to nothing in this view"),
        ),
        (
            "include/main.h",
            format!(
                "goes through the symbolic link `include`, and is the host file `/srv/main.h`, {at}"
            ),
        ),
        (
            "src/main.s",
            "does not exist: `src/main.s` is not declared; similar names are `src/main.c`, \
             `src/main.h`"
                .to_owned(),
        ),
        (
            "src/Main.C",
            "does not exist: `src/Main.C` is not declared, but `src/main.c` is, and upper and \
             lower case differ"
                .to_owned(),
        ),
        (
            "srv/deep/below",
            "does not exist: `srv` is not declared; similar names are `src`".to_owned(),
        ),
        (
            "src/main.c/below",
            "does not exist: `src/main.c` is a file, declared at test.json:7".to_owned(),
        ),
        (
            "include/zzz",
            "goes through the symbolic link `include`, and does not exist: `src/zzz` is not \
             declared"
                .to_owned(),
        ),
    ];
    for (name, expected) in cases {
        let explained = tree.explain(&path(name)).to_string();
        assert_eq!(explained, format!("`{name}` {expected}"));
    }
}

#[test]
fn a_view_knows_versions_and_what_became_of_them() {
    let fixture = Fixture::new();
    let names = ["same", "changed", "replaced", "deleted"];
    let declared = names.map(|name| file(name, &fixture.write(name, "old")));
    let view = fixture.view(declared.to_vec());
    fixture.write("changed", "changed");
    fixture.replace("replaced", "new");
    fs::remove_file(fixture.host("deleted")).unwrap();
    let states = ["unchanged", "changed-in-place", "replaced", "deleted"];
    for (name, state) in names.into_iter().zip(states) {
        let explained = serde_json::to_value(view.explain(&path(name))).unwrap();
        assert_eq!(explained["answer"]["is"], "file", "{explained}");
        assert_eq!(explained["answer"]["pinned"]["state"], state, "{explained}");
        assert_eq!(explained["answer"]["pinned"]["stamp"]["size"], 3);
    }
    let sentence = view.explain(&path("deleted")).to_string();
    assert!(
        sentence.contains("; the host file was deleted after it was pinned (pinned: inode "),
        "{sentence}"
    );
}

#[test]
fn withdrawn_names_are_remembered() {
    let fixture = Fixture::new();
    let source = fixture.write("f", "");
    let view = fixture.view(vec![file("d/sub/f", &source), file("d/g", &source)]);
    view.update(vec![Change::Withdraw(path("d/g"))]).unwrap();
    view.update(vec![Change::Withdraw(path("d/sub"))]).unwrap();
    let explained = serde_json::to_value(view.explain(&path("d/sub/f"))).unwrap();
    assert_eq!(
        explained,
        json!({
            "path": "d/sub/f",
            "answer": {"is": "absent", "because": "withdrawn", "withdrawn": "d/sub", "epoch": 2},
        })
    );
    assert_eq!(
        view.explain(&path("d/g")).to_string(),
        "`d/g` does not exist: `d/g` was withdrawn in epoch 1"
    );
}

#[test]
fn whole_directories_are_looked_into_without_pinning() {
    let fixture = Fixture::new();
    fixture.write("d/sub/f", "f");
    symlink("sub", fixture.host("d/short")).unwrap();
    symlink("/elsewhere", fixture.host("d/out")).unwrap();
    let source = fixture.host("d");
    let outside = fixture.write("outside", "");
    let view = fixture.view(vec![whole("w", &source), file("elsewhere/x", &outside)]);
    let check = || {
        let is = |name: &str| view.explain(&path(name)).to_string();
        let host = source.display();
        let at = "`w` is mapped as a whole at test.json:7";
        let found = is("w/sub/f");
        assert!(
            found.starts_with(&format!(
                "`w/sub/f` is a file, `{host}/sub/f` on the host; {at}"
            )),
            "{found}"
        );
        let found = is("w/short/f");
        assert!(
            found.starts_with(&format!(
                "`w/short/f` goes through the symbolic link `w/short`, and is a file, \
                 `{host}/sub/f` on the host"
            )),
            "{found}"
        );
        assert_eq!(
            is("w/short"),
            format!("`w/short` is a symbolic link, `{host}/short` on the host; {at}")
        );
        let found = is("w/out/x");
        assert!(
            found.starts_with(
                "`w/out/x` goes through the symbolic link `w/out`, and is the host file"
            ),
            "{found}"
        );
        assert_eq!(
            is("w/none/f"),
            format!(
                "`w/none/f` does not exist: `w` is mapped as a whole, and the host has no file, \
                 directory or symbolic link `{host}/none/f`"
            )
        );
    };
    check();
    let mut client = fixture.client(&view);
    for name in ["w/sub/f", "w/short", "w/out", "w/none"] {
        client.find(name);
    }
    check();
    let pinned = serde_json::to_value(view.explain(&path("w/sub/f"))).unwrap();
    assert_eq!(pinned["answer"]["pinned"]["state"], "unchanged");
}
