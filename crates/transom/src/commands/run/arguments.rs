//! The arguments of `transom run`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{ValueEnum, ValueHint};
use transom_projection::OnChange;

/// Run a command in a view of its declared inputs.
///
/// The command sees the declared names and nothing else, in mount, user,
/// process and network namespaces of its own. It runs with the terminal, the
/// signals and the standard streams of this command, whose exit code is the
/// command's.
///
/// Paths given by flags are on the host, and relative to the current
/// directory. A relative path without a NAME appears below the working
/// directory of the action, an absolute one at its own place.
#[derive(Debug, Default, clap::Args)]
#[command(after_long_help = EXIT_CODES_AND_EXAMPLES)]
pub(crate) struct RunArguments {
    #[command(flatten)]
    pub(crate) inputs: InputArguments,
    #[command(flatten)]
    pub(crate) outputs: OutputArguments,
    #[command(flatten)]
    pub(crate) action: ActionArguments,
    #[command(flatten)]
    pub(crate) service: ServiceArguments,
    #[command(flatten)]
    pub(crate) report: ReportArguments,

    /// The command and its arguments; replaces the manifest's.
    #[arg(last = true, value_name = "COMMAND")]
    pub(crate) command: Vec<OsString>,
}

const EXIT_CODES_AND_EXAMPLES: &str = "\
Exit codes:
  the command's own, if it ran and nothing below applies. If a signal ended it,
  transom ends by the same signal.
  123  the command succeeded, but its outputs or inputs are not as declared
  124  the command ran out of time
  125  transom failed, most often because of what was declared
  126  the command is in the view and cannot be executed
  127  the command is not in the view

Examples:
  transom run --manifest action.json -- gcc -c src/main.c -o out/main.o
  transom run --ro /usr --ro /lib --ro /lib64 --ro include=/srv/sdk/include \\
      --ro src/main.c --out out -- make
  transom run --manifest action.json --trace used.json --stats";

/// What the view holds.
#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "Inputs")]
pub(crate) struct InputArguments {
    /// Declare the action in a file (`-`: standard input). See
    /// docs/manifest.md.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) manifest: Option<PathBuf>,
    /// Map a host file, or a host directory as a whole. PATH is followed if it
    /// is a symbolic link.
    #[arg(long, value_name = "[NAME=]PATH", value_hint = ValueHint::AnyPath)]
    pub(crate) ro: Vec<OsString>,
    /// Make a symbolic link.
    #[arg(long, value_name = "NAME=TARGET")]
    pub(crate) symlink: Vec<OsString>,
    /// Make an empty directory.
    #[arg(long, value_name = "NAME")]
    pub(crate) empty_directory: Vec<OsString>,
    /// Map the host files that a file lists, one path per line.
    #[arg(long, value_name = "FILE")]
    pub(crate) file_list: Vec<PathBuf>,
    /// Map the host files that a file lists, each path ended by a NUL byte.
    #[arg(long, value_name = "FILE")]
    pub(crate) file_list0: Vec<PathBuf>,
    /// Map the prerequisites that a depfile of a compiler names.
    #[arg(long, value_name = "FILE")]
    pub(crate) depfile: Vec<PathBuf>,
}

/// What the action may write and what becomes of it.
#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "Outputs")]
pub(crate) struct OutputArguments {
    /// A directory the action makes. It replaces PATH when the command
    /// succeeds.
    #[arg(long, value_name = "[NAME=]PATH", value_hint = ValueHint::DirPath)]
    pub(crate) out: Vec<OsString>,
    /// A file the action makes. It is moved to PATH when the command succeeds.
    #[arg(long, value_name = "[NAME=]PATH", value_hint = ValueHint::FilePath)]
    pub(crate) out_file: Vec<OsString>,
    /// A directory the action may write to, whose content is thrown away.
    #[arg(long, value_name = "NAME")]
    pub(crate) writable: Vec<OsString>,
    /// Let outputs replace what is otherwise refused: a directory that is not
    /// empty and was not made by an earlier run, and a file that is an input.
    #[arg(long)]
    pub(crate) replace: bool,
    /// Let a file output be a symbolic link, and links in outputs lead out of
    /// them: `libx.so -> libx.so.1`, or the interpreter of a Python venv.
    #[arg(long)]
    pub(crate) keep_links: bool,
    /// Where scratch directories are made. Outputs are moved by renaming if
    /// their destination is on the same volume, and copied otherwise.
    /// [default: beside the first output, and outside of directories that are
    /// declared as a whole]
    #[arg(long, value_name = "DIRECTORY", value_hint = ValueHint::DirPath)]
    pub(crate) scratch: Option<PathBuf>,
    /// Keep the scratch directory for inspection when the action fails.
    #[arg(long)]
    pub(crate) keep_failed: bool,
}

/// The world the command runs in.
#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "Action")]
pub(crate) struct ActionArguments {
    /// What the action sees as its root. [default: view]
    #[arg(long, value_name = "ROOT")]
    pub(crate) root: Option<Root>,
    /// With `--root host-ro`, the existing host directory that the view hides.
    /// [default: the current directory]
    #[arg(long, value_name = "DIRECTORY", value_hint = ValueHint::DirPath)]
    pub(crate) mount_at: Option<PathBuf>,
    /// Where in the view the command starts. [default: `work` with flags only,
    /// the manifest's otherwise]
    #[arg(short = 'C', long, value_name = "NAME")]
    pub(crate) workdir: Option<OsString>,
    /// Set an environment variable.
    #[arg(short, long, value_name = "NAME=VALUE")]
    pub(crate) env: Vec<OsString>,
    /// Take an environment variable over, or all of them (`all`).
    #[arg(long, value_name = "NAME")]
    pub(crate) inherit_env: Vec<OsString>,
    /// Let the action use the host's network.
    #[arg(long)]
    pub(crate) network: bool,
    /// What is at /tmp. [default: memory]
    #[arg(long, value_name = "KIND")]
    pub(crate) tmp: Option<Tmp>,
    /// Leave out /proc.
    #[arg(long)]
    pub(crate) no_proc: bool,
    /// Leave out /dev.
    #[arg(long)]
    pub(crate) no_dev: bool,
    /// End the action after that many seconds.
    #[arg(long, value_name = "SECONDS")]
    pub(crate) timeout: Option<f64>,
}

/// How the view is served.
#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "Service")]
pub(crate) struct ServiceArguments {
    /// What makes the view: `fuse` (names are answered by transom, bytes are
    /// read by the kernel) or `mounts` (bind mounts; the kernel does all).
    #[arg(long, value_name = "ENGINE", default_value = "auto")]
    pub(crate) engine: EngineChoice,
    /// What to do when an input is changed in place, or deleted, while the
    /// action runs. One that is replaced by renaming is no change: the action
    /// goes on seeing the old one. See docs/semantics.md.
    #[arg(long, value_name = "POLICY", default_value = "refuse")]
    pub(crate) on_change: OnChangeChoice,
    /// What `transom view` calls this view. Needs engine `fuse`. [default: the
    /// process id]
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Whether the daemon of the machine serves the view, if the engine is
    /// `fuse`: then the kernel reads the bytes for users without privilege too.
    /// `auto` asks it for them alone, and does without if there is none.
    #[arg(long, value_name = "WHETHER", default_value = "auto")]
    pub(crate) daemon: DaemonChoice,
    /// Hand the command a connection to the view's control interface as this
    /// descriptor, so that it can change its own view. Needs engine `fuse`.
    #[arg(long, value_name = "DESCRIPTOR")]
    pub(crate) control_fd: Option<i32>,
}

/// What is told afterwards.
#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "Reports")]
pub(crate) struct ReportArguments {
    /// Print requests, opens, sizes and times when the action has ended.
    /// [default: a short summary if standard error is a terminal]
    #[arg(long)]
    pub(crate) stats: bool,
    /// Print the summary as JSON, on standard error or to `--report FILE`.
    #[arg(long)]
    pub(crate) json: bool,
    /// Write the summary to a file instead.
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,
    /// Print no summary.
    #[arg(short, long, conflicts_with = "stats")]
    pub(crate) quiet: bool,
    /// Write which inputs were read, only looked at, or never touched, and
    /// which absent names were asked for (JSON, see docs/trace.md). Needs
    /// engine `fuse`.
    #[arg(long, value_name = "FILE")]
    pub(crate) trace: Option<PathBuf>,
    /// Write the declared inputs that were never touched, one per line: Bazel's
    /// `unused_inputs_list`. Needs engine `fuse`.
    #[arg(long, value_name = "FILE")]
    pub(crate) unused_inputs_list: Option<PathBuf>,
    /// Write the files that were read or looked at as a depfile. Needs engine
    /// `fuse`.
    #[arg(long, value_name = "FILE")]
    pub(crate) trace_depfile: Option<PathBuf>,
    /// Check everything and print the view, without running the command.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

impl ReportArguments {
    /// Whether anything wants a trace.
    pub(crate) fn wants_trace(&self) -> bool {
        self.trace.is_some() || self.unused_inputs_list.is_some() || self.trace_depfile.is_some()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Root {
    /// The view and nothing else.
    View,
    /// The host's root, read-only, with the view mounted in it.
    HostRo,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Tmp {
    /// A private file system in memory.
    Memory,
    /// A scratch directory on the host's disk.
    Scratch,
    /// What the view declares there, or nothing.
    None,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum EngineChoice {
    /// Whichever does what is asked for at the least cost.
    #[default]
    Auto,
    /// FUSE with passthrough.
    Fuse,
    /// Bind mounts.
    Mounts,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum DaemonChoice {
    /// If this user gets no passthrough by himself, and it is there.
    #[default]
    Auto,
    /// No.
    Never,
    /// Yes, or the command does not run.
    Require,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OnChangeChoice {
    /// Say so, and fail. With engine `fuse`, opening it fails too.
    #[default]
    Refuse,
    /// Say so.
    Report,
    /// Do not look.
    Ignore,
}

impl From<OnChangeChoice> for OnChange {
    fn from(choice: OnChangeChoice) -> Self {
        match choice {
            OnChangeChoice::Refuse => Self::Refuse,
            OnChangeChoice::Report => Self::Report,
            OnChangeChoice::Ignore => Self::Ignore,
        }
    }
}
