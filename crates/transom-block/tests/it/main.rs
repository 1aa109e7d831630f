//! Block volumes as others use them.

mod file_volume;
mod killed;
mod loop_devices;
mod nbd_client;
mod nbd_hostile;
mod nbd_protocol;
mod nbd_tools;
mod ublk_devices;
mod volumes;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Long enough for any loaded machine, short enough for a test.
const PATIENCE: Duration = Duration::from_secs(20);

/// Runs a program, which has to succeed, and returns what it prints.
fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program)
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .args(arguments)
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}; `cargo xtask test` installs it"));
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let complaint = String::from_utf8_lossy(&output.stderr);
    let status = output.status;
    assert!(
        status.success(),
        "{program} {arguments:?}: {status}\n{printed}{complaint}"
    );
    printed
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
