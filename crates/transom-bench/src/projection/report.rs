//! What was found out, in the form that `--json` prints.

mod table;

use std::collections::HashMap;

use anyhow::{Context, Result};
use serde::Serialize;

use crate::machine::Machine;
use crate::projection::arm::{About, Arm, Requests, Sample};
use crate::projection::manifest_parsing::ManifestReport;
use crate::projection::workload::Workload;
use crate::statistics::Spread;

/// Everything. Times are in milliseconds.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) machine: Machine,
    pub(crate) workloads: Vec<WorkloadReport>,
    pub(crate) manifests: Vec<ManifestReport>,
}

/// One workload.
#[derive(Debug, Serialize)]
pub(crate) struct WorkloadReport {
    pub(crate) name: &'static str,
    pub(crate) about: String,
    pub(crate) rounds: u32,
    pub(crate) arms: Vec<ArmReport>,
    pub(crate) missing: Vec<String>,
}

/// One arm.
#[derive(Debug, Serialize)]
pub(crate) struct ArmReport {
    pub(crate) name: &'static str,
    contents: About,
    pub(crate) set_up: Spread,
    pub(crate) run: Spread,
    pub(crate) tear_down: Spread,
    total: Spread,
    /// The arm that this one is compared with, which is itself for native.
    base: &'static str,
    /// How many times as long as the base takes: minimum to minimum, median
    /// to median.
    run_ratio: Option<Spread>,
    pub(crate) total_ratio: Option<Spread>,
    /// By our own counters, in the last round, from set-up to tear-down.
    requests: Option<Requests>,
    /// By the kernel's trace of all FUSE connections of the machine, in a
    /// round that was not timed.
    pub(crate) kernel_requests: Option<KernelCount>,
}

/// Requests that the kernel sent.
#[derive(Debug, Serialize)]
pub(crate) struct KernelCount {
    pub(crate) total: u64,
    pub(crate) read: u64,
    pub(crate) text: String,
}

impl Report {
    /// For people.
    pub(crate) fn to_text(&self) -> String {
        table::text(self)
    }
}

impl WorkloadReport {
    pub(crate) fn new(
        workload: &Workload,
        rounds: u32,
        mut arms: Vec<ArmReport>,
        missing: Vec<String>,
    ) -> Self {
        let times = |arm: &ArmReport| (arm.name, (arm.run, arm.total));
        let bases: HashMap<_, _> = arms.iter().map(times).collect();
        for arm in arms.iter_mut().filter(|arm| arm.name != arm.base) {
            if let Some((run, total)) = bases.get(arm.base) {
                arm.run_ratio = Some(arm.run.ratio_to(*run));
                arm.total_ratio = Some(arm.total.ratio_to(*total));
            }
        }
        Self {
            name: workload.name,
            about: workload.about.clone(),
            rounds,
            arms,
            missing,
        }
    }
}

impl ArmReport {
    pub(crate) fn new(arm: &dyn Arm, samples: &[Sample]) -> Result<Self> {
        let last = samples.last().context("no rounds")?;
        let spread = |part: fn(&Sample) -> _| Spread::of(samples.iter().map(part));
        let spread = |part| spread(part).context("no rounds");
        Ok(Self {
            name: arm.name(),
            contents: arm.about(),
            set_up: spread(|sample| sample.set_up)?,
            run: spread(|sample| sample.run)?,
            tear_down: spread(|sample| sample.tear_down)?,
            total: spread(Sample::total)?,
            base: arm.base(),
            run_ratio: None,
            total_ratio: None,
            requests: last.requests.clone(),
            kernel_requests: None,
        })
    }
}
