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
mod report;
mod rounds;
mod statistics;
mod volumes;
mod workload;

use std::env;
use std::io::{Write, stdout};
use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use clap::Parser;

use crate::arguments::{Arguments, MeasureArguments, Part};
use crate::arms::{Arms, Programs};
use crate::machine::Machine;
use crate::report::Report;
use crate::rounds::Rounds;
use crate::volumes::Volumes;
use crate::workload::Workload;

fn main() -> Result<()> {
    let Arguments { measure } = Arguments::parse();
    if !measure.in_private_namespace {
        return enter_private_namespace();
    }
    let report = run(&measure)?;
    let text = if measure.json {
        serde_json::to_string_pretty(&report)? + "\n"
    } else {
        report.to_text()
    };
    Ok(stdout().write_all(text.as_bytes())?)
}

/// Starts over in a mount namespace of our own, with which all mounts vanish,
/// however we end.
fn enter_private_namespace() -> Result<()> {
    ensure!(transom_test::is_root(), "needs root, to mount");
    let error = Command::new("unshare")
        .args(["--mount", "--propagation", "private", "--"])
        .arg(env::current_exe()?)
        .arg("--in-private-namespace")
        .args(env::args_os().skip(1))
        .exec();
    Err(error).context("unshare, of the Debian package util-linux")
}

fn run(arguments: &MeasureArguments) -> Result<Report> {
    let mut machine = Machine::examine();
    if !arguments.no_pin {
        machine.pinned_to = Some(machine::pin(arguments.cpu)?);
    }
    let programs = Programs {
        sandboxfs: arguments.sandboxfs.clone(),
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
            let arms = Arms::new(&workload, &volumes, &programs)?;
            workloads.push(rounds.measure(&workload, arms, &mut |_| ())?);
        }
    }
    machine.note_end();
    Ok(Report { machine, workloads })
}

type MakeWorkload = fn(&Volumes) -> Result<Workload>;

const PARTS: [(Part, MakeWorkload); 2] =
    [(Part::Seed, Workload::seed), (Part::Large, Workload::large)];
