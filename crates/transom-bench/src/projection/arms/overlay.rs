use std::ffi::CString;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rustix::fs::{XattrFlags, setxattr};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use tempfile::TempDir;
use transom_test::{InputFile, temp_dir};

use crate::projection::arm::{About, Mechanism};
use crate::projection::client::Roots;
use crate::projection::workload::{Workload, volume_of};

/// An overlay without an upper layer: a layer of names in a tmpfs, each of which
/// says where its bytes are, on layers of data, which are the volumes
/// themselves. What composefs does with an EROFS image for the names.
#[derive(Debug)]
pub(crate) struct Overlay {
    names: TempDir,
    target: TempDir,
    directories: Vec<PathBuf>,
    inputs: Vec<(InputFile, CString)>,
    options: CString,
}

impl Overlay {
    pub(crate) fn new(workload: &Workload) -> Result<Self> {
        let names = temp_dir()?;
        let mut layers = names.path().as_os_str().as_bytes().to_vec();
        for volume in &workload.volumes {
            layers.extend(b"::");
            layers.extend(volume.as_os_str().as_bytes());
        }
        let options = [b"metacopy=on,redirect_dir=on,lowerdir=".as_slice(), &layers].concat();
        let inputs = workload.inputs.iter().map(|input| {
            let volume = &workload.volumes[volume_of(input, &workload.volumes)?];
            // The layer does not follow links.
            let source = input.source.canonicalize()?;
            let inside = Path::new("/").join(source.strip_prefix(volume)?);
            Ok((input.clone(), CString::new(inside.as_os_str().as_bytes())?))
        });
        Ok(Self {
            inputs: inputs.collect::<Result<_>>()?,
            directories: workload.directories(),
            target: temp_dir()?,
            names,
            options: CString::new(options)?,
        })
    }
}

impl Mechanism for Overlay {
    const NAME: &'static str = "overlay, data-only layers";
    const ABOUT: About = About {
        before: "the private mount namespace, and the list of directories",
        set_up: "a tmpfs is mounted; a directory for each of the view's; for each input an empty \
                 file with its size and two extended attributes; the overlay is mounted",
        tear_down: "overlay and tmpfs are unmounted",
    };

    fn set_up(&mut self) -> Result<Roots> {
        let names = self.names.path();
        mount("bench", names, "tmpfs", MountFlags::empty(), None)?;
        for directory in &self.directories {
            fs::create_dir(names.join(directory))?;
        }
        for (input, place) in &self.inputs {
            let path = names.join(&input.name);
            File::create(&path)?.set_len(input.bytes)?;
            let none = XattrFlags::empty();
            setxattr(&path, c"trusted.overlay.metacopy", b"", none)?;
            setxattr(&path, c"trusted.overlay.redirect", place.to_bytes(), none)?;
        }
        let target = self.target.path();
        let options = Some(self.options.as_c_str());
        mount("bench", target, "overlay", MountFlags::RDONLY, options)
            .context("an overlay with data-only layers")?;
        Ok(Roots::View(File::open(target)?.into()))
    }

    fn tear_down(&mut self) -> Result<()> {
        unmount(self.target.path(), UnmountFlags::DETACH)?;
        Ok(unmount(self.names.path(), UnmountFlags::DETACH)?)
    }
}
