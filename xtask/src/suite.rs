use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;
use clap::{Args, ValueEnum};
use xshell::Shell;

use crate::prerequisites;
use crate::privilege::Privilege;
use crate::step::Step;
use crate::summary::{Row, Summary};

/// The options of `cargo xtask test`.
#[derive(Args)]
pub(crate) struct Options {
    /// Run these steps only
    #[arg(long, value_enum, value_delimiter = ',', value_name = "STEP")]
    only: Vec<Step>,
    /// Fail if a test was skipped: for a machine that is meant to run them all
    #[arg(long)]
    no_skips: bool,
    /// Do without root, and skip the tests that need it
    #[arg(long, conflicts_with = "no_skips")]
    unprivileged: bool,
}

/// Runs the chosen steps, all of them even if one fails, and sums up.
pub(crate) fn run(shell: &Shell, options: &Options) -> Result<ExitCode> {
    let steps = options.steps();
    let privilege = if options.unprivileged {
        Privilege::None("--unprivileged was given")
    } else {
        Privilege::find(shell)
    };
    prerequisites::install(shell, &steps, privilege)?;

    let mut summary = Summary::default();
    for step in steps {
        println!("\n=== {}", step.name());
        let started = Instant::now();
        let result = step.run(shell, privilege);
        if let Err(error) = &result {
            eprintln!("{error:#}");
        }
        summary.rows.push(Row {
            step: step.name(),
            result,
            time: started.elapsed(),
        });
    }

    println!("\n{summary}");
    Ok(if summary.is_success(options.no_skips) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

impl Options {
    fn steps(&self) -> Vec<Step> {
        let all = Step::value_variants().iter().copied();
        all.filter(|step| self.only.is_empty() || self.only.contains(step))
            .collect()
    }
}
