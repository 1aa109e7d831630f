//! What well-formed manifests mean.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::{parse, parse_with};
use crate::manifest::{
    ActionSection, Environment, Inherit, Manifest, Output, OutputKind, RootBase, TmpKind,
    WritableDirectory,
};
use crate::{Declaration, Mapping, Origin, ViewPath};

#[test]
fn the_smallest_manifest() {
    assert_eq!(parse(r#"{"version": 1}"#), Ok(Manifest::default()));
}

#[test]
fn every_kind_of_input_with_its_line() {
    let manifest = parse(
        r#"{
  "version": 1,
  "inputs": [
    {"name": "usr", "directory": "/usr"},
    {"name": "work/main.c", "file": "src/main.c"}, {"name": "work/tool", "file": "tool", "executable": true},
    {
      "name": "bin",
      "symlink": "../nowhere//at/all"
    },
    {"empty_directory": true, "name": "work/empty/"},
    {"name": {"base64": "/w=="}, "file": {"base64": "L2H/"}, "executable": false}
  ]
}"#,
    )
    .unwrap();
    let expected = [
        declaration(
            "usr",
            Mapping::Directory {
                source: "/usr".into(),
            },
            4,
        ),
        declaration("work/main.c", file("/base/src/main.c"), 5),
        declaration(
            "work/tool",
            Mapping::File {
                source: "/base/tool".into(),
                executable: Some(true),
            },
            5,
        ),
        declaration(
            "bin",
            Mapping::Symlink {
                target: "../nowhere//at/all".into(),
            },
            6,
        ),
        declaration("work/empty", Mapping::EmptyDirectory, 10),
        declaration(
            b"\xff",
            Mapping::File {
                source: path_of(b"/a\xff"),
                executable: Some(false),
            },
            11,
        ),
    ];
    assert_eq!(manifest.inputs, expected);
}

#[test]
fn every_field_of_the_action() {
    let manifest = parse(
        r#"{
  "$schema": "manifest.schema.json",
  "version": 1.0,
  "outputs": [
    {"name": "work/main.o", "kind": "file", "destination": "out/main.o"},
    {"name": "work/doc", "kind": "directory", "destination": "/srv/doc", "optional": true}
  ],
  "writable": ["work/build", {"base64": "/w=="}],
  "command": ["cc", "", {"base64": "/w=="}, "\u00e9"],
  "working_directory": "work",
  "environment": {"inherit": ["PATH", "HOME"], "set": {"LANG": "C", "RAW": {"base64": "/w=="}, "EMPTY": ""}},
  "root": "host-ro",
  "mount_at": "//srv/view/",
  "network": false,
  "tmp": "scratch",
  "dev": true,
  "proc": false,
  "timeout_seconds": 60.5
}"#,
    )
    .unwrap();
    let output = |name: &str, kind, destination: &str, optional, line| Output {
        name: view_path(name),
        kind,
        destination: destination.into(),
        optional,
        origin: origin(line),
    };
    let expected = ActionSection {
        outputs: vec![
            output(
                "work/main.o",
                OutputKind::File,
                "/base/out/main.o",
                false,
                5,
            ),
            output("work/doc", OutputKind::Directory, "/srv/doc", true, 6),
        ],
        writable: vec![
            WritableDirectory {
                name: view_path("work/build"),
                origin: origin(8),
            },
            WritableDirectory {
                name: view_path(b"\xff"),
                origin: origin(8),
            },
        ],
        command: Some(vec![
            "cc".into(),
            "".into(),
            path_of(b"\xff").into(),
            "\u{e9}".into(),
        ]),
        working_directory: Some(view_path("work")),
        environment: Environment {
            inherit: Some(Inherit::Only(vec!["PATH".into(), "HOME".into()])),
            set: BTreeMap::from([
                ("LANG".into(), "C".into()),
                ("RAW".into(), path_of(b"\xff").into()),
                ("EMPTY".into(), "".into()),
            ]),
        },
        root: Some(RootBase::HostReadOnly),
        mount_at: Some("/srv/view".into()),
        network: Some(false),
        tmp: Some(TmpKind::Scratch),
        dev: Some(true),
        proc: Some(false),
        timeout: Some(Duration::from_millis(60_500)),
    };
    assert_eq!(manifest.action, expected);
    assert!(manifest.inputs.is_empty());
}

#[test]
fn the_words_for_environments_roots_and_tmp() {
    let action = |fields: &str| {
        parse(format!(r#"{{"version": 1, {fields}}}"#))
            .unwrap()
            .action
    };
    let inherit = |word| action(&format!(r#""environment": {{"inherit": {word}}}"#)).environment;
    assert_eq!(inherit(r#""all""#).inherit, Some(Inherit::All));
    assert_eq!(inherit(r#""none""#).inherit, Some(Inherit::None));
    assert_eq!(inherit("[]").inherit, Some(Inherit::Only(Vec::new())));
    assert_eq!(action(r#""root": "view""#).root, Some(RootBase::View));
    assert_eq!(action(r#""tmp": "memory""#).tmp, Some(TmpKind::Memory));
    assert_eq!(action(r#""tmp": "none""#).tmp, Some(TmpKind::None));
}

#[test]
fn file_lists_are_read_in_place() {
    let manifest = parse_with(
        r#"{"version": 1, "inputs": [
            {"name": "a", "file": "a"},
            {"file_list": "lines", "under": "work"},
            {"file_list": "/nul", "relative_to": "/srv", "separator": "nul"},
            {"name": "z", "file": "z"}
        ]}"#,
        &[("/base/lines", "x.c\n\n/usr/\n"), ("/nul", "y\n.c\0")],
    )
    .unwrap();
    let found: Vec<_> = manifest
        .inputs
        .iter()
        .map(|it| (it.origin.to_string(), it.name.to_string(), &it.mapping))
        .collect();
    let expected = [
        ("action.json:2", "a", file("/base/a")),
        ("/base/lines:1", "work/x.c", file("/base/x.c")),
        (
            "/base/lines:3",
            "usr",
            Mapping::Directory {
                source: "/usr/".into(),
            },
        ),
        ("/nul:1", "y\\n.c", file("/srv/y\n.c")),
        ("action.json:5", "z", file("/base/z")),
    ];
    let expected: Vec<_> = expected
        .iter()
        .map(|(origin, name, mapping)| ((*origin).to_owned(), (*name).to_owned(), mapping))
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn depfiles_add_what_is_not_declared_yet() {
    let rules = "main.o: src/main.c ../include/a.h /usr/include/stdio.h \\\n \
                 /opt/sdk/x.h /opt/../opt/sdk/lib/../x.h include/b.h\na.h:\n";
    let manifest = parse_with(
        r#"{"version": 1, "inputs": [
            {"depfile": "main.d", "under": "work/build"},
            {"depfile": "again.d", "under": "work/build"},
            {"name": "usr", "directory": "/usr"},
            {"name": "opt/sdk", "directory": "/opt/sdk/"},
            {"name": "work/build/src/main.c", "file": "src/main.c", "executable": true},
            {"name": "work/build/include", "directory": "elsewhere"}
        ]}"#,
        &[("/base/main.d", rules), ("/base/again.d", rules)],
    )
    .unwrap();
    let found: Vec<_> = manifest.inputs[4..]
        .iter()
        .map(|it| {
            (
                it.origin.to_string(),
                it.name.to_string(),
                it.mapping.clone(),
            )
        })
        .collect();
    let expected = [
        ("/base/main.d:1", "work/include/a.h", "/base/../include/a.h"),
        // Not the file that the directory `elsewhere` has under this name, so
        // a conflict, which is reported when the view is made.
        (
            "/base/main.d:2",
            "work/build/include/b.h",
            "/base/include/b.h",
        ),
    ]
    .map(|(origin, name, source)| (origin.to_owned(), name.to_owned(), file(source)));
    assert_eq!(found, expected);
}

fn declaration(name: impl AsRef<[u8]>, mapping: Mapping, line: u32) -> Declaration {
    Declaration {
        name: view_path(name),
        mapping,
        origin: origin(line),
    }
}

fn file(source: &str) -> Mapping {
    Mapping::File {
        source: source.into(),
        executable: None,
    }
}

fn origin(line: u32) -> Origin {
    Origin {
        source: "action.json".into(),
        line: Some(line),
    }
}

fn view_path(name: impl AsRef<[u8]>) -> ViewPath {
    ViewPath::parse(name.as_ref()).unwrap()
}

fn path_of(bytes: &[u8]) -> PathBuf {
    use std::os::unix::ffi::OsStrExt;
    std::ffi::OsStr::from_bytes(bytes).into()
}
