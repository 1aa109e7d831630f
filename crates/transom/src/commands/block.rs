//! `transom block`: volumes as disks.

use std::process::ExitCode;

use clap::{Subcommand, ValueEnum};
use comfy_table::{Table, presets};
use transom_control::host::{BlockDevice, BlockKind, PublishBlock, Status, WithdrawBlock};

use crate::daemon;
use crate::streams::{print_line, print_text};

/// Publish volumes as disks.
#[derive(Debug, clap::Args)]
pub(crate) struct BlockArguments {
    #[command(subcommand)]
    command: BlockCommand,
}

#[derive(Debug, Subcommand)]
enum BlockCommand {
    /// List what is published.
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Publish a volume, and print where the disk is.
    Publish {
        /// The volume: `CONTAINER/NAME`.
        volume: String,
        /// As what.
        #[arg(long = "as", value_enum, default_value_t)]
        kind: Kind,
        /// Nothing can be written.
        #[arg(long)]
        read_only: bool,
    },
    /// Take a disk away, after everything was flushed.
    Withdraw {
        /// Where it is, as `publish` has printed it.
        device: String,
        /// Even while it is used; its users get errors.
        #[arg(long)]
        force: bool,
    },
}

/// How a volume becomes a disk.
#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum Kind {
    /// A loop device of this machine.
    #[default]
    Loop,
    /// A socket of the network block device protocol.
    Nbd,
    /// A device that the daemon answers for, where the kernel has ublk.
    Ublk,
}

pub(crate) fn block(arguments: BlockArguments) -> anyhow::Result<ExitCode> {
    let mut client = daemon::connect()?;
    match arguments.command {
        BlockCommand::List { json } => {
            let status = daemon::call(&mut client, &Status { container: None })?;
            list(&status.block_devices, json)?;
        }
        BlockCommand::Publish {
            volume,
            kind,
            read_only,
        } => {
            let call = PublishBlock {
                volume: daemon::named(&volume),
                kind: Some(match kind {
                    Kind::Loop => BlockKind::Loop,
                    Kind::Nbd => BlockKind::Nbd,
                    Kind::Ublk => BlockKind::Ublk,
                }),
                read_only,
            };
            print_line(daemon::call(&mut client, &call)?.device.id)?;
        }
        BlockCommand::Withdraw { device, force } => {
            daemon::call(&mut client, &WithdrawBlock { device, force })?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn list(devices: &[BlockDevice], as_json: bool) -> anyhow::Result<()> {
    if as_json {
        return print_line(serde_json::to_string_pretty(devices)?);
    }
    print_text(table(devices))
}

/// A table of disks.
pub(crate) fn table(devices: &[BlockDevice]) -> Table {
    let mut table = Table::new();
    let head = ["DEVICE", "SIZE", "", "VOLUME"];
    table.load_style(presets::NOTHING).set_header(head);
    for device in devices {
        table.add_row([
            device.id.clone(),
            daemon::show_size(device.bytes),
            if device.read_only { "ro" } else { "rw" }.to_owned(),
            device.volume.clone(),
        ]);
    }
    table
}
