use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::Result;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use tempfile::TempDir;
use transom_test::{InputFile, temp_dir};

use crate::projection::arm::{About, Mechanism};
use crate::projection::client::Roots;
use crate::projection::volumes::Volumes;
use crate::projection::workload::Workload;

/// A directory of symbolic links to the inputs, made for the action and
/// deleted after it: what most sandboxes of build tools do. A tool that
/// resolves a link is outside.
#[derive(Debug)]
struct Farm {
    root: PathBuf,
    directories: Vec<PathBuf>,
    inputs: Vec<InputFile>,
}

/// A farm on a disk file system (a fresh XFS; ext4 is slower).
#[derive(Debug)]
pub(crate) struct SymlinksOnDisk(Farm);

/// A farm in memory, on a file system of its own that vanishes with it.
#[derive(Debug)]
pub(crate) struct SymlinksInMemory {
    farm: Farm,
    target: TempDir,
}

impl SymlinksOnDisk {
    pub(crate) fn new(workload: &Workload, volumes: &Volumes) -> Result<Self> {
        let parent = volumes.xfs(&format!("{}-farm", workload.name))?;
        Ok(Self(Farm::new(workload, &parent)))
    }
}

impl SymlinksInMemory {
    pub(crate) fn new(workload: &Workload) -> Result<Self> {
        let target = temp_dir()?;
        Ok(Self {
            farm: Farm::new(workload, target.path()),
            target,
        })
    }
}

impl Mechanism for SymlinksOnDisk {
    const NAME: &'static str = "symlinks, XFS";
    const ABOUT: About = About {
        before: "the volume, and the list of directories",
        set_up: "a directory for each of the view's, a symbolic link for each input",
        tear_down: "all of them are deleted",
    };

    fn set_up(&mut self) -> Result<Roots> {
        self.0.plant()
    }

    fn tear_down(&mut self) -> Result<()> {
        Ok(fs::remove_dir_all(&self.0.root)?)
    }
}

impl Mechanism for SymlinksInMemory {
    const NAME: &'static str = "symlinks, tmpfs";
    const ABOUT: About = About {
        before: "the list of directories",
        set_up: "a tmpfs is mounted; a directory for each of the view's, a symbolic link for \
                 each input",
        tear_down: "the tmpfs is unmounted",
    };

    fn set_up(&mut self) -> Result<Roots> {
        mount(
            "bench",
            self.target.path(),
            "tmpfs",
            MountFlags::empty(),
            None,
        )?;
        self.farm.plant()
    }

    fn tear_down(&mut self) -> Result<()> {
        Ok(unmount(self.target.path(), UnmountFlags::DETACH)?)
    }
}

impl Farm {
    fn new(workload: &Workload, parent: &Path) -> Self {
        let root = parent.join("view");
        let inside = |path: PathBuf| root.join(path);
        Self {
            directories: workload.directories().into_iter().map(inside).collect(),
            inputs: workload.inputs.clone(),
            root,
        }
    }

    fn plant(&self) -> Result<Roots> {
        fs::create_dir(&self.root)?;
        for directory in &self.directories {
            fs::create_dir(directory)?;
        }
        for input in &self.inputs {
            symlink(&input.source, self.root.join(&input.name))?;
        }
        Ok(Roots::View(File::open(&self.root)?.into()))
    }
}
