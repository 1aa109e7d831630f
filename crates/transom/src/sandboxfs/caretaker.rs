//! A process that outlives the server, to take its mount away.
//!
//! Nothing of our own runs when we are killed. So before there is a mount, this
//! program is started once more; it does nothing but read from a pipe whose
//! other end nobody else has. First comes the number of the mount, so that it
//! never takes another one away that was put there since; then, when we are
//! gone in whatever way, the end.

use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use anyhow::Context;
use transom_host::Attachment;

use super::place;

/// The process, as long as this lives.
pub(super) struct Caretaker {
    process: Child,
    lifeline: Option<ChildStdin>,
}

impl Caretaker {
    /// Starts it, for a mount that there is not yet.
    pub(super) fn start(mount_point: &Path) -> anyhow::Result<Self> {
        transom_sys::keep_descriptors_from_children()?;
        let mut process = Command::new("/proc/self/exe")
            .arg0(super::NAMES[0])
            .arg("--caretaker")
            .arg(mount_point)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start the process that takes the mount away if this one is killed")?;
        let lifeline = process.stdin.take();
        Ok(Self { process, lifeline })
    }

    /// Tells which mount it is. If it is gone already, there is nobody to tell.
    pub(super) fn watch(&mut self, mounted: &Attachment) {
        if let Some(lifeline) = &mut self.lifeline {
            let _ = lifeline.write_all(&mounted.id().to_ne_bytes());
        }
    }
}

impl Drop for Caretaker {
    /// It finds that the mount is gone.
    fn drop(&mut self) {
        self.lifeline = None;
        let _ = self.process.wait();
    }
}

/// What the process does.
pub(super) fn live(mount_point: &Path) {
    // Whoever kills our process group does not mean this process, and no volume
    // is to be busy because of it. An error changes nothing of that.
    let _ = rustix::process::setsid();
    let _ = rustix::process::chdir("/");
    let mut id = [0; size_of::<u64>()];
    if io::stdin().read_exact(&mut id).is_err() {
        return;
    }
    let _ = io::copy(&mut io::stdin(), &mut io::sink());
    let mounted = Attachment::new(PathBuf::from(mount_point), u64::from_ne_bytes(id));
    if let Err(error) = place::unmount(&mounted) {
        tracing::warn!(%error, "the mount stays");
    }
}
