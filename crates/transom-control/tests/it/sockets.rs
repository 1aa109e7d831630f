//! Where servers listen, and who may connect.

use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;

use transom_control::{Admission, Client, Permission, Server, Services, Socket, sweep};

use crate::service::{Echo, TestService, interface, start};

fn serve(socket: Socket) -> Server {
    let services = Services::new([interface(Arc::<TestService>::default())]);
    Server::start(socket, Admission::PRIVATE, services).unwrap()
}

fn echoes(path: &Path) -> bool {
    let echo = Echo { text: "x".into() };
    Client::connect(path).is_ok_and(|mut client| client.call(&echo).is_ok())
}

#[test]
fn a_socket_is_replaced_only_if_nobody_listens() {
    let mut running = start();
    let path = running.path.clone();
    let taken = Socket::bind(&path, Permission::OurUser).unwrap_err();
    assert_eq!(taken.kind(), std::io::ErrorKind::AddrInUse);
    assert!(echoes(&path));

    running.server = None;
    assert!(!path.exists(), "the socket goes with its server");
    // What a killed server leaves behind.
    drop(UnixListener::bind(&path).unwrap());
    let _server = serve(Socket::bind(&path, Permission::OurUser).unwrap());
    assert!(echoes(&path));

    let file = path.with_file_name("file");
    std::fs::write(&file, "kept").unwrap();
    let taken = Socket::bind(&file, Permission::OurUser).unwrap_err();
    assert_eq!(taken.kind(), std::io::ErrorKind::AddrInUse);
    assert_eq!(std::fs::read(&file).unwrap(), b"kept");
}

#[test]
fn what_killed_servers_left_is_swept() {
    let running = start();
    let abandoned = running.path.with_file_name("abandoned");
    drop(UnixListener::bind(&abandoned).unwrap());
    sweep(running.path.parent().unwrap()).unwrap();
    assert!(!abandoned.exists());
    assert!(echoes(&running.path));
}

#[test]
fn permissions_are_those_that_were_asked_for() {
    let group = rustix::process::getegid();
    for (permission, mode) in [
        (Permission::OurUser, 0o600),
        (Permission::Group(group), 0o660),
        (Permission::Everybody, 0o666),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("run/socket");
        let server = serve(Socket::bind(&path, permission).unwrap());
        assert_eq!(server.path(), Some(&*path));
        let metadata = std::fs::metadata(&path).unwrap();
        assert_eq!(metadata.mode() & 0o777, mode);
        assert_eq!(metadata.gid(), group.as_raw());
        let directory = std::fs::metadata(path.parent().unwrap()).unwrap();
        let is_for_us_alone = directory.mode() & 0o077 == 0;
        assert_eq!(is_for_us_alone, permission == Permission::OurUser);
    }
}

#[test]
fn a_socket_that_listens_already_is_served() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    let server = serve(Socket::listening(OwnedFd::from(listener)).unwrap());
    assert_eq!(server.path(), None);
    assert!(echoes(&path));
    drop(server);
    assert!(path.exists(), "it belongs to who has bound it");
    assert!(!echoes(&path));
}

#[test]
fn what_does_not_listen_is_refused() {
    let (stream, _other) = UnixStream::pair().unwrap();
    let datagrams = UnixDatagram::unbound().unwrap();
    let file = tempfile::tempfile().unwrap();
    for wrong in [stream.into(), datagrams.into(), file.into()] {
        assert!(Socket::listening(wrong).is_err());
    }
}

#[test]
fn directories_of_others_are_not_trusted() {
    let running = start();
    let parent = running.path.parent().unwrap();
    std::fs::set_permissions(parent, std::fs::Permissions::from_mode(0o777)).unwrap();
    let refused = Client::connect_to_own(&running.path)
        .unwrap_err()
        .to_string();
    assert!(refused.contains("only this user can write"), "{refused}");
    let second = Socket::bind(&parent.join("second"), Permission::OurUser);
    assert_eq!(
        second.unwrap_err().kind(),
        std::io::ErrorKind::PermissionDenied
    );
}
