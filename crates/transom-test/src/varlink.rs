use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Output};

/// The reference implementation in Python, as PyPI has it.
const PACKAGE: &str = "varlink==31.0.0 \
    --hash=sha256:0d0629e5ca7e629f79ed84dc5a4f29e04f3cc83b24641528e91a41fa158e58e9\n";

/// Python with `varlink`, the reference implementation of that protocol, which
/// is also a program: `-m varlink.cli`. It knows nothing of us but what a server
/// tells.
///
/// What has to be downloaded is kept in `kept`, the directory for temporary
/// files of Cargo.
///
/// # Panics
///
/// If it can be neither found nor downloaded.
#[must_use]
pub fn python_with_varlink(kept: &Path) -> Command {
    // What root downloads is not for others to change.
    let user = if crate::is_root() { "root" } else { "user" };
    let packages = kept.join("pypi").join(user);
    fs::create_dir_all(&packages).unwrap();
    // Each test is a process; the first of them downloads for the others.
    let turn = File::create(packages.join("turn")).unwrap();
    turn.lock().unwrap();
    if !packages.join("varlink-31.0.0.dist-info/RECORD").exists() {
        download(&packages);
    }
    let mut python = Command::new("python3");
    python.env("PYTHONPATH", packages);
    python
}

fn download(packages: &Path) {
    let requirements = packages.join("requirements");
    fs::write(&requirements, PACKAGE).unwrap();
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "install", "--disable-pip-version-check"]);
    pip.args(["--no-deps", "--only-binary=:all:", "--upgrade"]);
    // A registry that does not answer is to be reported before the test runner
    // loses patience.
    pip.args(["--timeout", "30", "--retries", "1"]);
    pip.arg("--target").arg(packages);
    pip.arg("--requirement").arg(&requirements);
    let Output {
        status,
        stdout,
        stderr,
    } = pip.output().unwrap();
    assert!(
        status.success(),
        "{pip:?} failed; it needs PyPI when it runs for the first time:\n{}{}",
        String::from_utf8_lossy(&stdout),
        String::from_utf8_lossy(&stderr)
    );
}
