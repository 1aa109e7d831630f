use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::sync::{Arc, Mutex, Weak};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::geteuid;
use transom_control::Peer;
use transom_projection::{HostRoot, Projection, ProjectionOptions};
use transom_sys::credentials::Client;

use super::table::lock;
use crate::caller::client;

/// Clients whose doors are remembered. Files are shared between views that were
/// made through the same one.
const DOORS_MAX: usize = 1024;

/// The host's mounts, of which views show files.
///
/// Views are made of a clone of them, in which nothing can be written to. What
/// is mounted on the host later is not in a clone, so there is a new one for
/// the views that are made after that. And a clone keeps alive what was
/// unmounted on the host since, so none is kept for longer than there are views
/// of it.
#[derive(Debug)]
pub(super) struct HostMounts {
    projection: Projection,
    newest: Mutex<Newest>,
}

/// The doors to the newest clone.
#[derive(Debug)]
struct Newest {
    /// Has an event when something was mounted or unmounted: proc(5).
    changes: File,
    doors: HashMap<Client, Weak<HostRoot>>,
}

impl HostMounts {
    pub(super) fn new(options: ProjectionOptions) -> io::Result<Self> {
        Ok(Self {
            projection: Projection::new(HostRoot::of_process()?, options),
            newest: Mutex::new(Newest {
                changes: File::open("/proc/self/mountinfo")?,
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
        let client = client(peer);
        let mut newest = lock(&self.newest);
        if newest.has_changed() || newest.doors.len() >= DOORS_MAX {
            newest.doors.clear();
        }
        let known = newest.doors.get(&client).and_then(Weak::upgrade);
        let door = match known {
            Some(door) => door,
            None if peer.uid == geteuid() => Arc::new(clone_of_host()?),
            None => {
                let another = newest.doors.values().find_map(Weak::upgrade);
                let door = match another {
                    Some(another) => another.acting_for(client.clone())?,
                    None => clone_of_host()?.acting_for(client.clone())?,
                };
                Arc::new(door)
            }
        };
        newest.doors.insert(client, Arc::downgrade(&door));
        Ok(self.projection.with_host(door))
    }
}

impl Newest {
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

fn clone_of_host() -> io::Result<HostRoot> {
    let tree = transom_sandbox::host_tree().map_err(io::Error::other)?;
    Ok(HostRoot::at(tree))
}
