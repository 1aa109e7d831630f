//! `transom status`: everything at once.

use std::process::ExitCode;

use comfy_table::{Table, presets};
use transom_control::host::{Container, ContainerState, Status, StatusReply};

use crate::commands::{block, task};
use crate::daemon;
use crate::streams::{print_line, print_text};

/// Show what the daemon has loaded, mounted and published, and what it works on.
#[derive(Debug, clap::Args)]
pub(crate) struct StatusArguments {
    /// Only what belongs to this container, by its id, its name or a resource.
    container: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn status(arguments: &StatusArguments) -> anyhow::Result<ExitCode> {
    let call = Status {
        container: arguments.container.as_deref().map(daemon::named),
    };
    let status = daemon::call(&mut daemon::connect()?, &call)?;
    match arguments.json {
        true => print_line(serde_json::to_string_pretty(&status)?)?,
        false => print_text(shown(&status))?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The status for people, in sections of which empty ones are left out.
pub(crate) fn shown(status: &StatusReply) -> String {
    let daemon = &status.daemon;
    let mut text = format!(
        "daemon {}, process {}, {} of memory, {} views\n",
        daemon.version,
        daemon.pid,
        daemon::show_size(daemon.memory),
        daemon.views
    );
    let mut section = |title: &str, table: Table| {
        if !table.is_empty() {
            text += &format!("\n{title}\n{table}\n");
        }
    };
    let table = |head: &[&str], rows: Vec<Vec<String>>| {
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_header(head);
        table.add_rows(rows);
        table
    };
    let all = table(
        &["ID", "NAME", "MODULE", "STATE", "CACHE", "WORK", "TROUBLE"],
        status.containers.iter().map(container).collect(),
    );
    section("Containers", all);
    let all = table(
        &["VOLUME", "NAME", "MOUNTS", "PASSTHROUGH", "REQUESTS"],
        status
            .volumes
            .iter()
            .map(|volume| {
                vec![
                    volume.id.clone(),
                    volume.name.clone(),
                    volume.mounts.to_string(),
                    yes_or_no(volume.passthrough).into(),
                    volume.requests.values().sum::<u64>().to_string(),
                ]
            })
            .collect(),
    );
    section("Volumes", all);
    let all = table(
        &["MOUNT", "AT", "", "VOLUME"],
        status
            .mounts
            .iter()
            .map(|mount| {
                let target = mount.target.as_ref();
                vec![
                    mount.id.clone(),
                    target.map_or("(handed out)".into(), |target| {
                        target.as_path().display().to_string()
                    }),
                    if mount.read_only { "ro" } else { "rw" }.into(),
                    mount.volume.clone(),
                ]
            })
            .collect(),
    );
    section("Mounts", all);
    section("Block devices", block::table(&status.block_devices));
    section("Tasks", task::table(&status.tasks));
    text.trim_end().to_owned()
}

fn container(container: &Container) -> Vec<String> {
    let kinds: Vec<_> = container.jobs.iter().map(|job| job.name.as_str()).collect();
    let missing: Vec<_> = container.missing.iter().map(u32::to_string).collect();
    let state = match container.state {
        ContainerState::NotReady => "not ready".into(),
        ContainerState::Blocked => format!("blocked: {} missing", missing.join(", ")),
        ContainerState::Ready => "ready".into(),
        ContainerState::Active => "active".into(),
    };
    vec![
        container.id.clone(),
        container.name.clone(),
        container.module.clone(),
        state,
        container.cache.map_or_else(String::new, |cache| {
            format!(
                "{} of {}",
                daemon::show_size(cache.used),
                daemon::show_size(cache.budget)
            )
        }),
        kinds.join(", "),
        container.trouble.clone().unwrap_or_default(),
    ]
}

fn yes_or_no(is_so: bool) -> &'static str {
    if is_so { "yes" } else { "no" }
}
