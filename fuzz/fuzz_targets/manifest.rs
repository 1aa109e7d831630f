//! Manifests, and the file lists, depfiles and flags beside them.
//!
//! The input is a manifest; after a byte 0xff, which is in no text, comes what
//! every file that it refers to contains.

#![no_main]

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use transom_projection::manifest::{
    Document, INPUTS_MAX, NamedPath, Separator, parse_depfile, parse_file_list,
};
use transom_projection::{Declaration, Manifest, Mapping, ViewPath};

fuzz_target!(|data: &[u8]| {
    let (manifest, referenced) = match data.iter().position(|byte| *byte == 0xff) {
        Some(at) => (&data[..at], &data[at + 1..]),
        None => (data, data),
    };
    let parsed = Manifest::parse(&document(manifest), &mut |path, bytes_max| {
        assert!(path.is_absolute());
        Ok(referenced[..referenced.len().min(bytes_max)].to_vec())
    });
    match parsed {
        Ok(parsed) => {
            let json: serde_json::Value = serde_json::from_slice(manifest).expect("JSON");
            assert!(json.is_object());
            assert!(parsed.inputs.len() <= INPUTS_MAX);
            parsed.inputs.iter().for_each(check);
            assert!(parsed.action.outputs.iter().all(|output| output.destination.is_absolute()));
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }

    let under = ViewPath::parse(b"work").expect("a name");
    let lists = [Separator::Newline, Separator::Nul]
        .map(|separator| parse_file_list(&document(referenced), separator, &under));
    let prerequisites = parse_depfile(&document(referenced), &under);
    for declaration in lists.into_iter().flatten().chain(prerequisites).flatten() {
        check(&declaration);
    }
    let flag = OsStr::from_bytes(referenced);
    if let Ok(path) = NamedPath::parse("--ro", flag, Path::new("/base"), &under) {
        assert!(path.host.is_absolute() && !path.name.is_root());
    }
});

fn document(bytes: &[u8]) -> Document<'_> {
    Document {
        label: Arc::from("document"),
        bytes,
        base: Path::new("/base"),
    }
}

/// What whoever holds a declaration relies on.
fn check(declaration: &Declaration) {
    let Declaration { name, mapping, origin } = declaration;
    assert_eq!(ViewPath::parse(name.as_bytes()).as_ref(), Ok(name));
    assert!(origin.line.is_some_and(|line| line > 0));
    match mapping {
        Mapping::File { source, .. } | Mapping::Directory { source } => {
            assert!(source.is_absolute());
            assert!(!source.as_os_str().as_bytes().contains(&0));
        }
        Mapping::Symlink { target } => assert!(!target.is_empty()),
        Mapping::EmptyDirectory => {}
    }
}
