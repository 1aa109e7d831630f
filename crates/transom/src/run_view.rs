//! The view that an action runs in, whoever serves it.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use transom_control::{Services, view};
use transom_projection::{ChangedInput, TraceReport, ViewStatistics};

use crate::control::OwnView;
use crate::summary::Requests;

/// What a run needs of its view.
pub(crate) trait RunView: Send + Sync {
    /// The view as a detached mount tree, for the action alone.
    fn input_root(&self) -> anyhow::Result<OwnedFd>;

    /// What `transom view` calls.
    fn services(self: Arc<Self>) -> Services;

    /// The inputs that are not what they were.
    fn verify(&self) -> anyhow::Result<Vec<ChangedInput>>;

    /// What was seen so far; `None` if the view is not traced.
    fn traced(&self) -> anyhow::Result<Option<TraceReport>>;

    /// Whether the kernel reads the host files itself.
    fn passthrough(&self) -> bool;

    /// What is declared.
    fn declared(&self) -> ViewStatistics;

    /// What was asked so far; `None` if nobody counts it for this view alone.
    fn requests(&self) -> Option<Requests>;
}

impl RunView for OwnView {
    fn input_root(&self) -> anyhow::Result<OwnedFd> {
        Ok(self.served.input_root(&self.view)?)
    }

    fn services(self: Arc<Self>) -> Services {
        Services::new([view::interface(self)])
    }

    fn verify(&self) -> anyhow::Result<Vec<ChangedInput>> {
        Ok(self.view.verify())
    }

    fn traced(&self) -> anyhow::Result<Option<TraceReport>> {
        Ok(self.view.trace())
    }

    fn passthrough(&self) -> bool {
        self.served.passthrough()
    }

    fn declared(&self) -> ViewStatistics {
        self.view.statistics()
    }

    fn requests(&self) -> Option<Requests> {
        let statistics = self.served.statistics();
        Some(statistics.as_ref().map(Into::into).unwrap_or_default())
    }
}
