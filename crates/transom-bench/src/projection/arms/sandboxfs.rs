use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufReader, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::mount::{UnmountFlags, unmount};
use serde::{Deserialize, Serialize};
use serde_json::de::IoRead;
use serde_json::{Deserializer, StreamDeserializer};
use tempfile::TempDir;
use transom_test::{InputFile, temp_dir};

use crate::projection::arm::{About, Mechanism};
use crate::projection::client::Roots;
use crate::projection::workload::{Workload, volume_of};

/// The version that is compared with.
const VERSION: &str = "sandboxfs 0.2.0";

/// How to get it.
pub(crate) const INSTALL: &str = "install it with `apt install libfuse-dev pkg-config` and \
     `cargo install sandboxfs --version 0.2.0 --locked`, or name it with --sandboxfs PATH";

const MOUNT_PATIENCE: Duration = Duration::from_secs(5);

/// The `sandboxfs` crate, as Bazel drove it: one server and one mount for all
/// actions, and for each action a sandbox that is created and destroyed by a
/// message on the server's standard input.
///
/// Its kernel side keeps names of destroyed sandboxes for a minute, so each
/// sandbox has a name of its own.
pub(crate) struct Sandboxfs {
    mount: TempDir,
    server: Server,
    /// A request to create a sandbox, after its name.
    mappings: String,
    created: u32,
}

impl Sandboxfs {
    /// Starts the server.
    pub(crate) fn start(program: &Path, workload: &Workload) -> Result<Self> {
        let mount = temp_dir()?;
        Ok(Self {
            server: Server::start(program, mount.path())?,
            mount,
            mappings: mappings(workload)?,
            created: 0,
        })
    }

    fn sandbox(&self) -> String {
        format!("action{}", self.created)
    }
}

/// Where `sandboxfs` of the right version is: at `named`, or in the `PATH`.
pub(crate) fn find(named: Option<&Path>) -> Result<PathBuf> {
    let program = named.unwrap_or(Path::new("sandboxfs")).to_owned();
    let output = Command::new(&program)
        .arg("--version")
        .output()
        .with_context(|| program.display().to_string())?;
    let version = String::from_utf8_lossy(&output.stdout);
    ensure!(
        version.trim() == VERSION,
        "{} is {:?}, not {VERSION}",
        program.display(),
        version.trim()
    );
    Ok(program)
}

impl Mechanism for Sandboxfs {
    const NAME: &'static str = "sandboxfs 0.2.0";
    const ABOUT: About = About {
        before: "the running server and its mount, and the text of the request",
        set_up: "the request is written, parsed and answered by the server, the view opened",
        tear_down: "a request to destroy the sandbox is written and answered",
    };

    fn set_up(&mut self) -> Result<Roots> {
        self.created += 1;
        let sandbox = self.sandbox();
        let request = format!(r#"{{"C":{{"i":"{sandbox}",{}}}}}"#, self.mappings);
        self.server.ask(&sandbox, &request)?;
        let root = File::open(self.mount.path().join(&sandbox))?;
        Ok(Roots::View(root.into()))
    }

    fn tear_down(&mut self) -> Result<()> {
        let sandbox = self.sandbox();
        self.server
            .ask(&sandbox, &format!(r#"{{"D":"{sandbox}"}}"#))
    }
}

/// A running `sandboxfs`.
struct Server {
    process: Child,
    requests: ChildStdin,
    answers: Answers,
    mount: PathBuf,
}

type Answers = StreamDeserializer<'static, IoRead<BufReader<ChildStdout>>, Answer>;

#[derive(Debug, Deserialize)]
struct Answer {
    id: Option<String>,
    error: Option<String>,
}

impl Server {
    fn start(program: &Path, mount: &Path) -> Result<Self> {
        let outside = fs::metadata(mount)?.dev();
        let mut process = Command::new(program)
            .arg("--allow=self")
            .arg(mount)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| program.display().to_string())?;
        let (requests, answers) = (process.stdin.take(), process.stdout.take());
        let answers = BufReader::new(answers.context("no standard output")?);
        let server = Self {
            process,
            requests: requests.context("no standard input")?,
            answers: Deserializer::from_reader(answers).into_iter(),
            mount: mount.to_owned(),
        };
        let deadline = Instant::now() + MOUNT_PATIENCE;
        while fs::metadata(mount)?.dev() == outside {
            ensure!(Instant::now() < deadline, "sandboxfs has not mounted");
            thread::sleep(Duration::from_millis(5));
        }
        Ok(server)
    }

    /// Sends a request about `sandbox` and waits until it is done.
    fn ask(&mut self, sandbox: &str, request: &str) -> Result<()> {
        self.requests.write_all(request.as_bytes())?;
        self.requests.flush()?;
        let answer = self.answers.next().context("sandboxfs has ended")??;
        match answer {
            Answer {
                error: Some(error), ..
            } => bail!("sandboxfs: {error}"),
            Answer { id, .. } => ensure!(id.as_deref() == Some(sandbox), "answer out of order"),
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = unmount(&self.mount, UnmountFlags::DETACH);
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// One mapping, in the short form of the protocol.
#[derive(Debug, Serialize)]
struct Mapping {
    /// The prefix of `p`.
    x: u32,
    /// The name in the sandbox.
    p: String,
    /// The prefix of `u`.
    y: u32,
    /// The host file.
    u: String,
}

/// The fields `m` and `q` of a request: names and host files share prefixes,
/// as in Bazel's requests.
fn mappings(workload: &Workload) -> Result<String> {
    const ROOT: u32 = 1;
    const FIRST_VOLUME: u32 = 2;
    let text = |path: &Path| {
        path.to_str()
            .map(str::to_owned)
            .context("a path is not text")
    };

    let mut prefixes = BTreeMap::from([(ROOT, "/".to_owned())]);
    for (number, volume) in (FIRST_VOLUME..).zip(&workload.volumes) {
        prefixes.insert(number, text(volume)?);
    }
    let mapping = |input: &InputFile| {
        // A name is the same in the view and below the volume.
        let name = text(&input.name)?;
        Ok(Mapping {
            x: ROOT,
            p: name.clone(),
            y: FIRST_VOLUME + u32::try_from(volume_of(input, &workload.volumes)?)?,
            u: name,
        })
    };
    let mappings = workload.inputs.iter().map(mapping);
    let mappings = mappings.collect::<Result<Vec<_>>>()?;
    Ok(format!(
        r#""m":{},"q":{}"#,
        serde_json::to_string(&mappings)?,
        serde_json::to_string(&prefixes)?
    ))
}
