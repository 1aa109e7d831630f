use std::path::PathBuf;

use anyhow::Result;

use crate::projection::arm::{About, Mechanism, NATIVE};
use crate::projection::client::Roots;
use crate::projection::workload::Workload;

/// The host files themselves: what everything is compared with. It hides
/// nothing.
#[derive(Debug)]
pub(crate) struct Native {
    volumes: Vec<PathBuf>,
}

impl Native {
    pub(crate) fn new(workload: &Workload) -> Self {
        Self {
            volumes: workload.volumes.clone(),
        }
    }
}

impl Mechanism for Native {
    const NAME: &'static str = NATIVE;
    const ABOUT: About = About {
        before: "nothing",
        set_up: "the roots of the volumes are opened",
        tear_down: "they are closed",
    };

    fn set_up(&mut self) -> Result<Roots> {
        Roots::open(&self.volumes)
    }

    fn tear_down(&mut self) -> Result<()> {
        Ok(())
    }
}
