use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::{is_root, temp_dir};

/// The user and group that Debian calls `nobody` and `nogroup`.
const NOBODY: u32 = 65534;

/// Runs commands without any privilege: as `nobody` when the test is root, as
/// the test's own user otherwise.
#[derive(Debug)]
pub struct Unprivileged {
    home: TempDir,
}

impl Unprivileged {
    /// Makes a home directory that the commands own.
    pub fn new() -> io::Result<Self> {
        let home = temp_dir()?;
        if is_root() {
            chown(home.path(), Some(NOBODY), Some(NOBODY))?;
        }
        Ok(Self { home })
    }

    /// The directory the commands start in, which they may write to.
    #[must_use]
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// A command that runs `program`, a name to be found in `PATH` or a path.
    ///
    /// A program given by path is brought here first: the build directory is
    /// often below `/root`, where only root can reach it.
    pub fn command(&self, program: impl AsRef<OsStr>) -> io::Result<Command> {
        let program = self.reachable(Path::new(program.as_ref()))?;
        let mut command = if is_root() {
            let mut setpriv = Command::new("setpriv");
            setpriv
                .arg(format!("--reuid={NOBODY}"))
                .arg(format!("--regid={NOBODY}"))
                .args(["--clear-groups", "--inh-caps=-all", "--"])
                .arg(program);
            setpriv
        } else {
            Command::new(program)
        };
        command.current_dir(self.home()).env("HOME", self.home());
        Ok(command)
    }

    fn reachable(&self, program: &Path) -> io::Result<PathBuf> {
        let (Some(name), true) = (program.file_name(), program.components().count() > 1) else {
            return Ok(program.to_owned());
        };
        let here = self.home().join(name);
        // Once only: a program that runs cannot be written again (ETXTBSY). A
        // link is better than a copy, which a test that forks at that moment
        // would hold open for writing.
        if !here.exists() && fs::hard_link(program, &here).is_err() {
            fs::copy(program, &here)?;
        }
        Ok(here)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn privileged_commands_lose_root() {
        crate::privileged!("become somebody else");
        let user = Unprivileged::new().unwrap();
        let status = fs::read_to_string("/proc/self/status").unwrap();
        assert!(!status.contains("CapEff:\t0000000000000000"));

        let script = "id -u; grep CapEff /proc/self/status; touch made; pwd";
        let output = user
            .command("sh")
            .unwrap()
            .args(["-c", script])
            .output()
            .unwrap();
        let home = user.home().display();
        assert_eq!(
            String::from_utf8_lossy(&output.stdout),
            format!("{NOBODY}\nCapEff:\t0000000000000000\n{home}\n")
        );
        assert!(user.home().join("made").exists());
    }

    #[test]
    fn a_program_given_by_path_is_brought_to_where_it_can_be_run() {
        let user = Unprivileged::new().unwrap();
        for _ in 0..2 {
            let output = user
                .command("/bin/echo")
                .unwrap()
                .arg("reached")
                .output()
                .unwrap();
            assert_eq!(output.stdout, b"reached\n");
        }
        assert!(user.home().join("echo").exists());
    }
}
