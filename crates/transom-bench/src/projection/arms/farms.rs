//! Trees that are planted for an action and deleted after it.

use std::fs::{self, File};
use std::io;
use std::marker::PhantomData;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::Result;
use rustix::fs::ioctl_ficlone;
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use tempfile::TempDir;
use transom_test::{InputFile, temp_dir};

use crate::projection::arm::{About, Mechanism};
use crate::projection::client::Roots;
use crate::projection::volumes::Volumes;
use crate::projection::workload::Workload;

/// What is planted for an input.
pub(crate) trait Plant {
    const NAME: &'static str;
    const ABOUT: About;

    fn plant(source: &Path, target: &Path) -> io::Result<()>;
}

/// A farm on a disk file system (a fresh XFS; ext4 is slower).
#[derive(Debug)]
pub(crate) struct OnDisk<P> {
    farm: Farm,
    plant: PhantomData<P>,
}

/// A farm of symbolic links in memory, on a file system of its own that
/// vanishes with it.
#[derive(Debug)]
pub(crate) struct SymlinksInMemory {
    farm: Farm,
    target: TempDir,
}

/// What most sandboxes of build tools plant. A tool that resolves one is
/// outside.
#[derive(Debug)]
pub(crate) struct Symlinks;

/// Works within one volume only, so the rest is copied.
#[derive(Debug)]
pub(crate) struct HardLinks;

/// Every byte is read and written.
#[derive(Debug)]
pub(crate) struct Copies;

/// Copies that share their blocks until one of them is changed. Works within
/// one volume of a file system that can do it, so the rest is copied.
#[derive(Debug)]
pub(crate) struct Clones;

const TEAR_DOWN: &str = "all of them are deleted";

impl Plant for Symlinks {
    const NAME: &'static str = "symlinks, XFS";
    const ABOUT: About = About {
        before: "the volume, and the list of directories",
        set_up: "a directory for each of the view's, a symbolic link for each input",
        tear_down: TEAR_DOWN,
    };

    fn plant(source: &Path, target: &Path) -> io::Result<()> {
        symlink(source, target)
    }
}

impl Plant for HardLinks {
    const NAME: &'static str = "hard links, XFS";
    const ABOUT: About = About {
        before: "the volume, and the list of directories",
        set_up: "a directory for each of the view's, a hard link for each input on the same \
                 volume, a copy of each other",
        tear_down: TEAR_DOWN,
    };

    fn plant(source: &Path, target: &Path) -> io::Result<()> {
        match fs::hard_link(source, target) {
            Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
                Copies::plant(source, target)
            }
            result => result,
        }
    }
}

impl Plant for Copies {
    const NAME: &'static str = "copies, XFS";
    const ABOUT: About = About {
        before: "the volume, and the list of directories",
        set_up: "a directory for each of the view's, a copy of each input, not synchronized",
        tear_down: TEAR_DOWN,
    };

    /// Not by `copy_file_range(2)`, which would share blocks where it can.
    fn plant(source: &Path, target: &Path) -> io::Result<()> {
        fs::write(target, fs::read(source)?)
    }
}

impl Plant for Clones {
    const NAME: &'static str = "reflinks, XFS";
    const ABOUT: About = About {
        before: "the volume, and the list of directories",
        set_up: "a directory for each of the view's, a clone of each input on the same volume, \
                 a copy of each other",
        tear_down: TEAR_DOWN,
    };

    fn plant(source: &Path, target: &Path) -> io::Result<()> {
        let cloned = ioctl_ficlone(File::create(target)?, File::open(source)?);
        match cloned {
            Err(Errno::XDEV) => Copies::plant(source, target),
            result => Ok(result?),
        }
    }
}

impl<P> OnDisk<P> {
    pub(crate) fn new(workload: &Workload, volumes: &Volumes) -> Result<Self> {
        Ok(Self {
            farm: Farm::new(workload, &volumes.farm()?),
            plant: PhantomData,
        })
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

impl<P: Plant> Mechanism for OnDisk<P> {
    const NAME: &'static str = P::NAME;
    const ABOUT: About = P::ABOUT;

    fn set_up(&mut self) -> Result<Roots> {
        self.farm.plant(P::plant)
    }

    fn add(&mut self, name: &Path, source: &Path) -> Result<()> {
        Ok(P::plant(source, &self.farm.root.join(name))?)
    }

    fn tear_down(&mut self) -> Result<()> {
        Ok(fs::remove_dir_all(&self.farm.root)?)
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
        self.farm.plant(Symlinks::plant)
    }

    fn add(&mut self, name: &Path, source: &Path) -> Result<()> {
        Ok(symlink(source, self.farm.root.join(name))?)
    }

    fn tear_down(&mut self) -> Result<()> {
        Ok(unmount(self.target.path(), UnmountFlags::DETACH)?)
    }
}

#[derive(Debug)]
struct Farm {
    root: PathBuf,
    directories: Vec<PathBuf>,
    inputs: Vec<InputFile>,
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

    fn plant(&self, plant: impl Fn(&Path, &Path) -> io::Result<()>) -> Result<Roots> {
        fs::create_dir(&self.root)?;
        for directory in &self.directories {
            fs::create_dir(directory)?;
        }
        for input in &self.inputs {
            plant(&input.source, &self.root.join(&input.name))?;
        }
        Ok(Roots::View(File::open(&self.root)?.into()))
    }
}
