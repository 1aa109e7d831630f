use std::ffi::CStr;
use std::os::fd::OwnedFd;

use rustix::fs::Mode;
use rustix::mount::MountAttrFlags;
use transom_sys::mount::{self, Change, Reach};

use crate::error::{Result, host, mounting};

const HARMLESS: MountAttrFlags =
    MountAttrFlags::MOUNT_ATTR_NOSUID.union(MountAttrFlags::MOUNT_ATTR_NODEV);

/// One file system in memory for everything an action may scribble on and
/// nobody wants: several directories of it cost less than several of it.
pub(crate) struct PrivateDirectories {
    root: OwnedFd,
}

impl PrivateDirectories {
    pub(crate) fn new() -> Result<Self> {
        let options = [(c"mode", c"0755"), (c"source", c"transom-private")];
        let root = mount::new(c"tmpfs", &options, HARMLESS)
            .map_err(mounting("private directories"))?
            .finish();
        Ok(Self { root })
    }

    /// A detached mount of a new directory that everybody may write to.
    pub(crate) fn shared_directory(&self, name: &CStr) -> Result<OwnedFd> {
        let mode = Mode::RWXU | Mode::RWXG | Mode::RWXO | Mode::SVTX;
        let directory = self.directory(name)?;
        // The mode given to `mkdir` is subject to the umask.
        rustix::fs::chmodat(&self.root, name, mode, rustix::fs::AtFlags::empty())
            .map_err(host("cannot make", "a private directory"))?;
        Ok(directory)
    }

    /// A detached mount of a new directory.
    pub(crate) fn directory(&self, name: &CStr) -> Result<OwnedFd> {
        rustix::fs::mkdirat(&self.root, name, Mode::from_raw_mode(0o755))
            .map_err(host("cannot make", "a private directory"))?;
        let directory = mount::clone(&self.root, name, Reach::Mount)
            .map_err(mounting("a private directory"))?;
        mount::change(&directory, Reach::Mount, Change::private(HARMLESS))
            .map_err(mounting("a private directory"))?;
        Ok(directory)
    }
}
