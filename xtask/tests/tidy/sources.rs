//! Rules about Rust code.

use crate::code::{contains_word, without_comments_and_literals};
use crate::repository::{TextFile, assert_none, files_with_extension};

/// The one crate with unsafe code.
const UNSAFE: &str = "crates/transom-sys/";

/// What talks to people or reads their environment. Everything else is a
/// library, and leaves both to its callers.
const PROGRAMS: [&str; 4] = [
    "crates/transom/",
    "crates/transom-bench/",
    "crates/transom-test/",
    "xtask/",
];

/// Macros that print, modules that read the environment.
const FOR_PROGRAMS: [&str; 6] = [
    "print!",
    "println!",
    "eprint!",
    "eprintln!",
    "std::env",
    "env::var",
];

#[test]
fn only_transom_sys_is_unsafe() {
    let violations = lines_of_code(
        |file| (!file.path.starts_with(UNSAFE)).then(|| code_of(file)),
        |line| contains_word(line, "unsafe") || contains_word(line, "unsafe_code"),
    );
    assert_none(
        "Unsafe code outside transom-sys; put a safe function there and call it:",
        &violations,
    );
}

#[test]
fn libraries_neither_print_nor_read_the_environment() {
    let violations = lines_of_code(
        |file| is_library(file).then(|| without_tests(&code_of(file))),
        |line| FOR_PROGRAMS.iter().any(|word| contains_word(line, word)),
    );
    assert_none(
        "A library prints or reads the environment; return a value or take a parameter:",
        &violations,
    );
}

#[test]
fn every_crate_says_what_it_is() {
    let violations: Vec<_> = files_with_extension("rs")
        .iter()
        .filter(|file| file.path.ends_with("src/lib.rs") || file.path.ends_with("src/main.rs"))
        .filter(|file| !file.text.starts_with("//! "))
        .map(|file| file.path.clone())
        .collect();
    assert_none("A crate must begin with `//!` documentation:", &violations);
}

#[test]
fn ignored_tests_are_not_hidden() {
    let violations = lines_of_code(|file| Some(code_of(file)), |line| line.contains("#[ignore"));
    assert_none(
        "An ignored test is not counted; use `skip!` or `privileged!` of transom-test, and \
         measure in transom-bench:",
        &violations,
    );
}

/// `privileged!` and the name `privileged_*`, by which the runner chooses who
/// runs a test, go together.
#[test]
fn tests_that_need_root_have_the_name_for_it() {
    let mut violations = Vec::new();
    for file in files_with_extension("rs") {
        let code = code_of(&file);
        let mut function = "";
        for (number, line) in (1..).zip(code.lines()) {
            if let Some((_, rest)) = line.split_once("fn ") {
                function = rest.split(['(', '<']).next().unwrap_or_default();
            }
            if contains_word(line, "privileged!") && !function.starts_with("privileged_") {
                violations.push(format!(
                    "{}:{number}: call it privileged_{function}",
                    file.path
                ));
            }
        }
    }
    assert_none("A test that needs root must say so:", &violations);
}

/// The lines, as `file:line: code`, in which `is_bad` finds something;
/// `code_of` says what to look at in a file, if anything.
fn lines_of_code(
    code_of: impl Fn(&TextFile) -> Option<String>,
    is_bad: impl Fn(&str) -> bool,
) -> Vec<String> {
    let mut found = Vec::new();
    for file in files_with_extension("rs") {
        let code = code_of(&file).unwrap_or_default();
        let bad = (1..).zip(code.lines()).filter(|(_, line)| is_bad(line));
        found.extend(bad.map(|(number, line)| format!("{}:{number}: {}", file.path, line.trim())));
    }
    found
}

fn code_of(file: &TextFile) -> String {
    without_comments_and_literals(&file.text)
}

/// `code` up to its tests, which are the last thing in a file.
fn without_tests(code: &str) -> String {
    let tests = code.find("\n#[cfg(test)]\nmod tests {");
    code[..tests.unwrap_or(code.len())].to_owned()
}

fn is_library(file: &TextFile) -> bool {
    let in_crate = file.path.starts_with("crates/") && file.path.contains("/src/");
    let in_program = PROGRAMS.iter().any(|path| file.path.starts_with(path));
    let is_test = file.path.ends_with("/tests.rs") || file.path.contains("/tests/");
    in_crate && !in_program && !is_test
}
