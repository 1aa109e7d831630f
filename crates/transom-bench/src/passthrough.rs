//! A directory shown by the passthrough module, by its peers, and as it is.
//!
//! `workload` says what is done, `workloads` has all of it; `arm` is one way
//! to show the directory, `arms` has all of them, each with a server that is a
//! process of its own (`server`). `rounds` runs them in turn, `report` prints
//! what came out.

mod arm;
mod arms;
mod report;
mod rounds;
mod server;
mod workload;
mod workloads;

use std::fs;
use std::io::{Write, stderr};

use anyhow::{Context, Result};
use transom_test::LoopVolume;

use crate::arguments::MeasureArguments;
use crate::machine::Machine;
use arms::{Arms, Choice};
use report::WorkloadReport;
use workload::Scale;
use workloads::WORKLOADS;

pub(crate) use report::Report;

/// Room for one workload at a time.
const VOLUME_BYTES: u64 = 4 << 30;

/// The names of what can be measured.
pub(crate) fn parts() -> Vec<&'static str> {
    WORKLOADS.iter().map(|(name, _)| *name).collect()
}

/// Measures what is wanted.
pub(crate) fn run(arguments: &MeasureArguments, mut machine: Machine) -> Result<Report> {
    let Arms { arms, mut missing } = Arms::new(&Choice {
        names: arguments.arms.clone(),
        transom: arguments.transom.clone(),
        passthrough_hp: arguments.passthrough_hp.clone(),
    });
    let scale = Scale {
        divisor: arguments.smaller,
    };
    let volume = LoopVolume::ext4(VOLUME_BYTES).context("an ext4 volume")?;
    let mut workloads = Vec::new();
    for (name, make) in WORKLOADS {
        if !arguments.wants(name) {
            continue;
        }
        let _ = writeln!(stderr(), "{name}");
        let backing = volume.path().join(name);
        fs::create_dir(&backing)?;
        match make(&backing, scale) {
            Err(error) => missing.push(format!("{name}: {error:#}")),
            Ok(mut workload) => {
                let samples = rounds::measure(&mut *workload, &backing, &arms, arguments.rounds);
                let samples = samples.context(*name)?;
                let report = WorkloadReport::new(name, workload.about(), &arms, samples)?;
                workloads.push(report);
            }
        }
        fs::remove_dir_all(&backing)?;
    }
    machine.note_end();
    Ok(Report {
        machine,
        rounds: arguments.rounds,
        workloads,
        missing,
    })
}
