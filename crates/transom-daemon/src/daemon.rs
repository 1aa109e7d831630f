use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustix::process::{Resource, getrlimit};
use transom_control::{Interface, Peer, host, views};
use transom_host::{Host, Unmount, VolumeId};
use transom_sys::credentials::Credentials;

use crate::caller::Caller;
use crate::{Policy, Views};

/// How long tasks may take to come to a checkpoint when the daemon ends.
const TASKS_PATIENCE: Duration = Duration::from_secs(10);

/// Least items that a volume may keep, whatever the limit of descriptors is.
const ITEMS_MIN: usize = 1000;

/// The host with what it needs to answer clients.
pub struct Daemon {
    pub(crate) host: Host,
    pub(crate) started: SystemTime,
    version: &'static str,
    credentials: Credentials,
    policy: Arc<Policy>,
    views: Option<Arc<Views>>,
}

impl Daemon {
    /// Answers for that host and for views, if they are served, as that version
    /// of the program.
    pub fn new(
        host: Host,
        policy: Arc<Policy>,
        views: Option<Arc<Views>>,
        version: &'static str,
    ) -> io::Result<Self> {
        Ok(Self {
            host,
            started: SystemTime::now(),
            version,
            credentials: Credentials::of_this_thread()?,
            policy,
            views,
        })
    }

    /// What it serves.
    #[must_use]
    pub fn interfaces(self: &Arc<Self>) -> Vec<Interface> {
        let views = self.views.iter().cloned().map(views::interface);
        views.chain([host::interface(Arc::clone(self))]).collect()
    }

    /// The host itself.
    #[must_use]
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// Ends in order: long work is suspended, everything is on the resources,
    /// unmounted where the host has mounted it, and given back. Returns what did
    /// not go as it should, for people.
    pub fn end(&self) -> Vec<String> {
        let mut problems = Vec::new();
        for task in self.host.tasks().suspend_all(TASKS_PATIENCE) {
            problems.push(format!(
                "task {task} did not come to a place where it can stop"
            ));
        }
        for container in self.host.status() {
            let name = container.about.name;
            for volume in container.volumes {
                if volume.mounted.is_none() {
                    continue;
                }
                let id = VolumeId {
                    container: container.about.id,
                    key: volume.key,
                };
                if let Err(error) = self.host.unmount(&id, Unmount::Detach) {
                    problems.push(format!("`{name}` is not unmounted: {error}"));
                }
            }
            // Those who still use it are cut off with our process in any case.
            if let Err(error) = self.host.unload(container.about.id, Unmount::Abort) {
                problems.push(format!("`{name}` is not unloaded: {error}"));
            }
        }
        problems
    }

    pub(crate) fn caller<'a>(&'a self, peer: &'a Peer) -> Caller<'a> {
        Caller::new(&self.credentials, &self.policy, peer)
    }

    pub(crate) fn views(&self) -> usize {
        self.views.as_ref().map_or(0, |views| views.len())
    }

    pub(crate) fn version(&self) -> &'static str {
        self.version
    }
}

impl std::fmt::Debug for Daemon {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Daemon").finish_non_exhaustive()
    }
}

/// How many items a further volume may keep, each of which may need a
/// descriptor, beside that many others: a share of three quarters of the
/// descriptors that we may have.
pub(crate) fn items_max(others: usize) -> usize {
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let all = usize::try_from(limit / 4 * 3).unwrap_or(usize::MAX);
    (all / (others + 1)).max(ITEMS_MIN)
}
