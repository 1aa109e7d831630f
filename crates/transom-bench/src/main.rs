//! Measures the engines against native and against peers.
//!
//! Suites that share a command line, a machine and statistics: `projection`, for
//! what `transom run` does, `alternatives`, for what others do instead,
//! `passthrough`, for the module of that name, `control`, for the control plane,
//! and `daemon`, for the daemon. docs/performance.md is the manual.

mod arguments;
mod control;
mod daemon;
mod machine;
mod passthrough;
mod programs;
mod projection;
mod statistics;
mod tables;

use std::env;
use std::ffi::OsString;
use std::io::{Write, stdout};
use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use serde::Serialize;

use crate::arguments::{Arguments, MeasureArguments, Suite};
use crate::machine::Machine;

fn main() -> Result<()> {
    let Arguments { measure, command } = Arguments::parse();
    if let Some(arguments::Command::Read(arguments)) = command {
        return projection::read(&arguments);
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
    stdout().write_all(text.as_bytes())?;
    report.check()
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
    arguments.check()?;
    let mut machine = Machine::examine();
    if !arguments.no_pin {
        machine.pinned_to = Some(machine::pin(arguments.cpu)?);
    }
    machine.descriptors = machine::raise_descriptor_limit()?;
    Ok(match arguments.suite {
        Suite::Projection => Report::Projection(projection::run(arguments, machine)?),
        Suite::Alternatives => Report::Alternatives(projection::compare(arguments, machine)?),
        Suite::Passthrough => Report::Passthrough(passthrough::run(arguments, machine)?),
        Suite::Control => Report::Control(control::run(arguments, machine)?),
        Suite::Daemon => Report::Daemon(daemon::run(arguments, machine)?),
    })
}

/// What was found out.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Report {
    Projection(projection::Report),
    Alternatives(projection::AlternativesReport),
    Passthrough(passthrough::Report),
    Control(control::Report),
    Daemon(daemon::Report),
}

impl Report {
    fn to_text(&self) -> String {
        match self {
            Self::Projection(report) => report.to_text(),
            Self::Alternatives(report) => report.to_text(),
            Self::Passthrough(report) => report.to_text(),
            Self::Control(report) => report.to_text(),
            Self::Daemon(report) => report.to_text(),
        }
    }

    /// Whether everything is as it must be. Most only measure.
    fn check(&self) -> Result<()> {
        match self {
            Self::Daemon(report) => report.check(),
            _ => Ok(()),
        }
    }
}
