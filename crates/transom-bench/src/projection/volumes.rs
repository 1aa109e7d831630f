use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use transom_test::LoopVolume;

/// The disk file systems that hold the inputs: fresh ones on loop devices, so
/// that neither the age of the host's disk nor its kind is measured.
#[derive(Debug)]
pub(crate) struct Volumes {
    ext4: LoopVolume,
    xfs: LoopVolume,
}

const VOLUME_BYTES: u64 = 1 << 30;

impl Volumes {
    pub(crate) fn new() -> Result<Self> {
        Ok(Self {
            ext4: LoopVolume::ext4(VOLUME_BYTES).context("an ext4 volume")?,
            xfs: LoopVolume::xfs(VOLUME_BYTES).context("an XFS volume")?,
        })
    }

    /// A new directory for a farm, on the XFS volume.
    pub(crate) fn farm(&self) -> Result<PathBuf> {
        let directory = tempfile::Builder::new()
            .prefix("farm-")
            .tempdir_in(self.xfs.path())?;
        Ok(directory.keep())
    }

    /// A new directory on the ext4 volume.
    pub(crate) fn ext4(&self, name: &str) -> Result<PathBuf> {
        new_directory(self.ext4.path(), name)
    }

    /// A new directory on the XFS volume.
    pub(crate) fn xfs(&self, name: &str) -> Result<PathBuf> {
        new_directory(self.xfs.path(), name)
    }
}

fn new_directory(volume: &Path, name: &str) -> Result<PathBuf> {
    let path = volume.join(name);
    fs::create_dir(&path).with_context(|| path.display().to_string())?;
    Ok(path)
}
