use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::mount::{UnmountFlags, unmount};

/// How long a server may take to mount, and to end when it is unmounted.
const PATIENCE: Duration = Duration::from_secs(20);
const GLANCE: Duration = Duration::from_millis(2);

/// A running server and its mount.
#[derive(Debug)]
pub(crate) struct Server {
    process: Child,
    mount_point: PathBuf,
}

impl Server {
    /// Starts a server that stays in the foreground, and waits until it has
    /// mounted.
    pub(crate) fn start(mut command: Command, mount_point: &Path) -> Result<Self> {
        let outside = fs::metadata(mount_point)?.dev();
        let program = command.get_program().to_owned();
        let process = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .with_context(|| program.display().to_string())?;
        let mut server = Self {
            process,
            mount_point: mount_point.to_owned(),
        };
        let deadline = Instant::now() + PATIENCE;
        while fs::metadata(mount_point)?.dev() == outside {
            if let Some(status) = server.process.try_wait()? {
                bail!("{} has not mounted: {status}", program.display());
            }
            ensure!(Instant::now() < deadline, "it has not mounted");
            thread::sleep(GLANCE);
        }
        Ok(server)
    }

    /// Unmounts, and waits until the server has ended.
    pub(crate) fn end(mut self) -> Result<()> {
        unmount(&self.mount_point, UnmountFlags::empty()).context("unmounting")?;
        let deadline = Instant::now() + PATIENCE;
        while self.process.try_wait()?.is_none() {
            ensure!(Instant::now() < deadline, "the server has not ended");
            thread::sleep(GLANCE);
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Ok(Some(_)) = self.process.try_wait() {
            return;
        }
        let _ = unmount(&self.mount_point, UnmountFlags::DETACH);
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
