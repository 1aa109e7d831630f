use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;
use transom_test::temp_dir;

use super::tree::{self, TREE};
use crate::passthrough::workload::{Scale, Workload};

/// `find` of a tree by what a listing says.
pub(crate) fn find(backing: &Path, scale: Scale) -> Result<Box<dyn Workload>> {
    let files = tree::plant(backing, scale)?;
    Ok(Box::new(OneCommand {
        about: format!("`find -type f` of a tree of {files} files: names and kinds"),
        words: &["find", TREE, "-type", "f"],
    }))
}

/// `find` of a tree by what has to be asked of each file.
pub(crate) fn find_size(backing: &Path, scale: Scale) -> Result<Box<dyn Workload>> {
    let files = tree::plant(backing, scale)?;
    Ok(Box::new(OneCommand {
        about: format!("`find -size +4k` of a tree of {files} files: attributes of each"),
        words: &["find", TREE, "-size", "+4k"],
    }))
}

/// The numbers of inodes and the times of changes, of which some arms have
/// their own, are not compared by git, which would read all files for them.
pub(crate) fn git_status(backing: &Path, scale: Scale) -> Result<Box<dyn Workload>> {
    let files = tree::plant(backing, scale)?;
    for words in [
        &["git", "-C", TREE, "init", "--quiet"][..],
        &["git", "-C", TREE, "config", "core.checkStat", "minimal"],
        &["git", "-C", TREE, "config", "core.trustctime", "false"],
        &["git", "-C", TREE, "config", "user.name", "nobody"],
        &[
            "git",
            "-C",
            TREE,
            "config",
            "user.email",
            "nobody@localhost",
        ],
        &["git", "-C", TREE, "add", "."],
        &["git", "-C", TREE, "commit", "--quiet", "--message", "all"],
        &["git", "-C", TREE, "repack", "-a", "-d", "--quiet"],
    ] {
        printed_by(words, backing)?;
    }
    Ok(Box::new(OneCommand {
        about: format!("`git status` of a clean tree of {files} files (core.checkStat=minimal)"),
        words: &[
            "git",
            "-c",
            "safe.directory=*",
            "--no-optional-locks",
            "-C",
            TREE,
            "status",
            "--porcelain",
        ],
    }))
}

/// A command that changes nothing, and whose output is the same everywhere.
#[derive(Debug)]
struct OneCommand {
    about: String,
    words: &'static [&'static str],
}

impl Workload for OneCommand {
    fn about(&self) -> String {
        self.about.clone()
    }

    fn run(&mut self, root: &Path) -> Result<u64> {
        let output = printed_by(self.words, root)?;
        Ok(output.iter().filter(|byte| **byte == b'\n').count() as u64)
    }
}

/// `tar` writing a tree.
pub(crate) fn untar(backing: &Path, scale: Scale) -> Result<Box<dyn Workload>> {
    let files = tree::plant(backing, scale)?;
    let directory = temp_dir()?;
    let archive = directory.path().join("tree.tar");
    let path = archive
        .to_str()
        .context("a temporary directory has a plain name")?;
    printed_by(&["tar", "-cf", path, TREE], backing)?;
    Ok(Box::new(Untar {
        files,
        archive,
        _directory: directory,
    }))
}

#[derive(Debug)]
struct Untar {
    files: u32,
    archive: PathBuf,
    _directory: TempDir,
}

impl Workload for Untar {
    fn about(&self) -> String {
        format!(
            "`tar -x` of an archive of {} small files that is elsewhere",
            self.files
        )
    }

    fn prepare(&mut self, backing: &Path) -> Result<()> {
        Ok(fs::remove_dir_all(backing.join(TREE))?)
    }

    fn run(&mut self, root: &Path) -> Result<u64> {
        let path = self.archive.to_str().context("a plain name")?;
        printed_by(&["tar", "-xf", path], root)?;
        Ok(0)
    }

    fn examine(&mut self, backing: &Path) -> Result<u64> {
        let listed = printed_by(&["find", TREE, "-type", "f", "-printf", "%s %m\n"], backing)?;
        Ok(listed.iter().map(|byte| u64::from(*byte)).sum())
    }
}

/// Runs a command in a directory and returns what it printed.
pub(super) fn printed_by(words: &[&str], directory: &Path) -> Result<Vec<u8>> {
    let [program, arguments @ ..] = words else {
        return Ok(Vec::new());
    };
    let output = Command::new(program)
        .args(arguments)
        .current_dir(directory)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot run `{program}`"))?;
    ensure!(output.status.success(), "`{program}`: {}", output.status);
    Ok(output.stdout)
}
