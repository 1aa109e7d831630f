use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use transom_bazel::backend::framing;
use transom_bazel::backend::wire::{
    self, Answer, CreateOutcome, NegotiateOutcome, Operation, PlainOutcome,
};

use super::{Action, MerkleTree};

/// How often a sandbox is asked for.
const CREATE_ATTEMPTS_MAX: usize = 3;

/// A Bazel server, as far as one backend sees it.
#[derive(Debug)]
pub struct Bazel {
    child: Child,
    /// `None` once it is closed.
    input: Mutex<Option<ChildStdin>>,
    waiting: Arc<Waiting>,
    readers: Vec<JoinHandle<()>>,
    stderr: Arc<Mutex<String>>,
    /// The directory that holds the workspace's exec root.
    exec_root: PathBuf,
    workspace: String,
    /// Hashes that were pushed to be used again.
    pushed: Mutex<HashSet<String>>,
    next_rid: AtomicU64,
    /// How often something was missing.
    missed: AtomicU64,
    /// What actions are started by.
    starter: Vec<OsString>,
}

/// Who waits for which answer.
type Waiting = Mutex<HashMap<u64, Sender<wire::Response>>>;

/// A sandbox to run a command in.
#[derive(Debug, Clone)]
pub struct Place {
    /// The name of the sandbox.
    pub id: String,
    /// Where commands start.
    pub working_directory: PathBuf,
    /// What is put before them.
    pub wrapper: Vec<String>,
}

impl Bazel {
    /// Starts the backend `program` for `workspace`, the exec root, and shakes
    /// hands.
    pub fn start(program: Command, workspace: &Path, options: &[&str]) -> Result<Self, String> {
        let bazel = Self::start_silently(program, workspace).map_err(|error| error.to_string())?;
        let negotiate = Operation::Negotiate(wire::Negotiate {
            options: options.iter().map(ToString::to_string).collect(),
            versions: vec![wire::Version::Version1 as i32],
        });
        match bazel.request("", negotiate)? {
            Answer::Negotiate(wire::NegotiateResult {
                outcome: Some(NegotiateOutcome::Ok(_)),
            }) => Ok(bazel),
            Answer::Negotiate(wire::NegotiateResult {
                outcome: Some(NegotiateOutcome::Error(error)),
            }) => Err(error.message),
            other => Err(format!("an answer to something else: {other:?}")),
        }
    }

    /// The same without the handshake.
    pub fn start_silently(mut program: Command, workspace: &Path) -> io::Result<Self> {
        let mut child = program
            .args([
                "serve".as_ref(),
                "--workspace".as_ref(),
                workspace.as_os_str(),
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let none = || io::Error::other("no pipe");
        let input = child.stdin.take().ok_or_else(none)?;
        let output = child.stdout.take().ok_or_else(none)?;
        let mut errors = child.stderr.take().ok_or_else(none)?;
        let waiting: Arc<Waiting> = Arc::default();
        let stderr: Arc<Mutex<String>> = Arc::default();
        let (told, tail) = (waiting.clone(), stderr.clone());
        let readers = vec![
            thread::spawn(move || {
                let mut output = BufReader::new(output);
                while let Ok(Some(response)) = framing::read::<wire::Response>(&mut output) {
                    if let Some(waiter) = lock(&told).remove(&response.rid) {
                        // Who gave up does not mind.
                        let _ = waiter.send(response);
                    }
                }
                lock(&told).clear();
            }),
            thread::spawn(move || {
                let mut text = String::new();
                let _ = errors.read_to_string(&mut text);
                *lock(&tail) = text;
            }),
        ];
        let name = workspace.file_name().unwrap_or_default();
        Ok(Self {
            child,
            input: Mutex::new(Some(input)),
            waiting,
            readers,
            stderr,
            exec_root: workspace.parent().unwrap_or(workspace).to_owned(),
            workspace: name.to_string_lossy().into_owned(),
            pushed: Mutex::default(),
            next_rid: AtomicU64::new(1),
            missed: AtomicU64::new(0),
            starter: Vec::new(),
        })
    }

    /// Has actions started by another program, as another user for one.
    #[must_use]
    pub fn starting_by(mut self, starter: impl IntoIterator<Item = OsString>) -> Self {
        self.starter = starter.into_iter().collect();
        self
    }

    /// Runs an action from beginning to end. Its outputs are collected if it
    /// succeeds.
    pub fn execute(&self, id: &str, action: &Action) -> Result<Output, String> {
        let place = self.create(id, action)?;
        let ran = self.command(&place, action).output();
        let collected = match &ran {
            Ok(output) if output.status.success() => self.collect(id),
            _ => Ok(()),
        };
        self.destroy(id)?;
        collected?;
        ran.map_err(|error| error.to_string())
    }

    /// Has a sandbox made.
    pub fn create(&self, id: &str, action: &Action) -> Result<Place, String> {
        let tree = MerkleTree::build(&self.exec_root, &self.workspace, &action.inputs);
        let tree = tree.map_err(|error| error.to_string())?;
        self.push_novel(&tree)?;
        self.create_from(id, action, &tree)
    }

    /// Has a sandbox made, of inputs that the backend may not have been told
    /// of.
    pub fn create_from(
        &self,
        id: &str,
        action: &Action,
        tree: &MerkleTree,
    ) -> Result<Place, String> {
        let manifest = self.manifest(action, tree);
        for _ in 0..CREATE_ATTEMPTS_MAX {
            let create = wire::Create {
                manifest: Some(manifest.clone()),
            };
            let Answer::Create(wire::CreateResult {
                outcome: Some(outcome),
            }) = self.request(id, Operation::Create(create))?
            else {
                return Err("an answer to something else, or none".into());
            };
            match outcome {
                CreateOutcome::Ok(created) => return self.place(id, created),
                CreateOutcome::Error(error) => return Err(error.message),
                CreateOutcome::MissingContent(missing) => {
                    self.missed.fetch_add(1, Ordering::Relaxed);
                    self.push_missing(&missing.digest_hashes, tree)?;
                }
            }
        }
        Err(format!(
            "still missing content after {CREATE_ATTEMPTS_MAX} attempts"
        ))
    }

    /// The command of `action`, to be started in `place`.
    #[must_use]
    pub fn command(&self, place: &Place, action: &Action) -> Command {
        let words = place.wrapper.iter().chain(&action.command);
        let mut words = self
            .starter
            .iter()
            .cloned()
            .chain(words.map(OsString::from));
        let mut command = Command::new(words.next().unwrap_or_default());
        command
            .args(words)
            .current_dir(&place.working_directory)
            .stdin(Stdio::null())
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("TMPDIR", "/tmp")
            .envs(action.environment.iter().cloned());
        command
    }

    /// Has the outputs moved out.
    pub fn collect(&self, id: &str) -> Result<(), String> {
        let collect = wire::Collect {
            exec_root: text(&self.exec_root),
        };
        match self.request(id, Operation::Collect(collect))? {
            Answer::Collect(result) => plain(result),
            other => Err(format!("an answer to something else: {other:?}")),
        }
    }

    /// Has a sandbox forgotten.
    pub fn destroy(&self, id: &str) -> Result<(), String> {
        match self.request(id, Operation::Destroy(wire::Empty {}))? {
            Answer::Destroy(result) => plain(result),
            other => Err(format!("an answer to something else: {other:?}")),
        }
    }

    /// Sends a request and waits for the answer.
    pub fn request(&self, id: &str, operation: Operation) -> Result<Answer, String> {
        let rid = self.next_rid.fetch_add(1, Ordering::Relaxed);
        let (sender, receiver) = mpsc::channel();
        lock(&self.waiting).insert(rid, sender);
        self.send(&wire::Request {
            rid,
            sandbox_id: id.into(),
            op: Some(operation),
        })?;
        let response = receiver.recv();
        let response = response.map_err(|_| String::from("the backend ended"))?;
        response.result.ok_or_else(|| "an empty answer".into())
    }

    /// Sends directories and contents. There is no answer.
    pub fn push(&self, push: wire::Push) -> Result<(), String> {
        if push.blobs.is_empty() && push.content.is_empty() {
            return Ok(());
        }
        self.send(&wire::Request {
            rid: self.next_rid.fetch_add(1, Ordering::Relaxed),
            sandbox_id: String::new(),
            op: Some(Operation::Push(push)),
        })
    }

    /// How often something that a sandbox needed was missing.
    pub fn times_missed(&self) -> u64 {
        self.missed.load(Ordering::Relaxed)
    }

    /// The process of the backend.
    #[must_use]
    pub fn process(&self) -> u32 {
        self.child.id()
    }

    /// Ends as Bazel does: closes the backend's input and waits for its end.
    /// Returns what it said on standard error as well.
    pub fn shut_down(mut self) -> io::Result<(ExitStatus, String)> {
        drop(lock(&self.input).take());
        self.end()
    }

    /// Kills the backend.
    pub fn kill(mut self) -> io::Result<(ExitStatus, String)> {
        self.child.kill()?;
        self.end()
    }

    fn end(&mut self) -> io::Result<(ExitStatus, String)> {
        let status = self.child.wait()?;
        for reader in self.readers.drain(..) {
            let _ = reader.join();
        }
        Ok((status, lock(&self.stderr).clone()))
    }

    fn send(&self, request: &wire::Request) -> Result<(), String> {
        let mut input = lock(&self.input);
        let input = input.as_mut().ok_or("the backend was shut down")?;
        framing::write(input, request).map_err(|error| error.to_string())
    }

    /// What the backend has not been sent, and what is of use only once.
    fn push_novel(&self, tree: &MerkleTree) -> Result<(), String> {
        let mut pushed = lock(&self.pushed);
        let blobs = tree.blobs.iter();
        let blobs = blobs.filter(|(hash, _)| pushed.insert((*hash).clone()));
        let blobs: HashMap<_, _> = blobs
            .map(|(hash, blob)| (hash.clone(), blob.clone()))
            .collect();
        let content = tree.content.iter();
        let content = content.filter(|(hash, content)| {
            content.retention() == wire::Retention::SingleUse || pushed.insert((*hash).clone())
        });
        let content = content
            .map(|(hash, content)| (hash.clone(), content.clone()))
            .collect();
        drop(pushed);
        self.push(wire::Push { blobs, content })
    }

    fn push_missing(&self, hashes: &[String], tree: &MerkleTree) -> Result<(), String> {
        let mut push = wire::Push::default();
        for hash in hashes {
            if let Some(blob) = tree.blobs.get(hash) {
                push.blobs.insert(hash.clone(), blob.clone());
            } else if let Some(content) = tree.content.get(hash) {
                push.content.insert(hash.clone(), content.clone());
            } else {
                return Err(format!(
                    "requested content not in the action's input tree: {hash}"
                ));
            }
        }
        self.push(push)
    }

    fn manifest(&self, action: &Action, tree: &MerkleTree) -> wire::Manifest {
        let of_type = |paths: &[String], kind: &str| -> Vec<_> {
            let output = wire::Output {
                r#type: kind.into(),
                dest: String::new(),
            };
            let path = |path| format!("/{}/{path}", self.workspace);
            paths
                .iter()
                .map(|name| (path(name), output.clone()))
                .collect()
        };
        let outputs = of_type(&action.outputs, "file").into_iter();
        wire::Manifest {
            mnemonic: action.mnemonic.clone(),
            exec_root: text(&self.exec_root),
            hash_function: "SHA-256".into(),
            input_root_digest: Some(tree.root.clone()),
            outputs: outputs
                .chain(of_type(&action.output_directories, "dir"))
                .collect(),
            writable_dirs: HashMap::new(),
            confinement_setting: Some(wire::ConfinementSetting {
                writable_paths: action.writable_paths.clone(),
                inaccessible_paths: action.inaccessible_paths.clone(),
                allow_network: false,
            }),
        }
    }

    fn place(&self, id: &str, created: wire::Created) -> Result<Place, String> {
        let root = PathBuf::from(&created.path);
        if !root.exists() {
            return Err(format!("a sandbox root that does not exist: {root:?}"));
        }
        let wrapper = match created.confinement {
            Some(wire::Confinement::Custom(custom)) if !custom.wrapper.is_empty() => custom.wrapper,
            other => return Err(format!("no wrapper, but {other:?}")),
        };
        Ok(Place {
            id: id.into(),
            working_directory: root.join(&self.workspace),
            wrapper,
        })
    }
}

impl Drop for Bazel {
    fn drop(&mut self) {
        drop(lock(&self.input).take());
        let _ = self.end();
    }
}

fn plain(result: wire::PlainResult) -> Result<(), String> {
    match result.outcome {
        Some(PlainOutcome::Ok(_)) => Ok(()),
        Some(PlainOutcome::Error(error)) => Err(error.message),
        None => Err("no outcome".into()),
    }
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
