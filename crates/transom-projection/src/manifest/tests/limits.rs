//! Limits, at the value that is allowed and at the next.

use std::path::Path;
use std::sync::Arc;

use super::{parse, parse_with};
use crate::manifest::{BYTES_MAX, Document, INPUTS_MAX, Manifest, OUTPUTS_MAX, STRING_BYTES_MAX};

#[test]
fn a_million_inputs_and_no_more() {
    let list = list_of(INPUTS_MAX - 1);
    let parse = |inputs: &str| {
        let text =
            format!("{{\"version\": 1, \"inputs\": [{{\"file_list\": \"list\"}},\n{inputs}]}}");
        let files = [("/base/list", &*list), ("/base/a.d", "o: 1 a\no: b")];
        parse_with(text, &files).map(|manifest| manifest.inputs.len())
    };
    let (a, b) = (
        r#"{"name": "a", "file": "a"}"#,
        r#"{"name": "b", "file": "b"}"#,
    );
    assert_eq!(parse(a), Ok(INPUTS_MAX));
    let too_many = "there are more than 1000000 inputs; declare directories as a whole";
    let cases = [
        (format!("{a},\n{b}"), "action.json:3: input \"b\": "),
        (
            r#"{"depfile": "a.d"}"#.to_owned(),
            "/base/a.d:2: input \"b\": ",
        ),
    ];
    for (inputs, place) in cases {
        let error = parse(&inputs).unwrap_err();
        assert!(error.starts_with(&format!("{place}{too_many}")), "{error}");
    }
}

#[test]
fn bytes_are_limited_for_all_documents_together() {
    let mut text = Vec::with_capacity(BYTES_MAX + 1);
    text.extend_from_slice(br#"{"version": 1, "inputs": [{"file_list": "list"}], "$schema": ""#);
    text.resize(BYTES_MAX - 12, b'a');
    text.extend_from_slice(b"\"}");
    assert_eq!(
        parse_with(&text, &[("/base/list", "a/b/c/d/e\n")]).map(|it| it.inputs.len()),
        Ok(1)
    );
    let error = parse_with(&text, &[("/base/list", "a/b/c/d/ef\n")]).unwrap_err();
    let expected = "action.json:1: input from \"/base/list\": the manifest and the files it \
                    refers to are longer than 268435456 bytes together";
    assert!(error.starts_with(expected), "{error}");
    text.resize(BYTES_MAX + 1, b' ');
    let error = parse(&text).unwrap_err();
    assert!(
        error.starts_with("action.json: the manifest and"),
        "{error}"
    );
}

#[test]
fn a_reader_is_never_asked_for_more_than_the_limit() {
    let text = br#"{"version": 1, "inputs": [{"file_list": "a"}, {"file_list": "b"}]}"#;
    let mut asked = Vec::new();
    let document = Document {
        label: Arc::from("action.json"),
        bytes: text,
        base: Path::new("/base"),
    };
    let manifest = Manifest::parse(&document, &mut |path, bytes_max| {
        asked.push((path.to_owned(), bytes_max));
        Ok(b"12345".to_vec())
    });
    assert!(manifest.is_ok());
    let left = BYTES_MAX - text.len();
    assert_eq!(
        asked,
        [("/base/a".into(), left + 1), ("/base/b".into(), left - 4)]
    );
}

#[test]
fn outputs_and_writable_directories_are_limited() {
    let writable = |count: usize| {
        let names = vec!["\"w\""; count].join(",");
        parse(format!("{{\"version\": 1, \"writable\": [{names}]}}"))
    };
    assert_eq!(
        writable(OUTPUTS_MAX).unwrap().action.writable.len(),
        OUTPUTS_MAX
    );
    let error = writable(OUTPUTS_MAX + 1).unwrap_err();
    assert!(
        error.contains("more than 100000 writable directories"),
        "{error}"
    );

    let output = r#"{"name": "o", "kind": "file", "destination": "o"}"#;
    let outputs = vec![output; OUTPUTS_MAX + 1].join(",");
    let error = parse(format!("{{\"version\": 1, \"outputs\": [{outputs}]}}")).unwrap_err();
    assert!(error.contains("more than 100000 outputs"), "{error}");
}

#[test]
fn strings_of_a_process_are_as_long_as_the_kernel_takes() {
    let argument = |length| {
        let argument = "a".repeat(length);
        parse(format!("{{\"version\": 1, \"command\": [\"{argument}\"]}}"))
    };
    assert!(argument(STRING_BYTES_MAX).is_ok());
    let error = argument(STRING_BYTES_MAX + 1).unwrap_err();
    assert!(
        error.contains("an argument is 131072 bytes long"),
        "{error}"
    );
}

#[test]
fn nesting_is_no_danger() {
    let deep = "[".repeat(1_000_000);
    let error = parse(format!("{{\"version\": 1, \"inputs\": {deep}")).unwrap_err();
    assert!(error.contains("ends before it is complete"), "{error}");
    let closed = format!("{deep}{}", "]".repeat(1_000_000));
    let error = parse(format!("{{\"version\": 1, \"inputs\": {closed}}}")).unwrap_err();
    assert!(error.contains("must be an object, not an array"), "{error}");
}

fn list_of(count: usize) -> String {
    (1..=count).map(|number| format!("{number}\n")).collect()
}
