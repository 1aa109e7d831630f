//! `transom wrap learn`: runs a command in a view of everything, and writes what
//! it needed and made.

use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::ValueHint;
use transom_learn::{Learned, LearnedAction, Scope, path_from};
use transom_projection::trace::write_depfile_rule;
use transom_projection::{ViewPath, shown};

use super::report::{Report, command_line};
use super::watched::{Watched, World};
use super::{compared, findings};
use crate::declared::read_manifest;
use crate::exit::{self, End};
use crate::report_files;
use crate::result_files::write_to;

/// Run a command in a view of everything, and write what it needed and made.
///
/// The command sees the host as it is, at the same paths, and writes in place;
/// only /proc, /dev and /tmp are its own, as `transom run` has them, and /sys is
/// not there. Without privilege, what it reads and writes passes through
/// transom, which takes its time.
///
/// What is already built is not built again, and so not learnt: begin with a
/// clean tree.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct LearnArguments {
    /// Write a manifest: what `wrap enforce` and `transom run` take. Not
    /// written if the command fails.
    #[arg(short, long, value_name = "FILE")]
    manifest: Option<PathBuf>,
    /// Write a depfile, for make and ninja. Not written if the command fails.
    #[arg(long, value_name = "FILE")]
    depfile: Option<PathBuf>,
    /// The target that the depfile names. [default: the first file the command
    /// made, or `action` if it made none]
    #[arg(long, value_name = "NAME", requires = "depfile")]
    target: Option<OsString>,
    /// Write a report as a page for browsers, in one file.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Write every name that was asked for (JSON, see docs/trace.md).
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// Report what this manifest declares differently.
    #[arg(long, value_name = "FILE")]
    against: Option<PathBuf>,
    /// Declare a directory as a whole if anything in it was used, instead of
    /// name by name.
    #[arg(long, value_name = "DIRECTORY", value_hint = ValueHint::DirPath)]
    whole: Vec<PathBuf>,
    /// Take a file, or what the command makes in a directory, for no output:
    /// incremental state, caches, files with random names. It will be able to
    /// write there.
    #[arg(long, value_name = "PATH", value_hint = ValueHint::AnyPath)]
    discard: Vec<PathBuf>,
    /// Let the command use the host's network; the manifest then does too.
    #[arg(long)]
    network: bool,
    /// Print no report.
    #[arg(short, long)]
    quiet: bool,

    /// The command and its arguments.
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

const EXAMPLES: &str = "\
Examples:
  transom wrap learn --manifest make.json --report make.html -- make -j4
  transom wrap learn --whole /usr --manifest build.json -- ninja -C build
  transom wrap learn --discard target/debug/incremental -m cargo.json -- cargo build
  transom wrap learn --depfile site.d --target site.stamp -- npm run build";

pub(super) fn learn(arguments: &LearnArguments) -> ExitCode {
    let end = run_and_learn(arguments);
    end.unwrap_or_else(|error| exit::failed(&error)).finish()
}

fn run_and_learn(arguments: &LearnArguments) -> anyhow::Result<End> {
    let here = std::env::current_dir().context("the current directory cannot be used")?;
    let working_directory = ViewPath::parse_inside(here.as_os_str().as_bytes())?;
    let world = World {
        network: arguments.network,
        host_tmp: here.starts_with("/tmp"),
        working_directory: here.clone(),
    };
    let scope = Scope {
        outside: world.own_directories()?,
        whole: whole(&arguments.whole)?,
        discarded: discarded(&arguments.discard, &here)?,
        working_directory: working_directory.clone(),
    };
    let mut outside = scope.outside.iter();
    if let Some(own) = outside.find(|own| working_directory.starts_with(own)) {
        bail!("nothing can be learnt in `/{own}`, for every action has its own");
    }
    check_files(arguments)?;
    let against = arguments.against.as_deref();
    let against = against.map(read_manifest).transpose()?;

    let watched = Watched::run(&arguments.command, &world)?;
    let learned = Learned::from(&watched.record, &scope)?;
    let action = LearnedAction {
        learned: &learned,
        command: &arguments.command,
        working_directory: &working_directory,
        network: world.network,
        host_tmp: world.host_tmp,
    };
    // Told of below: whatever cannot be written, the report can.
    let written = write_files(arguments, &action, watched.exit.is_success());

    let end = End::of(watched.exit);
    let mut tables = findings::problems(&learned);
    if let Some(against) = against {
        tables.extend(compared::tables(&learned, against.inputs)?);
    }
    tables.extend(findings::tables(&learned, &watched, &working_directory));
    let report = Report {
        what: "learn",
        command: command_line(&arguments.command),
        exit: end.into(),
        numbers: findings::numbers(&learned, &watched),
        notes: notes(arguments, &learned, watched.exit.is_success()),
        tables,
    };
    report.tell(arguments.quiet, arguments.report.as_deref())?;
    written?;
    Ok(end)
}

/// Where directories that are to be declared as a whole really are: what is
/// watched are their names there.
fn whole(directories: &[PathBuf]) -> anyhow::Result<Vec<ViewPath>> {
    let resolve = |path: &Path| {
        let path = std::fs::canonicalize(path)?;
        match path.is_dir() {
            true => Ok(path),
            false => Err(io::Error::from(io::ErrorKind::NotADirectory)),
        }
    };
    let resolved = directories.iter().map(|path| {
        let path = resolve(path).with_context(|| format!("--whole: {}", shown(path)))?;
        if path == Path::new("/") {
            bail!("--whole: everything cannot be declared as a whole");
        }
        Ok(ViewPath::parse_inside(path.as_os_str().as_bytes())?)
    });
    resolved.collect()
}

/// What is discarded, the command may yet have to make.
fn discarded(paths: &[PathBuf], here: &Path) -> anyhow::Result<Vec<ViewPath>> {
    let paths = paths.iter().map(|path| {
        let path = here.join(path);
        ViewPath::parse_inside(path.as_os_str().as_bytes())
            .with_context(|| format!("--discard: {}", shown(&path)))
    });
    paths.collect()
}

/// Finds out before the command runs whether its results can be written.
fn check_files(arguments: &LearnArguments) -> anyhow::Result<()> {
    let files = [
        ("--manifest", &arguments.manifest),
        ("--depfile", &arguments.depfile),
        ("--report", &arguments.report),
        ("--trace", &arguments.trace),
    ];
    files.into_iter().try_for_each(|(flag, path)| match path {
        Some(path) => report_files::check_file(flag, path),
        None => Ok(()),
    })
}

/// Why less was learnt than was perhaps expected.
fn notes(arguments: &LearnArguments, learned: &Learned, is_success: bool) -> Vec<String> {
    if is_success {
        let hint = "Nothing was made. What was up to date was not built and not learnt: \
                    make it clean, and learn again.";
        let is_any_made = !learned.outputs.is_empty();
        return Vec::from_iter((!is_any_made).then(|| hint.to_owned()));
    }
    let wanted = [&arguments.manifest, &arguments.depfile];
    let unwritten = wanted.into_iter().flatten();
    unwritten
        .map(|path| format!("{} was not written: the command failed.", shown(path)))
        .collect()
}

/// What was done can be told of every command; what is needed, only of one that
/// succeeded.
fn write_files(
    arguments: &LearnArguments,
    action: &LearnedAction<'_>,
    is_success: bool,
) -> anyhow::Result<()> {
    let learned = action.learned;
    write_to(arguments.trace.as_deref(), |out| {
        serde_json::to_writer_pretty(&mut *out, &learned.trace)?;
        writeln!(out)
    })?;
    if !is_success {
        return Ok(());
    }
    write_to(arguments.manifest.as_deref(), |out| action.write(out))?;
    write_to(arguments.depfile.as_deref(), |out| {
        let directory = action.working_directory;
        let made = learned.outputs.first();
        let target = match (&arguments.target, made) {
            (Some(target), _) => target.clone(),
            (None, Some(made)) => path_from(directory, made),
            (None, None) => OsStr::new("action").to_owned(),
        };
        write_depfile_rule(&target, learned.prerequisites(directory), out)
    })
}
