use std::fs::{self, File};
use std::io::Read;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use anyhow::Result;
use rustix::fs::{AtFlags, CWD, statat};

use crate::passthrough::workload::{Scale, Workload};

/// Something that is done to each of many small files in one directory.
#[derive(Debug)]
pub(crate) struct ManyFiles {
    operation: Operation,
    names: Vec<PathBuf>,
}

/// What is done to each file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    Create,
    Stat,
    StatAgain,
    Read,
    List,
    ListStat,
    Unlink,
}

const FILES: u32 = 10_000;
const DIRECTORY: &str = "many";
const CONTENT: [u8; 1000] = [b'x'; 1000];

impl ManyFiles {
    pub(crate) fn make(
        backing: &Path,
        scale: Scale,
        operation: Operation,
    ) -> Result<Box<dyn Workload>> {
        fs::create_dir(backing.join(DIRECTORY))?;
        let name = |index| Path::new(DIRECTORY).join(format!("file-{index:05}"));
        Ok(Box::new(Self {
            operation,
            names: (0..scale.of(FILES)).map(name).collect(),
        }))
    }

    fn stat_all(&self, root: &Path) -> Result<u64> {
        let mut sum = 0;
        for name in &self.names {
            sum += bytes_of(CWD, &root.join(name))?;
        }
        Ok(sum)
    }

    fn read_all(&self, root: &Path) -> Result<u64> {
        let mut buffer = [0; 4096];
        let mut sum = 0;
        for name in &self.names {
            sum += File::open(root.join(name))?.read(&mut buffer)? as u64;
        }
        Ok(sum)
    }

    fn create_all(&self, root: &Path) -> Result<u64> {
        for name in &self.names {
            File::create_new(root.join(name))?;
        }
        Ok(0)
    }

    fn unlink_all(&self, root: &Path) -> Result<u64> {
        for name in &self.names {
            fs::remove_file(root.join(name))?;
        }
        Ok(0)
    }
}

/// By `fstatat(2)`, as most programs do. The standard library asks for the time
/// of creation too, which costs a further request where a server knows it.
fn bytes_of(directory: impl AsFd, name: &Path) -> Result<u64> {
    let stat = statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(stat.st_size.unsigned_abs())
}

impl Workload for ManyFiles {
    fn about(&self) -> String {
        let count = self.names.len();
        match self.operation {
            Operation::Create => format!("{count} empty files are created in one directory"),
            Operation::Stat => format!("{count} files of one directory: lstat of each"),
            Operation::StatAgain => format!(
                "{count} files of one directory: lstat of each, directly after the same was done"
            ),
            Operation::Read => {
                format!("{count} files of 1000 bytes: open, one read of 4 KiB, close")
            }
            Operation::List => format!("a directory of {count} files is listed: names and kinds"),
            Operation::ListStat => format!(
                "a directory of {count} files is listed, and lstat called for each name as it comes"
            ),
            Operation::Unlink => {
                format!("{count} files of 1000 bytes of one directory are unlinked")
            }
        }
    }

    fn prepare(&mut self, backing: &Path) -> Result<()> {
        let wanted = self.operation != Operation::Create;
        for name in self.names.iter().map(|name| backing.join(name)) {
            match (wanted, name.exists()) {
                (true, false) => fs::write(name, CONTENT)?,
                (false, true) => fs::remove_file(name)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn warm_up(&mut self, root: &Path) -> Result<()> {
        if self.operation == Operation::StatAgain {
            self.stat_all(root)?;
        }
        Ok(())
    }

    fn run(&mut self, root: &Path) -> Result<u64> {
        let directory = root.join(DIRECTORY);
        match self.operation {
            Operation::Create => self.create_all(root),
            Operation::Stat | Operation::StatAgain => self.stat_all(root),
            Operation::Read => self.read_all(root),
            Operation::List => {
                let mut files = 0;
                for entry in fs::read_dir(directory)? {
                    files += u64::from(entry?.file_type()?.is_file());
                }
                Ok(files)
            }
            Operation::ListStat => {
                let mut sum = 0;
                let opened = File::open(&directory)?;
                for entry in fs::read_dir(directory)? {
                    sum += bytes_of(&opened, Path::new(&entry?.file_name()))?;
                }
                Ok(sum)
            }
            Operation::Unlink => self.unlink_all(root),
        }
    }

    fn examine(&mut self, backing: &Path) -> Result<u64> {
        Ok(fs::read_dir(backing.join(DIRECTORY))?.count() as u64)
    }
}
