use std::path::PathBuf;

/// Measure the engines against native and against peers.
///
/// All arms are run once per round, in turn, with the same client, after one
/// round that is not counted. See docs/performance.md for what the figures
/// contain. Needs root.
#[derive(Debug, clap::Parser)]
#[command(name = "transom-bench")]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) measure: MeasureArguments,
}

#[derive(Debug, clap::Args)]
pub(crate) struct MeasureArguments {
    /// Measure only these; all by default.
    #[arg(long, value_enum, value_delimiter = ',')]
    pub(crate) only: Vec<Part>,
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
    /// Count FUSE requests by the kernel's trace too, in one more round, which
    /// is not timed.
    #[arg(long)]
    pub(crate) kernel_trace: bool,
    /// The `sandboxfs` program. [default: the one in PATH]
    #[arg(long, value_name = "PATH")]
    pub(crate) sandboxfs: Option<PathBuf>,
    /// Print JSON instead of tables.
    #[arg(long)]
    pub(crate) json: bool,
    /// Nobody else sees our mounts: set by the process that saw to it.
    #[arg(long, hide = true)]
    pub(crate) in_private_namespace: bool,
}

/// What can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Part {
    /// The seed's action: 440 files, all read once.
    Seed,
    /// 20,000 files, of which 300 are read, and 3,000 failed look-ups.
    Large,
}

impl MeasureArguments {
    /// Whether `part` is wanted.
    pub(crate) fn wants(&self, part: Part) -> bool {
        self.only.is_empty() || self.only.contains(&part)
    }
}
