//! What it costs to give an action exactly its declared inputs.
//!
//! Two workloads of `transom-test`, several *arms* (ways to give an action its
//! inputs), one client for all of them. `arm` says what an arm is, `arms` has
//! them, `client` is what they serve, `rounds` runs them in turn, `report`
//! prints what came out. `alternatives` also asks what each way gets right, which
//! `probes` finds out.

mod alternatives;
mod arm;
mod arms;
mod client;
mod manifest_parsing;
mod manifests;
mod probes;
mod report;
mod rounds;
mod volumes;
mod workload;

use std::fs;
use std::io::{Write, stderr, stdout};

use anyhow::Result;

use crate::arguments::{MeasureArguments, ReadArguments};
use crate::machine::Machine;
use arms::{Arms, Choice};
use client::{Roots, Script};
use rounds::Rounds;
use volumes::Volumes;
use workload::Workload;

pub(crate) use alternatives::{Report as AlternativesReport, compare};
pub(crate) use report::Report;

const MANIFEST: &str = "manifest";

type MakeWorkload = fn(&Volumes) -> Result<Workload>;

const WORKLOADS: [(&str, MakeWorkload); 2] = [("seed", Workload::seed), ("large", Workload::large)];

/// The names of what can be measured.
pub(crate) fn parts() -> Vec<&'static str> {
    let workloads = WORKLOADS.iter().map(|(name, _)| *name);
    workloads.chain([MANIFEST]).collect()
}

/// What a program that is measured as a whole does.
pub(crate) fn read(arguments: &ReadArguments) -> Result<()> {
    let script: Script = serde_json::from_slice(&fs::read(&arguments.script)?)?;
    let report = script.play(&Roots::open(&arguments.roots)?)?;
    Ok(serde_json::to_writer(stdout(), &report)?)
}

/// Measures what is wanted.
pub(crate) fn run(arguments: &MeasureArguments, mut machine: Machine) -> Result<Report> {
    let choice = Choice::new(arguments);
    let rounds = Rounds {
        count: arguments.rounds,
        kernel_trace: arguments.kernel_trace,
    };

    let volumes = Volumes::new()?;
    let mut workloads = Vec::new();
    for (name, make) in WORKLOADS {
        if arguments.wants(name) {
            let workload = make(&volumes)?;
            let arms = Arms::new(&workload, &volumes, &choice, machine.descriptors)?;
            let mut progress = |round| {
                let _ = writeln!(stderr(), "{name}: round {round} of {}", rounds.count);
            };
            workloads.push(rounds.measure(&workload, arms, &mut progress)?);
        }
    }
    let manifests = if arguments.wants(MANIFEST) {
        manifest_parsing::measure(arguments.rounds)?
    } else {
        Vec::new()
    };
    machine.note_end();
    Ok(Report {
        machine,
        workloads,
        manifests,
    })
}
