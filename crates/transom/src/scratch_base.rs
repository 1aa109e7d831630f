//! Where an action's scratch is made.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD};
use transom_projection::{Declaration, Mapping};
use transom_sandbox::{Action, Base};

/// Where scratch directories of `action` are made, if the user does not say:
/// on the volume of the first output, so that it comes out by renaming, or
/// among temporary files.
///
/// An action that sees a directory as a whole would see scratch in it, its own
/// and that of others who run at the same time. So scratch is put outside of
/// such directories, as near as possible.
pub(crate) fn scratch_base(
    flag: Option<&Path>,
    inputs: &[Declaration],
    action: &Action,
) -> PathBuf {
    if let Some(directory) = flag {
        return directory.to_owned();
    }
    let Some(beside) = beside_first_output(action) else {
        return std::env::temp_dir();
    };
    if action.base != Base::View {
        // The whole host is seen.
        return beside;
    }
    let wholes: Vec<PathBuf> = inputs.iter().filter_map(whole_directory).collect();
    let is_seen = |path: &Path| wholes.iter().any(|whole| path.starts_with(whole));
    if !is_seen(&beside) {
        return beside;
    }
    let temporary = fs::canonicalize(std::env::temp_dir()).unwrap_or_default();
    let outside = beside.ancestors().chain([&*temporary]);
    let outside = outside.filter(|path| path.is_absolute() && !is_seen(path));
    let near = outside
        .clone()
        .find(|path| is_one_volume(path, &beside) && can_be_written(path));
    // Rather copied than seen.
    let near = near.or_else(|| outside.last().filter(|path| can_be_written(path)));
    near.unwrap_or(&beside).to_owned()
}

fn beside_first_output(action: &Action) -> Option<PathBuf> {
    let destination = &action.outputs.first()?.destination;
    let mut around = destination.ancestors().skip(1);
    around.find_map(|path| fs::canonicalize(path).ok().filter(|path| path.is_dir()))
}

fn whole_directory(input: &Declaration) -> Option<PathBuf> {
    match &input.mapping {
        Mapping::Directory { source } => fs::canonicalize(source).ok(),
        _ => None,
    }
}

fn is_one_volume(one: &Path, other: &Path) -> bool {
    let device = |path| fs::metadata(path).ok().map(|metadata| metadata.dev());
    device(one) == device(other)
}

fn can_be_written(directory: &Path) -> bool {
    let wanted = Access::WRITE_OK | Access::EXEC_OK;
    rustix::fs::accessat(CWD, directory, wanted, AtFlags::EACCESS).is_ok()
}
