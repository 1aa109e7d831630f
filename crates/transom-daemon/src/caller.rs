//! Who calls, and what is theirs.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

use rustix::process::Pid;
use transom_control::Peer;
use transom_control::host::{Error, Result};
use transom_host::Target;
use transom_module::Errno;
use transom_sys::credentials::{Client, Credentials};

/// A client, and with which credentials the daemon acts for it.
pub(crate) struct Caller<'a> {
    own: &'a Credentials,
    peer: &'a Peer,
    client: Arc<Client>,
}

impl<'a> Caller<'a> {
    pub(crate) fn new(own: &'a Credentials, peer: &'a Peer) -> Self {
        let client = Client {
            uid: peer.uid.as_raw(),
            gid: peer.gid.as_raw(),
            groups: peer.groups.iter().map(|group| group.as_raw()).collect(),
        };
        Self {
            own,
            peer,
            client: Arc::new(client),
        }
    }

    pub(crate) fn uid(&self) -> u32 {
        self.client.uid
    }

    pub(crate) fn is_root(&self) -> bool {
        self.peer.uid.is_root()
    }

    /// Whether the caller sees and steers what belongs to that user.
    pub(crate) fn owns(&self, owner: u32) -> bool {
        self.is_root() || self.uid() == owner
    }

    /// Does something with the rights that the caller has over files.
    pub(crate) fn act<T>(&self, act: impl FnOnce() -> T) -> Result<T> {
        // The daemon's own user needs no other credentials.
        if self.peer.uid == rustix::process::geteuid() {
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
        match directory.st_uid == self.uid() {
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

    /// That paths mean to the caller what they mean to the daemon.
    pub(crate) fn check_sees_our_mounts(&self) -> Result<()> {
        let theirs = namespace_of(Some(self.peer.pid));
        if theirs.is_some() && theirs == namespace_of(None) {
            return Ok(());
        }
        Err(Error::Denied {
            rule: "same mount namespace".into(),
            message: "the caller's mounts are not the daemon's, so a path may mean something \
                      else to it; pass a descriptor instead"
                .into(),
        })
    }
}

/// The mount namespace of a process, or ours.
fn namespace_of(process: Option<Pid>) -> Option<(u64, u64)> {
    let process = process.map_or("self".into(), |pid| pid.as_raw_nonzero().to_string());
    let namespace = fs::metadata(format!("/proc/{process}/ns/mnt")).ok()?;
    Some((namespace.dev(), namespace.ino()))
}
