//! A server that leaves and one that takes its place.

use std::os::fd::AsRawFd;
use std::path::PathBuf;

use transom_fuse::{Opcode, Options, Session};
use transom_module::VolumeDefinition;
use transom_test::privileged;

use crate::shelf::{Content, Shelf, host};
use crate::{path_of, serve};

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

#[test]
fn privileged_another_server_attaches_without_init() {
    privileged!("mount");
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("host");
    std::fs::write(&path, b"host bytes").unwrap();

    let first = serve(&[
        ("kept", host(&path)),
        ("served", Content::Bytes(b"first".to_vec())),
    ]);
    assert_eq!(std::fs::read(path_of(&first, "served")).unwrap(), b"first");
    let negotiated = first.negotiated();
    let connection = transom_sys::fuse_device::clone_connection(first.connection()).unwrap();

    let volume = Shelf::new(&[
        ("kept", host(&path)),
        ("new", Content::Bytes(b"second".to_vec())),
    ]);
    let second = Session::attach(
        VolumeDefinition::new(volume),
        connection,
        negotiated,
        &Options::default(),
    )
    .unwrap();
    // Both serve the same connection now; whichever takes the request answers
    // from its own table, and names that only the second has are found as soon
    // as it is asked.
    let mut found = false;
    for _ in 0..50 {
        first
            .invalidate(&[transom_module::Invalidation::Epoch])
            .unwrap();
        found |= std::fs::read(path_of(&first, "new")).is_ok_and(|bytes| bytes == b"second");
    }
    assert!(
        found,
        "the second server never answered: {:?}",
        second.statistics()
    );
    assert_eq!(second.statistics().count(Opcode::Init), 0);
    assert!(second.mount().is_none());
}
