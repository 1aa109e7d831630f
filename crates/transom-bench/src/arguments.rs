use std::path::PathBuf;

use anyhow::{Result, ensure};

use crate::{control, passthrough, projection};

/// Measure transom against native and against peers.
///
/// All arms are run once per round, in turn, with the same client, after one
/// round that is not counted. See docs/performance.md for what the figures
/// contain. Needs root.
#[derive(Debug, clap::Parser)]
#[command(name = "transom-bench", args_conflicts_with_subcommands = true)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) measure: MeasureArguments,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Play a script, as the client that is measured, and report as JSON.
    #[command(hide = true)]
    Read(ReadArguments),
}

#[derive(Debug, clap::Args)]
pub(crate) struct ReadArguments {
    /// What to read, as JSON.
    pub(crate) script: PathBuf,
    /// The root of the view, or those of the volumes.
    #[arg(required = true)]
    pub(crate) roots: Vec<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct MeasureArguments {
    /// What to measure.
    #[arg(long, value_enum, default_value_t = Suite::Projection)]
    pub(crate) suite: Suite,
    /// Measure only these parts of the suite; all by default. An unknown name
    /// gets the list.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub(crate) only: Vec<String>,
    /// Measure only arms whose names contain this, and the native ones. Can be
    /// given several times.
    #[arg(long = "arm", value_name = "TEXT")]
    pub(crate) arms: Vec<String>,
    /// How often each arm is measured.
    #[arg(long, default_value_t = 11, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rounds: u32,
    /// The processor that everything runs on: client, servers, programs.
    /// [default: the last one]
    #[arg(long, value_name = "NUMBER", conflicts_with = "no_pin")]
    pub(crate) cpu: Option<usize>,
    /// Let the scheduler choose processors.
    #[arg(long)]
    pub(crate) no_pin: bool,
    /// Run before everything else on the processor, so that other programs do
    /// not disturb the figures.
    #[arg(long)]
    pub(crate) realtime: bool,
    /// Projection: count FUSE requests by the kernel's trace too, in one more
    /// round, which is not timed. The other suite always does.
    #[arg(long)]
    pub(crate) kernel_trace: bool,
    /// The `sandboxfs` program. [default: the one in PATH]
    #[arg(long, value_name = "PATH")]
    pub(crate) sandboxfs: Option<PathBuf>,
    /// The `transom` program. [default: the one beside this program]
    #[arg(long, value_name = "PATH")]
    pub(crate) transom: Option<PathBuf>,
    /// The `passthrough_hp` example of libfuse. [default: the one in PATH]
    #[arg(long, value_name = "PATH")]
    pub(crate) passthrough_hp: Option<PathBuf>,
    /// Passthrough: divide the sizes of all workloads by this, to try it out.
    #[arg(long, value_name = "NUMBER", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) smaller: u32,
    /// Control: the socket of a server. [default: one of our own, which answers
    /// nothing but what it answers]
    #[arg(long, value_name = "PATH")]
    pub(crate) socket: Option<PathBuf>,
    /// Control: what is called.
    #[arg(
        long,
        value_name = "NAME",
        default_value = "org.varlink.service.GetInfo"
    )]
    pub(crate) method: String,
    /// Control: with which parameters.
    #[arg(long, value_name = "JSON", default_value = "{}")]
    pub(crate) parameters: String,
    /// Daemon: how many views it has at once.
    #[arg(long, value_name = "NUMBER", default_value_t = 10_000, value_parser = at_least_one())]
    pub(crate) views: u64,
    /// Daemon: how many volumes, each mounted, it has at once.
    #[arg(long, value_name = "NUMBER", default_value_t = 100, value_parser = at_least_one())]
    pub(crate) volumes: u64,
    /// Daemon: how many views come and go beside them.
    #[arg(long, value_name = "NUMBER", default_value_t = 100_000)]
    pub(crate) cycles: u64,
    /// Print JSON instead of tables.
    #[arg(long)]
    pub(crate) json: bool,
    /// Nobody else sees our mounts: set by the process that saw to it.
    #[arg(long, hide = true)]
    pub(crate) in_private_namespace: bool,
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Suite {
    /// Giving an action exactly its inputs: parts `seed` (440 files, all read
    /// once), `large` (20,000 files, of which 300 are read, and 3,000 failed
    /// look-ups), `manifest` (the parsing of large ones).
    Projection,
    /// The ways to give an action its inputs that other tools use, beside ours:
    /// what the seed's action costs with each, and what each gets right.
    Alternatives,
    /// A directory shown by the passthrough module, and by its peers: reading
    /// and writing, metadata, programs.
    Passthrough,
    /// Calls of the control plane: by one client (`alone`), by 200 at once
    /// (`many`), by these beside some that flood and some that read slowly
    /// (`mixed`). Each part is 200 calls for each round.
    Control,
    /// What many views and volumes cost a daemon, and whether it gives
    /// everything back when they have gone; fails if it does not.
    Daemon,
}

fn at_least_one() -> clap::builder::RangedU64ValueParser {
    clap::value_parser!(u64).range(1..)
}

impl MeasureArguments {
    /// Whether `part` is wanted.
    pub(crate) fn wants(&self, part: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|wanted| wanted == part)
    }

    /// Refuses parts that the suite does not have.
    pub(crate) fn check(&self) -> Result<()> {
        let parts = match self.suite {
            Suite::Projection => projection::parts(),
            Suite::Alternatives | Suite::Daemon => Vec::new(),
            Suite::Passthrough => passthrough::parts(),
            Suite::Control => control::parts(),
        };
        for wanted in &self.only {
            ensure!(
                parts.contains(&wanted.as_str()),
                "the suite has no part `{wanted}`; it has {}",
                parts.join(", ")
            );
        }
        Ok(())
    }
}
