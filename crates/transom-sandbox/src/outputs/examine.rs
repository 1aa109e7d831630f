use std::ffi::{CString, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{FileType, OFlags, ResolveFlags};
use rustix::io::Errno;
use transom_projection::ViewPath;

use super::problem::{Found, Problem};
use super::{ENTRIES_NAMED_MAX, OUTPUT_DEPTH_MAX};
use crate::{Output, OutputKind, walk};

/// Says whether `output` is there. It may be absent if it is optional. With
/// `keep_links`, symbolic links lead anywhere.
pub(super) fn output(
    root: BorrowedFd<'_>,
    output: &Output,
    keep_links: bool,
) -> Result<bool, Problem> {
    let path = &output.path;
    let file = match walk::open(root, path, OFlags::PATH) {
        Ok(file) => file,
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) if output.optional => return Ok(false),
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {
            // Without a link to follow, a loop means that one is in the way.
            return Err(Problem::Missing {
                path: path.clone(),
                found: found_instead(root, path),
            });
        }
        Err(source) => return Err(unreadable(path)(source)),
    };
    let stat = walk::stat(&file, c"").map_err(unreadable(path))?;
    match (output.kind, walk::kind_of(&stat)) {
        (OutputKind::File, FileType::RegularFile) => {}
        (OutputKind::File, FileType::Symlink) if keep_links => {}
        (OutputKind::Directory, FileType::Directory) => {
            let directory = walk::open_directory(root, path).map_err(unreadable(path))?;
            let tree = Tree {
                output: path,
                root: &directory,
                keep_links,
            };
            tree.examine(&directory, path, 0)?;
        }
        (expected, found) => {
            return Err(Problem::WrongKind {
                path: path.clone(),
                expected: match expected {
                    OutputKind::File => "a file",
                    OutputKind::Directory => "a directory",
                },
                found: walk::noun(found),
            });
        }
    }
    Ok(true)
}

/// A directory that is an output.
struct Tree<'a> {
    output: &'a ViewPath,
    root: &'a OwnedFd,
    keep_links: bool,
}

impl Tree<'_> {
    fn examine(&self, directory: &OwnedFd, path: &ViewPath, depth: usize) -> Result<(), Problem> {
        if depth > OUTPUT_DEPTH_MAX {
            return Err(Problem::TooDeep {
                output: self.output.clone(),
            });
        }
        for entry in walk::entries(directory).map_err(unreadable(path))? {
            let path = walk::join(path, entry.name()).map_err(unreadable(path))?;
            match entry.kind {
                FileType::RegularFile => {}
                FileType::Directory => {
                    let directory = walk::open_subdirectory(directory, &entry.name)
                        .map_err(unreadable(&path))?;
                    self.examine(&directory, &path, depth + 1)?;
                }
                FileType::Symlink if self.keep_links => {}
                FileType::Symlink => self.examine_link(directory, &entry.name, &path)?,
                special => {
                    return Err(Problem::Special {
                        output: self.output.clone(),
                        path,
                        found: walk::noun(special),
                    });
                }
            }
        }
        Ok(())
    }

    /// Lets the kernel resolve the link, with the output as the limit. Only it
    /// gets `..` after another link right.
    fn examine_link(
        &self,
        directory: &OwnedFd,
        name: &CString,
        path: &ViewPath,
    ) -> Result<(), Problem> {
        let below = walk::relative(path, self.output);
        let limits = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        match walk::resolve(self.root, below.as_os_str(), OFlags::PATH, limits) {
            // A link to nothing, or to itself, leads nowhere else either.
            Ok(_) | Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::ACCESS) => Ok(()),
            Err(Errno::XDEV) => {
                let target = rustix::fs::readlinkat(directory.as_fd(), name, Vec::new())
                    .map_err(unreadable(path))?;
                Err(Problem::LinkLeaves {
                    output: self.output.clone(),
                    path: path.clone(),
                    target: walk::os_string(target),
                })
            }
            Err(source) => Err(unreadable(path)(source)),
        }
    }
}

fn found_instead(root: BorrowedFd<'_>, path: &ViewPath) -> Found {
    // The innermost directory on the way that exists, and the name missed there.
    let mut directory = path.parent().unwrap_or_default();
    let mut wanted = path.file_name().unwrap_or_default().to_owned();
    let entries = loop {
        match walk::open_directory(root, &directory).and_then(walk::entries) {
            Ok(entries) => break entries,
            Err(_) if directory.is_root() => break Vec::new(),
            Err(_) => {
                wanted = directory.file_name().unwrap_or_default().to_owned();
                directory = directory.parent().unwrap_or_default();
            }
        }
    };
    let mut names: Vec<OsString> = entries
        .iter()
        .map(|entry| entry.name().to_owned())
        .collect();
    let similarity = |name: &OsString| {
        let pairs = name
            .as_encoded_bytes()
            .iter()
            .zip(wanted.as_encoded_bytes());
        pairs.take_while(|(a, b)| a == b).count()
    };
    names.sort_by_key(|name| std::cmp::Reverse(similarity(name)));
    let more = names.len().saturating_sub(ENTRIES_NAMED_MAX);
    names.truncate(ENTRIES_NAMED_MAX);
    Found {
        directory,
        names,
        more,
    }
}

fn unreadable(path: &ViewPath) -> impl FnOnce(Errno) -> Problem {
    let path = path.clone();
    |source| Problem::Unreadable { path, source }
}
