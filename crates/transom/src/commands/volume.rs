//! `transom volume`: volumes of loaded containers.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Subcommand, ValueEnum, ValueHint};
use comfy_table::{Table, presets};
use transom_control::host::{
    Counters, CreateVolume, Mount, RemoveVolume, RenameVolume, ResizeVolume, Status, Synchronize,
    Unmount, UnmountMode, Volume,
};

use crate::daemon::{self, Places};
use crate::streams::{print_line, print_text};

/// Mount, make and remove volumes of what the daemon has loaded.
///
/// A volume is called `CONTAINER/KEY` or `CONTAINER/NAME`, where the container may
/// be called by its id, its name or a resource of it; or by its container alone,
/// if it has only one.
#[derive(Debug, clap::Args)]
pub(crate) struct VolumeArguments {
    #[command(subcommand)]
    command: VolumeCommand,
}

#[derive(Debug, Subcommand)]
enum VolumeCommand {
    /// List volumes.
    List {
        /// Only those of this container.
        container: Option<String>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Make a volume, and print its id.
    Create {
        /// The container.
        container: String,
        /// What it is to be called.
        name: String,
        /// Its size, such as `10G`, if volumes of the container have one.
        #[arg(long, value_parser = daemon::parse_size)]
        size: Option<u64>,
    },
    /// Give a volume another name.
    Rename {
        /// The volume.
        volume: String,
        /// Its new name.
        name: String,
    },
    /// Give a volume another size. What is beyond a smaller one is lost.
    Resize {
        /// The volume.
        volume: String,
        /// Its new size, such as `10G`.
        #[arg(value_parser = daemon::parse_size)]
        size: u64,
    },
    /// Remove a volume, with what it contains.
    Remove {
        /// The volume.
        volume: String,
    },
    /// Mount a volume on a directory.
    Mount {
        /// The volume.
        volume: String,
        /// The directory.
        #[arg(value_hint = ValueHint::DirPath)]
        directory: PathBuf,
        /// Options of mount(8): `ro`, `noexec`, `noatime` and the like.
        #[arg(short, long = "option", value_name = "OPTIONS")]
        options: Vec<String>,
    },
    /// Unmount a volume everywhere, after everything is on the resources.
    Unmount {
        /// The volume.
        volume: String,
        /// What becomes of those who use it.
        #[arg(long, value_enum, default_value_t)]
        mode: Mode,
    },
    /// Bring everything that was written to a container on its resources.
    Sync {
        /// The container.
        container: String,
    },
    /// Print the requests of the kernel to a mounted volume (JSON).
    Stats {
        /// The volume.
        volume: String,
    },
}

/// How a volume is unmounted.
#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum Mode {
    /// They keep it from being unmounted.
    #[default]
    Orderly,
    /// They go on, and nobody else sees it.
    Detach,
    /// They get errors.
    Abort,
}

pub(crate) fn volume(arguments: VolumeArguments) -> anyhow::Result<ExitCode> {
    let mut client = daemon::connect()?;
    match arguments.command {
        VolumeCommand::List { container, json } => {
            let container = container.as_deref().map(daemon::named);
            let volumes = daemon::call(&mut client, &Status { container })?.volumes;
            list(&volumes, json)?;
        }
        VolumeCommand::Create {
            container,
            name,
            size,
        } => {
            let call = CreateVolume {
                container: daemon::named(&container),
                name,
                bytes: size,
            };
            print_line(daemon::call(&mut client, &call)?.volume.id)?;
        }
        VolumeCommand::Rename { volume, name } => {
            let volume = daemon::named(&volume);
            daemon::call(&mut client, &RenameVolume { volume, name })?;
        }
        VolumeCommand::Resize { volume, size } => {
            let call = ResizeVolume {
                volume: daemon::named(&volume),
                bytes: size,
            };
            daemon::call(&mut client, &call)?;
        }
        VolumeCommand::Remove { volume } => {
            let volume = daemon::named(&volume);
            daemon::call(&mut client, &RemoveVolume { volume })?;
        }
        VolumeCommand::Mount {
            volume,
            directory,
            options,
        } => {
            let (read_only, options) = without_read_only(&options);
            let mut places = Places::default();
            let call = Mount {
                volume: daemon::named(&volume),
                read_only,
                options,
                target: Some(places.add(&directory)?),
            };
            daemon::call_with(&mut client, &call, &places)?;
        }
        VolumeCommand::Unmount { volume, mode } => {
            let call = Unmount {
                mount: None,
                volume: Some(daemon::named(&volume)),
                mode: match mode {
                    Mode::Orderly => UnmountMode::Orderly,
                    Mode::Detach => UnmountMode::Detach,
                    Mode::Abort => UnmountMode::Abort,
                },
            };
            daemon::call(&mut client, &call)?;
        }
        VolumeCommand::Sync { container } => {
            let container = daemon::named(&container);
            daemon::call(&mut client, &Synchronize { container })?;
        }
        VolumeCommand::Stats { volume } => {
            let volume = daemon::named(&volume);
            let counters = daemon::call(&mut client, &Counters { volume })?.counters;
            print_line(serde_json::to_string_pretty(&counters)?)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn list(volumes: &[Volume], as_json: bool) -> anyhow::Result<()> {
    if as_json {
        return print_line(serde_json::to_string_pretty(volumes)?);
    }
    let mut table = Table::new();
    let head = ["VOLUME", "NAME", "CAN BE", "MOUNTS", "REQUESTS"];
    table.load_style(presets::NOTHING).set_header(head);
    for volume in volumes {
        table.add_row([
            volume.id.clone(),
            volume.name.clone(),
            match (volume.mountable, volume.publishable) {
                (true, true) => "mounted, a disk",
                (true, false) => "mounted",
                (false, true) => "a disk",
                (false, false) => "",
            }
            .to_owned(),
            volume.mounts.to_string(),
            volume.requests.values().sum::<u64>().to_string(),
        ]);
    }
    print_text(table)
}

/// `ro` and `rw` are said apart from the others.
fn without_read_only(options: &[String]) -> (bool, Vec<String>) {
    let mut read_only = false;
    let mut others = Vec::new();
    for option in options.iter().flat_map(|options| options.split(',')) {
        match option {
            "ro" => read_only = true,
            "rw" => read_only = false,
            "" | "defaults" => {}
            other => others.push(other.to_owned()),
        }
    }
    (read_only, others)
}
