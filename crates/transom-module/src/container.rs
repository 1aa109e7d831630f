//! What loaded resources are, and what can be had of them.

use std::sync::Arc;

use crate::{BlockVolume, Completed, Result, Task, Volume, VolumeDefinition};

/// Loaded resources. Dropping it gives them back.
///
/// A container has volumes and, if it says so, more: what `None` is returned
/// for by default, it lacks. These are read when it has been loaded.
pub trait Container: Send + Sync + 'static {
    /// What is mounted of it.
    type Volume: Volume;

    /// The volumes that it has at this moment. Without this it has one, which
    /// is the container's own content.
    fn volumes(&self) -> Vec<Listing> {
        vec![Listing::only()]
    }

    /// One of them, to be served. Asked when it is mounted and was mounted
    /// nowhere; further mounts share what is served. `ENOENT` for a key that is
    /// not listed.
    fn volume(&self, key: &str) -> Result<VolumeDefinition<Self::Volume>>;

    /// Puts everything that was acknowledged on the resources. Called when all
    /// volumes were unmounted, before the container is dropped, and whenever
    /// users ask for it.
    fn synchronize(&self) -> Result<()> {
        Ok(())
    }

    /// What does not work, in a sentence for people, although it was loaded:
    /// a missing member, errors that were met. `None` if all is well.
    fn trouble(&self) -> Option<String> {
        None
    }

    /// The container as one whose volumes are made at run time: `Some(self)`.
    fn management(&self) -> Option<&dyn VolumeManagement> {
        None
    }

    /// The container as one that has block volumes: `Some(self)`.
    fn blocks(&self) -> Option<&dyn BlockVolumes> {
        None
    }

    /// The container as one that has long work to do: `Some(self)`.
    fn jobs(&self) -> Option<&dyn Jobs> {
        None
    }

    /// The container as one that keeps data in memory: `Some(self)`.
    fn cache(&self) -> Option<&dyn Cache> {
        None
    }
}

/// A volume or block volume of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// What the container knows it by: never another's, and the same after each
    /// loading. Names may change, keys do not. At most
    /// [`NAME_BYTES_MAX`](crate::NAME_BYTES_MAX) bytes, without `/`.
    pub key: String,
    /// What people call it.
    pub name: String,
}

impl Listing {
    /// The key of the volume of a container that has only this one.
    pub const ONLY: &str = "content";

    /// The volume of a container that has only this one.
    #[must_use]
    pub fn only() -> Self {
        Self {
            key: Self::ONLY.into(),
            name: String::new(),
        }
    }
}

/// A container whose volumes and block volumes are made, renamed and removed
/// while it is loaded. The host asks for the lists anew after each of these.
pub trait VolumeManagement {
    /// Makes one of that name, and of that size if it has one; returns its key.
    /// `EEXIST` if there is one of that name, `ENOSPC` without room.
    fn create(&self, name: &str, bytes: Option<u64>) -> Result<String>;

    /// Gives it another name. `ENOENT`, `EEXIST`.
    fn rename(&self, key: &str, name: &str) -> Result<()>;

    /// Gives it another size. What is beyond a smaller one is lost. `ENOENT`,
    /// `ENOSPC`.
    fn resize(&self, key: &str, bytes: u64) -> Result<()>;

    /// Removes it, with what it contains. The host asks this only of what is
    /// neither mounted nor published.
    fn remove(&self, key: &str) -> Result<()>;
}

/// A container that has block volumes.
pub trait BlockVolumes {
    /// Those that it has at this moment. A key that is also a volume's stands
    /// for the same content.
    fn block_volumes(&self) -> Vec<Listing>;

    /// One of them, to be published. `ENOENT` for a key that is not listed.
    fn block_volume(&self, key: &str) -> Result<Arc<dyn BlockVolume>>;
}

/// A container that has long work to do while it is loaded, whether or not
/// anything of it is mounted.
pub trait Jobs {
    /// The kinds of work, each with one sentence for people.
    fn kinds(&self) -> &'static [(&'static str, &'static str)];

    /// Does work of that kind, on a thread that is made for it.
    fn run(&self, kind: &str, task: Task) -> Completed;
}

/// A container that keeps data in memory that it could read again. What is asked
/// is answered at once: it is asked whenever somebody looks.
pub trait Cache {
    /// How many bytes it would use if memory were no matter.
    fn wanted(&self) -> u64;

    /// How many bytes it uses.
    fn used(&self) -> u64;

    /// Uses no more than that from now on, and gives back what is beyond
    /// before it returns.
    fn limit(&self, bytes: u64);
}
