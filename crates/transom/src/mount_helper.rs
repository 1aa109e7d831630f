//! What mount(8) calls for file systems of type `fuse.transom`: this program
//! by another name, `/sbin/mount.fuse.transom SRC DST [-sfnv] [-N namespace]
//! [-o options] [-t type]`.
//!
//! A type with a module in it, `fuse.transom-passthrough`, has a helper of its
//! own, and says which module; otherwise the option `module=` does.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::Parser;
use rustix::fs::Access;
use rustix::io::Errno;
use rustix::mount::MountFlags;

use crate::mount_options::{self, MountOptions};
use crate::mounting::{self, MountRequest};
use crate::{exit, modules};
use transom_module::AccessTimes;

/// The name of the helper, without a module.
pub(crate) const HELPER: &str = "mount.fuse.transom";

/// The types that mount(8) knows us by, without a module.
const TYPE: &str = "fuse.transom";

/// The call was wrong, or not permitted: what mount(8) expects of helpers.
const USAGE: u8 = 1;
/// The mount failed.
const MOUNT_FAILED: u8 = 32;

/// Mount what a module makes of a resource; called by mount(8).
#[derive(Debug, Parser)]
#[command(name = HELPER, version, max_term_width = 100)]
struct HelperArguments {
    /// What the module is to load.
    source: PathBuf,
    /// The directory to mount on.
    target: PathBuf,
    /// Leave out options that the module does not know.
    #[arg(short)]
    sloppy: bool,
    /// Do everything but mount.
    #[arg(short)]
    fake: bool,
    /// Has no effect: no table of mounts is written in any case.
    #[arg(short)]
    no_table: bool,
    /// Has no effect.
    #[arg(short)]
    verbose: bool,
    /// The mount namespace to mount in.
    #[arg(short = 'N', value_name = "FILE")]
    namespace: Option<PathBuf>,
    /// Mount options.
    #[arg(short, value_name = "OPTIONS")]
    options: Vec<String>,
    /// `fuse.transom`, or `fuse.transom-` and the name of a module.
    #[arg(short = 't', value_name = "TYPE")]
    file_system_type: Option<String>,
}

/// What the kernel is told of a mount's type. It leads mount(8) to the helper of
/// the module, which knows its options when the mount is remounted.
pub(crate) fn subtype(module: &str) -> String {
    format!("transom-{module}")
}

/// Whether this program was called by such a name. It may end with the name of
/// a module.
pub(crate) fn is_called_by(program: &OsStr) -> bool {
    let name = Path::new(program).file_name();
    name.is_some_and(|name| name.as_encoded_bytes().starts_with(HELPER.as_bytes()))
}

/// Does what mount(8) wants, with the arguments of this process.
pub(crate) fn run(program: &OsStr) -> ExitCode {
    let arguments = match HelperArguments::try_parse() {
        Ok(arguments) => arguments,
        Err(usage) => {
            exit::usage(&usage);
            return ExitCode::from(if usage.use_stderr() { USAGE } else { 0 });
        }
    };
    let program = Path::new(program).file_name().unwrap_or_default();
    match mount(arguments, &program.to_string_lossy()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(MOUNT_FAILED),
        Err(error) => {
            exit::report(&error);
            ExitCode::from(USAGE)
        }
    }
}

/// True if it is mounted; false if not, and the reason was said.
fn mount(arguments: HelperArguments, program: &str) -> anyhow::Result<bool> {
    let options = MountOptions::parse(&arguments.options)?;
    let by_name = [Some(program), arguments.file_system_type.as_deref()];
    let by_name = by_name.into_iter().flatten().find_map(module_in);
    let by_option = options.module.as_deref();
    if let (Some(option), Some(name)) = (by_option, by_name)
        && option != name
    {
        bail!("mount option `module={option}` contradicts the type `{TYPE}-{name}`");
    }
    let module = by_option.or(by_name).map(str::to_owned);
    let built_in = modules::built_in();
    let manifest = match &module {
        Some(module) => Some(built_in.manifest(module)?),
        None => None,
    };
    let known = manifest
        .as_ref()
        .map_or(&[][..], |manifest| manifest.options);
    if !arguments.sloppy {
        options.refuse_unknown_to(known)?;
    }
    if arguments.fake {
        return Ok(true);
    }
    if options.remount {
        return remount(&arguments.target, &options);
    }
    let module = module.with_context(|| {
        let names: Vec<_> = built_in.manifests().map(|manifest| manifest.name).collect();
        format!(
            "say which module: `-o module=NAME`, or the type `{TYPE}-NAME`; there are: {}",
            names.join(", ")
        )
    })?;
    let unknown = options.unknown_to(known).into_iter();
    let unknown: Vec<_> = unknown.map(str::to_owned).collect();
    let options = mount_options::without(&arguments.options, &unknown);
    mounting::in_background(&MountRequest {
        module,
        source: arguments.source,
        target: arguments.target,
        options,
        namespace: arguments.namespace,
        force: false,
    })
}

/// The module in the name of a helper or a type.
fn module_in(name: &str) -> Option<&str> {
    let rest = name.strip_prefix(HELPER).or(name.strip_prefix(TYPE))?;
    rest.strip_prefix('-')
}

/// Changes what the kernel knows of the mount. What the server was told at its
/// start stays.
fn remount(target: &Path, options: &MountOptions) -> anyhow::Result<bool> {
    let flags = remount_flags(options);
    let change = |flags| rustix::mount::mount_remount(target, flags | MountFlags::BIND, c"");
    change(flags).with_context(|| format!("cannot remount `{}`", target.display()))?;
    // Not even root could write if the file system itself is read-only.
    let is_read_only = rustix::fs::access(target, Access::WRITE_OK) == Err(Errno::ROFS);
    if !options.read_only && is_read_only {
        change(flags | MountFlags::RDONLY)?;
        bail!(
            "`{}` was mounted read-only, so that its source cannot be written: unmount it, and \
             mount it again",
            target.display()
        );
    }
    Ok(true)
}

fn remount_flags(options: &MountOptions) -> MountFlags {
    let attributes = &options.attributes;
    let set = [
        (options.read_only, MountFlags::RDONLY),
        (attributes.nosuid, MountFlags::NOSUID),
        (attributes.nodev, MountFlags::NODEV),
        (attributes.noexec, MountFlags::NOEXEC),
        (attributes.nosymfollow, MountFlags::NOSYMFOLLOW),
        (attributes.nodiratime, MountFlags::NODIRATIME),
    ];
    let access_times = match options.access_times {
        Some(AccessTimes::Relative) => MountFlags::RELATIME,
        Some(AccessTimes::Never) => MountFlags::NOATIME,
        Some(AccessTimes::Always) => MountFlags::STRICTATIME,
        None => MountFlags::empty(),
    };
    set.into_iter()
        .filter_map(|(is_set, flag)| is_set.then_some(flag))
        .fold(access_times, |all, flag| all | flag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_helper() {
        for (name, is_it, module) in [
            ("/sbin/mount.fuse.transom", true, None),
            ("mount.fuse.transom-passthrough", true, Some("passthrough")),
            ("fuse.transom-passthrough", false, Some("passthrough")),
            ("fuse.transom", false, None),
            ("transom", false, None),
            ("/usr/bin/mount.fuse", false, None),
        ] {
            assert_eq!(is_called_by(name.as_ref()), is_it, "{name}");
            let name = name.rsplit('/').next().unwrap();
            assert_eq!(module_in(name), module, "{name}");
        }
        let file_system_type = format!("fuse.{}", subtype("passthrough"));
        assert_eq!(module_in(&file_system_type), Some("passthrough"));
    }
}
