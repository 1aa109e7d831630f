//! `transom serve`: the daemon.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::ValueHint;
use listenfd::ListenFd;
use rustix::process::geteuid;
use sd_notify::NotifyState;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use transom_control::{Admission, Permission, Server, Services, Socket};
use transom_daemon::confine::confine;
use transom_daemon::{Daemon, Names, Policy, Views};
use transom_host::{Host, HostOptions, Pressure};

use crate::commands::run::raise_descriptor_limit;
use crate::{daemon, modules};

/// The rules of the machine.
const SYSTEM_POLICY: &str = "/etc/transom/policy.toml";

/// The name of the socket for NBD, beside that of the daemon.
const NBD_SOCKET: &str = "nbd";

/// How long clients may take to get their answers when the daemon ends.
const CLIENTS_PATIENCE: Duration = Duration::from_secs(2);

/// Run the daemon, which other commands and other programs talk to.
///
/// It loads what it is asked to, mounts and publishes it, does long work, and
/// tells what happens, for every user of the machine: each with its own rights
/// over files, and over what it has loaded itself. Programs talk to it in varlink;
/// the interfaces can be read from the socket.
///
/// It stays in the foreground, as service managers like it, and takes over the
/// socket that systemd listens at for it. When it is told to end (SIGTERM), it
/// suspends long work, unmounts, and gives all resources back.
#[derive(Debug, clap::Args)]
pub(crate) struct ServeArguments {
    /// Where to listen, instead of the socket of the machine.
    #[arg(long, value_hint = ValueHint::FilePath)]
    socket: Option<PathBuf>,
    /// A directory, for this daemon alone, for what outlives it.
    #[arg(long, value_hint = ValueHint::DirPath, default_value = daemon::SYSTEM_STATE)]
    state: PathBuf,
    /// The file that says who may do what, instead of the machine's,
    /// /etc/transom/policy.toml.
    #[arg(long, value_hint = ValueHint::FilePath)]
    policy: Option<PathBuf>,
}

pub(crate) fn serve(arguments: &ServeArguments) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    raise_descriptor_limit();
    confine()?;
    let policy = Arc::new(policy(arguments.policy.as_deref())?);
    let path = arguments.socket.clone().unwrap_or_else(daemon::socket);
    let host = host(&arguments.state, &path)?;
    for told in host.clean_up() {
        tracing::warn!("left by an earlier daemon: {told}");
    }
    let _pressure = Pressure::watch(host.budgets().clone())
        .inspect_err(|error| tracing::warn!(%error, "caches will not give way"))
        .ok();
    let is_root = geteuid().is_root();
    let views = is_root
        .then(|| Views::start(Arc::clone(&policy)))
        .transpose()
        .context("cannot serve views")?;
    let version = env!("CARGO_PKG_VERSION");
    let answering = Arc::new(Daemon::new(host, policy, views.map(Arc::new), version)?);
    let admission = match is_root {
        true => Admission::SYSTEM,
        false => Admission::PRIVATE,
    };
    let services = Services::new(answering.interfaces());
    let server = Server::start(listen(&path)?, admission, services)?;
    tell_service_manager(NotifyState::Ready)?;
    tracing::info!("ready at {}", path.display());
    let signal = signals.forever().next();
    tell_service_manager(NotifyState::Stopping)?;
    tracing::info!(?signal, "ending");
    if !server.stop(CLIENTS_PATIENCE) {
        tracing::warn!("some clients were cut off");
    }
    for problem in answering.end() {
        tracing::warn!("{problem}");
    }
    Ok(ExitCode::SUCCESS)
}

fn host(state: &Path, socket: &Path) -> anyhow::Result<Host> {
    let failed = || {
        format!(
            "cannot keep state in {}; choose with --state",
            state.display()
        )
    };
    std::fs::create_dir_all(state).with_context(failed)?;
    let options = HostOptions {
        tasks: Some(state.join("tasks")),
        ledger: Some(daemon::ledger(state)?),
        cache_bytes: None,
        nbd_socket: Some(socket.with_file_name(NBD_SOCKET)),
    };
    Host::new(modules::built_in(), modules::enablement(), options).with_context(failed)
}

/// The rules of the file that was named, which has to be there, or of the
/// machine's, which need not.
fn policy(named: Option<&Path>) -> anyhow::Result<Policy> {
    let path = named.unwrap_or_else(|| Path::new(SYSTEM_POLICY));
    let text = match std::fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && named.is_none() => {
            return Ok(Policy::default());
        }
        read => read.with_context(|| format!("cannot read the policy {}", path.display()))?,
    };
    let names = Names::of_host().context("cannot read the names of users and groups")?;
    Ok(Policy::parse(&text, &path.to_string_lossy(), &names)?)
}

/// The socket that a service manager has handed over, or one of our own.
fn listen(path: &Path) -> anyhow::Result<Socket> {
    if let Some(descriptor) = handed_over()? {
        return Ok(Socket::listening(descriptor)?);
    }
    let permission = match geteuid().is_root() {
        true => Permission::Everybody,
        false => Permission::OurUser,
    };
    Socket::bind(path, permission).with_context(|| format!("cannot listen at {}", path.display()))
}

fn handed_over() -> anyhow::Result<Option<OwnedFd>> {
    let mut handed = ListenFd::from_env();
    if handed.len() > 1 {
        bail!(
            "{} sockets were handed over, and there is use for one",
            handed.len()
        );
    }
    let listener = handed
        .take_unix_listener(0)
        .context("what was handed over to listen at is no Unix socket")?;
    Ok(listener.map(OwnedFd::from))
}

/// Nothing happens if nobody wants to know.
fn tell_service_manager(state: NotifyState<'_>) -> io::Result<()> {
    sd_notify::notify(&[state])
}
