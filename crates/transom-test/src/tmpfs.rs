use std::ffi::CString;
use std::fs;
use std::io;
use std::path::Path;

use rustix::mount::{MountFlags, mount};
use tempfile::TempDir;

use crate::mounted::Mounted;
use crate::temp_dir;

/// A tmpfs of its own on a temporary directory. Needs root.
#[derive(Debug)]
pub struct Tmpfs {
    // Before the directory that it is mounted on: fields drop in this order.
    mounted: Mounted,
    _directory: TempDir,
}

impl Tmpfs {
    /// Mounts a tmpfs that holds at most `bytes`.
    pub fn new(bytes: u64) -> io::Result<Self> {
        let directory = temp_dir()?;
        let target = directory.path().join("tmpfs");
        fs::create_dir(&target)?;
        let options = CString::new(format!("size={bytes},mode=0755"))?;
        mount(
            "transom-test",
            &target,
            "tmpfs",
            MountFlags::empty(),
            options.as_c_str(),
        )?;
        Ok(Self {
            mounted: Mounted::at(target),
            _directory: directory,
        })
    }

    /// The root of the volume.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.mounted.path()
    }
}
