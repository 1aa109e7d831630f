//! What is refused when a view is made, and how sources are found.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat};
use transom_projection::{HostRoot, Projection, ProjectionOptions, Tree, ViewOptions};

use crate::client::Client;
use crate::fixture::{Fixture, directory, file, link, whole};

#[test]
fn every_bad_source_is_named_with_its_line() {
    let fixture = Fixture::new();
    let regular = fixture.write("regular", "");
    let pipe = fixture.host("pipe");
    mknodat(CWD, &pipe, FileType::Fifo, Mode::RWXU, 0).unwrap();
    let socket = fixture.host("socket");
    let _listener = UnixListener::bind(&socket).unwrap();
    let folder = fixture.host("folder");
    fs::create_dir(&folder).unwrap();
    let missing = fixture.host("missing");
    let below_file = regular.join("below");

    let errors = fixture
        .pin(
            ViewOptions::default(),
            vec![
                file("a", &missing),
                file("b", &below_file),
                file("c", &folder),
                file("d", &pipe),
                file("e", &socket),
                file("f", Path::new("/dev/null")),
                whole("g", &regular),
                whole("h", &pipe),
                whole("i", &missing),
                file("j", &regular),
            ],
        )
        .unwrap_err()
        .to_string();
    let errors: Vec<_> = errors.lines().collect();
    let expected = [
        ("a", format!("the host has no `{}`", missing.display())),
        ("b", format!("the host has no `{}`", below_file.display())),
        (
            "c",
            format!(
                "`{}` is a directory, but a file was declared",
                folder.display()
            ),
        ),
        (
            "d",
            format!("`{}` is a named pipe; only regular files", pipe.display()),
        ),
        (
            "e",
            format!("`{}` is a socket; only regular files", socket.display()),
        ),
        (
            "f",
            "`/dev/null` is a character device; only regular files".to_owned(),
        ),
        (
            "g",
            format!(
                "`{}` is a regular file, but a directory was declared",
                regular.display()
            ),
        ),
        (
            "h",
            format!(
                "`{}` is a named pipe, but a directory was declared",
                pipe.display()
            ),
        ),
        ("i", format!("the host has no `{}`", missing.display())),
    ];
    assert_eq!(errors.len(), expected.len(), "{errors:#?}");
    for (error, (name, problem)) in errors.iter().zip(expected) {
        let expected = format!("test.json:7: `{name}`: {problem}");
        assert!(error.starts_with(&expected), "{error}\n{expected}");
    }
    assert!(fixture.projection.views().is_empty());
}

#[test]
fn an_unreadable_source_is_refused_early() {
    transom_test::unprivileged!();
    let fixture = Fixture::new();
    let secret = fixture.write("secret", "");
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o000)).unwrap();
    let errors = fixture
        .pin(ViewOptions::default(), vec![file("a", &secret)])
        .unwrap_err();
    assert!(errors.to_string().contains("cannot be read by this user"));
}

#[test]
fn errors_of_a_large_view_come_in_order_and_stop_at_twenty() {
    let fixture = Fixture::new();
    let missing = fixture.host("missing");
    let declared = (0..5000).map(|n| file(&format!("{n:04}"), &missing));
    let errors = fixture
        .pin(ViewOptions::default(), declared.collect())
        .unwrap_err();
    let names: Vec<_> = errors
        .shown()
        .iter()
        .map(|error| error.name.to_string())
        .collect();
    let expected: Vec<_> = (0..20).map(|n| format!("{n:04}")).collect();
    assert_eq!(names, expected);
}

#[test]
fn symbolic_links_at_a_source_are_followed() {
    let fixture = Fixture::new();
    fixture.write("real/file", "text");
    symlink("real", fixture.host("relative")).unwrap();
    symlink(fixture.host("relative/file"), fixture.host("absolute")).unwrap();
    let view = fixture.view(vec![
        file("a", &fixture.host("absolute")),
        file("b", &fixture.host("relative/file")),
        file("c", &fixture.host("real/../relative/./file")),
        whole("d", &fixture.host("relative")),
    ]);
    let mut client = fixture.client(&view);
    for name in ["a", "b", "c", "d/file"] {
        assert_eq!(client.read(name).unwrap(), "text", "{name}");
    }
}

#[test]
fn a_host_root_cannot_be_left() {
    let fixture = Fixture::new();
    fixture.write("root/inside", "inside");
    fixture.write("secret", "secret");
    symlink("/inside", fixture.host("root/absolute")).unwrap();
    symlink("../secret", fixture.host("root/escape")).unwrap();
    let flags = OFlags::PATH | OFlags::DIRECTORY;
    let root = rustix::fs::open(fixture.host("root"), flags, Mode::empty()).unwrap();
    let projection = Projection::new(HostRoot::at(root), ProjectionOptions::default());
    let pin = |source: &str| {
        let tree = Tree::build(vec![file("f", Path::new(source))]).unwrap();
        projection.pin(tree, ViewOptions::default())
    };
    for source in ["/inside", "/absolute", "/../../inside"] {
        let view = pin(source).unwrap();
        let mut client = Client::new(&projection, &view);
        assert_eq!(client.read("f").unwrap(), "inside", "{source}");
    }
    for source in ["/escape", "/../secret", "/proc/self/exe"] {
        assert!(pin(source).is_err(), "{source}");
    }
}

#[test]
fn magic_links_are_not_sources() {
    let fixture = Fixture::new();
    let source = Path::new("/proc/self/exe");
    let errors = fixture
        .pin(ViewOptions::default(), vec![file("exe", source)])
        .unwrap_err();
    assert!(errors.to_string().contains("cannot open `/proc/self/exe`"));
}

#[test]
fn statistics_count_what_is_declared() {
    let fixture = Fixture::new();
    let three = fixture.write("three", "123");
    let view = fixture.view(vec![
        file("a/three", &three),
        file("a/b/again", &three),
        link("l", "a"),
        whole("w", fixture.host("three").parent().unwrap()),
        directory("e"),
    ]);
    let json = serde_json::to_value(view.statistics()).unwrap();
    let expected = serde_json::json!({
        "files": 2,
        "file_bytes": 6,
        "whole_directories": 1,
        "symlinks": 1,
        "directories": 3,
    });
    assert_eq!(json, expected);
}

#[test]
fn twenty_thousand_files_are_pinned_in_order() {
    let fixture = Fixture::new();
    let declared: Vec<_> = (0..20_000)
        .map(|n| {
            let name = format!("d{}/f{n}", n % 70);
            let source = fixture.write(&name, &n.to_string());
            file(&name, &source)
        })
        .collect();
    let view = fixture.view(declared);
    let mut client = fixture.client(&view);
    for n in (0..20_000).step_by(997) {
        let name = format!("d{}/f{n}", n % 70);
        assert_eq!(client.read(&name).unwrap(), n.to_string());
    }
    assert_eq!(view.statistics().files, 20_000);
    assert_eq!(view.verify(), []);
}
