//! A handler that hangs delays nobody: not the others, not its killed caller.

use std::os::fd::AsRawFd;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use transom_fuse::{Options, Session};
use transom_test::privileged;

use crate::shelf::{Content, Shelf};
use crate::{PATIENCE, path_of, serve, serve_with};

fn cat(session: &Session<Shelf>, name: &str) -> Child {
    let mount = format!(
        "/proc/{}/fd/{}",
        std::process::id(),
        session.mount().unwrap().as_raw_fd()
    );
    Command::new("cat")
        .arg(format!("{mount}/{name}"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !holds() {
        assert!(
            Instant::now() < end,
            "{what} did not happen within {PATIENCE:?}"
        );
        thread::sleep(Duration::from_millis(1));
    }
}

fn opens(session: &Session<Shelf>) -> u64 {
    session.statistics().count(transom_fuse::Opcode::Open)
}

#[test]
fn privileged_others_are_served_while_many_handlers_hang() {
    privileged!("mount");
    let session = serve(&[
        ("hangs", Content::Hangs),
        ("works", Content::Bytes(b"fine".to_vec())),
    ]);
    let mut hanging: Vec<_> = (0..10).map(|_| cat(&session, "hangs")).collect();
    until("all opens", || opens(&session) >= 10);
    for _ in 0..5 {
        assert_eq!(
            cat(&session, "works").wait_with_output().unwrap().stdout,
            b"fine"
        );
    }
    for child in &mut hanging {
        assert!(child.try_wait().unwrap().is_none(), "it still hangs");
        child.kill().unwrap();
        child.wait().unwrap();
    }
    assert_eq!(session.statistics().interrupted, 10);
}

#[test]
fn privileged_a_killed_caller_is_gone_at_once() {
    privileged!("mount");
    let session = serve(&[("hangs", Content::Hangs)]);
    let mut child = cat(&session, "hangs");
    until("the open", || opens(&session) == 1);
    thread::sleep(Duration::from_millis(50));
    let killed = Instant::now();
    child.kill().unwrap();
    child.wait().unwrap();
    // Generous for a loaded machine; without an answer it would be for ever.
    assert!(killed.elapsed() < PATIENCE, "{:?}", killed.elapsed());
    assert_eq!(session.statistics().interrupted, 1);
}

#[test]
fn privileged_a_handled_signal_does_not_break_a_slow_open() {
    privileged!("mount");
    let session = serve(&[("slow", Content::Slow(Duration::from_millis(400)))]);
    let mount = format!(
        "/proc/{}/fd/{}",
        std::process::id(),
        session.mount().unwrap().as_raw_fd()
    );
    let script = format!(
        "import signal, os\n\
         signal.signal(signal.SIGALRM, lambda *_: None)\n\
         signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)\n\
         os.close(os.open('{mount}/slow', os.O_RDONLY))\n\
         signal.setitimer(signal.ITIMER_REAL, 0)\n"
    );
    let output = Command::new("python3").args(["-c", &script]).output();
    let Ok(output) = output else {
        transom_test::skip!("python3 is not installed");
    };
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(session.statistics().interrupted, 0);
}

#[test]
fn privileged_a_deadline_ends_what_nobody_kills() {
    privileged!("mount");
    let options = Options {
        deadline: Some(Duration::from_millis(100)),
        ..Options::default()
    };
    let session = serve_with(&[("hangs", Content::Hangs)], &options);
    let error = std::fs::File::open(path_of(&session, "hangs")).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::ETIMEDOUT));
    assert_eq!(session.statistics().timed_out, 1);
}

#[test]
fn privileged_a_panicking_module_costs_one_error() {
    privileged!("mount");
    let session = serve(&[
        ("panics", Content::Panics),
        ("works", Content::Bytes(b"fine".to_vec())),
    ]);
    let error = std::fs::File::open(path_of(&session, "panics")).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EIO));
    assert_eq!(std::fs::read(path_of(&session, "works")).unwrap(), b"fine");
}

#[test]
fn privileged_workers_beyond_need_end_again() {
    privileged!("mount");
    let session = serve(&[
        ("hangs", Content::Hangs),
        ("works", Content::Bytes(b"fine".to_vec())),
    ]);
    let mut hanging: Vec<_> = (0..8).map(|_| cat(&session, "hangs")).collect();
    until("all opens", || opens(&session) >= 8);
    assert!(session.statistics().workers_started >= 8);
    for child in &mut hanging {
        child.kill().unwrap();
        child.wait().unwrap();
    }
    assert_eq!(std::fs::read(path_of(&session, "works")).unwrap(), b"fine");
    // Ending waits for every thread.
    session.end().unwrap();
}
