//! What was found out, in the form that `--json` prints.

mod table;

use anyhow::{Context, Result};
use serde::Serialize;

use super::arm::{Arm, Side};
use super::rounds::Samples;
use crate::machine::Machine;
use crate::statistics::Spread;

/// Everything. Times are in milliseconds.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) machine: Machine,
    pub(crate) rounds: u32,
    pub(crate) workloads: Vec<WorkloadReport>,
    /// What was not measured, and why.
    pub(crate) missing: Vec<String>,
}

/// One workload.
#[derive(Debug, Serialize)]
pub(crate) struct WorkloadReport {
    name: &'static str,
    about: String,
    arms: Vec<ArmReport>,
}

/// One arm.
#[derive(Debug, Serialize)]
pub(crate) struct ArmReport {
    name: &'static str,
    side: Side,
    time: Spread,
    /// How many times as long as natively: minimum to minimum, median to
    /// median. So are all ratios.
    to_native: Option<Spread>,
    /// How many times as long as the best peer takes. The best in minimum
    /// and the best in median may be two.
    to_best_peer: Option<Spread>,
    requests: Option<Requests>,
}

/// Requests to the server, by the kernel's trace, which does not have FORGET.
#[derive(Debug, Serialize)]
pub(crate) struct Requests {
    total: u64,
    by_opcode: String,
}

impl Report {
    /// For people.
    pub(crate) fn to_text(&self) -> String {
        table::text(self)
    }
}

impl WorkloadReport {
    pub(crate) fn new(
        name: &'static str,
        about: String,
        arms: &[Arm],
        samples: Vec<Samples>,
    ) -> Result<Self> {
        let reports = arms.iter().zip(samples);
        let reports = reports.map(|(arm, samples)| ArmReport::new(arm, samples));
        let mut reports = reports.collect::<Result<Vec<_>>>()?;
        let native = reports.first().context("no arms")?.time;
        let best_peer = best(reports.iter().filter(|arm| arm.side == Side::Peer));
        for arm in &mut reports {
            if arm.side != Side::Native {
                arm.to_native = Some(arm.time.ratio_to(native));
            }
            if arm.side == Side::Ours {
                arm.to_best_peer = best_peer.map(|peer| arm.time.ratio_to(peer));
            }
        }
        Ok(Self {
            name,
            about,
            arms: reports,
        })
    }
}

impl ArmReport {
    fn new(arm: &Arm, samples: Samples) -> Result<Self> {
        Ok(Self {
            name: arm.name,
            side: arm.side,
            time: Spread::of(samples.times).context("no rounds")?,
            to_native: None,
            to_best_peer: None,
            requests: samples.requests.map(|counts| Requests {
                total: counts.total(),
                by_opcode: by_opcode(&counts.to_string()),
            }),
        })
    }
}

/// Without the connection, which is the only one.
fn by_opcode(counts: &str) -> String {
    let opcodes = counts.split_once(": ");
    opcodes.map_or("none", |(_, opcodes)| opcodes).to_owned()
}

fn best<'a>(arms: impl Iterator<Item = &'a ArmReport>) -> Option<Spread> {
    arms.map(|arm| arm.time).reduce(|best, next| Spread {
        min: best.min.min(next.min),
        median: best.median.min(next.median),
    })
}
