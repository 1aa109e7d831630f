//! The methods of `io.transom.Host`: what is called, and what is replied.

use serde::{Deserialize, Serialize};

use super::Error;
use super::types::{
    AccessTimes, BlockDevice, BlockKind, Cache, Container, Daemon, Event, Finding, Module,
    MountedVolume, Place, RequestCounters, Setting, Task, TaskEventKind, UnmountMode, Volume,
};
use crate::Descriptor;
use crate::method::{Empty, methods, or_default};

methods! {
    "io.transom.Host", Error;
    ListModules => ListModulesReply,
    Probe => ProbeReply,
    Load => ContainerReply,
    Offer => OfferReply,
    Unload => Empty,
    Synchronize => Empty,
    SetCacheBudget => SetCacheBudgetReply,
    Status => StatusReply,
    Mount => MountReply,
    Unmount => Empty,
    CreateVolume => VolumeReply,
    RenameVolume => VolumeReply,
    ResizeVolume => VolumeReply,
    RemoveVolume => Empty,
    Counters => CountersReply,
    PublishBlock => PublishBlockReply,
    WithdrawBlock => Empty,
    StartJob => TaskReply,
    StartCheck => TaskReply,
    StartFormat => TaskReply,
    PauseTask => TaskReply,
    ResumeTask => TaskReply,
    CancelTask => TaskReply,
    WatchTask => WatchTaskReply,
    Events => EventsReply,
    Cleanup => CleanupReply,
}

/// The modules that there are.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListModules {}

/// To [`ListModules`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ListModulesReply {
    /// In no certain order.
    pub modules: Vec<Module>,
}

/// What resources are.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Probe {
    /// To this module, or to each that is enabled.
    pub module: Option<String>,
    /// Looked at together, so that members of one container find each other.
    pub resources: Vec<Place>,
}

/// To [`Probe`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ProbeReply {
    /// One for each resource and module that was asked.
    pub findings: Vec<Finding>,
}

/// Makes a container of resources, which is blocked while members are missing.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Load {
    /// Without, the one that recognizes them.
    pub module: Option<String>,
    /// The members that are there.
    pub resources: Vec<Place>,
    /// Options of the module's own.
    #[serde(default, deserialize_with = "or_default")]
    pub options: Vec<Setting>,
    /// Change nothing on the resources.
    #[serde(default, deserialize_with = "or_default")]
    pub read_only: bool,
    /// Load although members are missing.
    #[serde(default, deserialize_with = "or_default")]
    pub degraded: bool,
    /// Format what contains nothing that the module knows.
    #[serde(default, deserialize_with = "or_default")]
    pub force: bool,
    /// Without, it is left to the resources.
    pub access_times: Option<AccessTimes>,
    /// For its cache; without, as much as it wants.
    pub cache_budget: Option<u64>,
}

/// A container, as it is after the call.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ContainerReply {
    /// The container.
    pub container: Container,
}

/// Says that resources have appeared.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Offer {
    /// The resources.
    pub resources: Vec<Place>,
}

/// To [`Offer`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct OfferReply {
    /// Those that have claimed something, as they are now.
    pub containers: Vec<Container>,
}

/// Gives resources back, after everything is on them.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unload {
    /// The container.
    pub container: String,
    /// End whatever uses it.
    #[serde(default, deserialize_with = "or_default")]
    pub force: bool,
}

/// Puts everything that was acknowledged on the resources.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Synchronize {
    /// The container.
    pub container: String,
}

/// Changes how much memory a container may use as a cache.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetCacheBudget {
    /// The container.
    pub container: String,
    /// How much.
    pub bytes: u64,
}

/// To [`SetCacheBudget`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SetCacheBudgetReply {
    /// As it is now.
    pub cache: Cache,
}

/// Everything that the caller may see.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Status {
    /// Only what belongs to this container.
    pub container: Option<String>,
}

/// To [`Status`].
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StatusReply {
    /// The daemon itself.
    pub daemon: Daemon,
    /// The containers.
    pub containers: Vec<Container>,
    /// Their volumes.
    pub volumes: Vec<Volume>,
    /// Where these are mounted.
    pub mounts: Vec<MountedVolume>,
    /// The volumes that are published.
    pub block_devices: Vec<BlockDevice>,
    /// What is worked on, and what has ended lately.
    pub tasks: Vec<Task>,
}

/// Mounts a volume.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Mount {
    /// The volume.
    pub volume: String,
    /// It cannot be written through this mount.
    #[serde(default, deserialize_with = "or_default")]
    pub read_only: bool,
    /// Those of mount(8): `nosuid` and the like.
    #[serde(default, deserialize_with = "or_default")]
    pub options: Vec<String>,
    /// A directory to attach it at; without, it is handed out.
    pub target: Option<Place>,
}

/// To [`Mount`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct MountReply {
    /// The mount.
    pub mount: MountedVolume,
    /// The detached mount, if there was no target.
    pub descriptor: Option<Descriptor>,
}

/// Unmounts a mount, or all of a volume: one of the two is given.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unmount {
    /// One mount.
    pub mount: Option<String>,
    /// All mounts of this volume.
    pub volume: Option<String>,
    /// How.
    #[serde(default, deserialize_with = "or_default")]
    pub mode: UnmountMode,
}

/// Makes a volume.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CreateVolume {
    /// Of which container.
    pub container: String,
    /// What people will call it.
    pub name: String,
    /// Its size, if it has one.
    pub bytes: Option<u64>,
}

/// A volume, as it is after the call.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct VolumeReply {
    /// The volume.
    pub volume: Volume,
}

/// Gives a volume another name.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RenameVolume {
    /// The volume.
    pub volume: String,
    /// What people will call it.
    pub name: String,
}

/// Gives a volume another size.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResizeVolume {
    /// The volume.
    pub volume: String,
    /// Its size. What is beyond a smaller one is lost.
    pub bytes: u64,
}

/// Removes a volume with what it contains.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RemoveVolume {
    /// The volume.
    pub volume: String,
}

/// What a volume was asked since it was first mounted.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counters {
    /// The volume.
    pub volume: String,
}

/// To [`Counters`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CountersReply {
    /// The counters.
    pub counters: RequestCounters,
}

/// Publishes a volume as a disk.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct PublishBlock {
    /// The volume.
    pub volume: String,
    /// Without, a loop device.
    pub kind: Option<BlockKind>,
    /// It cannot be written through this.
    #[serde(default, deserialize_with = "or_default")]
    pub read_only: bool,
}

/// To [`PublishBlock`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PublishBlockReply {
    /// The device.
    pub device: BlockDevice,
}

/// Takes a disk away, after everything was flushed.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WithdrawBlock {
    /// The device.
    pub device: String,
    /// Even while it is used.
    #[serde(default, deserialize_with = "or_default")]
    pub force: bool,
}

/// Starts work of a kind that a container has.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StartJob {
    /// The container.
    pub container: String,
    /// One of its [kinds](Container::jobs).
    pub kind: String,
    /// Options of the work.
    #[serde(default, deserialize_with = "or_default")]
    pub options: Vec<Setting>,
}

/// Examines resources that are not loaded.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StartCheck {
    /// Which module does it.
    pub module: String,
    /// What is examined.
    pub resources: Vec<Place>,
    /// Options of the module's own.
    #[serde(default, deserialize_with = "or_default")]
    pub options: Vec<Setting>,
}

/// Makes resources loadable. What was on them is lost.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StartFormat {
    /// Which module does it.
    pub module: String,
    /// What is formatted.
    pub resources: Vec<Place>,
    /// Options of the module's own.
    #[serde(default, deserialize_with = "or_default")]
    pub options: Vec<Setting>,
}

/// A task, as it is after the call.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TaskReply {
    /// The task.
    pub task: Task,
}

/// The task stands still from its next checkpoint on.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PauseTask {
    /// The task.
    pub task: String,
}

/// The task goes on.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResumeTask {
    /// The task.
    pub task: String,
}

/// The task ends at its next checkpoint.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CancelTask {
    /// The task.
    pub task: String,
}

/// The state of a task, and whatever becomes of it. Streamed.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WatchTask {
    /// The task.
    pub task: String,
}

/// To [`WatchTask`]. The last is [`TaskEventKind::Ended`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct WatchTaskReply {
    /// What happened.
    pub event: TaskEventKind,
    /// The task after it.
    pub task: Task,
    /// Present for [`TaskEventKind::Log`].
    pub line: Option<String>,
}

/// What happens. Streamed.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Events {
    /// To one container, or to all that the caller may see.
    pub container: Option<String>,
    /// The stream that the event `since` was read from.
    pub stream: Option<String>,
    /// Everything after the event of that sequence; 0 without a stream is all that
    /// is kept. Without, from now on.
    pub since: Option<u64>,
}

/// To [`Events`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct EventsReply {
    /// What happened.
    pub event: Event,
}

/// Removes what a daemon that was killed has left behind.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cleanup {}

/// To [`Cleanup`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CleanupReply {
    /// What was removed, in sentences.
    pub removed: Vec<String>,
}
