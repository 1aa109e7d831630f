//! `transom bazel-sandbox`: a sandbox backend for Bazel.

use std::env;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::{Subcommand, ValueHint};
use transom_bazel::backend::{self, Command, Ended, Options};
use transom_sandbox::Stdio;
use transom_view::obtain_privilege;

use crate::commands::run::raise_descriptor_limit;
use crate::{exit, signals};

/// The name Bazel calls the program by: it has no place for a subcommand.
const NAME_FOR_BAZEL: &str = "transom-bazel-sandbox";

/// Says for how many seconds Bazel waits for an answer, as Bazel reads it.
const PATIENCE_VARIABLE: &str = "SANDBOX_BACKEND_REQUEST_TIMEOUT_SECS";

/// Bazel's own default.
const PATIENCE: Duration = Duration::from_secs(60);

/// Be a sandbox backend for Bazel.
///
/// Bazel starts it, with `--sandbox_backend`; people do not. The option names a
/// program, so give this one a name of its own:
///
///   ln -s "$(command -v transom)" ~/bin/transom-bazel-sandbox
///   bazel build --strategy=transom \
///     --sandbox_backend=transom=$HOME/bin/transom-bazel-sandbox //...
///
/// The protocol is a draft, and no Bazel that has been released speaks it. See
/// docs/bazel-sandbox.md.
#[derive(Debug, clap::Args)]
#[command(
    version,
    about = "Be a sandbox backend for Bazel",
    verbatim_doc_comment
)]
pub(crate) struct BazelSandboxArguments {
    #[command(subcommand)]
    command: BazelSandboxCommand,
}

#[derive(Debug, Subcommand)]
enum BazelSandboxCommand {
    /// Serve requests on standard input until it ends.
    Serve {
        /// The exec root of the workspace, in which actions start, such as
        /// OUTPUT_BASE/execroot/_main.
        #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
        workspace: PathBuf,
    },
    /// Run a command in a sandbox: what Bazel puts before each command.
    #[command(hide = true)]
    Enter {
        /// Where the backend listens.
        address: String,
        /// The sandbox.
        sandbox: String,
        /// What to run.
        #[arg(last = true, required = true)]
        command: Vec<OsString>,
    },
}

/// The arguments as they would be without the name that Bazel calls us by.
pub(crate) fn arguments_from_bazel(
    mut arguments: impl Iterator<Item = OsString>,
) -> Option<Vec<OsString>> {
    let program = arguments.next()?;
    let name = Path::new(&program).file_name()?;
    (name == NAME_FOR_BAZEL).then(|| {
        let subcommand = ["transom", "bazel-sandbox"].map(OsString::from);
        subcommand.into_iter().chain(arguments).collect()
    })
}

pub(crate) fn bazel_sandbox(arguments: BazelSandboxArguments) -> anyhow::Result<ExitCode> {
    match arguments.command {
        BazelSandboxCommand::Serve { workspace } => serve(workspace),
        BazelSandboxCommand::Enter {
            address,
            sandbox,
            command,
        } => enter(&address, &sandbox, command),
    }
}

fn serve(workspace: PathBuf) -> anyhow::Result<ExitCode> {
    let program = env::current_exe().context("cannot tell where this program is")?;
    let program = program.into_os_string().into_string().map_err(|path| {
        anyhow::anyhow!("Bazel cannot be told the name of this program: {path:?}")
    })?;
    obtain_privilege()?;
    let open_files_limit = raise_descriptor_limit();
    let options = Options {
        workspace,
        wrapper: vec![program, "bazel-sandbox".into(), "enter".into()],
        patience: patience(env::var_os(PATIENCE_VARIABLE).as_deref()),
        open_files_limit,
    };
    let served = backend::serve(&mut io::stdin().lock(), io::stdout(), &options)?;
    tracing::info!(
        requests = served.requests,
        store = ?served.store,
        opens_by_the_kernel = served.kernel.passthrough_opens,
        opens_by_transom = served.kernel.served_opens,
        "Bazel is done"
    );
    Ok(ExitCode::SUCCESS)
}

/// As Bazel does it, which ignores what is not a number of seconds.
fn patience(asked: Option<&OsStr>) -> Duration {
    asked
        .and_then(|text| text.to_str()?.trim().parse().ok())
        .filter(|seconds| *seconds > 0)
        .map_or(PATIENCE, Duration::from_secs)
}

fn enter(address: &str, sandbox: &str, arguments: Vec<OsString>) -> anyhow::Result<ExitCode> {
    let command = Command {
        arguments,
        environment: env::vars_os().collect(),
        working_directory: env::current_dir().context("the current directory cannot be used")?,
    };
    let ended = backend::enter(address, sandbox, &command, &Stdio::inherit()?)?;
    Ok(match ended {
        Ended::Exited(code) => ExitCode::from(code),
        Ended::Signalled(signal) => {
            signals::die_of(signal);
            ExitCode::from(exit::FAILED)
        }
        Ended::Failed { message, exit_code } => {
            exit::tell(&message);
            ExitCode::from(exit_code.unwrap_or(exit::FAILED))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_that_bazel_uses_stands_for_the_subcommand() {
        let read = |words: &[&str]| arguments_from_bazel(words.iter().map(OsString::from));
        let called = [
            "/home/u/bin/transom-bazel-sandbox",
            "serve",
            "--workspace",
            "/w",
        ];
        let expected = ["transom", "bazel-sandbox", "serve", "--workspace", "/w"];
        assert_eq!(read(&called).unwrap(), expected);
        assert_eq!(read(&["/usr/bin/transom", "run"]), None);
        assert_eq!(read(&[]), None);
    }

    #[test]
    fn patience_is_read_as_bazel_reads_it() {
        let read = |text: &str| patience(Some(OsStr::new(text)));
        assert_eq!(read(" 5 "), Duration::from_secs(5));
        assert_eq!(read("0"), PATIENCE);
        assert_eq!(read("soon"), PATIENCE);
        assert_eq!(patience(None), PATIENCE);
    }
}
