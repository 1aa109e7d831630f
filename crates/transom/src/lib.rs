//! The `transom` program: arguments, environment, printing, and the table of
//! what is built in. Everything else is in the other crates.
//!
//! It is a library so that its command line can be read by what generates the
//! man pages and completions.

mod commands;
mod control;
mod declared;
mod engine;
mod exit;
mod kept;
mod progress;
mod signals;
mod summary;
mod trace_files;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use tracing_subscriber::EnvFilter;

/// The command line, for generators of documentation.
#[must_use]
pub fn command_line() -> clap::Command {
    commands::Arguments::command()
}

/// Runs the program with the arguments of this process.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = match commands::Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(usage) => return exit::usage(&usage),
    };
    let filter = EnvFilter::try_from_env("TRANSOM_LOG").unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false)
        .without_time()
        .init();
    match arguments.command.execute() {
        Ok(code) => code,
        Err(error) => exit::report(&error),
    }
}
