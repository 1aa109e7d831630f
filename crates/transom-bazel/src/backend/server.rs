//! Requests in, answers out.
//!
//! One thread reads. What it reads decides the order of things, so it takes
//! pushes and the handshake itself: everything read later finds them done. The
//! rest goes to workers, and is answered when it is done, in any order. If
//! there is more to do than [`REQUESTS_MAX`], nothing is read meanwhile.
//!
//! At the end of the stream everything that was read is answered, what still
//! runs is killed, and nothing is left.

use std::collections::HashMap;
use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use transom_fuse::{MountError, Session, Statistics};
use transom_projection::{HostRoot, Projection, ProjectionOptions};
use transom_sandbox::{Scratch, host_tree};

use crate::backend::answers::{Answers, create_answer, error, failure, negotiate_answer, plain};
use crate::backend::entrance::Entrance;
use crate::backend::framing::{self, FrameError};
use crate::backend::sandboxes::{Creation, Sandboxes};
use crate::backend::wire::{self, Answer, CreateOutcome, Operation};
use crate::backend::{SandboxVolume, Store, StoreStatistics};

/// The most requests that wait for a worker.
pub const REQUESTS_MAX: usize = 1024;

/// The most workers. Most of what they do is done by the kernel.
const WORKERS_MAX: usize = 16;

/// How a backend is run.
#[derive(Debug, Clone)]
pub struct Options {
    /// The exec root of the workspace, such as `<output base>/execroot/_main`:
    /// actions start in it. What manifests call `exec_root` is the directory
    /// that holds it.
    pub workspace: PathBuf,
    /// What Bazel has to put before a command. The address of the backend and
    /// the name of the sandbox are added to it.
    pub wrapper: Vec<String>,
    /// For how long Bazel waits for an answer.
    pub patience: Duration,
    /// The limit of open files that actions begin with; `None`: ours.
    pub open_files_limit: Option<u64>,
}

/// What a backend has done.
#[derive(Debug, Clone)]
pub struct Served {
    /// Requests read.
    pub requests: u64,
    /// What became of directories and files.
    pub store: StoreStatistics,
    /// The requests of the kernel.
    pub kernel: Statistics,
}

/// Why a backend ended before its time.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The stream does not make sense.
    #[error("Bazel cannot be understood: {0}")]
    Frame(#[from] FrameError),
    /// The stream does not make sense.
    #[error("Bazel cannot be understood: the request id {0} is in use")]
    IdInUse(u64),
    /// The volume cannot be served.
    #[error("cannot serve the inputs of actions: {0}")]
    Mount(#[from] MountError),
    /// There can be no sandboxes.
    #[error(transparent)]
    Sandbox(#[from] transom_sandbox::Error),
    /// The workspace is no directory, or has no parent.
    #[error(
        "the workspace {0:?} is no exec root: the absolute path of a directory is wanted, with \
         another above it"
    )]
    Workspace(PathBuf),
    /// Something that processes take for granted.
    #[error("cannot begin: {0}")]
    Start(#[from] io::Error),
}

/// Serves requests from `input` until it ends, and writes answers to `output`.
///
/// The process has to have the privilege that sandboxes need.
pub fn serve(
    input: &mut impl Read,
    output: impl Write + Send,
    options: &Options,
) -> Result<Served, ServeError> {
    let backend = Backend::start(options)?;
    let answers = Answers::new(output, options.patience);
    let (queue, requests) = mpsc::sync_channel(REQUESTS_MAX);
    let requests = Mutex::new(requests);
    let workers = thread::available_parallelism().map_or(1, NonZero::get);
    let read = thread::scope(|scope| {
        for _ in 0..workers.clamp(2, WORKERS_MAX) {
            scope.spawn(|| work(&requests, &backend, &answers));
        }
        scope.spawn(|| answers.watch());
        let read = read_requests(input, &backend, &answers, &queue);
        drop(queue);
        answers.finish();
        // Now, even if a worker hangs.
        backend.sandboxes.destroy_all();
        read
    });
    // And what was made since.
    backend.sandboxes.destroy_all();
    let requests = read?;
    Ok(Served {
        requests,
        store: backend.store.statistics(),
        kernel: backend.sandboxes.statistics(),
    })
}

struct Backend {
    store: Arc<Store>,
    sandboxes: Arc<Sandboxes>,
    entrance: Entrance,
    wrapper: Vec<String>,
    /// What manifests call so: the directory that holds the workspace's exec
    /// root. Relative host paths begin at it, and so do those of trees.
    exec_root: PathBuf,
    /// Where scratch is made: beside that, on its volume.
    scratch_base: Mutex<PathBuf>,
}

impl Backend {
    fn start(options: &Options) -> Result<Self, ServeError> {
        let not_workspace = || ServeError::Workspace(options.workspace.clone());
        let workspace = options.workspace.file_name().ok_or_else(not_workspace)?;
        let exec_root = options.workspace.parent().ok_or_else(not_workspace)?;
        if !exec_root.is_absolute() || !options.workspace.is_dir() {
            return Err(not_workspace());
        }
        let scratch_base = exec_root.parent().unwrap_or(exec_root).to_owned();

        let host = HostRoot::at(host_tree()?);
        let projection = Projection::new(host, ProjectionOptions::default());
        let store = Arc::new(Store::new(projection));
        let owner = (
            rustix::process::geteuid().as_raw(),
            rustix::process::getegid().as_raw(),
        );
        let volume = SandboxVolume::new(store.clone(), owner);
        let session = Session::start(volume.definition(), &transom_fuse::Options::default())?;
        let sandboxes = Arc::new(Sandboxes::new(
            store.clone(),
            volume,
            session,
            OsString::from(workspace),
            options.open_files_limit,
        ));
        Ok(Self {
            store,
            entrance: Entrance::open(&sandboxes)?,
            sandboxes,
            wrapper: options.wrapper.clone(),
            exec_root: exec_root.to_owned(),
            scratch_base: Mutex::new(scratch_base),
        })
    }

    fn scratch_base(&self) -> PathBuf {
        self.scratch_base
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn negotiate(&self, negotiate: &wire::Negotiate) -> Result<(), String> {
        if !negotiate
            .versions()
            .any(|version| version == wire::Version::Version1)
        {
            return Err(format!(
                "Bazel speaks the versions {:?} of the sandbox protocol, and transom only {:?}",
                negotiate.versions,
                wire::Version::Version1 as i32
            ));
        }
        for option in &negotiate.options {
            let Some(directory) = option.strip_prefix("--scratch=") else {
                return Err(format!(
                    "the option {option:?} is not known; there is `--scratch=DIR`"
                ));
            };
            if !Path::new(directory).is_absolute() {
                return Err(format!(
                    "the directory of {option:?} has to be an absolute path"
                ));
            }
            *self
                .scratch_base
                .lock()
                .unwrap_or_else(PoisonError::into_inner) = directory.into();
        }
        let base = self.scratch_base();
        match Scratch::sweep(&base) {
            Ok(_) => Ok(()),
            Err(error) => Err(error.to_string()),
        }
    }

    fn create(&self, id: &str, create: &wire::Create) -> CreateOutcome {
        let Some(manifest) = &create.manifest else {
            return CreateOutcome::Error(error("the manifest is missing"));
        };
        match self.sandboxes.create(id, manifest, &self.scratch_base()) {
            Ok(Creation::Done { path }) => {
                let mut wrapper = self.wrapper.clone();
                wrapper.extend([self.entrance.name().into(), id.into(), "--".into()]);
                let custom = wire::CustomConfinement {
                    name: "transom".into(),
                    wrapper,
                    env: HashMap::new(),
                };
                CreateOutcome::Ok(wire::Created {
                    path,
                    confinement: Some(wire::Confinement::Custom(custom)),
                })
            }
            Ok(Creation::Missing(digest_hashes)) => {
                CreateOutcome::MissingContent(wire::MissingContent { digest_hashes })
            }
            Err(message) => CreateOutcome::Error(error(message)),
        }
    }

    fn perform(&self, id: &str, operation: &Operation) -> Option<Answer> {
        Some(match operation {
            Operation::Create(create) => create_answer(self.create(id, create)),
            Operation::Collect(collect) => {
                Answer::Collect(plain(self.sandboxes.collect(id, &collect.exec_root)))
            }
            Operation::Destroy(_) => {
                self.sandboxes.destroy(id);
                Answer::Destroy(plain(Ok(())))
            }
            Operation::Negotiate(_) | Operation::Push(_) => return None,
        })
    }

    /// Undoes what nobody was told of.
    fn undo(&self, id: &str, operation: &Operation) {
        if matches!(operation, Operation::Create(_)) {
            self.sandboxes.destroy(id);
        }
    }
}

/// Reads until the end, and says how many requests there were.
fn read_requests(
    input: &mut impl Read,
    backend: &Backend,
    answers: &Answers<impl Write>,
    queue: &SyncSender<wire::Request>,
) -> Result<u64, ServeError> {
    let mut has_negotiated = false;
    let mut count = 0;
    while let Some(request) = framing::read::<wire::Request>(input)? {
        count += 1;
        let rid = request.rid;
        match request.op {
            Some(Operation::Push(push)) => backend.store.push(push, &backend.exec_root),
            Some(Operation::Negotiate(negotiate)) => {
                let result = match has_negotiated {
                    true => Err("the handshake was done before".into()),
                    false => backend.negotiate(&negotiate),
                };
                has_negotiated |= result.is_ok();
                answers.send(rid, Some(negotiate_answer(result)));
            }
            Some(operation) if !has_negotiated => {
                let message = "there was no handshake: `Negotiate` has to come first";
                answers.send(rid, Some(failure(&operation, message.into())));
            }
            Some(operation) => {
                if !answers.expect(rid, &operation) {
                    return Err(ServeError::IdInUse(rid));
                }
                let request = wire::Request {
                    op: Some(operation),
                    ..request
                };
                if queue.send(request).is_err() {
                    break;
                }
            }
            None => {
                tracing::warn!(rid, "Bazel asked for something that is not known");
                answers.send(rid, None);
            }
        }
    }
    Ok(count)
}

/// Does what is in the queue until it is closed.
fn work(queue: &Mutex<Receiver<wire::Request>>, backend: &Backend, answers: &Answers<impl Write>) {
    loop {
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(wire::Request {
            rid,
            sandbox_id,
            op: Some(operation),
        }) = next
        else {
            break;
        };
        let answer = backend.perform(&sandbox_id, &operation);
        if !answers.answer(rid, answer) {
            backend.undo(&sandbox_id, &operation);
        }
    }
}
