//! Loading: how a module comes to serve something.

use crate::{Completed, Container, Probe, Resource, ResourceKind, Resources, Result, Task};

/// Code that implements a file system.
///
/// ```text
///   resources ─► probe ─► load ─► container ─► volumes, each mounted as often as wanted
///                                     │    └─► block volumes, jobs, a cache
///                                   unload      gives the resources back
/// ```
pub trait Module: Send + Sync + 'static {
    /// What loaded resources become.
    type Container: Container;

    /// What the module is and what it takes.
    fn manifest(&self) -> ModuleManifest;

    /// What a resource is, whose kind is one of those that the manifest names.
    /// It is looked at and not changed.
    ///
    /// Without this, every resource is a container by itself.
    fn probe(&self, resource: &Resource) -> Result<Probe> {
        let _ = resource;
        Ok(Probe::Alone)
    }

    /// Makes a container of resources. All were probed, and are members of the
    /// same container. After an error nothing of them is left open.
    ///
    /// `EACCES` without a right to a resource, `ENOTDIR` and the like if it is
    /// not what it should be, `EINVAL` for an option that the module does not
    /// know, with a message that names the option.
    fn load(&self, resources: Resources, options: &LoadOptions) -> Result<Self::Container>;

    /// The module as one that checks and formats resources, if it is one:
    /// `Some(self)`.
    fn maintenance(&self) -> Option<&dyn Maintenance> {
        None
    }
}

/// What is done with resources that are not loaded. Both are
/// [tasks](crate::Task).
pub trait Maintenance {
    /// Examines resources, as fsck(8) does, and repairs them if the options
    /// `repair` is given.
    fn check(&self, resources: Vec<Resource>, options: &LoadOptions, task: Task) -> Completed;

    /// Makes resources loadable, as mkfs(8) does. What was on them is lost.
    fn format(&self, resources: Vec<Resource>, options: &LoadOptions, task: Task) -> Completed;
}

/// What a module is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModuleManifest {
    /// Its name: what users mount by. Lower-case ASCII letters, digits and
    /// `-`.
    pub name: &'static str,
    /// Its version.
    pub version: &'static str,
    /// One sentence for people.
    pub summary: &'static str,
    /// The kinds of resources it loads.
    pub resources: &'static [ResourceKind],
    /// The options it takes at loading, each with one sentence for people.
    pub options: &'static [(&'static str, &'static str)],
    /// The groups of operations that its volumes claim, by the names of their
    /// traits; those of one resource may claim fewer.
    pub capabilities: &'static [&'static str],
}

/// How to load.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LoadOptions {
    /// Change nothing on the resources.
    pub read_only: bool,
    /// Load although members are missing, with what can be had without them.
    pub degraded: bool,
    /// When reading a file updates its access time; `None` leaves that to the
    /// resource.
    pub access_times: Option<AccessTimes>,
    /// Options of the module's own, by name; a flag has no value.
    pub named: Vec<(String, Option<String>)>,
}

/// When reading a file updates its access time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccessTimes {
    /// If it is older than the last change, or a day old.
    Relative,
    /// Never.
    Never,
    /// At each read.
    Always,
}
