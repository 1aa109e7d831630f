use anyhow::{Context, Result, ensure};
use transom_test::KernelRequests;

use crate::projection::arm::{Arm, Sample};
use crate::projection::arms::Arms;
use crate::projection::report::{ArmReport, KernelCount, WorkloadReport};
use crate::projection::workload::Workload;

/// How to measure.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rounds {
    pub(crate) count: u32,
    pub(crate) kernel_trace: bool,
}

impl Rounds {
    /// Runs all arms round by round, so that whatever disturbs the machine for
    /// a while disturbs all of them; each round begins with another arm, so
    /// that none always follows the same.
    pub(crate) fn measure(
        self,
        workload: &Workload,
        mut arms: Arms,
        progress: &mut dyn FnMut(u32),
    ) -> Result<WorkloadReport> {
        let count = arms.arms.len();
        let mut samples = vec![Vec::new(); count];
        for round in 0..=self.count {
            progress(round);
            for turn in 0..count {
                let index = (turn + round as usize) % count;
                let arm = &mut arms.arms[index];
                let sample = arm.round(&workload.script).with_context(|| arm.name())?;
                samples[index].push(sample);
            }
        }
        check_that_all_read_the_same(&arms.arms, &samples)?;

        let mut reports = Vec::with_capacity(count);
        for (arm, samples) in arms.arms.iter_mut().zip(&samples) {
            // The first round only filled the host's caches.
            let mut report = ArmReport::new(&**arm, &samples[1..])?;
            if self.kernel_trace {
                report.kernel_requests = Some(trace(&mut **arm, workload)?);
            }
            reports.push(report);
        }
        Ok(WorkloadReport::new(
            workload,
            self.count,
            reports,
            arms.missing,
        ))
    }
}

/// A figure counts only if the client got what it gets natively.
fn check_that_all_read_the_same(arms: &[Box<dyn Arm>], samples: &[Vec<Sample>]) -> Result<()> {
    let native = samples[0][0].totals;
    for (arm, samples) in arms.iter().zip(samples) {
        for sample in samples {
            let (name, totals) = (arm.name(), sample.totals);
            ensure!(
                totals == native,
                "{name} gave {totals:?}, native {native:?}"
            );
        }
    }
    Ok(())
}

/// Runs one more round and counts what the kernel sends meanwhile.
fn trace(arm: &mut dyn Arm, workload: &Workload) -> Result<KernelCount> {
    let traced = KernelRequests::watch_all()?;
    arm.round(&workload.script).with_context(|| arm.name())?;
    let counts = traced.finish()?;
    Ok(KernelCount {
        total: counts.total(),
        read: counts.of(OPCODE_READ),
        text: counts.to_string(),
    })
}

/// `FUSE_READ` of `<linux/fuse.h>`.
const OPCODE_READ: u32 = 15;
