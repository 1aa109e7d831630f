use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Mutex;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::geteuid;
use transom_control::Peer;
use transom_projection::{HostRoot, Projection, ProjectionOptions};
use transom_sys::credentials::Client;

use super::client;
use super::table::lock;

/// Doors that are kept open for clients who may come back. Files are shared
/// between views that were made through the same one.
const DOORS_MAX: usize = 256;

/// The host's mounts, of which views show files.
///
/// Views are made of a clone of them, in which nothing can be written to. What
/// is mounted on the host later is not in a clone, so there is a new one for
/// the views that are made after that.
#[derive(Debug)]
pub(super) struct HostMounts {
    projection: Projection,
    current: Mutex<Current>,
}

#[derive(Debug)]
struct Current {
    /// Has an event when something was mounted or unmounted: proc(5).
    changes: File,
    tree: OwnedFd,
    doors: HashMap<Client, Projection>,
}

impl HostMounts {
    pub(super) fn new(options: ProjectionOptions) -> io::Result<Self> {
        let changes = File::open("/proc/self/mountinfo")?;
        let tree = host_tree()?;
        let root = HostRoot::at(tree.try_clone()?);
        Ok(Self {
            projection: Projection::new(root, options),
            current: Mutex::new(Current {
                changes,
                tree,
                doors: HashMap::new(),
            }),
        })
    }

    /// All views, whoever they were made for.
    pub(super) fn projection(&self) -> &Projection {
        &self.projection
    }

    /// The projection to make a view for that client with: of what is mounted
    /// now, and with the client's rights. Our own user has ours.
    pub(super) fn projection_for(&self, peer: &Peer) -> io::Result<Projection> {
        let mut current = lock(&self.current);
        if current.has_changed() {
            current.tree = host_tree()?;
            current.doors.clear();
        }
        let client = client(peer);
        if let Some(projection) = current.doors.get(&client) {
            return Ok(projection.clone());
        }
        let mut root = HostRoot::at(current.tree.try_clone()?);
        if peer.uid != geteuid() {
            root = root.acting_for(client.clone())?;
        }
        let projection = self.projection.with_host(root);
        if current.doors.len() >= DOORS_MAX {
            current.doors.clear();
        }
        current.doors.insert(client, projection.clone());
        Ok(projection)
    }
}

impl Current {
    /// True if nobody can tell.
    fn has_changed(&self) -> bool {
        let mut polled = [PollFd::new(&self.changes, PollFlags::PRI)];
        let at_once = Timespec::default();
        poll(&mut polled, Some(&at_once)).is_err()
            || polled[0]
                .revents()
                .intersects(PollFlags::PRI | PollFlags::ERR)
    }
}

fn host_tree() -> io::Result<OwnedFd> {
    transom_sandbox::host_tree().map_err(io::Error::other)
}
