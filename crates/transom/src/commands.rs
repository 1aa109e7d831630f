//! The command line. One file per subcommand; the doc comments are the help
//! text and the manual.

mod completions;
mod explain;
pub(crate) mod run;
mod view;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Run build actions in a view of exactly their declared inputs.
///
/// A view is a tree of names that stand for existing host files, from any
/// number of volumes. What is not declared does not exist in it. Reads are
/// done by the kernel on the host files themselves; writes go to scratch
/// directories of the host, and declared outputs come out atomically.
#[derive(Debug, Parser)]
#[command(name = "transom", version, max_term_width = 100, after_long_help = ENVIRONMENT)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

const ENVIRONMENT: &str = "\
Environment:
  TRANSOM_LOG      what is logged on standard error, `error` to `trace`, also by
                   crate, as in `warn,transom_fuse=debug` [default: warn]
  XDG_RUNTIME_DIR  where the control sockets of running views are; without it
                   in /run/transom (root) or the directory for temporary files
  NO_COLOR         if set, nothing is coloured";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Run(Box<run::RunArguments>),
    View(view::ViewArguments),
    Explain(explain::ExplainArguments),
    Completions(completions::CompletionsArguments),
}

impl Command {
    pub(crate) fn execute(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Run(arguments) => Ok(run::run(&arguments)),
            Self::View(arguments) => view::view(arguments),
            Self::Explain(arguments) => explain::explain(arguments),
            Self::Completions(arguments) => completions::completions(&arguments),
        }
    }
}
