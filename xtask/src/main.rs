//! Repository automation: `cargo xtask --help`.
#![expect(
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "it talks to whoever runs it"
)]

mod nextest;
mod prerequisites;
mod privilege;
mod report;
mod step;
mod suite;
mod summary;

use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand};
use xshell::{Shell, cmd};

/// Automation for the people who work on this repository.
#[derive(Parser)]
#[command(bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Install what the tests need beyond Rust, run every check and every
    /// test, and print what ran, what failed and what was skipped
    Test(suite::Options),
    /// Write the manual pages and completions anew, from the command line of
    /// the program
    Generate,
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    let shell = Shell::new().context("the current directory is gone")?;
    shell.change_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    match arguments.command {
        Command::Test(options) => suite::run(&shell, &options),
        Command::Generate => {
            // Through the test that finds them outdated: this program does not
            // depend on what it checks, and so runs when that does not build.
            cmd!(shell, "cargo test --package transom --test generated")
                .env("TRANSOM_GENERATE", "1")
                .run()?;
            Ok(ExitCode::SUCCESS)
        }
    }
}
