//! `transom load`, `offer`, `unload`: containers.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::ValueHint;
use transom_control::host::{Container, ContainerState, Load, Offer, Unload};

use crate::daemon::{self, Places};
use crate::exit;
use crate::streams::print_line;

/// Have the daemon load files, directories or devices.
///
/// Several resources become one container if they say that they are members of
/// it. If some are missing, the container is blocked: it waits until they are
/// offered. Prints the id of the container.
#[derive(Debug, clap::Args)]
pub(crate) struct LoadArguments {
    /// The module that is to load it; `auto`: the one that recognizes it.
    module: String,
    /// What to load.
    #[arg(required = true, value_hint = ValueHint::AnyPath)]
    resources: Vec<PathBuf>,
    /// Options of the module, with commas between: `transom modules` lists them.
    #[arg(short, long = "option", value_name = "OPTIONS")]
    options: Vec<String>,
    /// Change nothing on the resources.
    #[arg(long)]
    read_only: bool,
    /// Load although members are missing, with what can be had without them.
    #[arg(long)]
    degraded: bool,
    /// How much memory it may use to keep what it could read again, such as
    /// `512M`.
    #[arg(long, value_parser = daemon::parse_size, value_name = "SIZE")]
    cache: Option<u64>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Tell the daemon that resources have appeared.
///
/// Each is given to the container that waits for it. One that is complete with it
/// is loaded.
#[derive(Debug, clap::Args)]
pub(crate) struct OfferArguments {
    /// What has appeared.
    #[arg(required = true, value_hint = ValueHint::AnyPath)]
    resources: Vec<PathBuf>,
}

/// Have the daemon give resources back, after everything is on them.
#[derive(Debug, clap::Args)]
pub(crate) struct UnloadArguments {
    /// A container, by its id, its name, or a resource of it.
    #[arg(required = true)]
    containers: Vec<String>,
    /// Unmount and withdraw what is used of it; its users get errors.
    #[arg(long)]
    force: bool,
}

pub(crate) fn load(arguments: &LoadArguments) -> anyhow::Result<ExitCode> {
    let mut places = Places::default();
    let call = Load {
        module: (arguments.module != "auto").then(|| arguments.module.clone()),
        resources: places.add_all(&arguments.resources)?,
        options: daemon::settings(&arguments.options),
        read_only: arguments.read_only,
        degraded: arguments.degraded,
        force: false,
        access_times: None,
        cache_budget: arguments.cache,
    };
    let container = daemon::call_with(&mut daemon::connect()?, &call, &places)?.container;
    match arguments.json {
        true => print_line(serde_json::to_string_pretty(&container)?)?,
        false => print_line(&container.id)?,
    }
    tell_if_blocked(&container);
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn offer(arguments: &OfferArguments) -> anyhow::Result<ExitCode> {
    let mut places = Places::default();
    let call = Offer {
        resources: places.add_all(&arguments.resources)?,
    };
    let containers = daemon::call_with(&mut daemon::connect()?, &call, &places)?.containers;
    if containers.is_empty() {
        exit::tell("no container waits for that");
    }
    for container in &containers {
        print_line(&container.id)?;
        tell_if_blocked(container);
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn unload(arguments: &UnloadArguments) -> anyhow::Result<ExitCode> {
    let mut client = daemon::connect()?;
    for container in &arguments.containers {
        let call = Unload {
            container: daemon::named(container),
            force: arguments.force,
        };
        daemon::call(&mut client, &call)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn tell_if_blocked(container: &Container) {
    if container.state == ContainerState::Blocked {
        let missing: Vec<_> = container.missing.iter().map(u32::to_string).collect();
        exit::tell(&format!(
            "it waits for its members {}; give them with `transom offer`, or unload it and load it \
             with --degraded",
            missing.join(", ")
        ));
    }
}
