use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::ValueHint;
use transom_sys::volume_requests;

use super::open_any;

/// Print the name of a volume, or change it.
///
/// The name is what other tools call the label of a file system. A path on a
/// file system of the kernel names that one's, if it has one. Volumes of `passthrough` keep
/// theirs in an extended attribute of the source, `user.transom.name`.
#[derive(Debug, clap::Args)]
pub(crate) struct LabelArguments {
    /// Any file or directory on the volume.
    #[arg(value_hint = ValueHint::AnyPath)]
    path: PathBuf,
    /// The new name.
    name: Option<OsString>,
}

pub(crate) fn label(arguments: &LabelArguments) -> anyhow::Result<ExitCode> {
    let path = arguments.path.display();
    let file = open_any(&arguments.path)?;
    if let Some(name) = &arguments.name {
        volume_requests::set_label(&file, name)
            .with_context(|| format!("cannot name the volume of {path}"))?;
    } else {
        let mut label = volume_requests::label(&file)
            .with_context(|| format!("the volume of {path} has no name"))?;
        label.push("\n");
        std::io::Write::write_all(&mut std::io::stdout(), label.as_bytes())?;
    }
    Ok(ExitCode::SUCCESS)
}
