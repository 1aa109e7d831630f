//! Clients that misbehave. Each time the others are answered.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use transom_control::{
    Admission, Client, LARGE_MESSAGES_OF_USER_MAX, MESSAGE_BYTES_MAX,
    SYSTEM_CONNECTIONS_OF_USER_MAX,
};

use crate::service::{
    Count, Echo, Flood, Panic, Running, Wait, open_descriptors, start, start_with,
    wait_for_descriptors,
};

/// Clients that are answered while others misbehave.
const CLIENTS: usize = 200;
/// Calls of each of them.
const CALLS: usize = 20;

/// Both ends of all connections are in this process.
fn raise_descriptor_limit() {
    let maximum = getrlimit(Resource::Nofile).maximum;
    let limit = Rlimit {
        current: maximum,
        maximum,
    };
    setrlimit(Resource::Nofile, limit).unwrap();
}

/// What the server replies before it hangs up.
fn raw(running: &Running, message: &[u8]) -> String {
    let mut stream = UnixStream::connect(&running.path).unwrap();
    // A server that hangs up on garbage may do so before all of it was read.
    let _ = stream.write_all(message);
    let _ = stream.shutdown(Shutdown::Write);
    let mut reply = String::new();
    let _ = stream.read_to_string(&mut reply);
    reply
}

/// Many clients at once call, and all are answered.
fn check_many(running: &Running, clients: usize) {
    let answered = AtomicUsize::new(0);
    thread::scope(|scope| {
        for number in 0..clients {
            let answered = &answered;
            scope.spawn(move || {
                let mut client = running.client();
                for call in 0..CALLS {
                    let text = format!("{number} {call}");
                    let reply = client.call(&Echo { text: text.clone() }).unwrap();
                    assert_eq!(reply.text, text);
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    assert_eq!(answered.into_inner(), clients * CALLS);
}

#[test]
fn two_hundred_clients_are_answered_beside_floods_and_streams_that_nobody_reads() {
    raise_descriptor_limit();
    let running = start();
    let _unread: Vec<_> = (0..10)
        .map(|_| running.client().more(&Flood {}).unwrap())
        .collect();
    let _idle: Vec<_> = (0..10).map(|_| running.client()).collect();
    let _watching: Vec<_> = (0..10)
        .map(|_| running.client().more(&Wait {}).unwrap())
        .collect();
    let flooding: Vec<_> = (0..10).map(|_| flood(&running)).collect();
    check_many(&running, CLIENTS);
    for flooding in flooding {
        flooding.join().unwrap();
    }
}

/// Calls and calls, and reads nothing, until it is hung up on.
fn flood(running: &Running) -> JoinHandle<()> {
    let mut stream = UnixStream::connect(&running.path).unwrap();
    let text = "x".repeat(1000);
    let call =
        format!("{{\"method\":\"io.transom.Test.Echo\",\"parameters\":{{\"text\":\"{text}\"}}}}\0");
    thread::spawn(move || while stream.write_all(call.as_bytes()).is_ok() {})
}

#[test]
fn connections_that_come_and_go_keep_nobody_out() {
    raise_descriptor_limit();
    // They are all the same user.
    let running = start_with(Admission {
        connections_of_user: usize::MAX,
        ..Admission::SYSTEM
    });
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    drop(UnixStream::connect(&running.path).unwrap());
                }
            });
        }
        check_many(&running, CLIENTS / 4);
        is_over.store(true, Ordering::Relaxed);
    });
    running.check();
}

#[test]
fn whoever_reads_nothing_is_dropped() {
    let running = start();
    let streamed = running.client().more(&Flood {}).unwrap();
    flood(&running).join().unwrap();
    running.service.wait_for_ends(2);
    drop(streamed);
    running.check();
}

#[test]
fn whoever_sends_half_a_message_is_dropped() {
    let running = start();
    let mut half = UnixStream::connect(&running.path).unwrap();
    half.write_all(b"{\"method\":").unwrap();
    let idle = UnixStream::connect(&running.path).unwrap();
    running.check();
    running.service.wait_for_ends(2);
    assert_eq!(half.read(&mut [0]).unwrap(), 0);
    // Whoever has sent nothing may take its time.
    let mut idle = Client::over(idle);
    idle.call(&Echo { text: "x".into() }).unwrap();
}

#[test]
fn garbage_ends_its_connection_alone() {
    let running = start();
    let mut client = running.client();
    for garbage in [
        &b"\0"[..],
        b"no json\0",
        b"{\"method\":",
        b"{\"method\":7}\0",
        b"{\"method\":\"\xff\"}\0",
        b"[]\0",
        b"{\"method\":\"io.transom.Test.Echo\",\"parameters\":{\"text\":\"\xff\"}}\0",
    ] {
        assert_eq!(raw(&running, garbage), "", "{garbage:?}");
        let text = String::from("x");
        client.call(&Echo { text }).unwrap();
    }
    let nested = format!(
        "{{\"method\":\"a.b\",\"parameters\":{}\0",
        "[".repeat(1 << 20)
    );
    assert_eq!(raw(&running, nested.as_bytes()), "");
    running.check();
}

#[test]
fn calls_that_are_wrong_are_told_so() {
    let running = start();
    let name = "org.varlink.service";
    for (call, error) in [
        (r#"{"method":""}"#, "InterfaceNotFound"),
        (r#"{"method":"Echo"}"#, "InterfaceNotFound"),
        (
            r#"{"method":"com.example.Other.Echo"}"#,
            "InterfaceNotFound",
        ),
        (r#"{"method":"io.transom.Test.Other"}"#, "MethodNotFound"),
        (r#"{"method":"io.transom.Test."}"#, "MethodNotFound"),
        (r#"{"method":"io.transom.Test.Echo"}"#, "InvalidParameter"),
        (
            r#"{"method":"io.transom.Test.Echo","parameters":{"text":7}}"#,
            "InvalidParameter",
        ),
        (
            r#"{"method":"io.transom.Test.Echo","parameters":[[[[]]]]}"#,
            "InvalidParameter",
        ),
        (r#"{"method":"io.transom.Test.Wait"}"#, "ExpectedMore"),
        (
            r#"{"method":"io.transom.Test.Who","upgrade":true}"#,
            "MethodNotImplemented",
        ),
        (
            r#"{"method":"org.varlink.service.GetInfo","parameters":{"x":1}}"#,
            "InvalidParameter",
        ),
    ] {
        // The connection goes on.
        let reply = raw(&running, format!("{call}\0{call}\0").as_bytes());
        let expected = format!("\"error\":\"{name}.{error}\"");
        assert_eq!(reply.matches(&expected).count(), 2, "{call}: {reply}");
    }
}

#[test]
fn messages_have_a_largest_size() {
    let running = start();
    let around = |text: usize| {
        let call = "{\"method\":\"io.transom.Test.Echo\",\"parameters\":{\"text\":\"";
        let end = "\"}}";
        let text = "x".repeat(text - call.len() - end.len());
        format!("{call}{text}{end}\0")
    };
    let reply = raw(&running, around(MESSAGE_BYTES_MAX).as_bytes());
    assert!(reply.len() > MESSAGE_BYTES_MAX / 2, "{}", reply.len());
    assert_eq!(raw(&running, around(MESSAGE_BYTES_MAX + 1).as_bytes()), "");
    running.check();
}

#[test]
fn small_messages_overtake_large_ones() {
    let running = start();
    let large = vec![b' '; 1 << 20];
    let mut halves: Vec<_> = (0..LARGE_MESSAGES_OF_USER_MAX * 2)
        .map(|_| {
            let mut stream = UnixStream::connect(&running.path).unwrap();
            stream.set_nonblocking(true).unwrap();
            // As much as is taken at once.
            let _ = stream.write(&large);
            stream
        })
        .collect();
    check_many(&running, 10);
    halves.truncate(1);
    check_many(&running, 10);
}

#[test]
fn one_connection_too_many_is_hung_up_on() {
    let admission = Admission {
        connections_of_user: 3,
        ..Admission::SYSTEM
    };
    let running = start_with(admission);
    let mut clients: Vec<_> = (0..3).map(|_| running.client()).collect();
    let echo = Echo { text: "x".into() };
    for client in &mut clients {
        client.call(&echo).unwrap();
    }
    for _ in 0..SYSTEM_CONNECTIONS_OF_USER_MAX {
        assert!(running.client().call(&echo).is_err());
    }
    for client in &mut clients {
        client.call(&echo).unwrap();
    }
    clients.pop();
    running.service.wait_for_ends(1);
    // Its place is free when it is not known of any more.
    while running.client().call(&echo).is_err() {}
}

#[test]
fn clients_that_die_leave_nothing() {
    raise_descriptor_limit();
    let running = start();
    let before = open_descriptors();
    let rounds = 50;
    for _ in 0..rounds {
        let mut half = UnixStream::connect(&running.path).unwrap();
        half.write_all(b"{\"method\":\"io.tran").unwrap();
        let mut unread = running.client();
        unread
            .oneway(&Echo {
                text: "x".repeat(1 << 17),
            })
            .unwrap();
        let mut streamed = running.client().more(&Count { to: 1_000_000 }).unwrap();
        streamed.next().unwrap().unwrap();
        let flooded = running.client().more(&Flood {}).unwrap();
        let waiting = running.client().more(&Wait {}).unwrap();
        let silent = UnixStream::connect(&running.path).unwrap();
        drop((half, unread, streamed, flooded, waiting, silent));
    }
    running.service.wait_for_ends(6 * rounds);
    check_many(&running, 10);
    running.service.wait_for_ends(6 * rounds + 10);
    wait_for_descriptors(before);
}

#[test]
fn a_panic_costs_its_caller_the_connection() {
    let running = start();
    let before = open_descriptors();
    let mut client = running.client();
    client.call(&Echo { text: "x".into() }).unwrap();
    assert!(running.client().call(&Panic {}).is_err());
    running.service.wait_for_ends(1);
    client.call(&Echo { text: "x".into() }).unwrap();
    drop(client);
    running.service.wait_for_ends(2);
    wait_for_descriptors(before);
}
