//! Calls that are meant well.

use std::os::unix::net::UnixStream;
use std::thread;

use transom_control::{
    CallError, Client, GetInfo, GetInterfaceDescription, ServiceError, Services,
};

use crate::service::{
    Count, Echo, Hold, INTERFACE, INTERFACE_TEXT, Who, interface, open_descriptors, start,
    wait_for_descriptors,
};

#[test]
fn a_server_tells_what_it_answers() {
    let running = start();
    let mut client = running.client();
    let info = client.call(&GetInfo {}).unwrap();
    assert_eq!(info.interfaces, [INTERFACE, "org.varlink.service"]);
    for interface in info.interfaces {
        let text = client.call(&GetInterfaceDescription {
            interface: interface.clone(),
        });
        let text = text.unwrap().description;
        assert!(text.contains(&format!("interface {interface}\n")), "{text}");
        assert_eq!(interface == INTERFACE, text == INTERFACE_TEXT);
    }
    let interface = String::from("com.example.Other");
    let unknown = client.call(&GetInterfaceDescription {
        interface: interface.clone(),
    });
    let expected = ServiceError::InterfaceNotFound { interface };
    assert!(matches!(unknown, Err(CallError::Service(error)) if error == expected));
}

#[test]
fn a_service_knows_who_calls() {
    let running = start();
    let who = running.client().call(&Who {}).unwrap();
    assert_eq!(who.uid, rustix::process::geteuid().as_raw());
    assert_eq!(who.gid, rustix::process::getegid().as_raw());
    assert_eq!(who.pid.cast_unsigned(), std::process::id());
    let groups = rustix::process::getgroups().unwrap();
    assert_eq!(who.groups.len(), groups.len());
}

#[test]
fn a_call_without_a_reply_is_made() {
    let running = start();
    let mut client = running.client();
    let text = String::from("x");
    for _ in 0..100 {
        client.oneway(&Echo { text: text.clone() }).unwrap();
    }
    // The errors of such a call are not told either.
    client.oneway(&Count { to: 1 }).unwrap();
    assert_eq!(
        client.call(&Echo { text: text.clone() }).unwrap().text,
        text
    );
    assert_eq!(running.service.calls(), 101);
}

#[test]
fn a_connection_that_was_handed_over_is_served() {
    let running = start();
    let (ours, theirs) = UnixStream::pair().unwrap();
    let services = Services::new([interface(running.service.clone())]);
    let served = thread::spawn(move || services.serve(&ours));
    let mut client = Client::over(theirs);
    assert_eq!(client.call(&Echo { text: "y".into() }).unwrap().text, "y");
    drop(client);
    served.join().unwrap().unwrap();
    assert_eq!(running.service.ends(), 1);
}

#[test]
fn stopping_lets_calls_end_and_hangs_up() {
    let mut running = start();
    let before = open_descriptors();
    let mut idle = running.client();
    idle.call(&Echo { text: "z".into() }).unwrap();
    let mut waiting = running.client();
    let held = thread::spawn(move || waiting.call(&Hold {}).map(drop));
    running.service.wait_for_held(1);
    let server = running.server.take().unwrap();
    let stopped = thread::spawn(move || server.stop(std::time::Duration::from_secs(60)));
    running.service.wait_for_ends(1);
    assert!(Client::connect(&running.path).is_err());
    assert!(matches!(
        idle.call(&Echo { text: "z".into() }),
        Err(CallError::Connection(_))
    ));
    running.service.release();
    assert!(stopped.join().unwrap());
    held.join().unwrap().unwrap();
    assert_eq!(running.service.ends(), 2);
    drop(idle);
    // The socket and what wakes its thread are closed.
    wait_for_descriptors(before - 2);
}
