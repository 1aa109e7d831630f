use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::ValueHint;
use rustix::io::Errno;
use transom_sys::volume_requests;

use super::open_any;

/// Bring whole volumes to stable storage.
///
/// On what transom has mounted, sync(1) and syncfs(2) return at once, since the
/// kernel does not pass them on. This waits for the disk. On other file systems
/// it is the same as `sync --file-system`.
#[derive(Debug, clap::Args)]
pub(crate) struct SyncArguments {
    /// Any file or directory on each volume.
    #[arg(required = true, value_hint = ValueHint::AnyPath)]
    paths: Vec<PathBuf>,
}

pub(crate) fn sync(arguments: &SyncArguments) -> anyhow::Result<ExitCode> {
    for path in &arguments.paths {
        synchronize(path).with_context(|| format!("cannot sync {}", path.display()))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn synchronize(path: &Path) -> anyhow::Result<()> {
    let file = open_any(path)?;
    match volume_requests::synchronize(&file) {
        Err(error) if Errno::from_io_error(&error) == Some(Errno::NOTTY) => {
            Ok(rustix::fs::syncfs(&file)?)
        }
        done => Ok(done?),
    }
}
