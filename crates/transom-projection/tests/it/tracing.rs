//! What a trace says.

use std::path::Path;
use std::sync::Arc;

use serde_json::json;
use transom_projection::manifest::{Document, parse_depfile};
use transom_projection::trace::ABSENT_NAMES_MAX;
use transom_projection::{FoundLinks, View, ViewOptions, ViewPath};

use crate::fixture::{Fixture, file, link, whole};

const TRACED: ViewOptions = ViewOptions {
    on_change: transom_projection::OnChange::Refuse,
    trace: true,
    links: FoundLinks::AsTheyAre,
};

fn traced(fixture: &Fixture) -> Arc<View> {
    let source = fixture.write("f", "text");
    fixture.write("d/sub/g", "g");
    fixture.write("d/other", "");
    let declared = vec![
        file("src/read me", &source),
        file("src/stated", &source),
        file("src/untouched", &source),
        file("src/un\ntouched", &source),
        link("l", "src"),
        whole("w", &fixture.host("d")),
        whole("unused", &fixture.host("d")),
    ];
    let view = fixture.pin(TRACED, declared).unwrap();
    // Another view of the same file does not disturb.
    let other = fixture.view(vec![file("src/untouched", &source)]);
    fixture.client(&other).read("src/untouched").unwrap();

    let mut client = fixture.client(&view);
    client.lists_with_attributes = true;
    client.list("src");
    client.read("src/read me").unwrap();
    client.attributes("src/stated");
    client.read("w/sub/g").unwrap();
    client.find("w/absent");
    for _ in 0..3 {
        fixture.client(&view).find("src/absent");
    }
    view
}

#[test]
fn inputs_are_read_looked_up_or_untouched() {
    let fixture = Fixture::new();
    let view = traced(&fixture);
    assert_eq!(
        serde_json::to_value(view.trace().unwrap()).unwrap(),
        json!({
            "format": 1,
            "inputs": [
                {"path": "l", "kind": "symlink", "use": "untouched"},
                {"path": "src/read me", "kind": "file", "use": "read"},
                {"path": "src/stated", "kind": "file", "use": "looked-up"},
                {"path": "src/un\ntouched", "kind": "file", "use": "untouched"},
                {"path": "src/untouched", "kind": "file", "use": "untouched"},
                {"path": "unused", "kind": "whole-directory", "use": "untouched"},
                {"path": "w", "kind": "whole-directory", "use": "read"},
            ],
            "found": [{"path": "w/sub/g", "kind": "file", "use": "read"}],
            "listed": ["src"],
            "absent": [
                {"path": "src/absent", "requests": 3},
                {"path": "w/absent", "requests": 1},
            ],
            "absent_dropped": 0,
        })
    );
    let untraced = fixture.view(Vec::new());
    assert_eq!(untraced.trace(), None);
}

#[test]
fn build_tools_get_their_own_forms() {
    let fixture = Fixture::new();
    let report = traced(&fixture).trace().unwrap();
    let mut list = Vec::new();
    report.write_unused_inputs_list(&mut list).unwrap();
    assert_eq!(
        String::from_utf8(list).unwrap(),
        "l\nsrc/untouched\nunused\n"
    );

    let mut depfile = Vec::new();
    report.write_depfile("out/main.o", &mut depfile).unwrap();
    assert_eq!(
        String::from_utf8(depfile).unwrap(),
        "out/main.o: \\\n  src/read\\ me \\\n  src/stated \\\n  w/sub/g\n"
    );
}

#[test]
fn odd_names_survive_a_depfile() {
    let fixture = Fixture::new();
    let source = fixture.write("f", "");
    let names = [
        "#a", "a b", "a$b", "a\\b", "a\\ b", "a:b", "end\\", "tab\tb",
    ];
    let declared = names.iter().map(|name| file(name, &source)).collect();
    let view = fixture.pin(TRACED, declared).unwrap();
    let mut client = fixture.client(&view);
    for name in names {
        client.read(name).unwrap();
    }
    let mut depfile = Vec::new();
    view.trace()
        .unwrap()
        .write_depfile("t", &mut depfile)
        .unwrap();
    let document = Document {
        label: "depfile".into(),
        bytes: &depfile,
        base: Path::new("/"),
    };
    let mut read_back: Vec<_> = parse_depfile(&document, &ViewPath::root())
        .map(|declaration| {
            declaration
                .unwrap()
                .name
                .as_os_str()
                .to_str()
                .unwrap()
                .to_owned()
        })
        .collect();
    read_back.sort_by_key(|name| names.iter().position(|known| known == name));
    assert_eq!(read_back, names);
}

#[test]
fn a_depfile_cannot_hold_line_breaks() {
    let fixture = Fixture::new();
    let source = fixture.write("f", "");
    let view = fixture.pin(TRACED, vec![file("a\nb", &source)]).unwrap();
    fixture.client(&view).read("a\nb").unwrap();
    let report = view.trace().unwrap();
    let error = report.write_depfile("t", Vec::new()).unwrap_err();
    assert!(error.to_string().contains("line break"), "{error}");
}

#[test]
fn absent_names_are_remembered_up_to_a_limit() {
    let fixture = Fixture::new();
    let view = fixture.pin(TRACED, Vec::new()).unwrap();
    let mut client = fixture.client(&view);
    for n in 0..ABSENT_NAMES_MAX + 5 {
        client.find(&n.to_string());
    }
    let report = view.trace().unwrap();
    assert_eq!(report.absent.len(), ABSENT_NAMES_MAX);
    assert_eq!(report.absent_dropped, 5);
}
