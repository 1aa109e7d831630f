use std::fmt;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::thread;

use transom_projection::{HostRoot, OnChange, Projection, ProjectionOptions, ViewOptions};
use transom_sandbox::privilege::{Privilege, detect};
use transom_sandbox::{Action, Sandbox, Scratch, Stdio, host_tree, outputs};

use crate::builder::ViewBuilder;
use crate::engine::{Engine, Served};
use crate::error::{Error, Result};
use crate::privilege::owners;
use crate::running::{Finished, Running};
use crate::tree::tree_for;

/// A tree of names that stand for host files, being served. Made by
/// [`View::builder`]; closed by dropping it and what runs in it.
#[derive(Clone)]
pub struct View(Arc<Inner>);

struct Inner {
    view: Arc<transom_projection::View>,
    served: Served,
    engine: Engine,
    /// What every command may do. It has no command.
    action: Action,
    scratch: Option<PathBuf>,
    on_change: OnChange,
}

impl View {
    /// Begins to declare a view.
    pub fn builder() -> ViewBuilder {
        ViewBuilder::new()
    }

    pub(crate) fn new(builder: ViewBuilder) -> Result<Self> {
        let ViewBuilder {
            inputs,
            action,
            engine,
            on_change,
            scratch,
            ..
        } = builder;
        let privilege = detect()?;
        if privilege == Privilege::None {
            return Err(Error::NoPrivilege);
        }
        let nothing_else = std::iter::empty::<outputs::Kept<'_, &str>>();
        outputs::check(&action, nothing_else)?;
        let tree = tree_for(inputs, &action)?;
        let engine = engine.unwrap_or_else(|| Engine::cheapest(privilege, tree.len()).0);
        let options = ProjectionOptions {
            owners: owners(privilege),
            descriptors: None,
        };
        let projection = Projection::new(HostRoot::at(host_tree()?), options);
        let options = ViewOptions {
            on_change,
            ..ViewOptions::default()
        };
        let view = projection.pin(tree, options)?;
        Ok(Self(Arc::new(Inner {
            served: Served::start_for_many(engine, &projection, &view)?,
            view,
            engine,
            scratch: scratch.or_else(|| beside_first_output(&action)),
            action,
            on_change,
        })))
    }

    /// Starts a command in the view, with the standard files of this process.
    ///
    /// Of the `Command` the program, its arguments, the working directory (as
    /// the command sees it; default `/`) and the environment are used. The
    /// environment is what was set with [`Command::env`] and nothing else: a
    /// command does not inherit what nobody declared. A program without `/` is
    /// searched in the `PATH` set there, inside the view.
    pub fn spawn(&self, command: &Command) -> Result<Running> {
        self.spawn_with(command, Stdio::inherit()?)
    }

    /// The same with other standard files.
    pub fn spawn_with(&self, command: &Command, stdio: Stdio) -> Result<Running> {
        let action = self.action_of(command);
        let mut scratch = self.make_scratch(&action)?;
        let root = self.0.served.input_root(&self.0.view)?;
        let sandbox = Sandbox::new(root, &action, scratch.as_mut())?;
        Ok(Running {
            running: sandbox.spawn(stdio)?,
            view: self.clone(),
            action,
            scratch,
        })
    }

    /// Runs a command that reads nothing from standard input, and returns what
    /// it printed, too.
    pub fn output(&self, command: &Command) -> Result<(Finished, Output)> {
        let (mut out, stdout) = io::pipe().map_err(Error::Pipe)?;
        let (mut err, stderr) = io::pipe().map_err(Error::Pipe)?;
        let (stdin, _) = io::pipe().map_err(Error::Pipe)?;
        let stdio = Stdio {
            stdin: stdin.into(),
            stdout: OwnedFd::from(stdout),
            stderr: OwnedFd::from(stderr),
            passed: Vec::new(),
        };
        let running = self.spawn_with(command, stdio)?;
        // Both at once: a command that waits until one is read does not go on.
        let (stdout, stderr) = thread::scope(|scope| {
            let errors = scope.spawn(|| read_all(&mut err));
            let stdout = read_all(&mut out);
            let errors = errors.join();
            (
                stdout,
                errors.unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            )
        });
        let finished = running.wait()?;
        let status = finished.status();
        Ok((
            finished,
            Output {
                status,
                stdout: stdout.map_err(Error::Pipe)?,
                stderr: stderr.map_err(Error::Pipe)?,
            },
        ))
    }

    /// What makes the view visible.
    #[must_use]
    pub fn engine(&self) -> Engine {
        self.0.engine
    }

    pub(crate) fn pinned(&self) -> &transom_projection::View {
        &self.0.view
    }

    pub(crate) fn on_change(&self) -> OnChange {
        self.0.on_change
    }

    fn action_of(&self, command: &Command) -> Action {
        let mut action = self.0.action.clone();
        let words = [command.get_program()]
            .into_iter()
            .chain(command.get_args());
        action.command = words.map(ToOwned::to_owned).collect();
        let set = command.get_envs();
        let set = set.filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())));
        action.environment = set.collect();
        if let Some(directory) = command.get_current_dir() {
            action.working_directory = directory.to_owned();
        }
        action
    }

    fn make_scratch(&self, action: &Action) -> Result<Option<Scratch>> {
        match &self.0.scratch {
            Some(base) if action.needs_scratch() => {
                Scratch::sweep(base)?;
                Ok(Some(Scratch::new(base, &action.outputs)?))
            }
            _ => Ok(None),
        }
    }
}

impl fmt::Debug for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("View")
            .field("engine", &self.0.engine)
            .field("declared", &self.0.view.statistics())
            .finish_non_exhaustive()
    }
}

/// The nearest directory that is there.
fn beside_first_output(action: &Action) -> Option<PathBuf> {
    let destination = &action.outputs.first()?.destination;
    let mut around = destination.ancestors().skip(1);
    around.find(|path| path.is_dir()).map(Path::to_owned)
}

fn read_all(from: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.read_to_end(&mut bytes)?;
    Ok(bytes)
}
