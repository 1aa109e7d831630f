//! The types of `io.transom.Host`. Sizes are in bytes, moments in microseconds
//! since 1970.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Bytes, Descriptor};

/// Something on the host: a descriptor, or what a path leads to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// Absolute; with a descriptor only for people to read.
    pub path: Option<Bytes>,
    /// An open one, which may be opened with `O_PATH`.
    pub descriptor: Option<Descriptor>,
}

/// A setting of a module's or a job's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Setting {
    /// What it is called.
    pub name: String,
    /// A flag has none.
    pub value: Option<String>,
}

/// A setting or a kind of work that there is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choice {
    /// What it is called.
    pub name: String,
    /// A sentence for people.
    pub summary: String,
}

/// The kinds of things that modules load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ResourceKind {
    /// A directory.
    Directory,
    /// A regular file.
    File,
    /// A block device.
    BlockDevice,
}

/// Code that implements a file system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Module {
    /// What users load by.
    pub name: String,
    /// Its version.
    pub version: String,
    /// A sentence for people.
    pub summary: String,
    /// Whether the administrator lets it be used.
    pub enabled: bool,
    /// What it loads.
    pub resources: Vec<ResourceKind>,
    /// What it can be told when it loads.
    pub options: Vec<Choice>,
    /// The groups of operations that its volumes may have.
    pub capabilities: Vec<String>,
    /// Whether it checks and formats resources.
    pub maintains: bool,
}

/// Which member of which container a resource is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Membership {
    /// The container: a UUID.
    pub container: String,
    /// What people call the container; may be empty.
    pub name: String,
    /// Which member, from 0.
    pub index: u32,
    /// How many members the container has.
    pub of: u32,
    /// With how many, at least, it can be loaded degraded.
    pub enough: u32,
    /// Those neither loaded, nor offered, nor probed together with this.
    pub missing: Vec<u32>,
}

/// What a resource is to a module.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Verdict {
    /// Nothing that it knows.
    NotRecognized,
    /// A container by itself.
    Alone,
    /// One of the members of a container.
    Member,
}

/// What one resource is to one module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Which of those that were probed, from 0.
    pub resource: u32,
    /// The module.
    pub module: String,
    /// What it says.
    pub verdict: Verdict,
    /// Present for a member.
    pub membership: Option<Membership>,
}

/// A resource that is loaded, or that waits for others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// What it is.
    pub kind: ResourceKind,
    /// Where it was found.
    pub path: Bytes,
    /// Which member it is; absent for one that is a container by itself.
    pub index: Option<u32>,
}

/// How far a container has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ContainerState {
    /// It is being loaded or unloaded.
    NotReady,
    /// Members are missing.
    Blocked,
    /// It is loaded.
    Ready,
    /// Something of it is mounted or published.
    Active,
}

/// The memory in which a container keeps what it could read again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cache {
    /// How much it may use at this moment.
    pub budget: u64,
    /// How much it uses.
    pub used: u64,
    /// How much it would use if memory were no matter.
    pub wanted: u64,
}

/// Loaded resources, or some that wait for the rest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Container {
    /// A UUID.
    pub id: String,
    /// The module that loaded it.
    pub module: String,
    /// What people call it; may be empty.
    pub name: String,
    /// How far it has come.
    pub state: ContainerState,
    /// The members that are there.
    pub resources: Vec<Member>,
    /// The members that are not.
    pub missing: Vec<u32>,
    /// Loaded although members are missing.
    pub degraded: bool,
    /// Nothing is changed on its resources.
    pub read_only: bool,
    /// What does not work; absent if all is well.
    pub trouble: Option<String>,
    /// The user who loaded it.
    pub owner: u32,
    /// Whether volumes are made and removed while it is loaded.
    pub manages_volumes: bool,
    /// The kinds of work that it has.
    pub jobs: Vec<Choice>,
    /// Absent if it keeps nothing in memory.
    pub cache: Option<Cache>,
}

/// Something that can be mounted or published as a disk, or both.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// The container and the key: `CONTAINER/KEY`.
    pub id: String,
    /// The container.
    pub container: String,
    /// Never another's, and the same after each loading.
    pub key: String,
    /// What people call it; may be empty.
    pub name: String,
    /// Whether it can be mounted.
    pub mountable: bool,
    /// Whether it can be published as a disk.
    pub publishable: bool,
    /// How often it is mounted at this moment.
    pub mounts: u32,
    /// Whether the kernel may read and write host files by itself.
    pub passthrough: bool,
    /// Requests of the kernel since it was first mounted, by FUSE operation.
    pub requests: BTreeMap<String, u64>,
}

/// A volume, mounted once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MountedVolume {
    /// What this mount is called.
    pub id: String,
    /// What is mounted.
    pub volume: String,
    /// Where the daemon attached it; absent if it was handed out.
    pub target: Option<Bytes>,
    /// It cannot be written through.
    pub read_only: bool,
    /// The user who mounted it.
    pub owner: u32,
}

/// How a block volume is published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum BlockKind {
    /// A loop device over a file that is served.
    Loop,
    /// A socket of the network block device protocol.
    Nbd,
    /// A device whose requests the daemon answers.
    Ublk,
}

/// A block volume that is published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BlockDevice {
    /// What it is called here.
    pub id: String,
    /// What is published.
    pub volume: String,
    /// How.
    pub kind: BlockKind,
    /// The device, or the socket.
    pub path: Bytes,
    /// Its size.
    pub bytes: u64,
    /// It cannot be written.
    pub read_only: bool,
    /// The user who published it.
    pub owner: u32,
}

/// How far a task has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum TaskState {
    /// It works.
    Running,
    /// It waits to be resumed.
    Paused,
    /// All is done.
    Done,
    /// It was asked to stop, and has.
    Cancelled,
    /// The daemon was stopped, and it goes on with the next loading.
    Suspended,
    /// It failed.
    Failed,
}

/// Long work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// What it is called.
    pub id: String,
    /// What kind of work it is.
    pub kind: String,
    /// Absent for work on resources that are not loaded.
    pub container: Option<String>,
    /// The module that does it.
    pub module: String,
    /// How far it has come.
    pub state: TaskState,
    /// How much is done, in units of its own.
    pub done: u64,
    /// Of how much; 0 is not known yet.
    pub of: u64,
    /// Why it failed, or the last line of its log.
    pub message: Option<String>,
    /// When it was started.
    pub started: u64,
    /// The user who started it.
    pub owner: u32,
}

/// Requests of the kernel to one volume, and what it did by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RequestCounters {
    /// By FUSE operation; those that never came are left out.
    pub requests: BTreeMap<String, u64>,
    /// Opens of which the kernel reads and writes the host file by itself.
    pub passthrough_opens: u64,
    /// Opens whose bytes pass through the daemon.
    pub served_opens: u64,
    /// Bytes that passed through the daemon to whoever read them.
    pub bytes_read: u64,
    /// Bytes that passed through the daemon from whoever wrote them.
    pub bytes_written: u64,
    /// Requests that ended because their caller was killed.
    pub interrupted: u64,
    /// Requests that took longer than their deadline.
    pub timed_out: u64,
}

/// The daemon itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Daemon {
    /// Its version.
    pub version: String,
    /// Its process.
    pub pid: u32,
    /// When it was started.
    pub started: u64,
    /// Its memory that is resident.
    pub memory: u64,
    /// How many views it has.
    pub views: u64,
}

/// When reading a file updates its access time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum AccessTimes {
    /// If it is older than the last change, or a day old.
    Relative,
    /// Never.
    Never,
    /// At each read.
    Always,
}

/// How a mount is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum UnmountMode {
    /// Only if nobody uses it.
    #[default]
    Orderly,
    /// Out of sight at once; it ends with its last user.
    Detach,
    /// At once; its users get errors.
    Abort,
}

/// What is told of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum TaskEventKind {
    /// Its state, at the beginning and when it changes.
    State,
    /// It has done more.
    Progress,
    /// It has told people something.
    Log,
    /// It has ended.
    Ended,
}

/// What can happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum EventKind {
    /// A container was loaded.
    Loaded,
    /// A container was loaded without some of its members.
    Degraded,
    /// A container waits for members.
    Blocked,
    /// A container has claimed a member.
    MemberAppeared,
    /// A container was unloaded.
    Unloaded,
    /// A container's trouble has changed.
    Trouble,
    /// A volume was made.
    VolumeCreated,
    /// A volume has another name.
    VolumeRenamed,
    /// A volume has another size.
    VolumeResized,
    /// A volume was removed.
    VolumeRemoved,
    /// A volume was mounted.
    Mounted,
    /// A mount has ended.
    Unmounted,
    /// A block volume was published.
    Published,
    /// A block device was taken away.
    Withdrawn,
    /// A task was started, or goes on after a restart.
    TaskStarted,
    /// A task has done more. Only told of one container.
    TaskProgress,
    /// A task has ended.
    TaskEnded,
    /// A container may use another amount of memory.
    CacheLimited,
}

/// Something that happened, and to what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Which stream it was read from: another after a restart of the daemon.
    pub stream: String,
    /// Its number in that.
    pub sequence: u64,
    /// When.
    pub time: u64,
    /// What.
    pub kind: EventKind,
    /// For people.
    pub message: String,
    /// The container.
    pub container: Option<String>,
    /// The volume.
    pub volume: Option<String>,
    /// The task.
    pub task: Option<String>,
}
