//! An arm of a comparison: one way to give an action its inputs.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::Serialize;

use crate::projection::client::{Roots, Script, Totals, now};

/// The arm that most are compared with: the host files themselves.
pub(crate) const NATIVE: &str = "native";

/// One way to give an action its inputs, and to have it read them.
pub(crate) trait Arm {
    fn name(&self) -> &'static str;

    /// The name of the arm that this one is compared with.
    fn base(&self) -> &'static str;

    /// What is inside the three times, for the reader of the figures.
    fn about(&self) -> About;

    /// One action, from nothing to nothing.
    fn round(&mut self, script: &Script) -> Result<Sample>;
}

/// What the times of an arm contain.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct About {
    /// There before the first round, and in no figure.
    pub(crate) before: &'static str,
    pub(crate) set_up: &'static str,
    pub(crate) tear_down: &'static str,
}

/// One measured action.
#[derive(Debug, Clone)]
pub(crate) struct Sample {
    pub(crate) set_up: Duration,
    /// From before the client's first system call to after its last.
    pub(crate) run: Duration,
    pub(crate) tear_down: Duration,
    pub(crate) totals: Totals,
    /// Requests that reached a server of ours; `None` if nobody of us counts.
    pub(crate) requests: Option<Requests>,
}

/// FUSE requests by the name of their opcode.
pub(crate) type Requests = BTreeMap<String, u64>;

impl Sample {
    /// From before set-up to after tear-down.
    pub(crate) fn total(&self) -> Duration {
        self.set_up + self.run + self.tear_down
    }
}

/// A mechanism that shows inputs to this very process, where the client runs
/// as a function: no process is started and no namespace is made.
pub(crate) trait Mechanism {
    const NAME: &'static str;
    const ABOUT: About;

    /// Makes what only a benchmark needs once per round. Not measured.
    fn prepare(&mut self) {}

    /// Makes the inputs reachable.
    fn set_up(&mut self) -> Result<Roots>;

    /// Makes one more input reachable while the client is at work.
    fn add(&mut self, _name: &Path, _source: &Path) -> Result<()> {
        bail!("cannot be done")
    }

    /// Undoes it; the client's roots are closed already.
    fn tear_down(&mut self) -> Result<()>;

    /// The requests since the last time this was asked.
    fn requests(&mut self) -> Result<Option<Requests>> {
        Ok(None)
    }
}

impl<M: Mechanism> Arm for M {
    fn name(&self) -> &'static str {
        M::NAME
    }

    fn base(&self) -> &'static str {
        NATIVE
    }

    fn about(&self) -> About {
        M::ABOUT
    }

    fn round(&mut self, script: &Script) -> Result<Sample> {
        self.prepare();
        let began = now();
        let roots = self.set_up().context("set-up")?;
        let report = script.play(&roots).context("run")?;
        drop(roots);
        self.tear_down().context("tear-down")?;
        let ended = now();
        Ok(Sample {
            set_up: Duration::from_nanos(report.began - began),
            run: Duration::from_nanos(report.ended - report.began),
            tear_down: Duration::from_nanos(ended - report.ended),
            totals: report.totals,
            requests: self.requests()?,
        })
    }
}
