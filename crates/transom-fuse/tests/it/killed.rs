//! A process that is killed while it walks through what it serves itself.

use std::convert::Infallible;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::time::Instant;

use rustix::process::{Signal, getpid, kill_process};
use transom_fuse::{Options, Session};
use transom_module::{
    Attributes, Context, Cookie, DirectorySink, Entry, Errno, ItemId, ItemKind, Lifetime, Lookup,
    OpenMode, Opened, Result, Volume, VolumeDefinition,
};
use transom_test::{connection_of, privileged};

use crate::PATIENCE;

/// A volume that kills its own server when a name is looked up.
struct Trap;

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
        kill_process(getpid(), Signal::KILL).unwrap();
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

/// Set in the process that [`trapped_process`] runs in.
const TRAPPED: &str = "TRANSOM_TEST_TRAPPED";

/// Not a test of its own: the process that is killed.
#[test]
fn trapped_process() {
    if std::env::var_os(TRAPPED).is_none() {
        return;
    }
    let session = Session::start(VolumeDefinition::new(Trap), &Options::default()).unwrap();
    let root = format!(
        "/proc/self/fd/{}",
        std::os::fd::AsRawFd::as_raw_fd(&session.mount().unwrap())
    );
    println!("\nserving {}", connection_of(root.as_ref()).unwrap());
    _ = session.subtree("name");
}

#[test]
fn privileged_a_process_can_be_killed_while_it_walks_through_its_own_volume() {
    privileged!("mount");
    for _ in 0..20 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "killed::trapped_process", "--nocapture"])
            .env(TRAPPED, "")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut lines = lines.map(|line| line.unwrap());
        let connection = lines
            .find_map(|line| line.strip_prefix("serving ").map(str::to_owned))
            .unwrap();
        let end = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            if Instant::now() >= end {
                // The one thing that ends it.
                let abort = format!("/sys/fs/fuse/connections/{connection}/abort");
                std::fs::write(abort, "1").unwrap();
                panic!("it cannot be killed: {:?}", child.wait());
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        };
        assert_eq!(status.signal(), Some(9), "{status}");
    }
}
