use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;

use rustix::fs::{CWD, FileType, Mode, mknodat};
use tempfile::TempDir;

use crate::temp_dir;

/// The host files that random views are made of: a few regular files that may
/// be replaced, and a few directories that stay as they are.
#[derive(Debug)]
pub struct HostFiles {
    directory: TempDir,
    replaced: u32,
}

impl HostFiles {
    /// How many regular files there are.
    pub const FILES: usize = 4;
    /// How many directories there are.
    pub const DIRECTORIES: usize = 2;
    /// Names below the directories, those of things that are not shown among
    /// them.
    pub const NAMES_BELOW: [&str; 6] = ["f", "script", "link", "pipe", "sub", "sub/g"];

    /// Makes them in a temporary directory.
    pub fn new() -> io::Result<Self> {
        let files = Self {
            directory: temp_dir()?,
            replaced: 0,
        };
        for index in 0..Self::FILES {
            fs::write(files.file(index), format!("file {index}"))?;
        }
        let executable = fs::Permissions::from_mode(0o755);
        fs::set_permissions(files.file(0), executable.clone())?;
        for index in 0..Self::DIRECTORIES {
            let directory = files.directory(index);
            fs::create_dir_all(directory.join("sub"))?;
            fs::write(directory.join("f"), format!("f of {index}"))?;
            fs::write(directory.join("sub/g"), format!("g of {index}"))?;
            fs::write(directory.join("script"), "#!/bin/sh\n")?;
            fs::set_permissions(directory.join("script"), executable.clone())?;
            symlink("sub/g", directory.join("link"))?;
            let pipe = directory.join("pipe");
            mknodat(CWD, pipe, FileType::Fifo, Mode::from_raw_mode(0o644), 0)?;
        }
        symlink(files.file(1), files.link())?;
        Ok(files)
    }

    /// The path of a regular file.
    #[must_use]
    pub fn file(&self, index: usize) -> PathBuf {
        self.directory.path().join(format!("file{index}"))
    }

    /// The path of a directory.
    #[must_use]
    pub fn directory(&self, index: usize) -> PathBuf {
        self.directory.path().join(format!("directory{index}"))
    }

    /// The path of an absolute symbolic link to file 1.
    #[must_use]
    pub fn link(&self) -> PathBuf {
        self.directory.path().join("link")
    }

    /// A path that leads nowhere.
    #[must_use]
    pub fn missing(&self) -> PathBuf {
        self.directory.path().join("missing")
    }

    /// Replaces a regular file by a new one with other content, as an editor
    /// does: write beside it, rename over it.
    pub fn replace(&mut self, index: usize) -> io::Result<()> {
        self.replaced += 1;
        let beside = self.directory.path().join("beside");
        fs::write(&beside, format!("file {index}, replaced {}", self.replaced))?;
        fs::rename(beside, self.file(index))
    }
}
