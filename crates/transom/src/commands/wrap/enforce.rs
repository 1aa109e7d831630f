//! `transom wrap enforce`: runs a command in a view of what was learnt.
//!
//! It is `transom run` with what a learnt manifest needs: outputs may be symbolic
//! links, since learnt ones are what they are; and the view is traced, to tell
//! what the command asked for in vain though the host has it.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use transom_projection::trace::{AbsentName, InputUse, Use};

use transom_sandbox::Action;

use super::report::{Cell, Report, Table, Tone, command_line};
use super::{compared, findings};
use crate::commands::run::{
    InputArguments, OutputArguments, ReportArguments, RunArguments, Traced, run_traced,
};
use crate::summary::duration;
use crate::{exit, report_files};

/// Run a command in a view of exactly what a manifest declares, and tell what it
/// missed.
///
/// Like `transom run --manifest FILE`: outputs are written to scratch and moved
/// to where they belong when the command has succeeded. Besides, outputs may be
/// symbolic links, and it is reported which names the command asked for that are
/// not declared and that the host has, what was declared and not read, and what
/// was written and not declared.
///
/// The exit code is the command's, or one of those of `transom run`.
#[derive(Debug, clap::Args)]
pub(crate) struct EnforceArguments {
    /// The manifest.
    #[arg(short, long, value_name = "FILE")]
    manifest: PathBuf,
    /// Write a report as a page for browsers, in one file.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Write the trace of the view (JSON, see docs/trace.md).
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// Keep the scratch directory for inspection when the command fails.
    #[arg(long)]
    keep_failed: bool,
    /// Print no report.
    #[arg(short, long)]
    quiet: bool,

    /// The command and its arguments; replaces the manifest's.
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// The remedy for what builds such as cargo's keep from one time to the next.
const DISCARD: &str = "If it is files with random names, caches or incremental state that are \
                       missing, undeclared or cannot be written, learn again with \
                       `--discard PATH`.";

pub(super) fn enforce(arguments: &EnforceArguments) -> ExitCode {
    if let Some(path) = &arguments.report
        && let Err(error) = report_files::check_file("--report", path)
    {
        return exit::report(&error);
    }
    let run = RunArguments {
        inputs: InputArguments {
            manifest: Some(arguments.manifest.clone()),
            ..InputArguments::default()
        },
        outputs: OutputArguments {
            keep_links: true,
            keep_failed: arguments.keep_failed,
            ..OutputArguments::default()
        },
        report: ReportArguments {
            trace: arguments.trace.clone(),
            quiet: true,
            ..ReportArguments::default()
        },
        command: arguments.command.clone(),
        ..RunArguments::default()
    };
    run_traced(&run, &mut |traced| {
        report(traced).tell(arguments.quiet, arguments.report.as_deref())
    })
}

fn report(traced: &Traced<'_>) -> Report {
    let trace = traced.trace;
    let (missed, absent): (Vec<_>, Vec<_>) = trace
        .absent
        .iter()
        .partition(|name| is_missed(name, traced.action));
    let missed_rows = missed
        .iter()
        .map(|name| vec![Cell::Count(name.requests), Cell::path(&name.path)]);
    let unused = trace.inputs.iter().filter(|input| input.usage != Use::Read);
    let is_amiss = traced.end.code() != 0 || !traced.undeclared_writes.is_empty();
    Report {
        what: "enforce",
        command: command_line(&traced.action.command),
        exit: traced.end.into(),
        numbers: vec![
            ("time", duration(traced.time.as_micros() as u64)),
            ("declared", format!("{} inputs", trace.inputs.len())),
            (
                "read",
                format!("{} of them", trace.inputs.len() - unused.clone().count()),
            ),
            ("made", format!("{} outputs", traced.published)),
        ],
        notes: Vec::from_iter(is_amiss.then(|| DISCARD.to_owned())),
        tables: vec![
            Table {
                title: "Asked for, not declared",
                about: "Names that the host has and the view has not. The command went on \
                        without them, or failed for that.",
                tone: Tone::Wrong,
                columns: &["requests", "path"],
                rows: missed_rows.collect(),
                only_on_page: false,
            },
            Table::of_paths(
                "Written, not declared",
                "What the command left where it has outputs, and what is none of them.",
                Tone::Notable,
                traced.undeclared_writes,
            ),
            compared::unused_table(unused.map(|InputUse { path, usage, .. }| (path, *usage))),
            findings::absent(absent.into_iter()),
        ],
    }
}

/// Whether the host has a name that the view has not. That it has no `/sys` is
/// known, and what the command makes itself was not there to be declared.
fn is_missed(name: &AbsentName, action: &Action) -> bool {
    let path = &name.path;
    let mut made = action.outputs.iter().map(|output| &output.path);
    let is_made = made.any(|output| output.starts_with(path));
    let is_known = path.names().next() == Some(OsStr::new("sys"));
    !is_made && !is_known && fs::symlink_metadata(path.to_absolute()).is_ok()
}
