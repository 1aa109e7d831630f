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
use transom_daemon::{Daemon, Names, Policy, Views};
use transom_host::Host;

use crate::commands::run::raise_descriptor_limit;
use crate::{daemon, modules};

/// Where the state of the machine's daemon is kept that outlives it.
const SYSTEM_STATE: &str = "/var/lib/transom";

/// Where the policy of the machine's daemon is.
const SYSTEM_POLICY: &str = "/etc/transom/policy.toml";

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
    /// Who may do what: see docs/policy.md [default: /etc/transom/policy.toml, if
    /// it is there].
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    policy: Option<PathBuf>,
    /// A directory for what outlives the daemon [default: /var/lib/transom].
    #[arg(long, value_hint = ValueHint::DirPath)]
    state: Option<PathBuf>,
}

pub(crate) fn serve(arguments: &ServeArguments) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    raise_descriptor_limit();
    let state = arguments
        .state
        .clone()
        .unwrap_or_else(|| SYSTEM_STATE.into());
    let host = host(&state)?;
    let policy = policy(arguments.policy.as_deref())?;
    let views = Arc::new(Views::start(Arc::new(policy))?);
    let answering = Arc::new(Daemon::new(host, env!("CARGO_PKG_VERSION"))?);
    let socket = listen(arguments.socket.clone())?;
    let admission = match geteuid().is_root() {
        true => Admission::SYSTEM,
        false => Admission::PRIVATE,
    };
    let mut interfaces = answering.interfaces();
    interfaces.push(transom_control::views::interface(views));
    let server = Server::start(socket, admission, Services::new(interfaces))?;
    tell_service_manager(NotifyState::Ready)?;
    tracing::info!("ready");
    let signal = signals.forever().next();
    tell_service_manager(NotifyState::Stopping)?;
    tracing::info!(?signal, "ending");
    if !server.stop(CLIENTS_PATIENCE) {
        tracing::warn!("some clients were cut off");
    }
    let left = answering.end();
    for problem in &left {
        tracing::warn!("{problem}");
    }
    Ok(ExitCode::SUCCESS)
}

fn host(state: &Path) -> anyhow::Result<Host> {
    let failed = || {
        format!(
            "cannot keep state in {}; choose with --state",
            state.display()
        )
    };
    std::fs::create_dir_all(state).with_context(failed)?;
    Host::new(
        modules::built_in(),
        modules::enablement(),
        Some(state.join("tasks")),
    )
    .with_context(failed)
}

/// The policy of a file; the built-in one if none is named and there is none
/// where it usually is.
fn policy(named: Option<&Path>) -> anyhow::Result<Policy> {
    let path = named.unwrap_or(Path::new(SYSTEM_POLICY));
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Policy::parse(
            &text,
            &path.display().to_string(),
            &Names::of_host()?,
        )?),
        Err(error) if error.kind() == io::ErrorKind::NotFound && named.is_none() => {
            Ok(Policy::default())
        }
        Err(error) => {
            Err(error).with_context(|| format!("cannot read the policy {}", path.display()))
        }
    }
}

/// The socket that a service manager has handed over, or one of our own.
fn listen(path: Option<PathBuf>) -> anyhow::Result<Socket> {
    if let Some(descriptor) = handed_over()? {
        return Ok(Socket::listening(descriptor)?);
    }
    let path = path.unwrap_or_else(daemon::socket);
    let permission = match geteuid().is_root() {
        true => Permission::Everybody,
        false => Permission::OurUser,
    };
    Socket::bind(&path, permission).with_context(|| format!("cannot listen at {}", path.display()))
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
