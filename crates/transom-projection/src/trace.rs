//! What an action did with its view.
//!
//! The kernel asks for a name once and then remembers the answer, and it asks
//! at every open; so per input it is known exactly whether it was opened, only
//! looked at, or never touched. Two things make that exact: a traced view
//! shares no item with another view, and its listings carry no attributes,
//! which the kernel would otherwise cache without asking for the name.
//! Counts are counts of *requests*: an absent name that is remembered as
//! absent is probed a thousand times for one request.
//!
//! As JSON a [`TraceReport`] is one object:
//!
//! ```json
//! {
//!   "format": 1,
//!   "inputs": [
//!     {"path": "src/config.h", "kind": "file", "use": "looked-up"},
//!     {"path": "src/legacy.c", "kind": "file", "use": "untouched"},
//!     {"path": "src/main.c", "kind": "file", "use": "read"},
//!     {"path": "usr", "kind": "whole-directory", "use": "read"}
//!   ],
//!   "found": [{"path": "usr/include/stdio.h", "kind": "file", "use": "read"}],
//!   "listed": ["src"],
//!   "absent": [{"path": "src/stdio.h", "requests": 1}],
//!   "absent_dropped": 0
//! }
//! ```
//!
//! `inputs` holds every declared file, symbolic link and whole directory in
//! the order of their paths; `found` the names that were asked for below whole
//! directories; `listed` the directories that were listed; `absent` the names
//! that were asked for and do not exist. A path is a string, or
//! `{"base64": "..."}` if it is not UTF-8. A symbolic link is `read` when its
//! target was, a whole directory when it was listed or anything below was
//! asked for.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU8, Ordering};

use serde::{Deserialize, Serialize};

use crate::sync::{lock, read};
use crate::view::Pinned;
use crate::whole::{Child, WholeDirectory};
use crate::{View, ViewPath};

/// The most absent names that a view remembers.
pub const ABSENT_NAMES_MAX: usize = 1 << 16;

/// The version of the format of [`TraceReport`].
const FORMAT: u32 = 1;

/// What requests did to one item.
#[derive(Debug, Default)]
pub(crate) struct Touched(AtomicU8);

/// One kind of request.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Touch {
    LookedUp = 1,
    Read = 2,
    Listed = 4,
}

impl Touched {
    pub(crate) fn note(&self, touch: Touch) {
        // Most requests repeat an earlier one; do not take the cache line from
        // other processors for nothing.
        if !self.has(touch) {
            self.0.fetch_or(touch as u8, Ordering::Relaxed);
        }
    }

    fn has(&self, touch: Touch) -> bool {
        self.0.load(Ordering::Relaxed) & touch as u8 != 0
    }

    fn usage(&self) -> Use {
        if self.has(Touch::Read) {
            Use::Read
        } else if self.has(Touch::LookedUp) {
            Use::LookedUp
        } else {
            Use::Untouched
        }
    }
}

/// How often absent names were asked for.
#[derive(Debug, Default)]
pub(crate) struct AbsentNames(Mutex<AbsentTable>);

#[derive(Debug, Default)]
struct AbsentTable {
    requests: HashMap<ViewPath, u64>,
    dropped: u64,
}

impl AbsentNames {
    pub(crate) fn note(&self, path: ViewPath) {
        let mut table = lock(&self.0);
        if let Some(requests) = table.requests.get_mut(&path) {
            *requests += 1;
        } else if table.requests.len() < ABSENT_NAMES_MAX {
            table.requests.insert(path, 1);
        } else {
            table.dropped += 1;
        }
    }
}

/// What was done with an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Use {
    /// Nobody asked for it.
    Untouched,
    /// Its name was asked for (`stat`, or a look-up on the way), its content
    /// was not.
    LookedUp,
    /// It was opened.
    Read,
}

/// What an input is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InputKind {
    /// A regular file.
    File,
    /// A symbolic link.
    Symlink,
    /// A host directory that is mapped as a whole.
    WholeDirectory,
}

/// Everything that was seen of a traced view, or of another volume that was
/// watched, so far.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraceReport {
    /// The version of this format.
    pub format: u32,
    /// Every declared input, in the order of the paths.
    pub inputs: Vec<InputUse>,
    /// What was asked for below whole directories.
    pub found: Vec<InputUse>,
    /// Directories that were listed.
    pub listed: Vec<ViewPath>,
    /// Names that were asked for and do not exist, in the order of the paths.
    pub absent: Vec<AbsentName>,
    /// Requests for absent names that are not in `absent`, because it holds
    /// [`ABSENT_NAMES_MAX`] names already.
    pub absent_dropped: u64,
}

/// What was done with one input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputUse {
    /// Its path in the view.
    pub path: ViewPath,
    /// What it is.
    pub kind: InputKind,
    /// The most that was done with it.
    #[serde(rename = "use")]
    pub usage: Use,
}

/// A name that was asked for in vain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AbsentName {
    /// Its path in the view.
    pub path: ViewPath,
    /// How often the kernel asked; it remembers the answer.
    pub requests: u64,
}

impl View {
    /// What the view has seen so far; `None` if it is not traced.
    #[must_use]
    pub fn trace(&self) -> Option<TraceReport> {
        let table = lock(&self.absent.as_ref()?.0);
        let absent = table.requests.iter().map(|(path, requests)| AbsentName {
            path: path.clone(),
            requests: *requests,
        });
        let mut report = TraceReport {
            absent: absent.collect(),
            absent_dropped: table.dropped,
            ..TraceReport::default()
        };
        drop(table);
        let state = read(&self.state);
        for (node, pinned) in state.live() {
            let path = state.tree.path(node);
            if pinned.touched().has(Touch::Listed) {
                report.listed.push(path.clone());
            }
            let (kind, usage) = match pinned {
                Pinned::Directory { .. } => continue,
                Pinned::File(version) => (InputKind::File, version.touched().usage()),
                Pinned::Symlink(link) => (InputKind::Symlink, link.touched.usage()),
                Pinned::Whole(directory) => {
                    let found = report.found.len();
                    report.add_found(directory);
                    let is_used =
                        report.found.len() > found || directory.touched.has(Touch::Listed);
                    let usage = match is_used {
                        true => Use::Read,
                        false => directory.touched.usage(),
                    };
                    (InputKind::WholeDirectory, usage)
                }
            };
            report.inputs.push(InputUse { path, kind, usage });
        }
        report
            .inputs
            .sort_by(|one, other| one.path.cmp(&other.path));
        report.found.sort_by(|one, other| one.path.cmp(&other.path));
        report.listed.sort();
        report
            .absent
            .sort_by(|one, other| one.path.cmp(&other.path));
        Some(report)
    }
}

impl Default for TraceReport {
    /// Nothing seen yet.
    fn default() -> Self {
        Self {
            format: FORMAT,
            inputs: Vec::new(),
            found: Vec::new(),
            listed: Vec::new(),
            absent: Vec::new(),
            absent_dropped: 0,
        }
    }
}

impl TraceReport {
    /// Writes the paths of untouched inputs, one per line: what Bazel calls an
    /// `unused_inputs_list`. A path with a line break cannot be written, and is
    /// left out; the input then counts as used.
    pub fn write_unused_inputs_list(&self, mut to: impl Write) -> io::Result<()> {
        for input in &self.inputs {
            let path = input.path.as_bytes();
            if input.usage == Use::Untouched && !path.contains(&b'\n') {
                to.write_all(path)?;
                to.write_all(b"\n")?;
            }
        }
        Ok(())
    }

    /// Writes the rule of a depfile: `target` depends on every file that was
    /// opened or looked at. Paths are relative to the root of the view. A path
    /// with a line break cannot be written, and is an error.
    pub fn write_depfile(&self, target: &str, mut to: impl Write) -> io::Result<()> {
        let used = self.inputs.iter().chain(&self.found);
        let used =
            used.filter(|input| input.kind == InputKind::File && input.usage != Use::Untouched);
        let paths = used.map(|input| input.path.as_os_str());
        write_depfile_rule(OsStr::new(target), paths, &mut to)
    }

    fn add_found(&mut self, directory: &WholeDirectory) {
        for (name, child) in directory.all_pinned() {
            if child.touched().has(Touch::Listed) {
                self.listed.push(directory.path.join(&name));
            }
            let kind = match &child {
                Child::Directory(below) => {
                    self.add_found(below);
                    continue;
                }
                Child::File(_) => InputKind::File,
                Child::Symlink(_) => InputKind::Symlink,
            };
            self.found.push(InputUse {
                path: directory.path.join(&name),
                kind,
                usage: child.touched().usage(),
            });
        }
    }
}

/// Writes one rule of a depfile: `target` depends on each of `prerequisites`. A
/// path with a line break cannot be written, and is an error.
pub fn write_depfile_rule<P: AsRef<OsStr>>(
    target: &OsStr,
    prerequisites: impl IntoIterator<Item = P>,
    to: &mut dyn Write,
) -> io::Result<()> {
    to.write_all(&escaped(writable(target)?))?;
    to.write_all(b":")?;
    for prerequisite in prerequisites {
        to.write_all(b" \\\n  ")?;
        to.write_all(&escaped(writable(prerequisite.as_ref())?))?;
    }
    to.write_all(b"\n")
}

fn writable(path: &OsStr) -> io::Result<&[u8]> {
    if path.as_bytes().contains(&b'\n') {
        let message = format!("a depfile cannot name {path:?}, which contains a line break");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    Ok(path.as_bytes())
}

/// A path the way make, gcc and clang write it: a backslash before a blank,
/// `#` or `:`, a doubled `$`, and a backslash of the path itself doubled where
/// it comes before a blank.
fn escaped(path: &[u8]) -> Vec<u8> {
    let mut escaped = Vec::with_capacity(path.len());
    let mut backslashes = 0;
    for byte in path {
        match byte {
            b' ' | b'\t' => {
                escaped.extend(std::iter::repeat_n(b'\\', backslashes + 1));
            }
            b'#' | b':' => escaped.push(b'\\'),
            b'$' => escaped.push(b'$'),
            _ => {}
        }
        escaped.push(*byte);
        backslashes = if *byte == b'\\' { backslashes + 1 } else { 0 };
    }
    // A blank follows every path.
    escaped.extend(std::iter::repeat_n(b'\\', backslashes));
    escaped
}
