//! Who calls, and what is theirs.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use transom_control::Peer;
use transom_control::host::{Error, Result};
use transom_host::Target;
use transom_module::Errno;
use transom_sys::credentials::{Client, Credentials};

use crate::{Action, Denial, Policy};

/// A client, and with which credentials the daemon acts for it.
pub(crate) struct Caller<'a> {
    own: &'a Credentials,
    policy: &'a Policy,
    peer: &'a Peer,
    client: Arc<Client>,
}

impl<'a> Caller<'a> {
    pub(crate) fn new(own: &'a Credentials, policy: &'a Policy, peer: &'a Peer) -> Self {
        Self {
            own,
            policy,
            peer,
            client: Arc::new(client(peer)),
        }
    }

    pub(crate) fn uid(&self) -> u32 {
        self.client.uid
    }

    pub(crate) fn is_root(&self) -> bool {
        self.peer.uid.is_root()
    }

    /// Whether it is the daemon's own user, whose daemon it is.
    fn is_ours(&self) -> bool {
        self.peer.uid == rustix::process::geteuid()
    }

    /// Whether the caller sees what belongs to that user.
    pub(crate) fn sees(&self, owner: u32) -> bool {
        let seen = self.policy.check_foreign(Action::Status, self.peer, owner);
        self.is_ours() || seen.is_ok() || self.check_steers(owner).is_ok()
    }

    /// That the caller steers what belongs to that user.
    pub(crate) fn check_steers(&self, owner: u32) -> Result<()> {
        if self.is_ours() {
            return Ok(());
        }
        let steers = self
            .policy
            .check_foreign(Action::SteerOthers, self.peer, owner);
        steers.map_err(denied)
    }

    /// That the caller may do that at all.
    pub(crate) fn require(&self, action: Action) -> Result<()> {
        if self.is_ours() {
            return Ok(());
        }
        self.policy.check(action, self.peer).map_err(denied)
    }

    /// Does something with the rights that the caller has over files.
    pub(crate) fn act<T>(&self, act: impl FnOnce() -> T) -> Result<T> {
        if self.is_ours() {
            return Ok(act());
        }
        self.own
            .act_as(&self.client, act)
            .map_err(|error| Error::Refused {
                errno: error.raw_os_error(),
                name: Errno::from_raw(error.raw_os_error()).to_string(),
                message: format!("the daemon cannot act for user {}", self.uid()),
            })
    }

    /// That it may mount on a directory: root anywhere, others where they could
    /// put files themselves and nobody else could.
    pub(crate) fn check_may_mount_on(&self, target: &Target) -> Result<()> {
        if self.is_root() {
            return Ok(());
        }
        let directory = rustix::fs::fstat(target).map_err(|error| Error::Refused {
            errno: error.raw_os_error(),
            name: Errno::from_raw(error.raw_os_error()).to_string(),
            message: format!("cannot examine `{}`", target.path().display()),
        })?;
        // What is seen there tells others about processes.
        let lies_in_proc = rustix::fs::fstatfs(target)
            .is_ok_and(|volume| volume.f_type == rustix::fs::PROC_SUPER_MAGIC);
        match directory.st_uid == self.uid() && !lies_in_proc {
            true => Ok(()),
            false => Err(Error::Denied {
                rule: "own mount point".into(),
                message: format!(
                    "`{}` is not the caller's: only root mounts on directories of others",
                    target.path().display()
                ),
            }),
        }
    }

    /// That paths mean to the caller what they mean to the daemon: its process
    /// has the same mounts and the same root directory. Whoever is locked up in
    /// another root could otherwise name what it cannot reach.
    pub(crate) fn check_sees_our_paths(&self) -> Result<()> {
        let theirs = Outlook::of(&self.peer.pid.as_raw_nonzero().to_string());
        let is_alive = || {
            // Only then was it about this process, and not a later one.
            let mut process = [PollFd::new(&self.peer.pidfd, PollFlags::IN)];
            poll(&mut process, Some(&Timespec::default())) == Ok(0)
        };
        if theirs.is_some() && theirs == Outlook::of("self") && is_alive() {
            return Ok(());
        }
        Err(Error::Denied {
            rule: "same root directory".into(),
            message: "the caller's files are not known to be the daemon's, so a path may mean \
                      something else to it; pass a descriptor instead"
                .into(),
        })
    }
}

/// What decides about what a path means to a process.
#[derive(PartialEq, Eq)]
struct Outlook {
    mounts: (u64, u64),
    root: (u64, u64),
}

impl Outlook {
    fn of(process: &str) -> Option<Self> {
        let identity = |what: &str| {
            let found = fs::metadata(format!("/proc/{process}/{what}")).ok()?;
            Some((found.dev(), found.ino()))
        };
        Some(Self {
            mounts: identity("ns/mnt")?,
            root: identity("root")?,
        })
    }
}

/// The rights over files of whoever calls.
pub(crate) fn client(peer: &Peer) -> Client {
    Client {
        uid: peer.uid.as_raw(),
        gid: peer.gid.as_raw(),
        groups: peer.groups.iter().map(|group| group.as_raw()).collect(),
    }
}

fn denied(denial: Denial) -> Error {
    Error::Denied {
        rule: denial.rule,
        message: denial.message,
    }
}
