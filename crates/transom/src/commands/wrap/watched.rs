//! A command that is watched.
//!
//! The command's root is the host's, served over FUSE by the passthrough module
//! with an observer around it. So every name comes by, while bytes are moved by
//! the kernel; and what the command writes, it writes in place. `/proc`, `/dev`
//! and `/tmp` are those that an action has, and `/sys`, which none has, is not
//! there: what works here works in the view that is learnt.
//!
//! A project below `/tmp` would not be seen so. For one of those the host's
//! `/tmp` is watched like everything else.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use transom_fuse::{Options, Session, Statistics};
use transom_learn::{Observed, Record, Surroundings};
use transom_module::Lifetime;
use transom_passthrough::Source;
use transom_projection::ViewPath;
use transom_sandbox::{Action, Exit, Network, Sandbox, Stdio, Tmp};
use transom_view::obtain_privilege;

use crate::commands::run::raise_descriptor_limit;
use crate::mounting::items_max;
use crate::signals::HeldSignals;

/// How long names and attributes are cached that others may change.
const CACHE: Duration = Duration::from_secs(1);

/// How long the kernel has, when the command is gone, to give back what it still
/// holds.
const END_PATIENCE: Duration = Duration::from_secs(60);

/// What is not the host's for a watched command.
#[derive(Debug, Clone)]
pub(super) struct World {
    pub(super) working_directory: PathBuf,
    /// Whether it has the host's network.
    pub(super) network: bool,
    /// Whether it has the host's `/tmp`.
    pub(super) host_tmp: bool,
}

/// A command that has ended.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) exit: Exit,
    pub(super) record: Arc<Record>,
    pub(super) statistics: Statistics,
    /// How long the command ran.
    pub(super) time: Duration,
}

impl World {
    /// Directories that are the command's own, or that it does not have.
    pub(super) fn own_directories(&self) -> anyhow::Result<Vec<ViewPath>> {
        let Surroundings { mounted, hidden } = self.surroundings();
        let names = mounted.into_iter().chain(hidden);
        names
            .map(|name| Ok(ViewPath::parse(name.as_bytes())?))
            .collect()
    }

    fn surroundings(&self) -> Surroundings {
        let mut mounted = vec!["dev", "proc"];
        if !self.host_tmp {
            mounted.push("tmp");
        }
        Surroundings {
            mounted,
            hidden: vec!["sys"],
        }
    }

    fn action(&self, command: &[OsString]) -> Action {
        let mut action = Action::new(command.to_vec());
        action.environment = std::env::vars_os().collect();
        action.working_directory.clone_from(&self.working_directory);
        if self.network {
            action.network = Network::Host;
        }
        if self.host_tmp {
            action.tmp = Tmp::AsDeclared;
        }
        action
    }
}

impl Watched {
    /// Runs a command to its end, with our terminal and signals.
    pub(super) fn run(command: &[OsString], world: &World) -> anyhow::Result<Self> {
        let held_signals = HeldSignals::hold()?;
        obtain_privilege()?;
        let mut action = world.action(command);
        action.open_files_limit = raise_descriptor_limit();
        let tree = transom_sandbox::writable_host_tree()?;
        let source = Source::at(tree, false, Lifetime::for_duration(CACHE))?;
        let record = Arc::new(Record::default());
        let observed = Observed::new(source.volume()?, record.clone(), world.surroundings());
        let options = Options {
            read_only: false,
            items_max: items_max(),
            ..Options::default()
        };
        let mut session =
            Session::start(observed, &options).context("cannot watch the command over FUSE")?;
        let Some(root) = session.take_mount() else {
            bail!("the volume of the host has no mount");
        };
        let stdio = Stdio::inherit()?;
        let sandbox = Sandbox::new(root, &action, None)?;
        let began = Instant::now();
        let running = sandbox.spawn(stdio)?;
        let passed_on = held_signals.pass_on_to(running.remote())?;
        let finished = running.wait()?;
        drop(passed_on);
        let time = began.elapsed();
        // Before that, not all that was written need be on the host.
        if !session.wait(END_PATIENCE) {
            bail!("the command is gone, but something still uses what it saw");
        }
        Ok(Self {
            exit: finished.exit,
            record,
            statistics: session.statistics(),
            time,
        })
    }
}
