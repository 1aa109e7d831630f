//! Runs a command that sees the host's `/usr` and what is named here, and
//! nothing else. Works as root and as anybody else.
//!
//! ```text
//! run_in_view [OPTION VALUE]... -- COMMAND [ARGUMENT]...
//!   --file NAME=HOSTPATH      a file
//!   --dir NAME=HOSTPATH       a directory as a whole
//!   --out NAME=DESTINATION    an output file
//!   --out-dir NAME=DESTINATION
//!   --writable NAME           a directory whose content is thrown away
//!   --scratch HOSTPATH        where scratch is made (default: here)
//!   --cwd PATH  --at HOSTPATH  --tmp scratch  --network host  --timeout MS
//!   --keep yes                leaves the scratch of a failed action
//! ```

#![expect(clippy::print_stderr, reason = "a program may")]

use std::env;
use std::error::Error;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use transom_projection::{Origin, ViewPath};
use transom_sandbox::{
    Action, Base, Exceptions, Exit, Network, Output, OutputKind, Sandbox, Scratch, Skeleton, Stdio,
    Tmp, Writable, layout, outputs, privilege,
};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    match run() {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("run_in_view: {error}");
            let error = error.downcast_ref::<transom_sandbox::Error>();
            let code = error.and_then(transom_sandbox::Error::shell_exit_code);
            ExitCode::from(code.unwrap_or(125))
        }
    }
}

fn run() -> Result<u8> {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let end = arguments
        .iter()
        .position(|argument| argument == "--")
        .ok_or("no `--` before the command")?;
    let mut options = Options::default();
    for pair in arguments[..end].chunks(2) {
        let [name, value] = pair else {
            return Err("an option has no value".into());
        };
        options.add(name, value)?;
    }
    let mut action = options.action;
    action.command = arguments[end + 1..].to_vec();
    action.environment = env::vars_os().collect();

    if privilege::detect()? == privilege::Privilege::None {
        privilege::enter_user_namespace()?;
    }
    let mut view = Skeleton::new()?;
    view.host_directory(&name("usr")?, File::open("/usr")?)?;
    for link in ["bin", "lib", "lib64", "sbin"] {
        view.symlink(&name(link)?, OsStr::new(&format!("usr/{link}")))?;
    }
    for point in layout::mount_points(&action) {
        view.directory(&point.path)?;
    }
    for (name, source) in &options.inputs {
        let source = File::open(source)?;
        if source.metadata()?.is_dir() {
            view.host_directory(name, source)?;
        } else {
            view.file(name, source)?;
        }
    }

    let base = options.scratch.unwrap_or(PathBuf::from("."));
    Scratch::sweep(&base)?;
    let mut scratch = Scratch::new(&base, &action.outputs)?;
    let tree = view.finish()?.into_tree();
    let sandbox = Sandbox::new(tree, &action, Some(&mut scratch))?;
    let finished = sandbox.spawn(Stdio::inherit()?)?.wait()?;
    if finished.exit.is_success() {
        let collected = outputs::collect(&scratch, &action)?;
        for path in collected.undeclared.paths {
            eprintln!("run_in_view: undeclared write: {path}");
        }
    } else if options.keep {
        eprintln!("run_in_view: kept {}", scratch.keep()?.display());
    }
    Ok(match finished.exit {
        Exit::Exited(code) => code,
        Exit::Signalled { signal, .. } => 128 + u8::try_from(signal)?,
        Exit::TimedOut => 124,
    })
}

struct Options {
    action: Action,
    inputs: Vec<(ViewPath, PathBuf)>,
    scratch: Option<PathBuf>,
    keep: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            action: Action::new(Vec::new()),
            inputs: Vec::new(),
            scratch: None,
            keep: false,
        }
    }
}

impl Options {
    fn add(&mut self, option: &OsStr, value: &OsStr) -> Result<()> {
        match option.to_str() {
            Some("--file" | "--dir") => self.inputs.push(pair(value)?),
            Some("--out") => self.add_output(OutputKind::File, option, value)?,
            Some("--out-dir") => self.add_output(OutputKind::Directory, option, value)?,
            Some("--writable") => self.action.writable.push(Writable {
                path: name(value)?,
                origin: declared_by(option),
            }),
            Some("--scratch") => self.scratch = Some(value.into()),
            Some("--cwd") => self.action.working_directory = value.into(),
            Some("--at") => {
                self.action.base = Base::HostReadOnly {
                    mount_at: value.into(),
                    exceptions: Exceptions::default(),
                };
            }
            Some("--tmp") if value == "scratch" => self.action.tmp = Tmp::Scratch,
            Some("--network") if value == "host" => self.action.network = Network::Host,
            Some("--timeout") => {
                let milliseconds = value.to_string_lossy().parse()?;
                self.action.timeout = Some(Duration::from_millis(milliseconds));
            }
            Some("--keep") => self.keep = true,
            _ => return Err(format!("unknown option {}", option.display()).into()),
        }
        Ok(())
    }

    fn add_output(&mut self, kind: OutputKind, option: &OsStr, value: &OsStr) -> Result<()> {
        let (path, destination) = pair(value)?;
        self.action.outputs.push(Output {
            path,
            kind,
            optional: false,
            destination,
            origin: declared_by(option),
        });
        Ok(())
    }
}

fn declared_by(option: &OsStr) -> Origin {
    Origin {
        source: option.to_string_lossy().into(),
        line: None,
    }
}

fn pair(text: &OsStr) -> Result<(ViewPath, PathBuf)> {
    let bytes = text.as_bytes();
    let equals = bytes
        .iter()
        .position(|byte| *byte == b'=')
        .ok_or("NAME=HOSTPATH expected")?;
    let path = Path::new(OsStr::from_bytes(&bytes[equals + 1..]));
    Ok((name(OsStr::from_bytes(&bytes[..equals]))?, path.to_owned()))
}

fn name(text: impl AsRef<OsStr>) -> Result<ViewPath> {
    Ok(ViewPath::parse_inside(text.as_ref().as_bytes())?)
}
