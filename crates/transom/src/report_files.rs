//! Whether the files that reports go to can be written.

use std::path::Path;

use anyhow::bail;
use rustix::fs::{Access, AtFlags, CWD};
use transom_projection::shown;
use transom_sandbox::Action;

use crate::commands::run::ReportArguments;

/// Finds out before the action runs, as far as permissions tell. A file in an
/// output of `action` is left alone: its directory may yet be made.
pub(crate) fn check(reports: &ReportArguments, action: &Action) -> anyhow::Result<()> {
    let files = [
        ("--report", &reports.report),
        ("--trace", &reports.trace),
        ("--unused-inputs-list", &reports.unused_inputs_list),
        ("--trace-depfile", &reports.trace_depfile),
    ];
    for (flag, path) in files {
        let Some(path) = path else { continue };
        let absolute = std::path::absolute(path)?;
        let mut outputs = action.outputs.iter();
        if outputs.any(|output| absolute.starts_with(&output.destination)) {
            continue;
        }
        check_file(flag, path)?;
    }
    Ok(())
}

/// Finds out whether one file can be written, as far as permissions tell. `-` is
/// refused: it stands for a stream, and the streams are the command's.
pub(crate) fn check_file(flag: &str, path: &Path) -> anyhow::Result<()> {
    if path.as_os_str() == "-" {
        bail!(
            "{flag}: `-` would be standard output, which is the command's; name a file \
             (`./-` if it is to be called so)"
        );
    }
    let absolute = std::path::absolute(path)?;
    let directory = absolute.parent().unwrap_or(Path::new("/"));
    let path = shown(path);
    let (what, wanted) = if absolute.is_dir() {
        bail!("{flag}: cannot write {path}: it is a directory");
    } else if absolute.exists() {
        (&*absolute, Access::WRITE_OK)
    } else if directory.is_dir() {
        (directory, Access::WRITE_OK | Access::EXEC_OK)
    } else {
        let directory = shown(directory);
        bail!("{flag}: cannot write {path}: {directory} is no directory; make it first");
    };
    if let Err(error) = rustix::fs::accessat(CWD, what, wanted, AtFlags::EACCESS) {
        bail!("{flag}: cannot write {path}: {}: {error}", shown(what));
    }
    Ok(())
}
