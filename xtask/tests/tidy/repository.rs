//! The files the rules are about.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

/// The root of the repository.
pub(crate) const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// A text file of the repository.
#[derive(Debug)]
pub(crate) struct TextFile {
    /// Relative to the root.
    pub(crate) path: String,
    pub(crate) text: String,
}

impl TextFile {
    /// The lines, numbered from 1.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        (1..).zip(self.text.lines())
    }

    pub(crate) fn has_extension(&self, extension: &str) -> bool {
        Path::new(&self.path)
            .extension()
            .is_some_and(|found| found == extension)
    }
}

/// What programs write, or read to be tested: its looks are not our doing.
const DATA: [&str; 5] = [
    "Cargo.lock",
    "completions/",
    "fuzz/Cargo.lock",
    "fuzz/seeds/",
    "man/",
];

/// All text files that people write, and that are tracked or would be with
/// `git add`.
pub(crate) fn text_files() -> Vec<TextFile> {
    let listed = run(
        "git",
        &[
            "ls-files",
            "--cached",
            "--others",
            "--exclude-standard",
            "-z",
        ],
    );
    let files: Vec<_> = listed
        .split_terminator('\0')
        .filter(|path| !DATA.iter().any(|data| path.starts_with(data)))
        .filter_map(|path| {
            // Neither a file that was deleted but not committed, nor a binary one.
            let text = fs::read_to_string(Path::new(ROOT).join(path)).ok()?;
            Some(TextFile {
                path: path.to_owned(),
                text,
            })
        })
        .collect();
    assert!(!files.is_empty(), "git lists no file");
    files
}

/// The text files with this extension.
pub(crate) fn files_with_extension(extension: &str) -> Vec<TextFile> {
    let mut files = text_files();
    files.retain(|file| file.has_extension(extension));
    files
}

/// What `program` prints when it is run at the root.
pub(crate) fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program)
        .args(arguments)
        .current_dir(ROOT)
        .output();
    match output {
        Ok(Output { status, stdout, .. }) if status.success() => {
            String::from_utf8(stdout).expect("its output is text")
        }
        other => panic!("{program} {arguments:?}: {other:?}"),
    }
}

/// Fails the test with all violations at once, after the rule they break.
#[track_caller]
pub(crate) fn assert_none(rule: &str, violations: &[String]) {
    assert!(
        violations.is_empty(),
        "{rule}\n  {}",
        violations.join("\n  ")
    );
}
