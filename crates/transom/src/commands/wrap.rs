//! `transom wrap`: views for builds that declare nothing.

mod compared;
mod enforce;
mod findings;
mod html;
mod learn;
mod report;
mod watched;

use std::process::ExitCode;

use clap::Subcommand;

/// Learn what a command needs and makes, and run it with exactly that.
///
/// For builds that declare nothing, such as those of make, ninja, cmake, cargo
/// and npm: `learn` runs one and writes what it read, looked for and made as a
/// manifest or depfile; `enforce` runs it in a view of that manifest. What the
/// compiler writes into its output is the same in both: everything has the path
/// that it has on the host.
///
/// See docs/wrap.md.
#[derive(Debug, clap::Args)]
pub(crate) struct WrapArguments {
    #[command(subcommand)]
    command: WrapCommand,
}

#[derive(Debug, Subcommand)]
enum WrapCommand {
    Learn(learn::LearnArguments),
    Enforce(enforce::EnforceArguments),
}

pub(crate) fn wrap(arguments: &WrapArguments) -> ExitCode {
    match &arguments.command {
        WrapCommand::Learn(arguments) => learn::learn(arguments),
        WrapCommand::Enforce(arguments) => enforce::enforce(arguments),
    }
}
