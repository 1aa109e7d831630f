//! Rules about text of any kind.

use crate::code::contains_word;
use crate::repository::{TextFile, assert_none, text_files};

/// The longest file. One that grows beyond it holds more than one concept.
const LINES_MAX: usize = 900;

/// Files that may be longer, with the reason.
const LONG_FILES: &[(&str, &str)] = &[];

#[test]
fn sources_are_ascii() {
    let violations = lines(is_source, |line| {
        line.chars().any(|c| !c.is_ascii() && !is_drawing(c))
    });
    assert_none(
        "Sources are ASCII, but for the characters that drawings are made of; \
         write \\u{...} in a literal:",
        &violations,
    );
}

#[test]
fn no_line_ends_in_white_space() {
    let violations = lines(|_| true, |line| line.ends_with([' ', '\t', '\r']));
    assert_none("White space at the end of a line:", &violations);
}

#[test]
fn files_end_with_a_newline() {
    let violations: Vec<_> = text_files()
        .iter()
        .filter(|file| !file.text.is_empty() && !file.text.ends_with('\n'))
        .map(|file| file.path.clone())
        .collect();
    assert_none("The last line must end too:", &violations);
}

#[test]
fn nothing_is_left_to_do() {
    // In two halves, so that this file does not contain them.
    let markers = [("TO", "DO"), ("FIX", "ME"), ("XX", "X"), ("HA", "CK")]
        .map(|(first, second)| format!("{first}{second}"));
    let violations = lines(
        |_| true,
        |line| markers.iter().any(|marker| contains_word(line, marker)),
    );
    assert_none("Do it, or open an issue:", &violations);
}

#[test]
fn files_are_short() {
    let violations: Vec<_> = text_files()
        .iter()
        .filter(|file| !LONG_FILES.iter().any(|(path, _)| *path == file.path))
        .map(|file| (&file.path, file.lines().count()))
        .filter(|(_, lines)| *lines > LINES_MAX)
        .map(|(path, lines)| format!("{path}: {lines} lines"))
        .collect();
    assert_none(
        &format!("More than {LINES_MAX} lines; split it, or add it to LONG_FILES with a reason:"),
        &violations,
    );
}

#[test]
fn exceptions_are_needed() {
    let files = text_files();
    for (path, _) in LONG_FILES {
        assert!(
            files.iter().any(|file| file.path == *path),
            "{path} is in LONG_FILES and does not exist"
        );
    }
}

#[test]
fn no_path_of_a_developers_machine_is_mentioned() {
    // In two halves, as above.
    let paths = [
        ("/work", "/main"),
        ("/work", "/shared"),
        ("/tmp", "/target-"),
        ("/root", "/.cargo"),
    ]
    .map(|(first, second)| format!("{first}{second}"));
    let violations = lines(
        |_| true,
        |line| paths.iter().any(|path| line.contains(path)),
    );
    assert_none("A path that exists on one machine only:", &violations);
}

/// Lines, as `file:line: text`, in which `is_bad` finds something.
fn lines(concerns: impl Fn(&TextFile) -> bool, is_bad: impl Fn(&str) -> bool) -> Vec<String> {
    let files = text_files();
    let mut found = Vec::new();
    for file in files.iter().filter(|file| concerns(file)) {
        let bad = file.lines().filter(|(_, line)| is_bad(line));
        found.extend(bad.map(|(number, line)| format!("{}:{number}: {line}", file.path)));
    }
    found
}

fn is_source(file: &TextFile) -> bool {
    let extensions = ["rs", "toml", "sh"];
    extensions
        .iter()
        .any(|extension| file.has_extension(extension))
        || file.text.starts_with("#!")
}

/// Boxes and arrows, for the drawings in the documentation of a module.
fn is_drawing(c: char) -> bool {
    matches!(c,
        '\u{2500}'..='\u{257f}' // lines and corners
        | '\u{2190}'..='\u{2193}' // arrows
        | '\u{25b2}' | '\u{25b6}' | '\u{25ba}' | '\u{25bc}' | '\u{25c0}' | '\u{25c4}' // heads of arrows
        | '\u{2026}' // "and so on"
    )
}
