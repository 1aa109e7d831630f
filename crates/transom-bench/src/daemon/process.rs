use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use transom_control::{Client, host};

use super::footprint::{Counts, Footprint};

/// How long the daemon may take to start, to end, or to let go of something.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long is waited before it is looked at again.
const GLANCE: Duration = Duration::from_millis(20);

/// Nobody here is to be kept from having more.
const POLICY: &str = "\
    [limits.user]\nviews = 10000000\nnames = 1000000000\n\
    [limits.all]\nviews = 10000000\nnames = 1000000000\n";

/// A running daemon, with a directory for it and for what it serves.
#[derive(Debug)]
pub(super) struct Daemon {
    process: Child,
    directory: TempDir,
}

impl Daemon {
    /// Starts one and waits until it answers.
    pub(super) fn start(program: &Path) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let policy = directory.path().join("policy");
        fs::write(&policy, POLICY)?;
        let process = Command::new(program)
            .arg("serve")
            .arg("--socket")
            .arg(socket(&directory))
            .arg("--state")
            .arg(directory.path().join("state"))
            .arg("--policy")
            .arg(policy)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .with_context(|| program.display().to_string())?;
        let mut daemon = Self { process, directory };
        let deadline = Instant::now() + PATIENCE;
        while daemon.connect().is_err() {
            if let Some(status) = daemon.process.try_wait()? {
                bail!("the daemon does not run: {status}");
            }
            ensure!(Instant::now() < deadline, "the daemon does not answer");
            thread::sleep(GLANCE);
        }
        Ok(daemon)
    }

    /// The directory for what it serves.
    pub(super) fn directory(&self) -> PathBuf {
        self.directory.path().to_owned()
    }

    pub(super) fn connect(&self) -> Result<Client> {
        Ok(Client::connect(&socket(&self.directory))?)
    }

    /// What it takes up, by itself and for this question.
    pub(super) fn footprint(&self) -> Result<Footprint> {
        let views = self.connect()?.call(&host::Status::default())?.daemon.views;
        Footprint::of(self.process.id(), views)
    }

    /// The same as soon as it is the same twice.
    pub(super) fn settled(&self) -> Result<Counts> {
        let deadline = Instant::now() + PATIENCE;
        let mut before = self.footprint()?.counts;
        loop {
            thread::sleep(GLANCE);
            let now = self.footprint()?.counts;
            if now == before {
                return Ok(now);
            }
            ensure!(
                Instant::now() < deadline,
                "the daemon does not come to rest"
            );
            before = now;
        }
    }

    /// As soon as it has these counts, or for the last time.
    pub(super) fn settled_as(&self, expected: Counts) -> Result<Counts> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let counts = self.footprint()?.counts;
            if counts == expected || Instant::now() >= deadline {
                return Ok(counts);
            }
            thread::sleep(GLANCE);
        }
    }

    /// Tells it to end, and waits until it has done so in order.
    pub(super) fn end(mut self) -> Result<()> {
        kill_process(Pid::from_child(&self.process), Signal::TERM)?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.process.try_wait()? {
                ensure!(status.success(), "the daemon ended with {status}");
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "the daemon does not end");
            thread::sleep(GLANCE);
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Ok(None) = self.process.try_wait() {
            let _ = self.process.kill();
            let _ = self.process.wait();
        }
    }
}

fn socket(directory: &TempDir) -> PathBuf {
    directory.path().join("run/control")
}
