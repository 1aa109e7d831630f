//! Where transom runs: over which engine, as whom, in which directory.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output};
use std::thread;

use rustix::process::{Pid, Signal};
use tempfile::TempDir;
use transom_test::{Unprivileged, announce_skip, is_root, privileged, temp_dir};

use crate::action::Action;

/// What makes the view.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Engine {
    Fuse,
    Mounts,
}

impl Engine {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Fuse => "fuse",
            Self::Mounts => "mounts",
        }
    }
}

/// An engine, a user, and a directory of the host that the user owns.
pub(crate) struct World {
    pub(crate) engine: Engine,
    home: Home,
    daemon: Option<Daemon>,
}

/// A daemon of root's, which serves the views of a user.
struct Daemon {
    process: Child,
    directory: TempDir,
}

enum Home {
    Root(TempDir),
    Nobody(Unprivileged),
}

/// Runs a case as root over `engine`.
pub(crate) fn privileged_case(engine: Engine, case: impl FnOnce(&World)) {
    privileged!("run transom as root");
    case(&World::root(engine));
}

/// Runs a case as somebody who is not root.
pub(crate) fn unprivileged_case(engine: Engine, case: impl FnOnce(&World)) {
    if let Some(world) = World::unprivileged(engine) {
        case(&world);
    }
}

/// Runs a case as somebody who is not root, over views of a daemon of root's.
pub(crate) fn daemon_case(_: Engine, case: impl FnOnce(&World)) {
    privileged!("run a daemon for others");
    if let Some(world) = World::through_daemon() {
        case(&world);
    }
}

/// Makes four tests of each case: over both engines, as root and as somebody
/// who is not.
macro_rules! over_both_engines {
    ($($case:ident),+ $(,)?) => {
        crate::world::over_both_engines!(@ privileged_fuse privileged_case Fuse $($case)+);
        crate::world::over_both_engines!(@ privileged_mounts privileged_case Mounts $($case)+);
        crate::world::over_both_engines!(@ fuse unprivileged_case Fuse $($case)+);
        crate::world::over_both_engines!(@ mounts unprivileged_case Mounts $($case)+);
    };
    (@ $module:ident $run:ident $engine:ident $($case:ident)+) => {
        mod $module {
            $(#[test]
            fn $case() {
                crate::world::$run(crate::world::Engine::$engine, super::$case);
            })+
        }
    };
}
pub(crate) use over_both_engines;

/// Makes two tests of each case that only the engine `fuse` can pass.
macro_rules! over_fuse {
    ($($case:ident),+ $(,)?) => {
        crate::world::over_both_engines!(@ privileged_fuse privileged_case Fuse $($case)+);
        crate::world::over_both_engines!(@ fuse unprivileged_case Fuse $($case)+);
    };
}
pub(crate) use over_fuse;

/// The same, and a third: as somebody whose views a daemon serves.
macro_rules! over_fuse_and_daemon {
    ($($case:ident),+ $(,)?) => {
        crate::world::over_fuse!($($case),+);
        crate::world::over_both_engines!(@ privileged_daemon daemon_case Fuse $($case)+);
    };
}
pub(crate) use over_fuse_and_daemon;

impl World {
    pub(crate) fn root(engine: Engine) -> Self {
        let home = Home::Root(temp_dir().unwrap());
        let daemon = None;
        Self {
            engine,
            home,
            daemon,
        }
    }

    /// `None` where users cannot make namespaces.
    pub(crate) fn through_daemon() -> Option<Self> {
        let world = Self::unprivileged(Engine::Fuse)?;
        Some(Self {
            daemon: Some(Daemon::start()),
            ..world
        })
    }

    /// Where the daemon listens, or none does.
    pub(crate) fn daemon_socket(&self) -> PathBuf {
        match &self.daemon {
            Some(daemon) => daemon.socket(),
            None => self.path().join("no-daemon"),
        }
    }

    /// Whether the kernel reads the files of the engine `fuse` by itself.
    pub(crate) fn has_passthrough(&self) -> bool {
        self.is_root() || self.has_daemon()
    }

    /// Whether a daemon serves the views.
    pub(crate) fn has_daemon(&self) -> bool {
        self.daemon.is_some()
    }

    /// `None`, with a line that says so, where the kernel or the machine does
    /// not let such a user do it.
    pub(crate) fn unprivileged(engine: Engine) -> Option<Self> {
        let user = Unprivileged::new().unwrap();
        let mut unshare = user.command("unshare").unwrap();
        if !unshare.args(["-U", "true"]).status().unwrap().success() {
            announce_skip(format_args!("user namespaces are disabled"));
            return None;
        }
        let world = Self {
            engine,
            home: Home::Nobody(user),
            daemon: None,
        };
        if engine == Engine::Fuse && !is_root() && !world.can_open_fuse() {
            announce_skip(format_args!(
                "/dev/fuse cannot be opened, and only root could offer another one"
            ));
            return None;
        }
        Some(world)
    }

    /// For what needs no view: as whoever runs the test.
    pub(crate) fn here() -> Self {
        Self::root(Engine::Mounts)
    }

    pub(crate) fn is_root(&self) -> bool {
        matches!(self.home, Home::Root(_))
    }

    /// The directory that transom runs in.
    pub(crate) fn path(&self) -> &Path {
        match &self.home {
            Home::Root(directory) => directory.path(),
            Home::Nobody(user) => user.home(),
        }
    }

    /// Makes a host file that the user owns.
    pub(crate) fn file(&self, name: impl AsRef<Path>, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path().join(name);
        self.directory(path.parent().unwrap());
        fs::write(&path, content).unwrap();
        self.give(&path);
        path
    }

    /// Makes a directory of the host that the user owns.
    pub(crate) fn directory(&self, name: impl AsRef<Path>) -> PathBuf {
        let path = self.path().join(name);
        fs::create_dir_all(&path).unwrap();
        let ours = |path: &&Path| path.starts_with(self.path());
        for directory in path.ancestors().take_while(ours) {
            self.give(directory);
        }
        path
    }

    fn give(&self, path: &Path) {
        let owner = fs::metadata(self.path()).unwrap();
        chown(path, Some(owner.uid()), Some(owner.gid())).unwrap();
    }

    #[track_caller]
    pub(crate) fn read(&self, name: impl AsRef<Path>) -> String {
        let path = self.path().join(name);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    pub(crate) fn exists(&self, name: impl AsRef<Path>) -> bool {
        self.path().join(name).symlink_metadata().is_ok()
    }

    /// An action that sees the host's `/usr`, and nothing else.
    pub(crate) fn action(&self) -> Action<'_> {
        let mut action = self.bare_action().directory("usr", "/usr");
        for link in ["bin", "lib", "lib64"] {
            action = action.symlink(link, &format!("usr/{link}"));
        }
        action
    }

    /// An action that sees nothing.
    pub(crate) fn bare_action(&self) -> Action<'_> {
        Action::new(self)
    }

    /// `transom` as the user would type it, in the directory. Views that run
    /// here are known here alone.
    pub(crate) fn transom(&self) -> Command {
        let mut command = self.command(env!("CARGO_BIN_EXE_transom"));
        command.env("XDG_RUNTIME_DIR", self.path().join("run"));
        // Not the daemon of the machine, if it has one.
        command.env("TRANSOM_SOCKET", self.daemon_socket());
        self.with_fuse(command)
    }

    /// The same command where the user may open `/dev/fuse`, if the engine
    /// needs it.
    pub(crate) fn with_fuse(&self, command: Command) -> Command {
        let opens_fuse = self.engine == Engine::Fuse && !self.has_daemon();
        if opens_fuse && matches!(self.home, Home::Nobody(_)) && is_root() {
            return with_fuse_for_everybody(&command, self.path());
        }
        command
    }

    /// What a command of the user begins with, before the program.
    pub(crate) fn starter(&self) -> Vec<OsString> {
        let nothing = self.command("env");
        let words = std::iter::once(nothing.get_program()).chain(nothing.get_args());
        words.map(OsStr::to_owned).collect()
    }

    /// Any program, run by the user in the directory.
    pub(crate) fn command(&self, program: &str) -> Command {
        match &self.home {
            Home::Root(directory) => {
                let mut command = Command::new(program);
                command.current_dir(directory.path());
                command
            }
            Home::Nobody(user) => user.command(program).unwrap(),
        }
    }

    /// Runs `transom` with these arguments.
    pub(crate) fn run_transom<A: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = A>,
    ) -> Output {
        self.transom().args(arguments).output().unwrap()
    }

    fn can_open_fuse(&self) -> bool {
        let open = "exec 3<> /dev/fuse";
        let opened = self.command("sh").args(["-c", open]).output().unwrap();
        opened.status.success()
    }
}

impl Daemon {
    fn start() -> Self {
        let directory = temp_dir().unwrap();
        let mut serve = Command::new(env!("CARGO_BIN_EXE_transom"));
        serve.arg("serve").arg("--state").arg(directory.path());
        serve
            .arg("--socket")
            .arg(directory.path().join("run/control"));
        let daemon = Self {
            process: serve.spawn().unwrap(),
            directory,
        };
        while UnixStream::connect(daemon.socket()).is_err() {
            thread::yield_now();
        }
        daemon
    }

    fn socket(&self) -> PathBuf {
        self.directory.path().join("run/control")
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let pid = Pid::from_child(&self.process);
        rustix::process::kill_process(pid, Signal::TERM).unwrap();
        self.process.wait().unwrap();
    }
}

/// The same command where everybody may open `/dev/fuse`, as on most desktops:
/// in a mount namespace with another device file there, since the machine's is
/// not ours to change.
fn with_fuse_for_everybody(command: &Command, directory: &Path) -> Command {
    const SCRIPT: &str = "
        mount -t tmpfs -o mode=755 fuse /mnt && mknod -m 666 /mnt/fuse c 10 229 &&
        mount --bind /mnt/fuse /dev/fuse && umount -l /mnt && exec \"$@\"";
    let mut unshare = Command::new("unshare");
    unshare.args([
        "--mount",
        "--propagation",
        "private",
        "sh",
        "-ec",
        SCRIPT,
        "sh",
    ]);
    unshare.arg(command.get_program()).args(command.get_args());
    unshare.current_dir(directory);
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => unshare.env(name, value),
            None => unshare.env_remove(name),
        };
    }
    unshare
}
