//! What a command needs and makes, as a view would have to be declared.
//!
//! A record tells what the command asked for and did, name by name. What has
//! become of it, the host tells: a name that the command made and that is
//! still there is an output, one that is gone was temporary; and a directory
//! that it made holds nothing but outputs, whoever moved them there.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs::{self, FileType};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use transom_module::{ItemKind, Name};
use transom_projection::ViewPath;
use transom_projection::manifest::{INPUTS_MAX, OUTPUTS_MAX};
use transom_projection::trace::{AbsentName, InputKind, InputUse, TraceReport, Use};

use crate::record::{Facts, Record};

/// What to make of a record.
#[derive(Debug, Clone, Default)]
pub struct Scope {
    /// Directories that are not the view's, such as `/proc`: nothing below
    /// them is needed or made.
    pub outside: Vec<ViewPath>,
    /// Directories that are declared as a whole as soon as anything in them
    /// was used.
    pub whole: Vec<ViewPath>,
    /// Files and directories that nobody wants afterwards: they, and what the
    /// command makes in them, are no outputs.
    pub discarded: Vec<ViewPath>,
    /// Where the command started. It is there even if nobody looked.
    pub working_directory: ViewPath,
}

/// What a command needs and makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Learned {
    /// What has to be there for it, by name.
    pub inputs: BTreeMap<ViewPath, Input>,
    /// Files and symbolic links that it made and left.
    pub outputs: BTreeSet<ViewPath>,
    /// Directories that hold no output, in which it made something all the
    /// same.
    pub writable: BTreeSet<ViewPath>,
    /// What it made and took away again.
    pub temporary: BTreeSet<ViewPath>,
    /// What it changed so that the result depends on what was there before. They
    /// are no outputs: a view would have them made from nothing, and what they
    /// were would be lost.
    pub updated: BTreeSet<ViewPath>,
    /// What it used and took away: it cannot be used a second time.
    pub lost: BTreeSet<ViewPath>,
    /// What it used or made that no view can hold: pipes, sockets, devices.
    pub unsupported: BTreeSet<ViewPath>,
    /// What was done with every name, in the form of `docs/trace.md`.
    pub trace: TraceReport,
}

/// Something that a command needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// A file.
    File(Use),
    /// A symbolic link to this target.
    Symlink(OsString, Use),
    /// A directory, of which no more is needed than that it is there.
    Directory,
    /// A directory with all that is in it.
    WholeDirectory,
}

/// Why nothing could be learnt.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LearnError {
    /// More names than a manifest can declare.
    #[error("the command {verb} {count} files, and a manifest has at most {max}; {remedy}")]
    TooMany {
        /// What it did with them.
        verb: &'static str,
        /// How many there are.
        count: usize,
        /// How many there may be.
        max: usize,
        /// What to do.
        remedy: &'static str,
    },
    /// Names were used that the record does not hold.
    #[error("the command used so many names that {0} uses were not recorded")]
    Dropped(u64),
    /// The host could not be asked.
    #[error("cannot examine `{}`", transom_projection::shown(path))]
    Host {
        /// Of what.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
}

/// What happened to names, each directory before what lies below it.
type Names = BTreeMap<ViewPath, Facts>;

impl Learned {
    /// Learns from a finished command: from the record of the volume that was
    /// its root, and from what is on the host now.
    pub fn from(record: &Record, scope: &Scope) -> Result<Self, LearnError> {
        let (names, dropped) = record.facts();
        if dropped > 0 {
            return Err(LearnError::Dropped(dropped));
        }
        let names = names.into_iter();
        let names: Names = names.filter(|(path, _)| !scope.is_outside(path)).collect();
        let mut learned = Self {
            inputs: BTreeMap::new(),
            outputs: BTreeSet::new(),
            writable: BTreeSet::new(),
            temporary: BTreeSet::new(),
            updated: BTreeSet::new(),
            lost: BTreeSet::new(),
            unsupported: BTreeSet::new(),
            trace: trace(&names),
        };
        let own = Own::of(&names);
        for (path, facts) in &names {
            learned.add_output(path, facts, scope)?;
        }
        for (path, facts) in &names {
            if own.holds(path) {
                continue;
            }
            learned.add_input(path, facts)?;
            if facts.listed {
                learned.add_entries(path, &own, scope)?;
            }
        }
        learned.add_directory(&scope.working_directory);
        scope.take_whole(&mut learned.inputs);
        learned.add_writable(&names, &own);
        learned.check()
    }

    fn add_output(
        &mut self,
        path: &ViewPath,
        facts: &Facts,
        scope: &Scope,
    ) -> Result<(), LearnError> {
        if !facts.made && !facts.written {
            if facts.removed && facts.usage == Some(Use::Read) {
                self.lost.insert(path.clone());
            }
            return Ok(());
        }
        match kind_on_host(path)? {
            None if facts.first.is_none() => _ = self.temporary.insert(path.clone()),
            None => {}
            Some(kind) => {
                if facts.updated && !kind.is_dir() {
                    self.updated.insert(path.clone());
                } else {
                    self.add_made(path, kind, scope)?;
                }
            }
        }
        Ok(())
    }

    /// Something that the command left, with all that is in it.
    fn add_made(
        &mut self,
        path: &ViewPath,
        kind: FileType,
        scope: &Scope,
    ) -> Result<(), LearnError> {
        if let Some(discarded) = scope.discarding(path) {
            if path != discarded || kind.is_dir() {
                self.writable.insert(discarded.clone());
            }
        } else if kind.is_file() || kind.is_symlink() {
            self.outputs.insert(path.clone());
        } else if kind.is_dir() {
            for (below, kind) in entries(path)? {
                self.add_made(&below, kind, scope)?;
            }
        } else {
            self.unsupported.insert(path.clone());
        }
        Ok(())
    }

    fn add_input(&mut self, path: &ViewPath, facts: &Facts) -> Result<(), LearnError> {
        let Some(usage) = facts.usage else {
            return Ok(());
        };
        match kind_on_host(path)? {
            Some(kind) => self.add_found(path, kind, usage),
            None => _ = self.lost.insert(path.clone()),
        }
        Ok(())
    }

    fn add_found(&mut self, path: &ViewPath, kind: FileType, usage: Use) {
        let input = if kind.is_file() {
            Input::File(usage)
        } else if kind.is_dir() {
            return self.add_directory(path);
        } else if let Ok(target) = fs::read_link(path.to_absolute()) {
            Input::Symlink(target.into_os_string(), usage)
        } else {
            self.unsupported.insert(path.clone());
            return;
        };
        self.inputs.insert(path.clone(), input);
    }

    fn add_directory(&mut self, path: &ViewPath) {
        if !path.is_root() {
            self.inputs.insert(path.clone(), Input::Directory);
        }
    }

    /// A listing shows the names that it showed, whatever they are; but what
    /// nobody wants to keep comes and goes.
    fn add_entries(&mut self, path: &ViewPath, own: &Own, scope: &Scope) -> Result<(), LearnError> {
        for (below, kind) in entries(path)? {
            let is_none =
                own.holds(&below) || scope.is_outside(&below) || scope.discarding(&below).is_some();
            if !is_none && !self.inputs.contains_key(&below) {
                self.add_found(&below, kind, Use::Untouched);
            }
        }
        Ok(())
    }

    /// An action can write where it has outputs. Where else the command made
    /// something, it has to be allowed.
    fn add_writable(&mut self, names: &Names, own: &Own) {
        let with_outputs: BTreeSet<_> = self.outputs.iter().filter_map(ViewPath::parent).collect();
        let on_the_way: BTreeSet<_> = with_outputs
            .iter()
            .flat_map(|path| std::iter::successors(Some(path.clone()), ViewPath::parent))
            .collect();
        let touched = names.iter().filter(|(_, facts)| facts.is_own());
        for (path, _) in touched.filter(|(path, _)| !self.outputs.contains(*path)) {
            let can_be_written = self.writable.iter().any(|above| path.starts_with(above));
            if can_be_written || on_the_way.contains(path) {
                continue;
            }
            let mut above = std::iter::successors(path.parent(), ViewPath::parent);
            let is_there = |path: &ViewPath| on_the_way.contains(path) || !own.holds(path);
            let Some(directory) = above.find(is_there) else {
                continue;
            };
            if !with_outputs.contains(&directory) {
                self.writable.insert(directory);
            }
        }
    }

    fn check(self) -> Result<Self, LearnError> {
        let too_many = |verb, count, max, remedy| LearnError::TooMany {
            verb,
            count,
            max,
            remedy,
        };
        if self.inputs.len() > INPUTS_MAX {
            let remedy = "declare large directories as a whole";
            return Err(too_many("used", self.inputs.len(), INPUTS_MAX, remedy));
        }
        if self.outputs.len() > OUTPUTS_MAX {
            let remedy = "learn the parts of the build one by one";
            return Err(too_many("made", self.outputs.len(), OUTPUTS_MAX, remedy));
        }
        Ok(self)
    }
}

impl Scope {
    fn is_outside(&self, path: &ViewPath) -> bool {
        self.outside.iter().any(|outside| path.starts_with(outside))
    }

    /// What is discarded that a path lies in, or is.
    fn discarding(&self, path: &ViewPath) -> Option<&ViewPath> {
        let mut discarded = self.discarded.iter();
        discarded.find(|discarded| path.starts_with(discarded))
    }

    fn take_whole(&self, inputs: &mut BTreeMap<ViewPath, Input>) {
        for whole in &self.whole {
            let before = inputs.len();
            inputs.retain(|path, _| !path.starts_with(whole));
            if inputs.len() < before {
                inputs.insert(whole.clone(), Input::WholeDirectory);
            }
        }
    }
}

/// The names that the command changed, and with them what is below.
struct Own<'a>(BTreeSet<&'a ViewPath>);

impl<'a> Own<'a> {
    fn of(names: &'a Names) -> Self {
        let own = names.iter().filter(|(_, facts)| facts.is_own());
        Self(own.map(|(path, _)| path).collect())
    }

    fn holds(&self, path: &ViewPath) -> bool {
        std::iter::successors(Some(path.clone()), ViewPath::parent)
            .any(|path| self.0.contains(&path))
    }
}

fn kind_on_host(path: &ViewPath) -> Result<Option<FileType>, LearnError> {
    let path = PathBuf::from(path.to_absolute());
    match fs::symlink_metadata(&path) {
        Ok(metadata) => Ok(Some(metadata.file_type())),
        Err(error) if is_absence(&error) => Ok(None),
        Err(source) => Err(LearnError::Host { path, source }),
    }
}

fn is_absence(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

/// What a directory of the host holds; nothing if it is none any more.
fn entries(path: &ViewPath) -> Result<Vec<(ViewPath, FileType)>, LearnError> {
    let directory = PathBuf::from(path.to_absolute());
    let list = |directory: &Path| {
        let entries = fs::read_dir(directory)?.map(|entry| {
            let entry = entry?;
            let name = Name::new(entry.file_name().into_vec()).map_err(io::Error::other)?;
            Ok((path.join(&name), entry.file_type()?))
        });
        entries.collect::<io::Result<Vec<_>>>()
    };
    match list(&directory) {
        Err(error) if is_absence(&error) => Ok(Vec::new()),
        other => other.map_err(|source| LearnError::Host {
            path: directory,
            source,
        }),
    }
}

/// In the order of the names, as the format wants it.
fn trace(names: &Names) -> TraceReport {
    let mut trace = TraceReport::default();
    for (path, facts) in names {
        let kind = match facts.first {
            Some(ItemKind::File) => Some(InputKind::File),
            Some(ItemKind::Symlink) => Some(InputKind::Symlink),
            _ => None,
        };
        if let (Some(kind), Some(usage)) = (kind, facts.usage) {
            trace.found.push(InputUse {
                path: path.clone(),
                kind,
                usage,
            });
        }
        if facts.listed {
            trace.listed.push(path.clone());
        }
        if facts.probes > 0 {
            trace.absent.push(AbsentName {
                path: path.clone(),
                requests: facts.probes,
            });
        }
    }
    trace
}

impl Learned {
    /// The files that it read or looked at, as a depfile wants them: relative
    /// to the working directory where they lie below it.
    pub fn prerequisites<'a>(
        &'a self,
        working_directory: &'a ViewPath,
    ) -> impl Iterator<Item = OsString> + 'a {
        let files = self
            .inputs
            .iter()
            .filter(|(_, input)| matches!(input, Input::File(usage) if *usage != Use::Untouched));
        files.map(move |(path, _)| path_from(working_directory, path))
    }
}

/// How a path is written by who works in a directory.
pub fn path_from(working_directory: &ViewPath, path: &ViewPath) -> OsString {
    let is_below = !working_directory.is_root() && path.starts_with(working_directory);
    match is_below && path != working_directory {
        true => {
            let below = &path.as_bytes()[working_directory.as_bytes().len() + 1..];
            std::ffi::OsStr::from_bytes(below).to_owned()
        }
        false => path.to_absolute(),
    }
}
