use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde_json::json;
use tempfile::TempDir;
use transom_test::temp_dir;

use crate::programs;
use crate::projection::arm::{About, Arm, Requests, Sample};
use crate::projection::client::{Report, Script, now};
use crate::projection::manifests;
use crate::projection::workload::Workload;

/// A program that reads the inputs, run by a user as a whole: directly, or in
/// a view by `transom run`. It is this program, as `transom-bench read`.
#[derive(Debug)]
pub(crate) struct Program {
    name: &'static str,
    about: About,
    command: Vec<OsString>,
    /// Where the program writes its requests to, if it does.
    summary: Option<PathBuf>,
    /// With the script and the manifest.
    _directory: TempDir,
}

/// An engine of `transom`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Engine {
    /// The name of its arm.
    pub(crate) arm: &'static str,
    name: &'static str,
}

/// Those that are measured.
pub(crate) const ENGINES: &[Engine] = &[
    Engine {
        arm: "transom run --engine fuse",
        name: "fuse",
    },
    Engine {
        arm: "transom run --engine mounts",
        name: "mounts",
    },
];

/// The arm that the others of this kind are compared with.
const NATIVE_PROGRAM: &str = "program, native";

/// Where the inputs are in a view. They are not the root, because the reader's
/// own libraries have to be somewhere too.
const INPUTS: &str = "inputs";

/// The part of the summary of `transom run --json` that is of interest.
#[derive(Debug, Deserialize)]
struct Summary {
    requests: SummarisedRequests,
}

#[derive(Debug, Deserialize)]
struct SummarisedRequests {
    by_opcode: Requests,
}

impl Program {
    /// The reader without any view.
    pub(crate) fn native(workload: &Workload) -> Result<Self> {
        let directory = temp_dir()?;
        let script = write_script(&directory, &workload.script)?;
        let mut command = vec![programs::myself()?.into(), "read".into(), script.into()];
        command.extend(workload.volumes.iter().map(OsString::from));
        Ok(Self {
            name: NATIVE_PROGRAM,
            about: About {
                before: "the script as a file",
                set_up: "a process is started and reads its script",
                tear_down: "the process ends and is waited for",
            },
            command,
            summary: None,
            _directory: directory,
        })
    }

    /// The reader run by `transom`, at that path.
    pub(crate) fn transom(transom: &Path, engine: Engine, workload: &Workload) -> Result<Self> {
        let directory = temp_dir()?;
        let script = write_script(&directory, &workload.script)?;
        let further = [
            json!({ "name": "lib", "directory": "/lib" }),
            json!({ "name": "lib64", "directory": "/lib64" }),
            json!({ "name": "reader", "file": programs::myself()? }),
            json!({ "name": "script", "file": script }),
        ];
        let inputs = Path::new(INPUTS);
        let command = ["/reader", "read", "/script", "/inputs"];
        let manifest = directory.path().join("manifest.json");
        let text = manifests::text(&workload.inputs, inputs, &further, &command)?;
        fs::write(&manifest, text)?;

        let summary = directory.path().join("summary.json");
        let mut command: Vec<OsString> = vec![transom.into(), "run".into()];
        command.extend(["--engine", engine.name, "--json", "--report"].map(OsString::from));
        command.extend([summary.clone().into(), "--manifest".into(), manifest.into()]);
        Ok(Self {
            name: engine.arm,
            about: About {
                before: "the manifest and the script as files",
                set_up: "transom is started, parses the manifest, makes the view and its \
                         namespaces; in them a process is started and reads its script",
                tear_down: "the process ends, the inputs are examined for changes, everything is \
                            given back, transom ends and is waited for",
            },
            command,
            summary: Some(summary),
            _directory: directory,
        })
    }

    fn requests(&self) -> Result<Option<Requests>> {
        let Some(path) = &self.summary else {
            return Ok(None);
        };
        let summary: Summary = serde_json::from_slice(&fs::read(path)?)?;
        Ok(Some(summary.requests.by_opcode))
    }
}

impl Arm for Program {
    fn name(&self) -> &'static str {
        self.name
    }

    fn base(&self) -> &'static str {
        NATIVE_PROGRAM
    }

    fn about(&self) -> About {
        self.about
    }

    fn round(&mut self, _script: &Script) -> Result<Sample> {
        let [program, arguments @ ..] = &self.command[..] else {
            unreachable!("a command has a program");
        };
        let mut command = Command::new(program);
        command
            .args(arguments)
            .stdin(Stdio::null())
            .stderr(Stdio::inherit());
        let began = now();
        let output = command
            .output()
            .with_context(|| program.display().to_string())?;
        let ended = now();
        ensure!(output.status.success(), "{}", output.status);
        let report: Report = serde_json::from_slice(&output.stdout)?;
        Ok(Sample {
            set_up: Duration::from_nanos(report.began - began),
            run: Duration::from_nanos(report.ended - report.began),
            tear_down: Duration::from_nanos(ended - report.ended),
            totals: report.totals,
            requests: self.requests()?,
        })
    }
}

fn write_script(directory: &TempDir, script: &Script) -> Result<PathBuf> {
    let path = directory.path().join("script.json");
    fs::write(&path, serde_json::to_vec(script)?)?;
    Ok(path)
}
