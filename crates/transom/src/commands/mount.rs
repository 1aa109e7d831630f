//! `transom mount`: a resource, served by a module, on a directory.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::ValueHint;

use crate::exit;
use crate::mount_options::PassthroughChoice;
use crate::mounting::{self, MountRequest, Place};

/// Mount what a module makes of a resource.
///
/// Returns when the mount can be used. A process in the background serves it
/// until it is unmounted with `umount`, and ends then. `transom modules` lists
/// the modules.
///
/// Mounting needs CAP_SYS_ADMIN. Who is not root can mount inside of
/// `unshare --user --map-root-user --mount`; the bytes of files then pass
/// through transom.
#[derive(Debug, clap::Args)]
#[command(after_long_help = OPTIONS_AND_EXAMPLES)]
pub(crate) struct MountArguments {
    /// The module.
    module: String,
    /// What it is to load; for `passthrough`, a directory.
    #[arg(value_hint = ValueHint::AnyPath)]
    source: PathBuf,
    /// The directory to mount on.
    #[arg(value_hint = ValueHint::DirPath)]
    target: PathBuf,
    /// Mount options, separated by commas; see below.
    #[arg(short, long, value_name = "OPTIONS")]
    options: Vec<String>,
    /// Mount read-only: the same as `-o ro`.
    #[arg(short, long)]
    read_only: bool,
    /// Who moves the bytes of files: the same as `-o passthrough=`.
    ///
    /// It makes no other difference than speed. `ro` and `rw` fail where the
    /// kernel does not permit it.
    #[arg(long, value_name = "WHICH")]
    passthrough: Option<PassthroughChoice>,
    /// Serve in this process. Ctrl-C unmounts.
    #[arg(long)]
    foreground: bool,
    /// Append what is logged to a file: the same as `-o log=`.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    log: Option<PathBuf>,
    /// Format the resource first if the module does not recognize it. No module
    /// can so far.
    #[arg(short, long)]
    force: bool,
    /// Mount in another mount namespace, such as `/proc/PID/ns/mnt`.
    #[arg(short = 'N', long, value_name = "FILE")]
    namespace: Option<PathBuf>,
    /// Be the process in the background.
    #[arg(long, hide = true, conflicts_with = "foreground")]
    background_server: bool,
}

const OPTIONS_AND_EXAMPLES: &str = "\
Mount options:
  ro, rw                      read-only or not [default: rw]
  nosuid, nodev, noexec       no set-id programs, device files, programs
  nosymfollow                 no symbolic links
  noatime, strictatime, nodiratime
                              when access times are updated [default: relatime]
  passthrough=auto|ro|rw|off  who moves the bytes of files [default: auto]
  idmapped                    allow idmapped mounts of it
  log=FILE                    append what is logged to a file
  cache=TIME                  passthrough: for how long names and attributes are
                              cached: `none`, `forever`, or like `500ms`, `10s`
                              [default: 1s]
  Unknown options are refused by name; docs/modules.md has the rest.

Examples:
  transom mount passthrough /srv/data /mnt
  transom mount passthrough /srv/data /mnt -o ro,cache=forever
  umount /mnt";

pub(crate) fn mount(arguments: MountArguments) -> anyhow::Result<ExitCode> {
    let mut options = arguments.options;
    if arguments.read_only {
        options.push("ro".into());
    }
    if let Some(choice) = arguments.passthrough {
        options.push(format!("passthrough={choice}"));
    }
    if let Some(log) = arguments.log {
        options.push(format!("log=\"{}\"", log.display()));
    }
    let request = MountRequest {
        module: arguments.module,
        source: arguments.source,
        target: arguments.target,
        options,
        namespace: arguments.namespace,
        force: arguments.force,
    };
    let is_mounted = if arguments.background_server {
        mounting::serve(&request, Place::Background).map(|()| true)
    } else if arguments.foreground {
        mounting::serve(&request, Place::Foreground).map(|()| true)
    } else {
        mounting::in_background(&request)
    };
    Ok(match is_mounted? {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(exit::FAILED),
    })
}
