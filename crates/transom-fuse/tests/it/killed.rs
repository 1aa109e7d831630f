//! A process that is killed while one of its threads waits, in the kernel, for
//! an answer that another one owes: it walks through what it serves itself, or
//! tells the kernel to forget a name of a directory that is locked.

use std::convert::Infallible;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::os::fd::AsRawFd;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Signal, getpid, kill_process};
use transom_fuse::{Options, Session};
use transom_module::{
    Attributes, Context, Cookie, DirectorySink, Entry, Errno, Invalidation, ItemId, ItemKind,
    Lifetime, Lookup, Name, OpenMode, Opened, Result, Volume, VolumeDefinition,
};
use transom_test::{connection_of, privileged};

use crate::PATIENCE;

/// A volume whose lookups do that, and do not return if it does not.
struct Trap(Box<dyn Fn() + Send + Sync>);

impl Volume for Trap {
    type Item = ();
    type Handle = Infallible;

    fn root(&self) -> Result<Entry<()>> {
        Ok(Entry {
            item: (),
            attributes: Attributes::synthetic(ItemId::ROOT, ItemKind::Directory, 0o555),
            generation: 0,
            name_lifetime: Lifetime::FOREVER,
            attributes_lifetime: Lifetime::FOREVER,
        })
    }

    fn lookup(&self, _: &Context<'_>, (): &(), _: &OsStr) -> Result<Lookup<()>> {
        (self.0)();
        Ok(Lookup::Absent(Lifetime::NONE))
    }

    fn attributes(&self, _: &Context<'_>, (): &()) -> Result<(Attributes, Lifetime)> {
        Ok((self.root()?.attributes, Lifetime::FOREVER))
    }

    fn enumerate(
        &self,
        _: &Context<'_>,
        (): &(),
        _: Cookie,
        _: &mut dyn DirectorySink<()>,
    ) -> Result<()> {
        Ok(())
    }

    fn open(&self, _: &Context<'_>, (): &(), _: OpenMode) -> Result<Opened<Infallible>> {
        Err(Errno::EISDIR.into())
    }
}

/// Set in a process that is to be killed.
const TRAPPED: &str = "TRANSOM_TEST_TRAPPED";

fn serve_trap(on_lookup: impl Fn() + Send + Sync + 'static) -> Session<Trap> {
    let volume = VolumeDefinition::new(Trap(Box::new(on_lookup)));
    Session::start(volume, &Options::default()).unwrap()
}

/// What the parent is to know, as [`Trapped::start`] reads it.
fn announcement(session: &Session<Trap>) -> String {
    let mount = session.mount().unwrap().as_raw_fd();
    let root = format!("/proc/{}/fd/{mount}", std::process::id());
    let connection = connection_of(root.as_ref()).unwrap();
    format!("\nserving {connection} {root}")
}

/// A process that runs one of the functions here, and has begun to serve.
struct Trapped {
    child: Child,
    connection: String,
    root: PathBuf,
}

impl Trapped {
    fn start(function: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", function, "--nocapture"])
            .env(TRAPPED, "")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let serving = lines
            .map(|line| line.unwrap())
            .find_map(|line| line.strip_prefix("serving ").map(str::to_owned))
            .unwrap();
        let (connection, root) = serving.split_once(' ').unwrap();
        Self {
            child,
            connection: connection.into(),
            root: root.into(),
        }
    }

    /// Whether it owes an answer, and one of its threads waits where no signal
    /// reaches it.
    fn is_stuck(&self) -> bool {
        let waiting = format!("/sys/fs/fuse/connections/{}/waiting", self.connection);
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap();
        std::fs::read_to_string(waiting).unwrap().trim() != "0"
            && tasks
                .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("stat")).ok())
                .any(|stat| stat.rsplit_once(") ").unwrap().1.starts_with('D'))
    }

    /// Asserts that it is killed, and stays no longer than that.
    fn assert_killed(mut self) {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                assert_eq!(status.signal(), Some(9), "{status}");
                return;
            }
            assert!(Instant::now() < end, "it cannot be killed");
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Trapped {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            _ = self.child.kill();
            // The one thing that ends a process that cannot be killed.
            let abort = format!("/sys/fs/fuse/connections/{}/abort", self.connection);
            _ = std::fs::write(abort, "1");
            _ = self.child.wait();
        }
    }
}

/// Not a test of its own: looks up a name of its own volume.
#[test]
fn process_that_walks() {
    if std::env::var_os(TRAPPED).is_none() {
        return;
    }
    let session = serve_trap(|| kill_process(getpid(), Signal::KILL).unwrap());
    println!("{}", announcement(&session));
    _ = session.subtree("name");
}

/// Not a test of its own: invalidates a name while another is looked up.
#[test]
fn process_that_invalidates() {
    if std::env::var_os(TRAPPED).is_none() {
        return;
    }
    let (looked_up, lookups) = mpsc::channel();
    let session = serve_trap(move || {
        looked_up.send(()).unwrap();
        thread::sleep(4 * PATIENCE);
    });
    println!("{}", announcement(&session));
    lookups.recv().unwrap();
    let name = Invalidation::Name {
        directory: ItemId::ROOT,
        name: Name::new("other").unwrap(),
    };
    session.invalidate(&[name]).unwrap();
}

#[test]
fn privileged_a_process_can_be_killed_while_it_walks_through_its_own_volume() {
    privileged!("mount");
    for _ in 0..20 {
        Trapped::start("killed::process_that_walks").assert_killed();
    }
}

#[test]
fn privileged_a_process_can_be_killed_while_it_invalidates_a_name() {
    privileged!("mount");
    for _ in 0..20 {
        let mut trapped = Trapped::start("killed::process_that_invalidates");
        let name = trapped.root.join("name");
        // It holds the lock of the directory until it is answered.
        let client = thread::spawn(move || std::fs::symlink_metadata(name));
        let end = Instant::now() + PATIENCE;
        while !trapped.is_stuck() {
            assert!(Instant::now() < end, "it does not wait for the lock");
            thread::sleep(Duration::from_millis(1));
        }
        trapped.child.kill().unwrap();
        trapped.assert_killed();
        let error = client.join().unwrap().unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ECONNABORTED), "{error}");
    }
}
