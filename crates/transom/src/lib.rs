//! The `transom` program: arguments, environment, printing, and the table of
//! what is built in. Everything else is in the other crates.
//!
//! It is a library so that its command line can be read by what generates the
//! man pages and completions.

mod commands;
mod control;
mod covers;
mod daemon;
mod daemon_view;
mod declared;
mod engine;
mod exit;
mod fusermount;
mod kept;
mod modules;
mod mount_helper;
mod mount_options;
mod mounting;
mod progress;
mod report_files;
mod result_files;
mod run_view;
mod sandboxfs;
mod scratch_base;
mod signals;
mod streams;
mod summary;
mod trace_files;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::debug_fn;

/// The command line, for generators of documentation.
#[must_use]
pub fn command_line() -> clap::Command {
    commands::Arguments::command()
}

/// Logs what was asked for, with everything about it; unasked, warnings in
/// words.
fn start_logging() {
    let asked = EnvFilter::try_from_env("TRANSOM_LOG");
    let log = tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_target(false)
        .without_time()
        // It would be printed there too, and end the program.
        .log_internal_errors(false);
    match asked {
        Ok(filter) => log.with_env_filter(filter).init(),
        Err(_) => log
            .with_env_filter(EnvFilter::new("warn"))
            .fmt_fields(debug_fn(|out, field, value| match field.name() {
                "message" => write!(out, "{value:?}"),
                _ => Ok(()),
            }))
            .init(),
    }
}

/// Runs `transom-sandboxfs` with the arguments of this process.
#[must_use]
pub fn main_of_sandboxfs() -> ExitCode {
    start_logging();
    sandboxfs::run()
}

/// Runs the program with the arguments of this process.
#[must_use]
pub fn main() -> ExitCode {
    let program = std::env::args_os().next().unwrap_or_default();
    if mount_helper::is_called_by(&program) {
        start_logging();
        return mount_helper::run(&program);
    }
    if sandboxfs::is_called_by(&program) {
        return main_of_sandboxfs();
    }
    let from_bazel = commands::bazel_sandbox::arguments_from_bazel(std::env::args_os());
    let arguments = from_bazel.unwrap_or_else(|| std::env::args_os().collect());
    let arguments = match commands::Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(usage) => return exit::usage(&usage),
    };
    start_logging();
    match arguments.command.execute() {
        Ok(code) => code,
        Err(error) => exit::report(&error),
    }
}
