//! Links between documents.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use crate::repository::{ROOT, assert_none, files_with_extension};

#[test]
fn links_between_documents_lead_somewhere() {
    let mut violations = Vec::new();
    for document in files_with_extension("md") {
        let directory = Path::new(&document.path).parent().unwrap_or(Path::new(""));
        for (number, line) in prose(&document.text) {
            for target in targets(line).filter(|target| !target.contains("://")) {
                let (file, heading) = target.split_once('#').unwrap_or((target, ""));
                let path = match file {
                    "" => Path::new(ROOT).join(&document.path),
                    file => Path::new(ROOT).join(directory).join(file),
                };
                let is_there = match heading {
                    "" => path.exists(),
                    heading => {
                        fs::read_to_string(&path).is_ok_and(|text| anchors(&text).contains(heading))
                    }
                };
                if !is_there {
                    violations.push(format!("{}:{number}: {target}", document.path));
                }
            }
        }
    }
    assert_none(
        "A link leads to a file or a heading that does not exist:",
        &violations,
    );
}

/// The lines outside of code blocks, numbered from 1.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut in_code = false;
    (1..).zip(text.lines()).filter(move |(_, line)| {
        let is_fence = line.trim_start().starts_with("```");
        in_code ^= is_fence;
        !in_code && !is_fence
    })
}

/// What `[text](target)` in a line leads to.
fn targets(line: &str) -> impl Iterator<Item = &str> {
    line.split("](")
        .skip(1)
        .filter_map(|rest| Some(rest.split_once(')')?.0))
}

/// The names that headings are linked to by: lower case, without punctuation,
/// with hyphens for spaces.
fn anchors(text: &str) -> HashSet<String> {
    prose(text)
        .filter_map(|(_, line)| line.strip_prefix('#'))
        .map(|line| line.trim_start_matches('#').trim())
        .map(|heading| {
            let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
            let name: String = heading.chars().filter(kept).collect();
            name.to_lowercase().replace(' ', "-")
        })
        .collect()
}
