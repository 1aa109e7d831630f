//! What is measured: something that is done below a directory.

use std::path::Path;

use anyhow::Result;

/// Something that is done below a directory. Each round has a new mount, which
/// knows nothing yet; the host's own caches are warm unless said otherwise.
pub(crate) trait Workload {
    /// Exactly what is inside of the time.
    fn about(&self) -> String;

    /// Brings the backing directory into the state that a round begins with.
    /// Not measured, and not done through the mount.
    fn prepare(&mut self, _backing: &Path) -> Result<()> {
        Ok(())
    }

    /// What is done on the mount before. Not measured.
    fn warm_up(&mut self, _root: &Path) -> Result<()> {
        Ok(())
    }

    /// What is measured. Returns what it saw, as a number that must be the
    /// same wherever it is done.
    fn run(&mut self, root: &Path) -> Result<u64>;

    /// Examines what was made, and gives a number of it that must be the same
    /// too. Not measured, and not done through the mount.
    fn examine(&mut self, _backing: &Path) -> Result<u64> {
        Ok(0)
    }
}

/// By how much the workloads are smaller than they should be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scale {
    pub(crate) divisor: u32,
}

impl Scale {
    /// Which part of `count` is done.
    pub(crate) fn of(self, count: u32) -> u32 {
        (count / self.divisor).max(1)
    }
}
