//! The end of a container.
//!
//! In this order: nothing of it is mounted or published any more; its work has stopped where
//! it can go on later; everything that was acknowledged is on the resources;
//! the resources are given back. If one of these fails, the container is loaded
//! as before.

use std::sync::Arc;

use transom_module::{ContainerId, Error, Result};

use crate::host::{Entry, in_use, not_loaded};
use crate::loaded::Loaded;
use crate::{EventKind, Host, Unmount};

impl Host {
    /// Unloads a container: every descriptor of it is closed. `EINVAL` if it is
    /// not loaded, `EBUSY` while it is mounted, unless its users are to be
    /// aborted.
    pub fn unload(&self, container: ContainerId, how: Unmount) -> Result<()> {
        let Some(loaded) = self.loaded_or_given_up(container)? else {
            return Ok(());
        };
        if how == Unmount::Abort {
            for key in loaded.mounted_keys() {
                loaded.unmount(&key, Unmount::Abort)?;
            }
            loaded.withdraw_all()?;
        }
        loaded.let_go_of_unused();
        if loaded.is_mounted() {
            return Err(in_use(&loaded.about.name, "mounted; unmount it first"));
        }
        if !loaded.published().is_empty() {
            return Err(in_use(&loaded.about.name, "a disk; withdraw it first"));
        }
        self.suspend_work_of(container)?;
        let unloaded = self.end(&loaded, how);
        match &unloaded {
            Ok(()) => {
                let name = &loaded.about.name;
                let message = format!("`{name}` was unloaded");
                self.budgets().leave(container);
                // Gives the resources back, which may take its time.
                drop(loaded);
                self.containers().remove(&container);
                self.events()
                    .tell(Some(container), EventKind::Unloaded, message);
            }
            Err(_) => self.resume_work_of(&loaded),
        }
        unloaded
    }

    /// The container, or nothing if it was blocked and is not any more.
    fn loaded_or_given_up(&self, container: ContainerId) -> Result<Option<Arc<Loaded>>> {
        let mut containers = self.containers();
        match containers.get(&container) {
            Some(Entry::Loaded(loaded)) => Ok(Some(Arc::clone(loaded))),
            Some(Entry::Busy(about)) => Err(in_use(&about.name, "being loaded or unloaded")),
            None => Err(not_loaded(&container.to_string(), containers.is_empty())),
            Some(Entry::Blocked(_)) => {
                let blocked = containers.remove(&container);
                drop(containers);
                drop(blocked);
                let message = "it waits for nothing any more";
                self.events()
                    .tell(Some(container), EventKind::Unloaded, message);
                Ok(None)
            }
        }
    }

    /// Takes it out of the table, so that nobody begins to use it, and brings
    /// everything to the resources.
    fn end(&self, loaded: &Arc<Loaded>, how: Unmount) -> Result<()> {
        let id = loaded.about.id;
        {
            let mut containers = self.containers();
            // Two are the table's and ours; who has another is about to use it.
            if Arc::strong_count(loaded) > 2 || loaded.is_used() {
                return Err(in_use(&loaded.about.name, "in use"));
            }
            containers.insert(id, Entry::Busy(loaded.about.clone()));
        }
        loaded.container.synchronize().or_else(|error: Error| {
            if how == Unmount::Abort {
                return Ok(());
            }
            let back = Entry::Loaded(Arc::clone(loaded));
            self.containers().insert(id, back);
            Err(error)
        })
    }
}
