//! What can happen.

use crate::TaskId;

/// What happened. Volumes and block volumes are named by their keys.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are what their names say")]
pub enum EventKind {
    /// A container was loaded.
    Loaded,
    /// A container was unloaded, or given up before it was loaded.
    Unloaded,
    /// A container waits for members.
    Blocked,
    /// A container was loaded without some of its members.
    Degraded,
    /// A member of a container is there.
    MemberAppeared,
    /// There is a further volume.
    VolumeCreated { volume: String },
    /// A volume has another name.
    VolumeRenamed { volume: String },
    /// A volume has another size.
    VolumeResized { volume: String },
    /// A volume is no more.
    VolumeRemoved { volume: String },
    /// A volume was mounted.
    Mounted { volume: String },
    /// A volume is no longer mounted where it was.
    Unmounted { volume: String },
    /// A block volume can be used as a disk.
    Published { volume: String },
    /// A block volume is no longer a disk.
    Withdrawn { volume: String },
    /// A task was started.
    TaskStarted { task: TaskId },
    /// A task has come so far, in units of its own.
    TaskProgress { task: TaskId, done: u64, of: u64 },
    /// A task has ended.
    TaskEnded { task: TaskId },
    /// A container's cache may use so many bytes from now on.
    CacheLimited { bytes: u64 },
    /// Something does not work as it should.
    Trouble,
}

impl EventKind {
    /// What it is called where it is not a value of Rust.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Loaded => "loaded",
            Self::Unloaded => "unloaded",
            Self::Blocked => "blocked",
            Self::Degraded => "degraded",
            Self::MemberAppeared => "memberAppeared",
            Self::VolumeCreated { .. } => "volumeCreated",
            Self::VolumeRenamed { .. } => "volumeRenamed",
            Self::VolumeResized { .. } => "volumeResized",
            Self::VolumeRemoved { .. } => "volumeRemoved",
            Self::Mounted { .. } => "mounted",
            Self::Unmounted { .. } => "unmounted",
            Self::Published { .. } => "published",
            Self::Withdrawn { .. } => "withdrawn",
            Self::TaskStarted { .. } => "taskStarted",
            Self::TaskProgress { .. } => "taskProgress",
            Self::TaskEnded { .. } => "taskEnded",
            Self::CacheLimited { .. } => "cacheLimited",
            Self::Trouble => "trouble",
        }
    }

    /// The key of the volume or block volume that it is about.
    #[must_use]
    pub fn volume(&self) -> Option<&str> {
        match self {
            Self::VolumeCreated { volume }
            | Self::VolumeRenamed { volume }
            | Self::VolumeResized { volume }
            | Self::VolumeRemoved { volume }
            | Self::Mounted { volume }
            | Self::Unmounted { volume }
            | Self::Published { volume }
            | Self::Withdrawn { volume } => Some(volume),
            _ => None,
        }
    }

    /// The task that it is about.
    #[must_use]
    pub fn task(&self) -> Option<TaskId> {
        match self {
            Self::TaskStarted { task }
            | Self::TaskProgress { task, .. }
            | Self::TaskEnded { task } => Some(*task),
            _ => None,
        }
    }
}
