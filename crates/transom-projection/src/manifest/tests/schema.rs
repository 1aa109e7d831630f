//! The published schema and the parser agree.

use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::{FIELDS, action_fields, input, json as json_values};
use super::validator::is_valid;
use crate::manifest::{Document, Manifest};

pub(super) fn schema() -> Value {
    let text = include_str!(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../docs/manifest.schema.json"
    ));
    serde_json::from_str(text).unwrap()
}

#[test]
fn the_fields_are_the_same() {
    let schema = schema();
    let definitions = &schema["$defs"];
    assert_eq!(fields_of(&schema), sorted(&FIELDS));
    assert_eq!(
        fields_of(&definitions["output"]),
        sorted(&action_fields::OUTPUT_FIELDS)
    );
    assert_eq!(
        fields_of(&schema["properties"]["environment"]),
        sorted(&action_fields::ENVIRONMENT_FIELDS)
    );
    assert_eq!(
        fields_of(&definitions["bytes"]),
        sorted(&json_values::BYTES_FIELDS)
    );
    let alternatives = definitions["input"]["oneOf"].as_array().unwrap();
    assert_eq!(alternatives.len(), input::KINDS.len());
    let mut fields: Vec<_> = alternatives.iter().flat_map(fields_of).collect();
    fields.sort_unstable();
    fields.dedup();
    assert_eq!(fields, sorted(&input::FIELDS));
}

#[test]
fn every_field_is_described() {
    fn check(schema: &Value, place: &str) {
        if let Some(properties) = schema["properties"].as_object() {
            for (name, property) in properties {
                let reference = property["$ref"].as_str().unwrap_or_default();
                let described = property["description"].is_string()
                    || ["name", "under", "relative_to"]
                        .iter()
                        .any(|it| reference.ends_with(it))
                    || name == "empty_directory";
                assert!(described, "{place}/{name}");
            }
        }
        match schema {
            Value::Object(fields) => {
                for (name, value) in fields {
                    check(value, &format!("{place}/{name}"));
                }
            }
            Value::Array(items) => items.iter().for_each(|item| check(item, place)),
            _ => {}
        }
    }
    check(&schema(), "");
}

#[test]
fn the_limits_are_the_same() {
    use crate::PATH_BYTES_MAX;
    use crate::manifest::{
        INPUTS_MAX, OUTPUTS_MAX, STRING_BYTES_MAX, TIMEOUT_SECONDS_MAX, VERSION,
    };

    let schema = schema();
    let properties = &schema["properties"];
    assert_eq!(properties["version"]["const"], VERSION);
    assert_eq!(properties["inputs"]["maxItems"], INPUTS_MAX);
    assert_eq!(properties["outputs"]["maxItems"], OUTPUTS_MAX);
    assert_eq!(properties["writable"]["maxItems"], OUTPUTS_MAX);
    assert_eq!(
        properties["timeout_seconds"]["maximum"],
        TIMEOUT_SECONDS_MAX
    );
    let definitions = &schema["$defs"];
    assert_eq!(definitions["path"]["oneOf"][0]["maxLength"], PATH_BYTES_MAX);
    assert_eq!(
        definitions["string"]["oneOf"][0]["maxLength"],
        STRING_BYTES_MAX
    );
}

#[test]
fn the_sample_is_valid_and_complete() {
    let sample = sample();
    assert!(is_valid(&sample, &schema()));
    assert!(is_parsed(&sample));
    for field in FIELDS {
        assert!(sample.get(field).is_some(), "{field}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    /// From a valid manifest, any change of a value or field leads to another
    /// that either both accept or both refuse.
    #[test]
    fn whatever_one_accepts_the_other_accepts(
        edits in prop::collection::vec((0..90_usize, edit()), 1..3),
    ) {
        let mut manifest = sample();
        for (mut place, edit) in edits {
            apply(&mut manifest, &mut place, &edit);
        }
        // That bytes are an absolute path is beyond a schema.
        prop_assume!(!manifest["mount_at"].is_object());
        prop_assert_eq!(is_parsed(&manifest), is_valid(&manifest, &schema()), "{}", manifest);
    }
}

fn sample() -> Value {
    json!({
        "$schema": "manifest.schema.json",
        "version": 1,
        "inputs": [
            {"name": "a", "file": "a", "executable": true},
            {"name": "b", "directory": "/b"},
            {"name": "c", "symlink": {"base64": "Yw=="}},
            {"name": "d", "empty_directory": true},
            {"file_list": "e", "under": "e", "relative_to": "/e", "separator": "nul"},
            {"depfile": "f", "under": "f", "relative_to": "/f"}
        ],
        "outputs": [{"name": "o", "kind": "file", "destination": "o", "optional": true}],
        "writable": ["w"],
        "command": ["cc", ""],
        "working_directory": "a",
        "environment": {"inherit": ["PATH"], "set": {"LANG": "C"}},
        "root": "host-ro",
        "mount_at": "/a",
        "network": true,
        "tmp": "scratch",
        "dev": false,
        "proc": true,
        "timeout_seconds": 1.5
    })
}

/// A change of one value.
#[derive(Debug, Clone)]
enum Edit {
    Replace(Value),
    /// Of a field, in an object; of a value, in an array.
    Add(String, Value),
    /// Of the nth field or value.
    Remove(usize),
}

fn edit() -> impl Strategy<Value = Edit> {
    // Nothing whose meaning is wrong: that is beyond a schema.
    let values = [
        json!(null),
        json!(true),
        json!(false),
        json!(0),
        json!(1),
        json!(-1.5),
        json!(1e9),
        json!(""),
        json!("a"),
        json!("/a"),
        json!("all"),
        json!("none"),
        json!("view"),
        json!("directory"),
        json!([]),
        json!(["a"]),
        json!({}),
        json!({"base64": "YQ=="}),
        json!({"name": "a", "file": "a"}),
        json!({"depfile": "a"}),
    ];
    let values = prop::sample::select(values.to_vec());
    let names = [&FIELDS[..], &input::FIELDS, &action_fields::OUTPUT_FIELDS].concat();
    prop_oneof![
        values.clone().prop_map(Edit::Replace),
        (prop::sample::select(names), values)
            .prop_map(|(name, value)| Edit::Add(name.to_owned(), value)),
        (0..20_usize).prop_map(Edit::Remove),
    ]
}

/// Applies an edit to the value at `place`, counted in the order of writing.
fn apply(value: &mut Value, place: &mut usize, edit: &Edit) {
    if *place == 0 {
        match (edit, &mut *value) {
            (Edit::Replace(new), _) => *value = new.clone(),
            (Edit::Add(name, new), Value::Object(fields)) => {
                fields.insert(name.clone(), new.clone());
            }
            (Edit::Add(_, new), Value::Array(items)) => items.push(new.clone()),
            (Edit::Remove(index), Value::Object(fields)) => {
                if let Some(name) = fields.keys().nth(*index).cloned() {
                    fields.remove(&name);
                }
            }
            (Edit::Remove(index), Value::Array(items)) if *index < items.len() => {
                items.remove(*index);
            }
            _ => {}
        }
    }
    // Past the place, the count wraps and never comes to 0 again.
    *place = place.wrapping_sub(1);
    match value {
        // Which text is base64 is beyond a schema.
        Value::Object(fields) if fields.contains_key("base64") => {}
        Value::Object(fields) => fields.values_mut().for_each(|it| apply(it, place, edit)),
        Value::Array(items) => items.iter_mut().for_each(|it| apply(it, place, edit)),
        _ => {}
    }
}

fn is_parsed(manifest: &Value) -> bool {
    let text = manifest.to_string();
    let document = Document {
        label: Arc::from("action.json"),
        bytes: text.as_bytes(),
        base: Path::new("/base"),
    };
    // Good as a file list and as a depfile.
    Manifest::parse(&document, &mut |_, _| Ok(b"o: a\n".to_vec())).is_ok()
}

fn fields_of(schema: &Value) -> Vec<&str> {
    assert_eq!(schema["additionalProperties"], false, "{schema}");
    let mut names: Vec<_> = schema["properties"]
        .as_object()
        .unwrap()
        .keys()
        .map(|it| &**it)
        .collect();
    names.sort_unstable();
    names
}

fn sorted<'a>(names: &[&'a str]) -> Vec<&'a str> {
    let mut names = names.to_vec();
    names.sort_unstable();
    names
}
