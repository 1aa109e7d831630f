use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::ValueHint;

use crate::modules;
use crate::mount_helper::HELPER;

/// Let mount(8) and /etc/fstab mount with transom.
///
/// Links this program into /sbin, as `mount.fuse.transom`, and once for each
/// module, as `mount.fuse.transom-MODULE`. From then on this works:
///
///   mount -t fuse.transom-passthrough SRC DST
///
/// and the same as a line of /etc/fstab:
///
///   SRC  DST  fuse.transom-passthrough  defaults  0  0
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct InstallHelperArguments {
    /// Link into `sbin` of that directory instead, which has to exist.
    #[arg(long, value_name = "DIR", default_value = "/", value_hint = ValueHint::DirPath)]
    root: PathBuf,
    /// Remove the links.
    #[arg(long)]
    remove: bool,
}

pub(crate) fn install_helper(arguments: &InstallHelperArguments) -> anyhow::Result<ExitCode> {
    let root = &arguments.root;
    if !root.is_dir() {
        bail!(
            "there is no directory {}; make it first, or correct `--root`",
            root.display()
        );
    }
    let directory = root.join("sbin");
    let built_in = modules::built_in();
    let with_module = built_in
        .manifests()
        .map(|manifest| format!("{HELPER}-{}", manifest.name));
    let program = std::env::current_exe().context("cannot find this program")?;
    for name in [HELPER.to_owned()].into_iter().chain(with_module) {
        let link = directory.join(name);
        remove(&link)?;
        if !arguments.remove {
            fs::create_dir_all(&directory)
                .and_then(|()| symlink(&program, &link))
                .with_context(|| format!("cannot make the link {}", link.display()))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Removes a link, if there is one.
fn remove(link: &Path) -> anyhow::Result<()> {
    let failed = || format!("cannot remove the link {}", link.display());
    match link.symlink_metadata() {
        Ok(found) if found.is_symlink() => fs::remove_file(link).with_context(failed),
        Ok(_) => bail!(
            "{} is no link, so transom has not made it; remove it yourself",
            link.display()
        ),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error).with_context(failed),
    }
}
