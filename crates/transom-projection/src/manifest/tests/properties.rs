//! What holds for all bytes and for all manifests.

use std::ffi::OsStr;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use proptest::prelude::*;

use super::{parse, parse_with};
use crate::manifest::{Document, Manifest, NamedPath, Separator, parse_depfile, parse_file_list};
use crate::{Declaration, Mapping, Origin, ViewPath};

const SAMPLE: &str = r#"{"version": 1,
 "inputs": [{"name": "a", "file": {"base64": "L2E="}}, {"name": "b", "symlink": "\u00e9\n"},
  {"file_list": "list", "under": "w"}, {"depfile": "d"}],
 "outputs": [{"name": "o", "kind": "file", "destination": "/o", "optional": true}],
 "environment": {"inherit": ["PATH"], "set": {"A": "1"}}, "timeout_seconds": 1.5e0, "dev": false}"#;

const FILES: [(&str, &str); 2] = [("/base/list", "x\ny/\n"), ("/base/d", "a: b \\\n c\n")];

proptest! {
    #[test]
    fn no_bytes_make_the_parsers_panic(bytes in hostile_bytes()) {
        let under = ViewPath::root();
        let document = document(&bytes);
        let _ = Manifest::parse(&document, &mut |_, _| Ok(bytes.clone()));
        parse_file_list(&document, Separator::Newline, &under).for_each(drop);
        parse_depfile(&document, &under).for_each(drop);
        let _ = NamedPath::parse("--ro", OsStr::from_bytes(&bytes), Path::new("/"), &under);
    }

    #[test]
    fn no_change_of_a_manifest_makes_the_parser_panic(
        at in 0..SAMPLE.len(),
        until in 0..SAMPLE.len(),
        replacement in hostile_bytes(),
    ) {
        let mut text = SAMPLE.as_bytes().to_vec();
        text.splice(at..until.max(at), replacement);
        let _ = parse_with(&text, &FILES);
    }

    #[test]
    fn a_truncated_manifest_is_refused(length in 0..SAMPLE.len()) {
        prop_assert!(parse_with(SAMPLE, &FILES).is_ok());
        prop_assert!(parse_with(&SAMPLE[..length], &FILES).is_err());
    }

    #[test]
    fn declarations_survive_being_written(
        declarations in prop::collection::vec((view_path(), mapping()), 0..20),
    ) {
        let mut text = String::from("{\"version\": 1, \"inputs\": [");
        let mut expected = Vec::new();
        for (number, (name, mapping)) in declarations.into_iter().enumerate() {
            let comma = if number == 0 { "" } else { "," };
            let fields = written_mapping(&mapping);
            text += &format!("{comma}\n{{\"name\": {}, {fields}}}", written(name.as_bytes()));
            expected.push(Declaration { name, mapping, origin: origin("action.json", number + 2) });
        }
        text += "]}";
        prop_assert_eq!(parse(&text).map(|manifest| manifest.inputs), Ok(expected));
    }

    #[test]
    fn paths_survive_a_file_list(names in prop::collection::vec(name(), 0..20)) {
        let mut list = Vec::new();
        for name in &names {
            list.extend_from_slice(name);
            list.push(b'\0');
        }
        let under = ViewPath::root();
        let found: Result<Vec<_>, _> = parse_file_list(&document(&list), Separator::Nul, &under)
            .map(|declaration| declaration.map(|it| it.name.as_bytes().to_vec()))
            .collect();
        prop_assert_eq!(found.map_err(|error| error.to_string()), Ok(names));
    }

    #[test]
    fn names_survive_a_depfile(names in prop::collection::vec(name(), 0..20)) {
        let names: Vec<_> = names.into_iter().filter(|name| !name.contains(&b'\n')).collect();
        let mut depfile = b"target:".to_vec();
        for name in &names {
            depfile.extend_from_slice(b" \\\n ");
            depfile.extend(escaped_for_make(name));
        }
        depfile.extend_from_slice(b" \n");
        let under = ViewPath::root();
        let found: Result<Vec<_>, _> = parse_depfile(&document(&depfile), &under)
            .map(|declaration| declaration.map(|it| it.name.as_bytes().to_vec()))
            .collect();
        prop_assert_eq!(found.map_err(|error| error.to_string()), Ok(names));
    }
}

fn document(bytes: &[u8]) -> Document<'_> {
    Document {
        label: Arc::from("document"),
        bytes,
        base: Path::new("/base"),
    }
}

fn origin(source: &str, line: usize) -> Origin {
    Origin {
        source: source.into(),
        line: u32::try_from(line).ok(),
    }
}

/// Bytes, mostly those that mean something to one of the parsers.
fn hostile_bytes() -> impl Strategy<Value = Vec<u8>> {
    let meaningful = prop::sample::select(br##"{}[]":,\ #$/.=ua0-te"##.to_vec());
    let byte = prop_oneof![4 => meaningful, 1 => prop::sample::select(b"\n\r\t\0".to_vec()), 1 => any::<u8>()];
    prop::collection::vec(byte, 0..40)
}

/// A name, mostly of bytes that have to be escaped somewhere.
fn name() -> impl Strategy<Value = Vec<u8>> {
    let meaningful = prop::sample::select(b"\\\\\\ \t#:$%\"a.\r\n".to_vec());
    let byte = prop_oneof![3 => meaningful, 1 => 1..=u8::MAX];
    prop::collection::vec(byte, 1..12)
        .prop_filter("a name", |name| transom_module::Name::check(name).is_ok())
}

fn view_path() -> impl Strategy<Value = ViewPath> {
    prop::collection::vec(name(), 1..4)
        .prop_map(|names| ViewPath::parse(&names.join(&b'/')).unwrap())
}

fn absolute_path() -> impl Strategy<Value = PathBuf> {
    view_path().prop_map(|path| path.to_absolute().into())
}

fn mapping() -> impl Strategy<Value = Mapping> {
    prop_oneof![
        (absolute_path(), any::<Option<bool>>())
            .prop_map(|(source, executable)| Mapping::File { source, executable }),
        absolute_path().prop_map(|source| Mapping::Directory { source }),
        name().prop_map(|target| Mapping::Symlink {
            target: std::ffi::OsString::from_vec(target)
        }),
        Just(Mapping::EmptyDirectory),
    ]
}

fn written_mapping(mapping: &Mapping) -> String {
    match mapping {
        Mapping::File { source, executable } => {
            let executable = executable.map(|bit| format!(", \"executable\": {bit}"));
            let source = written(source.as_os_str().as_bytes());
            format!("\"file\": {source}{}", executable.unwrap_or_default())
        }
        Mapping::Directory { source } => {
            format!("\"directory\": {}", written(source.as_os_str().as_bytes()))
        }
        Mapping::Symlink { target } => format!("\"symlink\": {}", written(target.as_bytes())),
        Mapping::EmptyDirectory => "\"empty_directory\": true".to_owned(),
    }
}

/// A string if possible, bytes otherwise.
fn written(bytes: &[u8]) -> String {
    match str::from_utf8(bytes) {
        Ok(text) => serde_json::to_string(text).unwrap(),
        Err(_) => format!("{{\"base64\": \"{}\"}}", BASE64.encode(bytes)),
    }
}

/// Escapes as gcc does, `:` included.
fn escaped_for_make(name: &[u8]) -> Vec<u8> {
    let mut escaped = Vec::new();
    let mut backslashes = 0;
    for byte in name {
        match byte {
            b' ' | b'\t' => escaped.extend(std::iter::repeat_n(b'\\', backslashes + 1)),
            b'#' | b':' => escaped.push(b'\\'),
            b'$' => escaped.push(b'$'),
            _ => {}
        }
        escaped.push(*byte);
        backslashes = if *byte == b'\\' { backslashes + 1 } else { 0 };
    }
    // The name is followed by a space.
    escaped.extend(std::iter::repeat_n(b'\\', backslashes));
    escaped
}
