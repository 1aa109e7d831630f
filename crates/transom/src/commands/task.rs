//! `transom task`, `check`, `format`: long work.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::bail;
use clap::{Subcommand, ValueHint};
use comfy_table::{Table, presets};
use transom_control::Client;
use transom_control::host::{
    CancelTask, PauseTask, ResumeTask, StartCheck, StartFormat, StartJob, Status, Task,
    TaskEventKind, TaskState, WatchTask,
};

use crate::daemon::{self, Places};
use crate::progress::Progress;
use crate::streams::{print_line, print_text};

/// Start, watch and steer long work of the daemon.
///
/// It goes on whoever is connected, and whether or not anything is mounted; and
/// after a restart of the daemon, if it has saved where it was.
#[derive(Debug, clap::Args)]
pub(crate) struct TaskArguments {
    #[command(subcommand)]
    command: TaskCommand,
}

#[derive(Debug, Subcommand)]
enum TaskCommand {
    /// List work that is being done, and that has ended lately.
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Start work that a container has to do, and watch it.
    Start {
        /// The container.
        container: String,
        /// The kind of work; `transom status` lists them.
        kind: String,
        /// Options of the work, with commas between.
        #[arg(short, long = "option", value_name = "OPTIONS")]
        options: Vec<String>,
        /// Print the id of the task, and do not watch it.
        #[arg(long)]
        detach: bool,
    },
    /// Watch a task to its end.
    Watch {
        /// The task.
        task: String,
    },
    /// Have a task stand still.
    Pause {
        /// The task.
        task: String,
    },
    /// Have a task go on.
    Resume {
        /// The task.
        task: String,
    },
    /// Have a task end.
    Cancel {
        /// The task.
        task: String,
    },
}

/// Have the daemon examine resources that are not loaded, as fsck(8) does.
#[derive(Debug, clap::Args)]
pub(crate) struct CheckArguments {
    #[command(flatten)]
    resources: Maintained,
}

/// Have the daemon make resources loadable, as mkfs(8) does. What was on them is
/// lost.
#[derive(Debug, clap::Args)]
pub(crate) struct FormatArguments {
    #[command(flatten)]
    resources: Maintained,
}

#[derive(Debug, clap::Args)]
struct Maintained {
    /// The module that does it.
    module: String,
    /// The resources.
    #[arg(required = true, value_hint = ValueHint::AnyPath)]
    resources: Vec<PathBuf>,
    /// Options of the module, with commas between.
    #[arg(short, long = "option", value_name = "OPTIONS")]
    options: Vec<String>,
}

pub(crate) fn task(arguments: TaskArguments) -> anyhow::Result<ExitCode> {
    let mut client = daemon::connect()?;
    match arguments.command {
        TaskCommand::List { json } => {
            let tasks = daemon::call(&mut client, &Status { container: None })?.tasks;
            list(&tasks, json)?;
        }
        TaskCommand::Start {
            container,
            kind,
            options,
            detach,
        } => {
            let call = StartJob {
                container: daemon::named(&container),
                kind,
                options: daemon::settings(&options),
            };
            let started = daemon::call(&mut client, &call)?.task;
            if detach {
                print_line(started.id)?;
            } else {
                return watch(client, &started.id);
            }
        }
        TaskCommand::Watch { task } => return watch(client, &task),
        TaskCommand::Pause { task } => {
            daemon::call(&mut client, &PauseTask { task })?;
        }
        TaskCommand::Resume { task } => {
            daemon::call(&mut client, &ResumeTask { task })?;
        }
        TaskCommand::Cancel { task } => {
            daemon::call(&mut client, &CancelTask { task })?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn check(arguments: &CheckArguments) -> anyhow::Result<ExitCode> {
    let mut client = daemon::connect()?;
    let mut places = Places::default();
    let what = &arguments.resources;
    let call = StartCheck {
        module: what.module.clone(),
        resources: places.add_all(&what.resources)?,
        options: daemon::settings(&what.options),
    };
    let started = daemon::call_with(&mut client, &call, &places)?.task;
    watch(client, &started.id)
}

pub(crate) fn format(arguments: &FormatArguments) -> anyhow::Result<ExitCode> {
    let mut client = daemon::connect()?;
    let mut places = Places::default();
    let what = &arguments.resources;
    let call = StartFormat {
        module: what.module.clone(),
        resources: places.add_all(&what.resources)?,
        options: daemon::settings(&what.options),
    };
    let started = daemon::call_with(&mut client, &call, &places)?.task;
    watch(client, &started.id)
}

/// Shows a task to its end. An error if it does not end well.
fn watch(client: Client, task: &str) -> anyhow::Result<ExitCode> {
    let mut bar = None;
    let told = client
        .more(&WatchTask { task: task.into() })
        .map_err(|error| anyhow::anyhow!("{error}"))?;
    for reply in told {
        let reply = reply.map_err(|error| anyhow::anyhow!("{error}"))?;
        let Task { kind, done, of, .. } = &reply.task;
        let bar = bar.get_or_insert_with(|| Progress::of_task(kind));
        bar.set(*done, *of, reply.task.state == TaskState::Paused);
        match (reply.event, reply.line) {
            (TaskEventKind::Log, Some(line)) => bar.suspend(|| print_text(line))?,
            (TaskEventKind::Ended, _) => return ended(&reply.task),
            _ => {}
        }
    }
    bail!("the daemon has hung up; task {task} may go on")
}

fn ended(task: &Task) -> anyhow::Result<ExitCode> {
    match (task.state, &task.message) {
        (TaskState::Done, _) => Ok(ExitCode::SUCCESS),
        (TaskState::Failed, Some(message)) => bail!("{} failed: {message}", task.kind),
        (TaskState::Suspended, _) => {
            bail!(
                "{} was suspended, and goes on with the next loading",
                task.kind
            )
        }
        _ => bail!("{} was cancelled", task.kind),
    }
}

fn list(tasks: &[Task], as_json: bool) -> anyhow::Result<()> {
    if as_json {
        return print_line(serde_json::to_string_pretty(tasks)?);
    }
    print_text(table(tasks))
}

/// A table of tasks.
pub(crate) fn table(tasks: &[Task]) -> Table {
    let mut table = Table::new();
    let head = ["TASK", "KIND", "STATE", "DONE", "OF", ""];
    table.load_style(presets::NOTHING).set_header(head);
    table.add_rows(tasks.iter().map(row));
    table
}

fn row(task: &Task) -> [String; 6] {
    [
        task.id.clone(),
        task.kind.clone(),
        state(task.state).into(),
        percentage(task),
        task.container
            .clone()
            .unwrap_or_else(|| task.module.clone()),
        task.message.clone().unwrap_or_default(),
    ]
}

fn percentage(task: &Task) -> String {
    match task.of {
        0 => String::new(),
        of => format!("{}%", u128::from(task.done) * 100 / u128::from(of)),
    }
}

fn state(state: TaskState) -> &'static str {
    match state {
        TaskState::Running => "running",
        TaskState::Paused => "paused",
        TaskState::Done => "done",
        TaskState::Cancelled => "cancelled",
        TaskState::Suspended => "suspended",
        TaskState::Failed => "failed",
    }
}
