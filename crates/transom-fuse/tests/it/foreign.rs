//! A mount of root's in the hands of a user in namespaces of his own: what the
//! daemon relies on when it gives a view away.

use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::process::{Command, Stdio};

use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use rustix::io::Errno;
use transom_fuse::Opcode;
use transom_sys::mount::{self, Reach};
use transom_test::{Unprivileged, privileged};

use crate::serve;
use crate::shelf::host;

/// Set in the process of the user.
const FOREIGN: &str = "TRANSOM_TEST_FOREIGN";

#[test]
fn privileged_a_user_in_a_namespace_mounts_what_root_serves_and_the_kernel_reads_it() {
    privileged!("mount");
    let directory = transom_test::temp_dir().unwrap();
    let make = |name: &str| {
        let path = directory.path().join(name);
        fs::write(&path, name).unwrap();
        host(&path)
    };
    let session = serve(&[("open", make("open")), ("place", make("place"))]);
    let user = Unprivileged::new().unwrap();
    let program = user.home().join("foreign");
    let here = std::env::current_exe().unwrap();
    if fs::hard_link(&here, &program).is_err() {
        fs::copy(here, &program).unwrap();
    }
    let status = user
        .command("unshare")
        .unwrap()
        .args(["--user", "--mount", "--map-current-user", "--keep-caps"])
        .arg(&program)
        .args(["--exact", "--nocapture"])
        .arg("foreign::process_of_the_user")
        .env(FOREIGN, "")
        .stdin(Stdio::from(session.subtree(".").unwrap()))
        .status()
        .unwrap();
    assert!(status.success());
    let statistics = session.statistics();
    assert!(statistics.passthrough_opens >= 3, "{statistics:?}");
    assert_eq!(statistics.count(Opcode::Read), 0);
    assert_eq!(statistics.served_opens, 0);
}

/// Not a test of its own: the user, who has every capability in a namespace of
/// his own, uses the mount that is his standard input.
#[test]
fn process_of_the_user() {
    if std::env::var_os(FOREIGN).is_none() {
        return;
    }
    let stdin = io::stdin();
    let tree = stdin.as_fd();
    assert!(!transom_test::is_root());
    let read = |tree: BorrowedFd<'_>, name: &str| {
        fs::read_to_string(format!("/proc/self/fd/{}/{name}", tree.as_raw_fd()))
    };
    // The kernel lets him in: `allow_other` holds for user namespaces below that
    // of the server.
    assert_eq!(read(tree, "open").unwrap(), "open");
    let owner = rustix::fs::statat(tree, "open", AtFlags::empty()).unwrap();
    assert_eq!(owner.st_uid, 65534, "who is not mapped is shown as nobody");

    // It can be cloned and mounted on while it is detached: views are composed
    // like those of his own.
    let clone = mount::clone(tree, c"", Reach::Tree).unwrap();
    let stub = mount::clone(&clone, c"open", Reach::Mount).unwrap();
    mount::attach(stub, &clone, c"place").unwrap();
    assert_eq!(read(clone.as_fd(), "place").unwrap(), "open");
    assert_eq!(read(tree, "place").unwrap(), "place");
    mount::attach(clone, CWD, c"/tmp").unwrap();
    assert_eq!(fs::read_to_string("/tmp/place").unwrap(), "open");
    let attached = mount::clone(CWD, c"/tmp", Reach::Tree).unwrap();
    assert_eq!(read(attached.as_fd(), "open").unwrap(), "open");

    // Flags of the mount are his to change. Those of the superblock are not, so
    // it has to be read-only itself.
    let remounted = Command::new("mount")
        .args(["-o", "remount,bind,rw,suid,dev", "/tmp"])
        .status();
    assert!(remounted.unwrap().success());
    let opened = rustix::fs::openat(CWD, "/tmp/open", OFlags::RDWR, Mode::empty());
    assert_eq!(opened.unwrap_err(), Errno::ROFS);
    // Nothing leads above the directory that was given.
    let above = rustix::fs::statat(tree, "..", AtFlags::empty()).unwrap();
    let here = rustix::fs::statat(tree, ".", AtFlags::empty()).unwrap();
    assert_eq!(above.st_ino, here.st_ino);
}
