//! Measures the engines against native and against peers.
//!
//! Two workloads of `transom-test`, several *arms* (ways to give an action its
//! inputs), one client for all of them. `arm` says what an arm is, `arms` has
//! them, `client` is what they serve, `rounds` runs them in turn, `report`
//! prints what came out. docs/performance.md is the manual.

mod arguments;
mod arm;
mod arms;
mod client;
mod machine;
mod manifest_parsing;
mod manifests;
mod report;
mod rounds;
mod statistics;
mod volumes;
mod workload;

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io::{Write, stderr, stdout};
use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use clap::Parser;

use crate::arguments::{Arguments, MeasureArguments, Part, ReadArguments};
use crate::arms::{Arms, Choice};
use crate::client::{Roots, Script};
use crate::machine::Machine;
use crate::report::Report;
use crate::rounds::Rounds;
use crate::volumes::Volumes;
use crate::workload::Workload;

fn main() -> Result<()> {
    let Arguments { measure, command } = Arguments::parse();
    if let Some(arguments::Command::Read(arguments)) = command {
        return read(&arguments);
    }
    if !measure.in_private_namespace {
        return start_over(&measure);
    }
    let report = run(&measure)?;
    let text = if measure.json {
        serde_json::to_string_pretty(&report)? + "\n"
    } else {
        report.to_text()
    };
    Ok(stdout().write_all(text.as_bytes())?)
}

/// What a program that is measured as a whole does.
fn read(arguments: &ReadArguments) -> Result<()> {
    let script: Script = serde_json::from_slice(&fs::read(&arguments.script)?)?;
    let report = script.play(&Roots::open(&arguments.roots)?)?;
    Ok(serde_json::to_writer(stdout(), &report)?)
}

/// Starts over in a mount namespace of our own, with which all mounts vanish,
/// however we end.
fn start_over(arguments: &MeasureArguments) -> Result<()> {
    ensure!(transom_test::is_root(), "needs root, to mount");
    let mut words: Vec<OsString> = Vec::new();
    if arguments.realtime {
        words.extend(["chrt", "--rr", "1"].map(OsString::from));
    }
    words.extend(["unshare", "--mount", "--propagation", "private", "--"].map(OsString::from));
    words.push(env::current_exe()?.into());
    words.push("--in-private-namespace".into());
    words.extend(env::args_os().skip(1));
    let error = Command::new(&words[0]).args(&words[1..]).exec();
    Err(error).context("chrt and unshare are in the Debian package util-linux")
}

fn run(arguments: &MeasureArguments) -> Result<Report> {
    let mut machine = Machine::examine();
    if !arguments.no_pin {
        machine.pinned_to = Some(machine::pin(arguments.cpu)?);
    }
    machine.descriptors = machine::raise_descriptor_limit()?;
    let choice = Choice {
        names: arguments.arms.clone(),
        sandboxfs: arguments.sandboxfs.clone(),
        transom: arguments.transom.clone(),
    };
    let rounds = Rounds {
        count: arguments.rounds,
        kernel_trace: arguments.kernel_trace,
    };

    let volumes = Volumes::new()?;
    let mut workloads = Vec::new();
    for (part, make) in PARTS {
        if arguments.wants(part) {
            let workload = make(&volumes)?;
            let arms = Arms::new(&workload, &volumes, &choice, machine.descriptors)?;
            let mut progress = |round| {
                let _ = writeln!(
                    stderr(),
                    "{}: round {round} of {}",
                    workload.name,
                    rounds.count
                );
            };
            workloads.push(rounds.measure(&workload, arms, &mut progress)?);
        }
    }
    let manifests = if arguments.wants(Part::Manifest) {
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

type MakeWorkload = fn(&Volumes) -> Result<Workload>;

const PARTS: [(Part, MakeWorkload); 2] =
    [(Part::Seed, Workload::seed), (Part::Large, Workload::large)];
