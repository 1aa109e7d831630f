//! A mount and the process that serves it.
//!
//! ```text
//!   transom mount ──► the same program again, as the server
//!        │                 load, mount, attach
//!        │ ◄── "ready" ────┤  on its standard output, which is a pipe
//!       exit               leaves session, directory and terminal
//!                          serves until it is mounted nowhere; unloads; exit
//! ```
//!
//! It is another process from the beginning, because a process with threads
//! cannot be divided into two. Of the open files of who started it, the server
//! has the standard error alone, until it is ready, and says there itself what
//! went wrong. If nobody waits any more when it is ready, it unmounts.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::{self, Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, bail};
use rustix::fs::StatVfsMountFlags;
use rustix::io::Errno;
use rustix::mount::MountAttrFlags;
use rustix::process::{Resource, getrlimit};
use rustix::thread::LinkNameSpaceType;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use transom_fuse::{Options, Passthrough};
use transom_host::{Attachment, Hold, Host, Load, Mounted, Target, Unmount, VolumeId};
use transom_module::{ContainerId, LoadOptions};
use transom_sandbox::privilege::{self, Privilege};

use crate::commands::run::raise_descriptor_limit;
use crate::mount_options::{MountOptions, PassthroughChoice};
use crate::{modules, mount_helper, signals};

/// What the server says when it can be used.
const READY: &[u8] = b"ready\n";

/// How long a mount may stay in use after it was to be unmounted until that is
/// told.
const IN_USE_TOLD_AFTER: Duration = Duration::from_secs(3);

/// What to mount where.
#[derive(Debug, Clone)]
pub(crate) struct MountRequest {
    pub(crate) module: String,
    pub(crate) source: PathBuf,
    pub(crate) target: PathBuf,
    /// Each of them options with commas between.
    pub(crate) options: Vec<String>,
    /// The mount namespace to do it in, if not our own.
    pub(crate) namespace: Option<PathBuf>,
    pub(crate) force: bool,
}

impl MountRequest {
    /// The same in every directory.
    fn in_full(&self) -> io::Result<Self> {
        let namespace = self.namespace.as_ref();
        Ok(Self {
            source: path::absolute(&self.source)?,
            target: path::absolute(&self.target)?,
            namespace: namespace.map(path::absolute).transpose()?,
            ..self.clone()
        })
    }
}

/// Who waits for the mount, and what becomes of the server's streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Foreground,
    /// Started by [`in_background`].
    Background,
}

/// Has another process mount and serve. True if it did, or if there is nothing
/// to mount and that is no error; if not, it has said why on standard error.
pub(crate) fn in_background(request: &MountRequest) -> anyhow::Result<bool> {
    transom_sys::keep_descriptors_from_children()?;
    // By this name whatever we were called: a helper of mount(8) would take
    // other arguments.
    let mut server = Command::new("/proc/self/exe")
        .arg0("transom")
        .args(arguments(&request.in_full()?))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start the server")?;
    let mut said = Vec::new();
    if let Some(mut stdout) = server.stdout.take() {
        stdout.read_to_end(&mut said)?;
    }
    if said == READY {
        return Ok(true);
    }
    let status = server.wait()?;
    if status.code().is_none() {
        bail!("the server ended before it was ready: {status}");
    }
    Ok(status.success())
}

/// How the server is called: the arguments of `transom mount`.
fn arguments(request: &MountRequest) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = vec!["mount".into(), "--background-server".into()];
    for options in &request.options {
        arguments.extend(["-o".into(), options.into()]);
    }
    if let Some(namespace) = &request.namespace {
        arguments.extend(["--namespace".into(), namespace.into()]);
    }
    if request.force {
        arguments.push("--force".into());
    }
    let positional: [&OsStr; 4] = [
        "--".as_ref(),
        request.module.as_ref(),
        request.source.as_ref(),
        request.target.as_ref(),
    ];
    arguments.extend(positional.map(OsStr::to_owned));
    arguments
}

/// Mounts, and serves until it is mounted nowhere any more.
pub(crate) fn serve(request: &MountRequest, place: Place) -> anyhow::Result<()> {
    let options = MountOptions::parse(&request.options)?;
    if options.remount {
        bail!("only mount(8) remounts: `mount -o remount,... DST`");
    }
    if let Some(other) = options
        .module
        .as_ref()
        .filter(|module| **module != request.module)
    {
        bail!(
            "mount option `module={other}` contradicts module `{}`",
            request.module
        );
    }
    options.refuse_unknown_to(modules::built_in().manifest(&request.module)?.options)?;
    require_privilege()?;
    let log = options.log.as_deref().map(open_log).transpose()?;
    let request = &request.in_full()?;
    if let Some(namespace) = &request.namespace {
        enter(namespace)?;
    }
    if options.nofail && matches!(request.source.try_exists(), Ok(false)) {
        tracing::info!("{} is not there", request.source.display());
        return Ok(());
    }
    raise_descriptor_limit();
    let target = open_target(&request.target)?;
    let host = modules::host()?;
    let container = load(&host, request, &options)?;
    let volume = volume_of(&host, container, options.volume.as_deref())?;
    let Mounted { mount, served, .. } = mount(&host, &volume, request, &options)?;
    let attached = target
        .attach(mount)
        .with_context(|| format!("cannot mount on `{}`", request.target.display()))?;
    let settled =
        unmount_on_signal(attached.clone()).and_then(|()| leave_surroundings(place, log.as_ref()));
    if let Err(error) = settled {
        // Without a server it would answer nothing.
        attached.detach()?;
        return Err(error.into());
    }
    drop(log);
    let statistics = served.to_the_end();
    tracing::info!(
        requests = statistics.total(),
        opens_by_kernel = statistics.passthrough_opens,
        opens_by_transom = statistics.served_opens,
        "unmounted"
    );
    host.unload(container, Unmount::Orderly)?;
    Ok(())
}

fn require_privilege() -> anyhow::Result<()> {
    if privilege::detect()? == Privilege::None {
        bail!(
            "mounting needs CAP_SYS_ADMIN: be root, or do it inside of \
             `unshare --user --map-root-user --mount`, where only that shell's processes see it"
        );
    }
    Ok(())
}

fn enter(namespace: &Path) -> anyhow::Result<()> {
    let failed = || format!("cannot enter the mount namespace {}", namespace.display());
    let file = File::open(namespace).with_context(failed)?;
    rustix::thread::move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Mount))
        .with_context(failed)
}

fn open_log(path: &Path) -> anyhow::Result<File> {
    let log = OpenOptions::new().create(true).append(true).open(path);
    log.with_context(|| format!("cannot write the log {}", path.display()))
}

fn load(
    host: &Host,
    request: &MountRequest,
    options: &MountOptions,
) -> anyhow::Result<ContainerId> {
    let resource = host.open(Some(&request.module), &request.source, options.read_only)?;
    Ok(host.load(Load {
        module: &request.module,
        resources: vec![resource],
        options: LoadOptions {
            read_only: options.read_only,
            degraded: false,
            access_times: options.access_times,
            named: options.named.clone(),
        },
        force: request.force,
        owner: rustix::process::getuid().as_raw(),
        cache_bytes: None,
    })?)
}

/// The volume of that name, or the only one.
fn volume_of(host: &Host, container: ContainerId, name: Option<&str>) -> anyhow::Result<VolumeId> {
    let mut volumes = host.volumes(container)?;
    volumes.retain(|volume| volume.is_volume);
    if let Some(name) = name {
        volumes.retain(|volume| volume.name == name || volume.key == name);
    }
    let names: Vec<_> = volumes.iter().map(|volume| volume.name.as_str()).collect();
    match (&volumes[..], name) {
        ([only], _) => Ok(VolumeId {
            container,
            key: only.key.clone(),
        }),
        ([], Some(name)) => bail!("there is no volume `{name}` in it"),
        ([], None) => bail!("it has no volumes; `transom volume create` makes one"),
        (_, _) => bail!(
            "say which volume with `-o volume=NAME`: {}",
            names.join(", ")
        ),
    }
}

fn mount(
    host: &Host,
    volume: &VolumeId,
    request: &MountRequest,
    options: &MountOptions,
) -> anyhow::Result<Mounted> {
    let source = fs::canonicalize(&request.source).unwrap_or_else(|_| request.source.clone());
    let mut attributes = options.mount_attributes();
    if is_read_only_directory(&source)? {
        attributes |= MountAttrFlags::MOUNT_ATTR_RDONLY;
    }
    let session = Options {
        source: source.to_string_lossy().into_owned(),
        subtype: mount_helper::subtype(&request.module),
        read_only: options.read_only,
        attributes,
        passthrough: match options.passthrough {
            PassthroughChoice::Off => Passthrough::Off,
            PassthroughChoice::Ro => Passthrough::ReadOnly,
            PassthroughChoice::Auto | PassthroughChoice::Rw => Passthrough::On,
        },
        idmapped: options.idmapped,
        items_max: items_max(),
        ..Options::default()
    };
    let mounted = host.mount(
        volume,
        &session,
        Hold::No,
        rustix::process::getuid().as_raw(),
    )?;
    let is_required = matches!(
        options.passthrough,
        PassthroughChoice::Ro | PassthroughChoice::Rw
    );
    if is_required && !mounted.served.passthrough_permitted() {
        bail!(
            "the kernel refuses passthrough: it needs CAP_SYS_ADMIN in the initial user \
             namespace; with `passthrough=auto`, bytes pass through transom instead"
        );
    }
    Ok(mounted)
}

/// Whether nobody can write to a directory because of how its volume is
/// mounted. The same is to show of what is mounted of it.
fn is_read_only_directory(source: &Path) -> io::Result<bool> {
    let mounted = rustix::fs::statvfs(source)?;
    Ok(source.is_dir() && mounted.f_flag.contains(StatVfsMountFlags::RDONLY))
}

/// Three quarters of the descriptors that we may have: modules hold one for
/// each item, and others besides.
pub(crate) fn items_max() -> usize {
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from(limit / 4 * 3).unwrap_or(usize::MAX)
}

/// Opens the directory to mount on.
pub(crate) fn open_target(path: &Path) -> anyhow::Result<Target> {
    Target::open(path).with_context(|| format!("cannot mount on `{}`", path.display()))
}

/// Unmounts when this process is to end. If others still use the mount then, it
/// ends when they are done, or is told a second time.
fn unmount_on_signal(mounted: Attachment) -> io::Result<()> {
    let mut told = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    let wait = move || {
        let mut signals = told.forever();
        signals.next();
        if let Err(error) = mounted.detach() {
            tracing::warn!(%error, "{} cannot be unmounted", mounted.path().display());
        }
        thread::sleep(IN_USE_TOLD_AFTER);
        tracing::warn!("still in use; the next signal ends it nevertheless");
        if let Some(signal) = signals.next() {
            signals::die_of(signal);
        }
    };
    thread::Builder::new().name("signals".into()).spawn(wait)?;
    Ok(())
}

/// Lets go of everything that belongs to whoever started the server, and tells
/// that the mount can be used.
fn leave_surroundings(place: Place, log: Option<&File>) -> io::Result<()> {
    if let Some(log) = log {
        rustix::stdio::dup2_stderr(log)?;
    }
    if place == Place::Foreground {
        return Ok(());
    }
    // Refused to the leader of a process group, which then has no terminal's
    // session to leave.
    match rustix::process::setsid() {
        Ok(_) | Err(Errno::PERM) => {}
        Err(error) => return Err(error.into()),
    }
    rustix::process::chdir("/")?;
    let nothing = OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/null")?;
    if log.is_none() {
        rustix::stdio::dup2_stderr(&nothing)?;
    }
    // It fails if who waited is gone, and then there is to be no mount.
    io::stdout().write_all(READY)?;
    io::stdout().flush()?;
    Ok(rustix::stdio::dup2_stdout(&nothing)?)
}
