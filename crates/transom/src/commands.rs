//! The command line. One file per subcommand; the doc comments are the help
//! text and the manual.

pub(crate) mod bazel_sandbox;
mod block;
mod cleanup;
mod completions;
mod events;
mod explain;
mod install_helper;
mod label;
mod load;
mod modules;
mod mount;
mod probe;
pub(crate) mod run;
mod serve;
mod status;
mod sync;
mod task;
mod top;
mod view;
mod volume;
mod wrap;

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand};
use rustix::fs::OFlags;

/// Run build actions in a view of exactly their declared inputs; mount file
/// systems.
///
/// A view is a tree of names that stand for existing host files, from any
/// number of volumes. What is not declared does not exist in it. Reads are
/// done by the kernel on the host files themselves; writes go to scratch
/// directories of the host, and declared outputs come out atomically.
///
/// The same machinery mounts what modules make of directories, on its own or
/// through mount(8).
#[derive(Debug, Parser)]
#[command(name = "transom", version, max_term_width = 100, after_long_help = ENVIRONMENT)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

const ENVIRONMENT: &str = "\
Environment:
  TRANSOM_LOG      what is logged on standard error, `error` to `trace`, also by
                   crate, as in `warn,transom_fuse=debug` [default: warn]
  XDG_RUNTIME_DIR  where the control sockets of running views are; without it
                   in /run/transom (root) or the directory for temporary files
  TRANSOM_MODULES  the file that says which modules are disabled [default:
                   /etc/transom/modules.json]
  TRANSOM_SOCKET   where the daemon listens [default:
                   /run/transom-host/control]
  NO_COLOR         if set, nothing is coloured";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Run(Box<run::RunArguments>),
    View(view::ViewArguments),
    Explain(explain::ExplainArguments),
    Wrap(wrap::WrapArguments),
    Mount(mount::MountArguments),
    Modules(modules::ModulesArguments),
    Serve(serve::ServeArguments),
    Status(status::StatusArguments),
    Top(top::TopArguments),
    Probe(probe::ProbeArguments),
    Load(load::LoadArguments),
    Offer(load::OfferArguments),
    Unload(load::UnloadArguments),
    Volume(volume::VolumeArguments),
    Block(block::BlockArguments),
    Task(task::TaskArguments),
    Check(task::CheckArguments),
    Format(task::FormatArguments),
    Events(events::EventsArguments),
    Cleanup(cleanup::CleanupArguments),
    Sync(sync::SyncArguments),
    Label(label::LabelArguments),
    InstallHelper(install_helper::InstallHelperArguments),
    BazelSandbox(bazel_sandbox::BazelSandboxArguments),
    Completions(completions::CompletionsArguments),
}

impl Command {
    pub(crate) fn execute(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Run(arguments) => Ok(run::run(&arguments)),
            Self::View(arguments) => view::view(arguments),
            Self::Explain(arguments) => explain::explain(arguments),
            Self::Wrap(arguments) => Ok(wrap::wrap(&arguments)),
            Self::Mount(arguments) => mount::mount(arguments),
            Self::Modules(arguments) => modules::modules(&arguments),
            Self::Serve(arguments) => serve::serve(&arguments),
            Self::Status(arguments) => status::status(&arguments),
            Self::Top(arguments) => top::top(&arguments),
            Self::Probe(arguments) => probe::probe(&arguments),
            Self::Load(arguments) => load::load(&arguments),
            Self::Offer(arguments) => load::offer(&arguments),
            Self::Unload(arguments) => load::unload(&arguments),
            Self::Volume(arguments) => volume::volume(arguments),
            Self::Block(arguments) => block::block(arguments),
            Self::Task(arguments) => task::task(arguments),
            Self::Check(arguments) => task::check(&arguments),
            Self::Format(arguments) => task::format(&arguments),
            Self::Events(arguments) => events::events(&arguments),
            Self::Cleanup(arguments) => cleanup::cleanup(&arguments),
            Self::Sync(arguments) => sync::sync(&arguments),
            Self::Label(arguments) => label::label(&arguments),
            Self::InstallHelper(arguments) => install_helper::install_helper(&arguments),
            Self::BazelSandbox(arguments) => bazel_sandbox::bazel_sandbox(arguments),
            Self::Completions(arguments) => completions::completions(&arguments),
        }
    }
}

/// Opens something only to ask about the volume that it lies on: without
/// waiting for the other end of a pipe.
fn open_any(path: &Path) -> anyhow::Result<File> {
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(path)
        .with_context(|| format!("cannot open {}", path.display()))
}
