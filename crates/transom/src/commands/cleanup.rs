//! `transom cleanup`: what a daemon that was killed has left.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::ValueHint;
use transom_control::host::Cleanup;

use crate::daemon;
use crate::streams::print_line;

/// Remove mounts, loop devices and the like that a killed daemon has left.
///
/// The next start of the daemon does the same by itself. If no daemon runs, it is
/// done here. Prints what was removed.
#[derive(Debug, clap::Args)]
pub(crate) struct CleanupArguments {
    /// The directory that the daemon was given for its state.
    #[arg(long, value_hint = ValueHint::DirPath, default_value = daemon::SYSTEM_STATE)]
    state: PathBuf,
}

pub(crate) fn cleanup(arguments: &CleanupArguments) -> anyhow::Result<ExitCode> {
    let told = match daemon::connect() {
        Ok(mut client) => daemon::call(&mut client, &Cleanup {})?.removed,
        Err(_) if !arguments.state.exists() => Vec::new(),
        Err(_) => daemon::ledger(&arguments.state)?.clean_up(),
    };
    for line in told {
        print_line(line)?;
    }
    Ok(ExitCode::SUCCESS)
}
