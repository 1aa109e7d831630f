//! The sandboxes that there are, from `Create` to `Destroy`.
//!
//! A sandbox is made by one request and used by others, and Bazel does not
//! wait: interrupted, it destroys what is still being made. So a name is taken
//! at once, and what became of it meanwhile is looked at when the sandbox is
//! complete. No lock is held while one is made, nor while its action runs.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use rustix::process::Signal;
use transom_fuse::{Session, Statistics};
use transom_projection::shown;
use transom_sandbox::{Finished, Remote, Sandbox, Scratch, Stdio, outputs};

use crate::backend::directory::Directory;
use crate::backend::entrance::Command;
use crate::backend::manifest::Plan;
use crate::backend::volume::SandboxVolume;
use crate::backend::{HashFunction, Store, Unresolved, wire};

/// The most sandboxes at a time.
pub const SANDBOXES_MAX: usize = 1024;

/// All sandboxes of a process.
#[derive(Debug)]
pub(crate) struct Sandboxes {
    store: Arc<Store>,
    volume: SandboxVolume,
    session: Session<SandboxVolume>,
    /// The name of the directory of the exec root that actions start in.
    workspace: OsString,
    open_files_limit: Option<u64>,
    slots: Mutex<HashMap<String, Slot>>,
    last: AtomicU64,
}

#[derive(Debug)]
enum Slot {
    Making,
    /// Destroyed while it was being made.
    Doomed,
    Made(Arc<Made>),
}

#[derive(Debug)]
struct Made {
    /// Its name in the volume.
    name: String,
    plan: Plan,
    tree: Arc<Directory>,
    /// How many changed files were known when it was made.
    changes_before: usize,
    state: Mutex<State>,
    ended: Condvar,
}

#[derive(Debug)]
struct State {
    /// Until an action is started in it.
    sandbox: Option<Sandbox>,
    /// Until it is destroyed.
    scratch: Option<Scratch>,
    running: Option<Remote>,
}

/// What came of creating one, other than an error.
#[derive(Debug)]
pub(crate) enum Creation {
    Done { path: String },
    Missing(Vec<String>),
}

impl Sandboxes {
    pub(crate) fn new(
        store: Arc<Store>,
        volume: SandboxVolume,
        session: Session<SandboxVolume>,
        workspace: OsString,
        open_files_limit: Option<u64>,
    ) -> Self {
        Self {
            store,
            volume,
            session,
            workspace,
            open_files_limit,
            slots: Mutex::default(),
            last: AtomicU64::new(0),
        }
    }

    pub(crate) fn create(
        &self,
        id: &str,
        manifest: &wire::Manifest,
        scratch_base: &Path,
    ) -> Result<Creation, String> {
        self.reserve(id)?;
        let made = self.make(manifest, scratch_base);
        let mut slots = self.slots();
        let was_doomed = matches!(slots.remove(id), Some(Slot::Doomed));
        match made {
            Ok(made) if was_doomed => {
                drop(slots);
                self.take_apart(made);
                Err(format!(
                    "the sandbox {id:?} was destroyed while it was made"
                ))
            }
            Ok(made) => {
                let path = made.plan.exec_root.to_string_lossy().into_owned();
                slots.insert(id.into(), Slot::Made(made));
                Ok(Creation::Done { path })
            }
            Err(NotMade::Missing(missing)) => Ok(Creation::Missing(missing)),
            Err(NotMade::Error(message)) => Err(message),
        }
    }

    /// Moves the outputs to where they belong.
    pub(crate) fn collect(&self, id: &str, exec_root: &str) -> Result<(), String> {
        let made = self.find(id)?;
        if made.plan.exec_root.as_os_str() != OsStr::new(exec_root) {
            return Err(format!(
                "the sandbox {id:?} was made for the exec root {}, not for {exec_root:?}",
                shown(&made.plan.exec_root)
            ));
        }
        if let Some(changed) = self.store.change_in(&made.tree, made.changes_before) {
            return Err(format!(
                "{changed}, while an action used it; its outputs are not collected"
            ));
        }
        let state = made.state();
        if state.running.is_some() {
            return Err(format!("the action in the sandbox {id:?} is running"));
        }
        let Some(scratch) = &state.scratch else {
            return Err(no_sandbox(id));
        };
        let collected =
            outputs::collect(scratch, &made.plan.action).map_err(|error| error.to_string())?;
        tracing::debug!(
            id,
            published = collected.published.len(),
            "outputs were collected"
        );
        Ok(())
    }

    /// Ends what runs in a sandbox, and forgets it. None of that name is none
    /// to forget.
    pub(crate) fn destroy(&self, id: &str) {
        let made = {
            let mut slots = self.slots();
            match slots.get_mut(id) {
                Some(slot @ (Slot::Making | Slot::Doomed)) => {
                    *slot = Slot::Doomed;
                    return;
                }
                Some(Slot::Made(_)) => slots.remove(id),
                None => None,
            }
        };
        if let Some(Slot::Made(made)) = made {
            self.take_apart(made);
        }
    }

    /// Destroys all of them.
    pub(crate) fn destroy_all(&self) {
        let all: Vec<String> = self.slots().keys().cloned().collect();
        for id in all {
            self.destroy(&id);
        }
    }

    /// Starts the action of a sandbox, tells `started` how to end it, and waits
    /// for its end.
    pub(crate) fn run(
        &self,
        id: &str,
        command: Command,
        stdio: Stdio,
        started: impl FnOnce(Remote),
    ) -> Result<Finished, RunError> {
        let made = self.find(id).map_err(RunError::Refused)?;
        let running = {
            let mut state = made.state();
            let Some(mut sandbox) = state.sandbox.take() else {
                return Err(RunError::Refused(format!(
                    "an action was started in the sandbox {id:?} before"
                )));
            };
            sandbox.set_command(
                command.arguments,
                command.environment,
                command.working_directory,
            );
            let running = sandbox.spawn(stdio).map_err(RunError::Sandbox)?;
            state.running = Some(running.remote());
            running
        };
        started(running.remote());
        let finished = running.wait();
        made.state().running = None;
        made.ended.notify_all();
        finished.map_err(RunError::Sandbox)
    }

    /// The requests of the kernel so far.
    pub(crate) fn statistics(&self) -> Statistics {
        self.session.statistics()
    }

    fn reserve(&self, id: &str) -> Result<(), String> {
        let mut slots = self.slots();
        if slots.contains_key(id) {
            return Err(format!("there is a sandbox {id:?} already"));
        }
        if slots.len() >= SANDBOXES_MAX {
            return Err(format!(
                "there are {SANDBOXES_MAX} sandboxes already, which is the limit; run fewer actions at once (`--jobs`)"
            ));
        }
        slots.insert(id.into(), Slot::Making);
        Ok(())
    }

    fn make(&self, manifest: &wire::Manifest, scratch_base: &Path) -> Result<Arc<Made>, NotMade> {
        let changes_before = self.store.changes_noted();
        let mut plan =
            Plan::new(manifest, &self.workspace).map_err(|error| NotMade::error(&error))?;
        plan.action.open_files_limit = self.open_files_limit;
        let function = HashFunction::of_name(&manifest.hash_function);
        let inputs = self.store.resolve(
            manifest.input_root_digest.as_ref(),
            function,
            &plan.exec_root,
        )?;
        let tree = plan.directories.iter().try_fold(inputs, |tree, path| {
            tree.with_directory(path).map_err(|obstacle| {
                NotMade::Error(format!(
                    "the directory `{path}` is needed, and the input `{obstacle}` is none"
                ))
            })
        })?;
        let mut scratch = Scratch::new(scratch_base, &plan.action.outputs)
            .map_err(|error| NotMade::error(&error))?;
        let name = format!("s{}", self.last.fetch_add(1, Ordering::Relaxed) + 1);
        self.volume.add(&name, tree.clone());
        let sandbox = self
            .session
            .subtree(&name)
            .map_err(|error| format!("cannot mount the inputs: {error}"))
            .and_then(|view| {
                Sandbox::new(view, &plan.action, Some(&mut scratch))
                    .map_err(|error| error.to_string())
            });
        match sandbox {
            Ok(sandbox) => Ok(Arc::new(Made {
                name,
                plan,
                tree,
                changes_before,
                state: Mutex::new(State {
                    sandbox: Some(sandbox),
                    scratch: Some(scratch),
                    running: None,
                }),
                ended: Condvar::new(),
            })),
            Err(message) => {
                self.hide(&name);
                Err(NotMade::Error(message))
            }
        }
    }

    fn take_apart(&self, made: Arc<Made>) {
        let mut state = made.state();
        if let Some(running) = &state.running {
            // That it has ended already is as good.
            let _ = running.signal(Signal::KILL);
        }
        while state.running.is_some() {
            state = made
                .ended
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        let parts = (state.sandbox.take(), state.scratch.take());
        drop(state);
        drop(parts);
        self.hide(&made.name);
        drop(made);
        self.store.forget_single_use();
    }

    fn hide(&self, name: &str) {
        if let Err(error) = self.session.invalidate(&self.volume.remove(name)) {
            tracing::debug!(%error, name, "the kernel could not be told that a sandbox is gone");
        }
    }

    fn find(&self, id: &str) -> Result<Arc<Made>, String> {
        match self.slots().get(id) {
            Some(Slot::Made(made)) => Ok(made.clone()),
            _ => Err(no_sandbox(id)),
        }
    }

    fn slots(&self) -> MutexGuard<'_, HashMap<String, Slot>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Made {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why no sandbox was made. Errors are text from here on: Bazel is told no more.
#[derive(Debug)]
enum NotMade {
    Missing(Vec<String>),
    Error(String),
}

impl NotMade {
    fn error(error: &impl ToString) -> Self {
        Self::Error(error.to_string())
    }
}

impl From<Unresolved> for NotMade {
    fn from(unresolved: Unresolved) -> Self {
        match unresolved {
            Unresolved::Missing(hashes) => Self::Missing(hashes.into_iter().collect()),
            error => Self::error(&error),
        }
    }
}

/// Why an action did not run to its end.
#[derive(Debug)]
pub(crate) enum RunError {
    /// It was not to be started.
    Refused(String),
    /// It could not be started, or was killed.
    Sandbox(transom_sandbox::Error),
}

fn no_sandbox(id: &str) -> String {
    format!("there is no sandbox {id:?}")
}
