//! Rules about documents.

use std::fs;
use std::path::Path;

use crate::repository::ROOT;

fn read(path: &str) -> String {
    match fs::read_to_string(Path::new(ROOT).join(path)) {
        Ok(text) => text,
        Err(error) => panic!("{path}: {error}"),
    }
}

#[test]
fn the_changelog_is_open_for_the_next_change() {
    let changelog = read("CHANGELOG.md");
    assert!(
        changelog
            .lines()
            .any(|line| line.starts_with("## ") && line.contains("Unreleased")),
        "CHANGELOG.md needs a section `## Unreleased`: it receives the entry of each change"
    );
}

#[test]
fn the_documents_that_people_look_for_exist() {
    for path in [
        "README.md",
        "ARCHITECTURE.md",
        "CONTRIBUTING.md",
        "LICENSE-APACHE",
        "LICENSE-MIT",
    ] {
        assert!(!read(path).is_empty(), "{path} is empty");
    }
}

/// What the guide quotes is what the example does, to the letter. Its other
/// blocks are compiled as documentation tests.
#[test]
fn the_guide_to_modules_quotes_its_example() {
    let guide = read("docs/module-guide.md");
    let example = read("crates/transom-fuse/examples/hello.rs");
    let mut quotes = guide.split("```rust,ignore\n").skip(1).peekable();
    assert!(quotes.peek().is_some(), "the guide quotes nothing");
    for rest in quotes {
        let (quote, _) = rest.split_once("```").expect("blocks end");
        assert!(
            example.contains(quote),
            "docs/module-guide.md quotes what is not in hello.rs:\n{quote}"
        );
    }
}

#[test]
fn the_integration_server_runs_what_developers_run() {
    let script = read(".ci/run");
    let last = script.lines().last().unwrap_or_default();
    assert_eq!(last, "cargo xtask test --no-skips");
}
