//! A process that outlives us, to remove what may not.
//!
//! Nothing of our own runs when we are killed. So before a directory is made
//! that must not stay behind, a caretaker is started: a copy of this process
//! that only waits on a pipe whose other end nobody but us has. When that is
//! closed, it removes the directory and exits; if we are done ourselves, it is
//! killed. The rules at the head of [`launch`](super) hold for it.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;
use rustix::pipe::PipeFlags;
use rustix::process::Signal;

use super::{BlockedSignals, CloneArguments, Cloned, clone, close_all_but, exit, reap};
use crate::unlink;

/// How often removing is tried: processes that write may take a moment to die.
const ATTEMPTS_MAX: usize = 200;
const BETWEEN_ATTEMPTS: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 50_000_000,
};

/// The name of a directory that must not outlive our process. It may not exist
/// yet.
#[derive(Debug)]
pub struct Orphan {
    /// The directory that holds `home`.
    pub base: OwnedFd,
    /// The name of the directory that holds it. Removed too if it is empty.
    pub home: CString,
    /// Its name.
    pub name: CString,
}

/// Removes directories if our process dies. Dropping it calls it off.
#[derive(Debug)]
pub struct Caretaker {
    pidfd: OwnedFd,
    _lifeline: OwnedFd,
}

impl Caretaker {
    /// Starts the process. `EAGAIN` at a limit on processes.
    pub fn start(orphans: &[Orphan]) -> io::Result<Self> {
        let (death, lifeline) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
        let bases = orphans.iter().map(|orphan| orphan.base.as_raw_fd());
        let mut kept: Vec<_> = bases.collect();
        kept.push(death.as_raw_fd());
        kept.sort_unstable();
        let blocked = BlockedSignals::block_all();
        let cloned = clone(CloneArguments {
            flags: 0,
            exit_signal: 0,
            want_pidfd: true,
        });
        let pidfd = match cloned? {
            Cloned::Child => {
                close_all_but(&kept);
                live(&death, orphans)
            }
            Cloned::Parent { pidfd, .. } => pidfd,
        };
        drop(blocked);
        Ok(Self {
            pidfd: pidfd.ok_or(Errno::BADF)?,
            _lifeline: lifeline,
        })
    }
}

impl Drop for Caretaker {
    fn drop(&mut self) {
        // An error can only mean that it is gone already.
        _ = rustix::process::pidfd_send_signal(&self.pidfd, Signal::KILL);
        _ = reap(&self.pidfd);
    }
}

fn live(death: &OwnedFd, orphans: &[Orphan]) -> ! {
    _ = rustix::thread::set_name(c"transom-keeper");
    // Whoever kills our process group does not mean this process, and no
    // volume is to be busy because of it.
    _ = rustix::process::setsid();
    _ = rustix::process::chdir(c"/");
    loop {
        let mut files = [PollFd::new(death, PollFlags::IN)];
        if let Ok(1..) = rustix::event::poll(&mut files, None) {
            break;
        }
    }
    for _ in 0..ATTEMPTS_MAX {
        let mut left = false;
        for orphan in orphans {
            left |= remove(orphan).is_err();
        }
        if !left {
            break;
        }
        _ = rustix::event::poll(&mut [], Some(&BETWEEN_ATTEMPTS));
    }
    exit(0)
}

fn remove(orphan: &Orphan) -> Result<(), Errno> {
    let Orphan { base, home, name } = orphan;
    match open_directory(base, home) {
        Ok(home) => unlink::remove(&home, name)?,
        Err(Errno::NOENT) => return Ok(()),
        Err(error) => return Err(error),
    }
    // Succeeds for the last of its users.
    _ = rustix::fs::unlinkat(base, &**home, AtFlags::REMOVEDIR);
    Ok(())
}

fn open_directory(base: impl AsFd, name: &CStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(base, name, flags, Mode::empty())
}
