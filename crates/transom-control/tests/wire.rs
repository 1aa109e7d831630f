//! Client and server over a real socket, and clients that misbehave.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::{Value, json};
use transom_control::{
    CONNECTIONS_MAX, CallError, Change, Client, Description, Explanation, INTERFACE_TEXT, Listener,
    Refusal, Service,
};

struct Fixed;

impl Service for Fixed {
    fn describe(&self) -> Description {
        Description {
            name: "a".into(),
            engine: "fuse".into(),
            epoch: 3,
            files: 1,
            bytes: 2,
            passthrough: true,
        }
    }

    fn update(&self, changes: &[Change]) -> Result<u64, Refusal> {
        match changes {
            [Change::Withdraw(name)] if name == "b" => Ok(4),
            other => Err(Refusal::Refused(format!("{} changes", other.len()))),
        }
    }

    fn explain(&self, path: &Value) -> Result<Explanation, Refusal> {
        Ok(Explanation {
            text: format!("{path} is there"),
            explanation: json!({ "declared": true }),
        })
    }

    fn trace(&self) -> Result<Value, Refusal> {
        Err(Refusal::Unavailable("use --trace".into()))
    }

    fn statistics(&self) -> Value {
        json!({ "requests": 0 })
    }
}

fn listen() -> (tempfile::TempDir, Listener, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("views/a");
    let listener = Listener::start(&path, Arc::new(Fixed)).unwrap();
    (directory, listener, path)
}

#[test]
fn a_socket_is_replaced_only_if_nobody_listens() {
    let (_directory, listener, path) = listen();
    let taken = Listener::start(&path, Arc::new(Fixed)).unwrap_err();
    assert_eq!(taken.kind(), std::io::ErrorKind::AddrInUse);
    assert_eq!(
        Client::connect(&path).unwrap().describe().unwrap().name,
        "a"
    );

    drop(listener);
    // What a killed server leaves behind.
    drop(UnixListener::bind(&path).unwrap());
    let _listener = Listener::start(&path, Arc::new(Fixed)).unwrap();
    assert_eq!(
        Client::connect(&path).unwrap().describe().unwrap().name,
        "a"
    );

    let file = path.with_file_name("file");
    std::fs::write(&file, "kept").unwrap();
    let taken = Listener::start(&file, Arc::new(Fixed)).unwrap_err();
    assert_eq!(taken.kind(), std::io::ErrorKind::AddrInUse);
    assert_eq!(std::fs::read(&file).unwrap(), b"kept");
}

#[test]
fn calls_and_replies() {
    let (_directory, listener, path) = listen();
    let mut client = Client::connect(&path).unwrap();
    assert_eq!(client.describe().unwrap().epoch, 3);
    assert_eq!(
        client.update(vec![Change::Withdraw("b".into())]).unwrap(),
        4
    );
    let refused = client.update(vec![]).unwrap_err();
    assert!(matches!(refused, CallError::Refused(message) if message == "0 changes"));
    assert_eq!(client.explain("x".into()).unwrap().text, "\"x\" is there");
    assert!(matches!(client.trace(), Err(CallError::Refused(message)) if message == "use --trace"));
    assert_eq!(client.statistics().unwrap(), json!({ "requests": 0 }));
    drop(listener);
    assert!(!path.exists(), "the socket goes with its listener");
}

fn raw(path: &PathBuf, message: &[u8]) -> String {
    let mut stream = UnixStream::connect(path).unwrap();
    stream.write_all(message).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut reply = String::new();
    // A server that hangs up on garbage may do so before all of it was read.
    let _ = stream.read_to_string(&mut reply);
    reply
}

#[test]
fn the_interface_can_be_read_from_the_server() {
    let (_directory, _listener, path) = listen();
    let reply = raw(
        &path,
        b"{\"method\":\"org.varlink.service.GetInterfaceDescription\",\"parameters\":{\"interface\":\"io.transom.View\"}}\0",
    );
    let reply: Value = serde_json::from_str(reply.trim_end_matches('\0')).unwrap();
    assert_eq!(reply["parameters"]["description"], INTERFACE_TEXT);
    assert!(
        raw(&path, b"{\"method\":\"org.varlink.service.GetInfo\"}\0").contains("io.transom.View")
    );
}

#[test]
fn every_method_of_the_interface_is_served() {
    let (_directory, _listener, path) = listen();
    for line in INTERFACE_TEXT.lines() {
        let Some(rest) = line.strip_prefix("method ") else {
            continue;
        };
        let method = rest.split('(').next().unwrap();
        let reply = raw(
            &path,
            format!("{{\"method\":\"io.transom.View.{method}\"}}\0").as_bytes(),
        );
        assert!(!reply.contains("MethodNotFound"), "{method}: {reply}");
    }
    assert!(raw(&path, b"{\"method\":\"io.transom.View.Other\"}\0").contains("MethodNotFound"));
    assert!(raw(&path, b"{\"method\":\"com.example.Other\"}\0").contains("InterfaceNotFound"));
}

#[test]
fn misuse_harms_nobody_else() {
    let (_directory, _listener, path) = listen();
    let mut client = Client::connect(&path).unwrap();
    assert_eq!(raw(&path, b"no json\0"), "");
    assert_eq!(raw(&path, b"{\"method\":"), "");
    let wrong = raw(
        &path,
        b"{\"method\":\"io.transom.View.Update\",\"parameters\":{\"changes\":7}}\0",
    );
    assert!(wrong.contains("InvalidParameter"), "{wrong}");
    let idle: Vec<_> = (0..CONNECTIONS_MAX * 2)
        .map(|_| UnixStream::connect(&path).unwrap())
        .collect();
    assert_eq!(
        client.describe().unwrap().name,
        "a",
        "one that is connected is served"
    );
    drop(idle);
    client.describe().unwrap();
}

#[test]
fn directories_of_others_are_not_trusted() {
    use std::os::unix::fs::PermissionsExt;

    let (_directory, _listener, path) = listen();
    let parent = path.parent().unwrap();
    std::fs::set_permissions(parent, std::fs::Permissions::from_mode(0o777)).unwrap();
    let refused = Client::connect(&path).unwrap_err().to_string();
    assert!(refused.contains("only this user can write"), "{refused}");
    let second = Listener::start(&parent.join("second"), Arc::new(Fixed));
    assert_eq!(
        second.unwrap_err().kind(),
        std::io::ErrorKind::PermissionDenied
    );
}
