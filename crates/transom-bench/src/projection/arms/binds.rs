use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::Result;
use rustix::mount::{MountFlags, UnmountFlags, mount, mount_bind, unmount};
use tempfile::TempDir;
use transom_test::{InputFile, temp_dir};

use crate::projection::arm::{About, Mechanism};
use crate::projection::client::Roots;
use crate::projection::workload::Workload;

/// One `mount --bind` for each input, onto an empty file in a fresh tmpfs: the
/// classical way to show chosen files and no others. The mounts stay writable;
/// making each of them read-only would take a second call.
#[derive(Debug)]
pub(crate) struct Binds {
    target: TempDir,
    directories: Vec<PathBuf>,
    inputs: Vec<InputFile>,
}

impl Binds {
    pub(crate) fn new(workload: &Workload) -> Result<Self> {
        Ok(Self {
            target: temp_dir()?,
            directories: workload.directories(),
            inputs: workload.inputs.clone(),
        })
    }
}

impl Mechanism for Binds {
    const NAME: &'static str = "mount --bind";
    const ABOUT: About = About {
        before: "the private mount namespace, and the list of directories",
        set_up: "a tmpfs is mounted; a directory for each of the view's; an empty file and \
                 mount(2) for each input",
        tear_down: "umount(2) of the tmpfs with all that is on it",
    };

    fn set_up(&mut self) -> Result<Roots> {
        let root = self.target.path();
        mount("bench", root, "tmpfs", MountFlags::empty(), None)?;
        for directory in &self.directories {
            fs::create_dir(root.join(directory))?;
        }
        for input in &self.inputs {
            let stub = root.join(&input.name);
            File::create(&stub)?;
            mount_bind(&input.source, &stub)?;
        }
        Ok(Roots::View(File::open(root)?.into()))
    }

    fn add(&mut self, name: &Path, source: &Path) -> Result<()> {
        let stub = self.target.path().join(name);
        File::create(&stub)?;
        Ok(mount_bind(source, &stub)?)
    }

    fn tear_down(&mut self) -> Result<()> {
        Ok(unmount(self.target.path(), UnmountFlags::DETACH)?)
    }
}
