//! Small files that outlive the daemon, one for each thing to remember.
//!
//! A record is written under another name and then renamed, so that whoever
//! reads finds the old one or the new one, and never a part. That holds when the
//! process is killed at any moment. For it to hold when the machine loses power,
//! too, the file and the directory are made durable, which takes milliseconds; who
//! writes says whether the record is worth that.

pub(crate) mod format;

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

const UNFINISHED_SUFFIX: &str = ".new";

/// A directory of records, whose names all end the same.
#[derive(Debug)]
pub(crate) struct Records {
    path: PathBuf,
    directory: File,
    suffix: &'static str,
}

/// What a record survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Survives {
    /// The death of the process.
    Process,
    /// That of the machine.
    Machine,
}

impl Records {
    /// Opens a directory, which is made for us alone if it does not exist.
    pub(crate) fn open(path: PathBuf, suffix: &'static str) -> io::Result<Self> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&path)?;
        let directory = File::open(&path)?;
        Ok(Self {
            path,
            directory,
            suffix,
        })
    }

    /// Writes a record, in place of the one of that name. Not by two at once.
    pub(crate) fn write(&self, name: &str, bytes: &[u8], survives: Survives) -> io::Result<()> {
        let unfinished = self.path.join(format!("{name}{UNFINISHED_SUFFIX}"));
        let mut file = File::create(&unfinished)?;
        file.write_all(bytes)?;
        if survives == Survives::Machine {
            file.sync_all()?;
        }
        fs::rename(&unfinished, self.file(name))?;
        match survives {
            Survives::Process => Ok(()),
            Survives::Machine => self.directory.sync_all(),
        }
    }

    /// The content of a record.
    pub(crate) fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        fs::read(self.file(name))
    }

    /// Removes a record, if it is there.
    pub(crate) fn remove(&self, name: &str, survives: Survives) -> io::Result<()> {
        match fs::remove_file(self.file(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Ok(()) if survives == Survives::Machine => self.directory.sync_all(),
            other => other,
        }
    }

    /// The names of all records. Removes what was not written to its end; what is
    /// no record is left alone.
    pub(crate) fn names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let path = entry?.path();
            let Some(name) = path.file_name().and_then(OsStr::to_str) else {
                continue;
            };
            if name.ends_with(UNFINISHED_SUFFIX) {
                fs::remove_file(&path)?;
            } else if let Some(name) = name.strip_suffix(self.suffix) {
                names.push(name.to_owned());
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    /// The directory.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Where a record is, for people too.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path.join(format!("{name}{}", self.suffix))
    }
}
