//! The manual pages in `man/` and the scripts in `completions/` fit the
//! command line. `cargo xtask generate` writes them.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::io;
use std::path::Path;

use clap_complete::Shell;

#[test]
fn manual_pages_are_current() {
    let pages = generated(|directory| clap_mangen::generate_to(transom::command_line(), directory));
    assert_current("man", &pages.unwrap());
}

#[test]
fn completions_are_current() {
    let scripts = generated(|directory| {
        for shell in [Shell::Bash, Shell::Fish, Shell::Zsh] {
            clap_complete::generate_to(shell, &mut transom::command_line(), "transom", directory)?;
        }
        Ok(())
    });
    assert_current("completions", &scripts.unwrap());
}

/// Set by `cargo xtask generate`: write the files instead of comparing them.
const WRITE: &str = "TRANSOM_GENERATE";

/// Text files by name.
type Files = BTreeMap<String, String>;

fn generated(generate: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<Files> {
    let directory = transom_test::temp_dir()?;
    generate(directory.path())?;
    files_in(directory.path())
}

#[track_caller]
fn assert_current(name: &str, fresh: &Files) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(name);
    if env::var_os(WRITE).is_some() {
        replace_files(&directory, fresh).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    let committed = files_in(&directory).unwrap_or_default();
    let names = |files: &Files| files.keys().cloned().collect::<Vec<_>>();
    let advice = "run `cargo xtask generate` and commit what it writes";
    assert_eq!(names(&committed), names(fresh), "{advice}");
    for (file, text) in fresh {
        assert!(
            committed[file] == *text,
            "{name}/{file} is outdated; {advice}"
        );
    }
}

fn replace_files(directory: &Path, files: &Files) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    for outdated in files_in(directory)?.keys() {
        fs::remove_file(directory.join(outdated))?;
    }
    for (name, text) in files {
        fs::write(directory.join(name), text)?;
    }
    Ok(())
}

fn files_in(directory: &Path) -> io::Result<Files> {
    fs::read_dir(directory)?
        .map(|entry| {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            Ok((name, fs::read_to_string(entry.path())?))
        })
        .collect()
}
