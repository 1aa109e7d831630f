//! `transom view`: look at a running view and change it.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::Subcommand;
use comfy_table::{Table, presets};
use serde_json::{Value, json};
use transom_control::view::{Change, Describe, Description, Statistics, Trace, Update};
use transom_control::{Bytes, Client};

use crate::control;
use crate::streams::print_line;
use transom_projection::shown;

/// Look at running views and change them while they are used.
///
/// A view is called by the name its `transom run` was given, or by the process
/// id of that. Only views that the engine `fuse` serves can be seen and
/// changed, and only by their own user and root. Names that programs have
/// cached follow; files that are open stay open.
///
/// Names begin at the root of the view, with or without a leading `/`.
#[derive(Debug, clap::Args)]
pub(crate) struct ViewArguments {
    #[command(subcommand)]
    command: ViewCommand,
}

#[derive(Debug, Subcommand)]
enum ViewCommand {
    /// List the running views.
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Declare a name that does not exist yet.
    Add {
        /// The view.
        view: String,
        #[command(flatten)]
        input: Input,
    },
    /// Let a name that exists stand for something else.
    Replace {
        /// The view.
        view: String,
        #[command(flatten)]
        input: Input,
    },
    /// Take names away, with everything below them.
    Withdraw {
        /// The view.
        view: String,
        /// The names, from the root of the view.
        #[arg(required = true)]
        names: Vec<OsString>,
    },
    /// Point a name that stands for a file at another host file.
    Redirect {
        /// The view.
        view: String,
        /// The name, from the root of the view.
        name: OsString,
        /// The host file.
        file: PathBuf,
    },
    /// Apply many changes, which become visible at once.
    Apply {
        /// The view.
        view: String,
        /// A JSON array of changes: {"add": INPUT}, {"replace": INPUT},
        /// {"withdraw": NAME}, {"redirect": {"name": NAME, "file": PATH}};
        /// INPUT as in a manifest. `-`: standard input.
        changes: PathBuf,
    },
    /// Print which inputs were used so far (JSON). The view has to be traced.
    Trace {
        /// The view.
        view: String,
    },
    /// Print the requests so far (JSON); those to all views, if the daemon
    /// serves it.
    Stats {
        /// The view.
        view: String,
    },
}

/// What a name is to stand for.
#[derive(Debug, clap::Args)]
struct Input {
    /// The name, from the root of the view.
    name: OsString,
    /// A host file, or a host directory as a whole.
    #[arg(required_unless_present_any = ["symlink", "empty_directory"])]
    path: Option<PathBuf>,
    /// A symbolic link with this target.
    #[arg(long, conflicts_with_all = ["path", "empty_directory"])]
    symlink: Option<OsString>,
    /// An empty directory.
    #[arg(long, conflicts_with = "path")]
    empty_directory: bool,
    /// Override the executable bits of the file.
    #[arg(long, requires = "path")]
    executable: Option<bool>,
}

impl Input {
    fn to_json(&self) -> anyhow::Result<Value> {
        let mut input = json!({ "name": name(&self.name).to_value() });
        if let Some(path) = &self.path {
            let path = absolute(path)?;
            let kind = if path.is_dir() { "directory" } else { "file" };
            input[kind] = Bytes::from(&path).to_value();
        } else if let Some(target) = &self.symlink {
            input["symlink"] = Bytes::from(target).to_value();
        } else {
            input["empty_directory"] = true.into();
        }
        if let Some(executable) = self.executable {
            input["executable"] = executable.into();
        }
        Ok(input)
    }
}

/// A name as the action sees it may begin with `/`; a manifest's does not.
fn name(written: &OsString) -> Bytes {
    let bytes = written.as_bytes();
    let start = bytes
        .iter()
        .position(|byte| *byte != b'/')
        .unwrap_or(bytes.len());
    Bytes::from(OsStr::from_bytes(&bytes[start..]))
}

fn absolute(path: &Path) -> anyhow::Result<PathBuf> {
    std::path::absolute(path).with_context(|| shown(&path).to_string())
}

pub(crate) fn view(arguments: ViewArguments) -> anyhow::Result<ExitCode> {
    match arguments.command {
        ViewCommand::List { json } => list(json),
        ViewCommand::Add { view, input } => update(&view, vec![Change::Add(input.to_json()?)]),
        ViewCommand::Replace { view, input } => {
            update(&view, vec![Change::Replace(input.to_json()?)])
        }
        ViewCommand::Withdraw { view, names } => update(
            &view,
            names
                .iter()
                .map(|written| Change::Withdraw(name(written)))
                .collect(),
        ),
        ViewCommand::Redirect {
            view,
            name: written,
            file,
        } => {
            let file = Bytes::from(&absolute(&file)?);
            update(
                &view,
                vec![Change::Redirect {
                    name: name(&written),
                    file,
                }],
            )
        }
        ViewCommand::Apply { view, changes } => {
            let text = if changes == Path::new("-") {
                io::read_to_string(io::stdin())
            } else {
                std::fs::read_to_string(&changes)
            };
            let text = text.with_context(|| format!("cannot read {}", shown(&changes)))?;
            let changes =
                serde_json::from_str(&text).with_context(|| shown(&changes).to_string())?;
            update(&view, changes)
        }
        ViewCommand::Trace { view } => print(&connect(&view)?.call(&Trace {})?.trace),
        ViewCommand::Stats { view } => print(&connect(&view)?.call(&Statistics {})?.statistics),
    }
}

fn update(view: &str, changes: Vec<Change>) -> anyhow::Result<ExitCode> {
    let epoch = connect(view)?.call(&Update { changes })?.epoch;
    print_line(format_args!("{view} is at epoch {epoch}"))?;
    Ok(ExitCode::SUCCESS)
}

fn print(value: &Value) -> anyhow::Result<ExitCode> {
    print_line(serde_json::to_string_pretty(value)?)?;
    Ok(ExitCode::SUCCESS)
}

/// Connects to a running view.
pub(crate) fn connect(view: &str) -> anyhow::Result<Client> {
    let path = control::socket(view)?;
    match Client::connect_to_own(&path) {
        Ok(client) => Ok(client),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
            ) =>
        {
            let running = running()?;
            let names: Vec<_> = running
                .iter()
                .map(|description| description.name.as_str())
                .collect();
            match names.is_empty() {
                true => bail!("no view {view:?} is running; none is"),
                false => bail!(
                    "no view {view:?} is running; running are: {}",
                    names.join(", ")
                ),
            }
        }
        Err(error) => Err(error).with_context(|| format!("cannot connect to {}", shown(&path))),
    }
}

/// Every view of this user that answers. Sockets whose server was killed are
/// removed on the way.
fn running() -> anyhow::Result<Vec<Description>> {
    let directory = control::directory();
    // Failing means that there is none, or that it is not ours to sweep.
    let _ = transom_control::sweep(&directory);
    let sockets = match std::fs::read_dir(&directory) {
        Ok(sockets) => sockets,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).with_context(|| shown(&directory).to_string()),
    };
    let mut running = Vec::new();
    for socket in sockets {
        // Who does not answer does not run.
        if let Ok(mut client) = Client::connect_to_own(&socket?.path()) {
            running.extend(client.call(&Describe {}).map(|reply| reply.view));
        }
    }
    running.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(running)
}

fn list(json: bool) -> anyhow::Result<ExitCode> {
    let running = running()?;
    if json {
        return print(&serde_json::to_value(running)?);
    }
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_header(["VIEW", "ENGINE", "EPOCH", "FILES", "READS BY"]);
    for view in running {
        let reader = if view.passthrough {
            "kernel"
        } else {
            "transom"
        };
        table.add_row([
            view.name,
            view.engine,
            view.epoch.to_string(),
            view.files.to_string(),
            reader.into(),
        ]);
    }
    for line in table.lines() {
        print_line(line.trim())?;
    }
    Ok(ExitCode::SUCCESS)
}
