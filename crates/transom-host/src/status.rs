//! What there is to say of containers and what is served of them.

use std::sync::Arc;

use transom_module::{ContainerId, Result};

use crate::erased::AnyContainer;
use crate::host::{Entry, state_of};
use crate::{About, BudgetStatus, Host, State, VolumeStatus};

/// A container, and what is served of it.
#[derive(Debug, Clone)]
pub struct ContainerStatus {
    /// What is known of it.
    pub about: About,
    /// Its state.
    pub state: State,
    /// What does not work, for people.
    pub trouble: Option<String>,
    /// Its volumes and block volumes.
    pub volumes: Vec<VolumeStatus>,
    /// The kinds of long work it does, each with a sentence.
    pub jobs: Vec<(&'static str, &'static str)>,
    /// Whether volumes are made and removed while it is loaded.
    pub manages_volumes: bool,
    /// Its cache, if it has one.
    pub cache: Option<BudgetStatus>,
}

impl Host {
    /// All containers, in the order of their ids.
    #[must_use]
    pub fn status(&self) -> Vec<ContainerStatus> {
        let ids: Vec<_> = self.containers().keys().copied().collect();
        ids.into_iter()
            .filter_map(|container| self.status_of(container))
            .collect()
    }

    /// One container; `None` if it is neither loaded nor blocked.
    #[must_use]
    pub fn status_of(&self, container: ContainerId) -> Option<ContainerStatus> {
        let (about, state, loaded) = {
            let containers = self.containers();
            let entry = containers.get(&container)?;
            let loaded = match entry {
                Entry::Loaded(loaded) => Some(Arc::clone(loaded)),
                _ => None,
            };
            (entry.about(), entry.state(), loaded)
        };
        let mut status = ContainerStatus::new(about, state);
        // It is asked without a lock, since it may take its time.
        if let Some(loaded) = loaded {
            loaded.let_go_of_unused();
            status.state = state_of(&loaded);
            status.volumes = loaded.volumes();
            status.ask(&*loaded.container);
            status.cache = self.budgets().status_of(container);
        }
        Some(status)
    }

    /// The volumes and block volumes of a container, in the order of their keys.
    pub fn volumes(&self, container: ContainerId) -> Result<Vec<VolumeStatus>> {
        Ok(self.loaded(container)?.volumes())
    }

    /// How many volumes are mounted.
    #[must_use]
    pub fn mounted_volumes(&self) -> usize {
        let containers = self.containers();
        let mounted = containers.values().map(|entry| match entry {
            Entry::Loaded(loaded) => loaded.mounted_keys().len(),
            _ => 0,
        });
        mounted.sum()
    }
}

impl ContainerStatus {
    fn new(about: About, state: State) -> Self {
        Self {
            about,
            state,
            trouble: None,
            volumes: Vec::new(),
            manages_volumes: false,
            jobs: Vec::new(),
            cache: None,
        }
    }

    fn ask(&mut self, container: &dyn AnyContainer) {
        self.trouble = container.trouble();
        self.manages_volumes = container.management().is_some();
        if let Some(jobs) = container.jobs() {
            self.jobs = jobs.kinds().to_vec();
        }
    }
}
