//! `transom cleanup`: what a daemon that was killed has left.

use std::process::ExitCode;

use transom_control::host::Cleanup;

use crate::daemon;
use crate::streams::print_line;

/// Remove mounts, loop devices and the like that a killed daemon has left.
///
/// The next start of the daemon does the same by itself. Without a daemon, it is
/// done here.
#[derive(Debug, clap::Args)]
pub(crate) struct CleanupArguments {}

pub(crate) fn cleanup(_: &CleanupArguments) -> anyhow::Result<ExitCode> {
    for removed in daemon::call(&mut daemon::connect()?, &Cleanup {})?.removed {
        print_line(removed)?;
    }
    Ok(ExitCode::SUCCESS)
}
