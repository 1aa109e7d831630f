use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::process::{Gid, Pid, PidfdFlags, Uid, pidfd_open};

/// Who is at the other end of a connection, as it was when it connected.
#[derive(Debug)]
pub struct Peer {
    /// Its user.
    pub uid: Uid,
    /// Its group.
    pub gid: Gid,
    /// Its supplementary groups.
    pub groups: Vec<Gid>,
    /// Its process, which may be gone, and the number another's.
    pub pid: Pid,
    /// Its process, which may be gone; never another.
    pub pidfd: OwnedFd,
}

impl Peer {
    /// Asks the kernel. `ESRCH` if the process is gone.
    pub fn of(stream: &UnixStream) -> io::Result<Self> {
        let credentials = rustix::net::sockopt::socket_peercred(stream)?;
        // Kernels before 6.5 do not tell. Whoever has the number by now is then
        // taken for it, which is why nothing is decided by its process alone.
        let pidfd = transom_sys::peer::process(stream)
            .or_else(|_| pidfd_open(credentials.pid, PidfdFlags::empty()))?;
        Ok(Self {
            uid: credentials.uid,
            gid: credentials.gid,
            groups: transom_sys::peer::groups(stream)?,
            pid: credentials.pid,
            pidfd,
        })
    }

    /// Whether its process is alive and of our pid namespace, not of one below.
    /// An action that sees the host's root could otherwise change the view of
    /// another, or its own.
    pub(crate) fn is_in_our_pid_namespace(&self) -> bool {
        let status = format!("/proc/self/fdinfo/{}", self.pidfd.as_raw_fd());
        let numbers = fs::read_to_string(status).ok().and_then(|status| {
            // It has a number in each namespace from ours down to its own.
            let line = status
                .lines()
                .find_map(|line| line.strip_prefix("NSpid:"))?;
            Some(line.split_ascii_whitespace().count())
        });
        numbers == Some(1)
    }
}
