//! A server that leaves and one that takes its place.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};
use transom_fuse::{Negotiated, Opcode, Options, Session};
use transom_module::VolumeDefinition;
use transom_test::privileged;

use crate::shelf::{Content, Shelf, host};
use crate::{PATIENCE, serve};

#[test]
fn privileged_a_session_ends_when_its_last_mount_is_gone() {
    privileged!("mount");
    let session = serve(&[("one", Content::Bytes(b"first".to_vec()))]);
    let clone = session.subtree("").unwrap_err();
    assert_eq!(
        clone.raw_os_error(),
        Some(libc::ENOENT),
        "an empty path is no directory of the volume"
    );
    let second = session.subtree(".").unwrap();
    let path = PathBuf::from(format!("/proc/self/fd/{}", second.as_raw_fd())).join("one");
    assert_eq!(std::fs::read(&path).unwrap(), b"first");
    drop(second);
    assert!(session.end().is_ok());
}

/// Set in the process that [`server_process`] runs in.
const SERVER: &str = "TRANSOM_TEST_SERVER";

/// Not a test of its own: a server in a process that can be killed.
#[test]
fn server_process() {
    let Ok(path) = std::env::var(SERVER) else {
        return;
    };
    let session = serve(&[
        ("kept", host(Path::new(&path))),
        ("old", Content::Bytes(b"first".to_vec())),
    ]);
    let Negotiated {
        minor,
        offered,
        granted,
        max_write,
    } = session.negotiated();
    let (mount, connection) = (
        session.mount().unwrap().as_raw_fd(),
        session.connection().as_raw_fd(),
    );
    println!("\nserving {mount} {connection} {minor} {offered} {granted} {max_write}");
    std::thread::sleep(PATIENCE);
}

/// Serves in a process of its own, then kills that, and returns what a
/// supervisor would have kept: a path of the mount, the connection, and what
/// was agreed on.
fn serve_and_kill(path: &Path, meanwhile: impl FnOnce(&Path)) -> (OwnedFd, OwnedFd, Negotiated) {
    let mut server = Command::new(std::env::current_exe().unwrap())
        .args(["supervision::server_process", "--exact", "--nocapture"])
        .env(SERVER, path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(server.stdout.take().unwrap()).lines();
    let serving = lines
        .map(Result::unwrap)
        .find(|line| line.starts_with("serving "))
        .unwrap();
    let numbers: Vec<u64> = serving
        .split(' ')
        .skip(1)
        .map(|number| number.parse().unwrap())
        .collect();
    let pid = Pid::from_child(&server);
    let pidfd = pidfd_open(pid, PidfdFlags::empty()).unwrap();
    let take = |number: u64| pidfd_getfd(&pidfd, number as i32, PidfdGetfdFlags::empty()).unwrap();
    let (mount, connection) = (take(numbers[0]), take(numbers[1]));
    let negotiated = Negotiated {
        minor: numbers[2] as u32,
        offered: numbers[3],
        granted: numbers[4],
        max_write: numbers[5] as u32,
    };
    meanwhile(&below(&mount, ""));
    server.kill().unwrap();
    server.wait().unwrap();
    (mount, connection, negotiated)
}

fn below(mount: &OwnedFd, name: &str) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", mount.as_raw_fd())).join(name)
}

#[test]
fn privileged_another_server_attaches_without_init() {
    privileged!("mount");
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("host");
    std::fs::write(&path, b"host bytes").unwrap();

    let mut open = None;
    let (mount, connection, negotiated) = serve_and_kill(&path, |mount| {
        assert_eq!(std::fs::read(mount.join("old")).unwrap(), b"first");
        open = Some(File::open(mount.join("kept")).unwrap());
    });

    // With no server at all, a file that is open is still read by the kernel,
    // and a name that is not known waits.
    let mut bytes = String::new();
    open.unwrap().read_to_string(&mut bytes).unwrap();
    assert_eq!(bytes, "host bytes");
    let waiting = {
        let new = below(&mount, "new");
        std::thread::spawn(move || std::fs::read(new))
    };
    std::thread::sleep(Duration::from_millis(20));
    assert!(!waiting.is_finished());

    let volume = Shelf::new(&[
        ("kept", host(&path)),
        ("new", Content::Bytes(b"second".to_vec())),
    ]);
    let options = Options::default();
    let session = Session::attach(
        VolumeDefinition::new(volume),
        connection,
        negotiated,
        &options,
    )
    .unwrap();
    assert_eq!(waiting.join().unwrap().unwrap(), b"second");
    assert_eq!(
        std::fs::read(below(&mount, "kept")).unwrap(),
        b"host bytes",
        "a stale node is looked up again"
    );
    assert_eq!(session.statistics().count(Opcode::Init), 0);
    assert!(session.mount().is_none());
    drop(mount);
    session.end().unwrap();
}
