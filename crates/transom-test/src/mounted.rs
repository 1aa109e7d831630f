use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::mount::{UnmountFlags, unmount};

/// How long a mount may stay busy after its test: a killed process gives its
/// files back a little later than its parent learns of its end.
const BUSY_MAX: Duration = Duration::from_secs(2);

/// A mount at `target`, unmounted on drop.
///
/// A mount still in use by then means that the test left something behind, so
/// the drop panics and names it.
#[derive(Debug)]
pub(crate) struct Mounted {
    target: PathBuf,
}

impl Mounted {
    /// Takes charge of what is mounted at `target`.
    pub(crate) fn at(target: PathBuf) -> Self {
        Self { target }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.target
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let deadline = Instant::now() + BUSY_MAX;
        let mut result = unmount(&self.target, UnmountFlags::empty());
        while result == Err(Errno::BUSY) && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(20));
            result = unmount(&self.target, UnmountFlags::empty());
        }
        let Err(errno) = result else { return };
        // Lazily at least, so that the temporary directory can be removed.
        let _ = unmount(&self.target, UnmountFlags::DETACH);
        if !thread::panicking() {
            panic!("{} cannot be unmounted: {errno}", self.target.display());
        }
    }
}
