//! `transom-sandboxfs`: what Bazel runs in the place of sandboxfs 0.2.0.
//!
//! ```text
//!   Bazel ── requests, answers ──► this program ── serves ──► the mount
//!                                       │                        ▲
//!                                       └─ pipe ─► caretaker ────┘ detaches it
//!                                                  when the pipe is closed
//! ```
//!
//! It ends when it is told to by a signal, when its input is closed, or when it
//! is unmounted; in each case the mount is gone before it is. If it is killed,
//! the caretaker sees that. If that was killed too, the dead mount is taken away
//! by whoever mounts there next.

mod caretaker;
mod place;

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::num::NonZero;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::Duration;

use anyhow::Context;
use clap::{Parser, ValueEnum};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::iterator::Signals;
use transom_bazel::sandboxfs::{self, Ended, HandleRequests, Rejected, Request, Sandboxes};
use transom_fuse::Session;
use transom_host::Target;
use transom_module::Lifetime;
use transom_passthrough::Passthrough;
use transom_projection::{HostRoot, Projection, ProjectionOptions};
use transom_sandbox::privilege::{self, Privilege};

use crate::commands::run::raise_descriptor_limit;
use crate::exit;
use crate::mounting::{items_max, open_target};
use crate::summary::Requests;
use caretaker::Caretaker;

/// The names by which the program is this one.
const NAMES: [&str; 2] = ["transom-sandboxfs", "sandboxfs"];

/// For how long names and attributes of what is written are cached: what other
/// programs change in such a directory is seen after a second.
const WRITTEN_CACHED: Duration = Duration::from_secs(1);

/// How long the last users of the mount may take to leave. Whoever needs longer
/// has lost it.
const LEAVING: Duration = Duration::from_millis(500);

/// Serve the sandboxes of a Bazel build.
///
/// Speaks the protocol of sandboxfs 0.2.0 on standard input and output. Bazel 3
/// to 6 uses it with:
///
///   bazel build --experimental_use_sandboxfs \
///     --experimental_sandboxfs_path=$(which transom-sandboxfs) ...
///
/// Options of the original that have no meaning here are accepted: --node_cache,
/// --ttl and --xattrs.
#[derive(Debug, Parser)]
#[command(
    name = "sandboxfs",
    version = "0.2.0",
    max_term_width = 100,
    verbatim_doc_comment
)]
struct Arguments {
    /// The directory to mount on.
    mount_point: PathBuf,
    /// Who may use the mount. As root everybody may whom the permissions of
    /// files let.
    #[arg(long, value_name = "WHO", default_value = "self")]
    allow: Allow,
    /// Read requests from a file; `-` is standard input [default: -].
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,
    /// Write answers to a file or pipe that exists; `-` is standard output
    /// [default: -].
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// How many requests are worked on at once [default: processors].
    #[arg(long = "reconfig_threads", value_name = "COUNT")]
    reconfig_threads: Option<NonZero<usize>>,
    /// Write the counts of the kernel's requests to a file at the end, as JSON.
    #[arg(long, value_name = "FILE")]
    stats: Option<PathBuf>,
    #[arg(long = "node_cache", hide = true)]
    _node_cache: bool,
    #[arg(long = "ttl", hide = true)]
    _ttl: Option<String>,
    #[arg(long = "xattrs", hide = true)]
    _xattrs: bool,
    /// Be the caretaker of a mount.
    #[arg(long, hide = true)]
    caretaker: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Allow {
    /// This user.
    #[value(name = "self")]
    Own,
    /// This user and root.
    Root,
    /// Everybody.
    Other,
}

/// Why the program is to end.
#[derive(Debug)]
enum End {
    Signal,
    Closed,
    Unmounted,
    Failed(anyhow::Error),
}

/// Whether this program was called by such a name.
pub(crate) fn is_called_by(program: &OsStr) -> bool {
    let name = Path::new(program).file_name();
    name.is_some_and(|name| NAMES.iter().any(|known| name == *known))
}

/// Does it, with the arguments of this process.
pub(crate) fn run() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(usage) => return exit::usage(&usage),
    };
    if arguments.caretaker {
        caretaker::live(&arguments.mount_point);
        return ExitCode::SUCCESS;
    }
    match serve(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => exit::report(&error),
    }
}

fn serve(arguments: &Arguments) -> anyhow::Result<()> {
    let mount_point = std::path::absolute(&arguments.mount_point)?;
    let (input, output) = (open_input(arguments)?, open_output(arguments)?);
    let (end, ended) = mpsc::channel();
    // Before the mount, so that none comes too early.
    tell_of_signals(end.clone())?;
    raise_descriptor_limit();
    place::clear(&mount_point)?;
    let mut caretaker = Caretaker::start(&mount_point)?;
    let target = open_target(&mount_point)?;
    let privilege = privilege::detect()?;
    let sandboxes = sandboxes(&target, privilege)?;
    let (session, mounted) = place::mount(&sandboxes, target, privilege, arguments.allow)?;
    caretaker.watch(&mounted);
    let requests = Requester {
        sandboxes,
        session: Arc::new(session),
    };
    let session = requests.session.clone();
    let workers = arguments
        .reconfig_threads
        .map_or_else(thread::available_parallelism, Ok)?;
    spawn("requests", end.clone(), move || {
        match sandboxfs::serve(input, output, &requests, workers) {
            Ok(Ended::Closed) => End::Closed,
            Ok(Ended::Lost(rejected)) => End::Failed(lost(&rejected)),
            Err(error) => End::Failed(error.into()),
        }
    })?;
    let watched = session.clone();
    spawn("unmounted", end, move || {
        let _ = watched.wait(Duration::MAX);
        End::Unmounted
    })?;
    let ended = ended.recv().context("nobody is left to say when to end")?;
    if !matches!(ended, End::Unmounted) {
        place::unmount(&mounted)
            .with_context(|| format!("cannot unmount `{}`", mount_point.display()))?;
    }
    let _ = session.wait(LEAVING);
    if let Some(path) = &arguments.stats {
        write_statistics(path, &session)
            .with_context(|| format!("cannot write `{}`", path.display()))?;
    }
    match ended {
        End::Failed(error) => Err(error),
        End::Signal | End::Closed | End::Unmounted => Ok(()),
    }
}

fn sandboxes(target: &Target, privilege: Privilege) -> anyhow::Result<Sandboxes> {
    let host = match privilege {
        Privilege::None => HostRoot::of_process()?,
        Privilege::Namespace | Privilege::Host => HostRoot::at(transom_sandbox::host_tree()?),
    };
    let projection = Projection::new(
        host,
        ProjectionOptions {
            // What is written takes descriptors too.
            descriptors: Some(items_max() / 2),
            ..ProjectionOptions::default()
        },
    );
    let cached = Lifetime::for_duration(WRITTEN_CACHED);
    let written = Passthrough::of_adopted(target.as_fd().try_clone_to_owned()?, cached)?;
    Ok(Sandboxes::new(projection, written)?)
}

/// Does what is requested, and has the kernel forget what is gone.
struct Requester {
    sandboxes: Sandboxes,
    session: Arc<Session<Sandboxes>>,
}

impl HandleRequests for Requester {
    fn handle(&self, request: Request) -> Result<(), String> {
        match request {
            Request::Create { id, mappings } => {
                let made = self.sandboxes.create(&id, &mappings);
                made.map_err(|error| error.to_string())
            }
            Request::Destroy { id } => {
                let gone = self.sandboxes.destroy(&id);
                let gone = gone.map_err(|error| error.to_string())?;
                let forgotten = self.session.invalidate(&gone);
                forgotten.map_err(|error| format!("the kernel does not forget it: {error}"))
            }
        }
    }
}

fn lost(rejected: &Rejected) -> anyhow::Error {
    anyhow::anyhow!("the requests make no sense any more: {rejected}")
}

fn tell_of_signals(end: Sender<End>) -> io::Result<()> {
    let mut signals = Signals::new([SIGHUP, SIGINT, SIGQUIT, SIGTERM])?;
    spawn("signals", end, move || {
        signals.forever().next();
        End::Signal
    })
}

/// A thread that says when to end.
fn spawn(
    name: &str,
    end: Sender<End>,
    wait: impl FnOnce() -> End + Send + 'static,
) -> io::Result<()> {
    let thread = thread::Builder::new().name(name.into());
    // Whoever comes second is not listened to.
    thread.spawn(move || _ = end.send(wait()))?;
    Ok(())
}

/// A file that stands for no standard stream.
fn named(path: Option<&Path>) -> Option<&Path> {
    path.filter(|path| path.as_os_str() != "-")
}

fn open_input(arguments: &Arguments) -> anyhow::Result<Box<dyn Read + Send>> {
    let Some(path) = named(arguments.input.as_deref()) else {
        return Ok(Box::new(io::stdin()));
    };
    let file = File::open(path);
    Ok(Box::new(file.with_context(|| {
        format!("cannot read requests from `{}`", path.display())
    })?))
}

fn open_output(arguments: &Arguments) -> anyhow::Result<Box<dyn Write + Send>> {
    let Some(path) = named(arguments.output.as_deref()) else {
        return Ok(Box::new(io::stdout()));
    };
    let file = OpenOptions::new().write(true).open(path);
    Ok(Box::new(file.with_context(|| {
        format!("cannot write answers to `{}`", path.display())
    })?))
}

fn write_statistics(path: &Path, session: &Session<Sandboxes>) -> anyhow::Result<()> {
    let requests = Requests::from(&session.statistics());
    let file = File::create(path)?;
    Ok(serde_json::to_writer(file, &requests)?)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn it_is_the_version_that_bazel_looks_for() {
        // Parsed by Bazel, which wants exactly this.
        assert_eq!(Arguments::command().render_version(), "sandboxfs 0.2.0\n");
    }

    #[test]
    fn the_help_has_a_command_to_be_pasted() {
        let help = Arguments::command().render_long_help().to_string();
        let command = "--experimental_use_sandboxfs \\\n    --experimental_sandboxfs_path=";
        assert!(help.contains(command), "{help}");
    }

    #[test]
    fn what_bazel_passes_is_accepted() {
        let parse = |arguments: &[&str]| Arguments::try_parse_from(arguments);
        let bazel = parse(&["sandboxfs", "--allow=self", "/mnt"]).unwrap();
        assert_eq!(bazel.allow, Allow::Own);
        let all = "s --allow=other --node_cache --ttl=60s --xattrs --reconfig_threads=4 /mnt";
        let all = parse(&all.split(' ').collect::<Vec<_>>()).unwrap();
        assert_eq!(all.reconfig_threads, NonZero::new(4));
    }

    #[test]
    fn names_of_the_program() {
        for (name, is_it) in [
            ("/usr/bin/transom-sandboxfs", true),
            ("sandboxfs", true),
            ("transom", false),
        ] {
            assert_eq!(is_called_by(name.as_ref()), is_it, "{name}");
        }
    }
}
