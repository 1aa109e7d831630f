use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use anyhow::{Result, bail};
use clap::ValueEnum;
use xshell::{Shell, cmd};

use crate::nextest;
use crate::privilege::{Privilege, host_triple};
use crate::report::{Report, Skip};

/// One part of `cargo xtask test`, in the order in which they run: what is
/// quick to fail first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Step {
    /// The sources are formatted
    Fmt,
    /// The rules of this repository hold (xtask/tests/tidy)
    Tidy,
    /// No lint complains, in any target
    Clippy,
    /// The documentation builds without warning
    Rustdoc,
    /// Licenses, sources and advisories of the dependencies (deny.toml)
    Deny,
    /// All tests but those named `privileged_*`
    Unit,
    /// The examples in the documentation
    Doctest,
    /// The tests named `privileged_*`, by root
    Privileged,
}

impl Step {
    /// The name by which `--only` knows it.
    pub(crate) fn name(self) -> String {
        let value = self.to_possible_value().expect("no step is hidden");
        value.get_name().to_owned()
    }

    /// Runs it. An error is a failure without names of tests.
    pub(crate) fn run(self, shell: &Shell, privilege: Privilege) -> Result<Report> {
        let checked = Report::default();
        match self {
            Self::Fmt => cmd!(shell, "cargo fmt --all --check").run()?,
            Self::Tidy => {
                let tidy = cmd!(shell, "cargo nextest run --package xtask --test tidy");
                return nextest::run(shell, tidy);
            }
            Self::Clippy => {
                let warnings = ["-D", "warnings"];
                cmd!(
                    shell,
                    "cargo clippy --workspace --all-targets -- {warnings...}"
                )
                .run()?;
            }
            Self::Rustdoc => cmd!(shell, "cargo doc --workspace --no-deps")
                .env("RUSTDOCFLAGS", "-Dwarnings")
                .run()?,
            Self::Deny => return deny(shell),
            Self::Unit => {
                let filter = format!("not ({PRIVILEGED}) and not binary(=tidy)");
                let unit = cmd!(shell, "cargo nextest run --workspace -E {filter}");
                return nextest::run(shell, unit);
            }
            Self::Doctest => return doctest(shell),
            Self::Privileged => return privileged(shell, privilege),
        }
        Ok(checked)
    }
}

/// Nextest's filter for the tests that need root.
const PRIVILEGED: &str = "test(/(^|::)privileged_/)";

fn privileged(shell: &Shell, privilege: Privilege) -> Result<Report> {
    if let Privilege::None(reason) = privilege {
        let list = cmd!(
            shell,
            "cargo nextest list --workspace --message-format oneline -E {PRIVILEGED}"
        );
        let skipped = list.read()?;
        let skipped = skipped.lines().map(|test| Skip {
            test: test.to_owned(),
            reason: reason.to_owned(),
        });
        return Ok(Report {
            skipped: skipped.collect(),
            ..Report::default()
        });
    }
    let mut command = cmd!(shell, "cargo nextest run --workspace -E {PRIVILEGED}");
    if privilege == Privilege::Sudo {
        let triple = host_triple(shell)?.to_uppercase().replace('-', "_");
        let prefix = privilege.prefix().unwrap_or_default().join(" ");
        command = command.env(format!("CARGO_TARGET_{triple}_RUNNER"), prefix);
    }
    nextest::run(shell, command)
}

fn doctest(shell: &Shell) -> Result<Report> {
    let output = cmd!(shell, "cargo test --workspace --doc --no-fail-fast")
        .ignore_status()
        .output()?;
    let printed = String::from_utf8_lossy(&output.stdout);
    eprint!("{}{printed}", String::from_utf8_lossy(&output.stderr));
    let report = parse_doctests(&printed);
    if !output.status.success() && report.failed.is_empty() {
        bail!("the examples in the documentation could not be run");
    }
    Ok(report)
}

/// Reads lines such as `test src/lib.rs - Name::new (line 9) ... ok`.
fn parse_doctests(printed: &str) -> Report {
    let mut report = Report::default();
    for line in printed.lines() {
        let Some((test, outcome)) = line
            .strip_prefix("test ")
            .and_then(|line| line.rsplit_once(" ... "))
        else {
            continue;
        };
        report.run += 1;
        if outcome.starts_with("FAILED") {
            report.failed.push(test.to_owned());
        }
    }
    report
}

fn deny(shell: &Shell) -> Result<Report> {
    let mut report = Report::default();
    let mut checks = vec!["licenses", "bans", "sources"];
    if is_reachable(ADVISORY_HOST) {
        checks.push("advisories");
    } else {
        report.notes.push(format!(
            "advisories were not checked: {ADVISORY_HOST}, which publishes them, cannot be reached"
        ));
    }
    cmd!(shell, "cargo deny check {checks...}").run()?;
    Ok(report)
}

const ADVISORY_HOST: &str = "github.com";

fn is_reachable(host: &str) -> bool {
    const HTTPS: u16 = 443;
    const PATIENCE: Duration = Duration::from_secs(5);
    let addresses = (host, HTTPS).to_socket_addrs();
    addresses.is_ok_and(|mut addresses| {
        addresses.any(|address| TcpStream::connect_timeout(&address, PATIENCE).is_ok())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doctests_are_counted_and_failures_named() {
        let report = parse_doctests(
            "running 3 tests\n\
             test src/lib.rs - Name::new (line 9) ... ok\n\
             test src/lib.rs - Name::old (line 19) - compile ... ok\n\
             test src/lib.rs - Path (line 29) ... FAILED\n\
             test result: FAILED. 2 passed; 1 failed; 0 ignored\n",
        );
        assert_eq!(report.run, 3);
        assert_eq!(report.failed, ["src/lib.rs - Path (line 29)"]);
    }
}
