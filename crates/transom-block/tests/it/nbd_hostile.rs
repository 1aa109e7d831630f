//! NBD clients that mean no good, or know no better: they harm nobody else.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use proptest::prelude::*;
use transom_block::nbd::{CONNECTIONS_MAX, REQUEST_BYTES_MAX, REQUESTS_MAX};

use crate::nbd_client::*;
use crate::nbd_protocol::Served;
use crate::volumes::{HostFile, Slow};

/// Asserts that others are served.
fn assert_alive(served: &Served) {
    assert_eq!(served.client().ask(READ, 0, 0, 4096), 0);
}

#[test]
fn garbage_ends_a_connection() {
    let served = Served::new();
    let mut client = UnixStream::connect(served.socket()).unwrap();
    _ = client.write_all(&[0xff; 4096]);
    let mut said = Vec::new();
    _ = client.read_to_end(&mut said);
    assert!(said.len() <= 18, "nothing but the greeting");

    let mut client = Client::greeted(&served.socket());
    _ = client.stream.write_all(b"GET / HTTP/1.1\r\n\r\n");
    assert!(client.is_cut());

    let mut client = served.client();
    _ = client.stream.write_all(&[0; 28]);
    assert!(client.is_cut());
    assert_alive(&served);
}

#[test]
fn what_is_said_to_be_4_gib_is_not_waited_for() {
    let served = Served::new();
    let mut client = Client::greeted(&served.socket());
    client.send_option(OPT_GO, u32::MAX, b"disk").unwrap();
    assert!(client.is_cut());

    let mut client = Client::greeted(&served.socket());
    client
        .send_option(OPT_EXPORT_NAME, 4097, &[b'a'; 4097])
        .unwrap();
    assert!(client.is_cut());

    let mut client = served.client();
    client.send(WRITE, 0, 0, u32::MAX, &[1; 512]).unwrap();
    assert!(client.is_cut());
    assert_alive(&served);
}

#[test]
fn a_client_that_stops_in_the_middle_delays_nobody() {
    let served = Served::new();
    let silent = UnixStream::connect(served.socket()).unwrap();
    let mut half_option = Client::greeted(&served.socket());
    half_option.stream.write_all(b"IHAVE").unwrap();
    let mut half_request = served.client();
    half_request.stream.write_all(&[0x25, 0x60]).unwrap();
    let mut half_write = served.client();
    half_write.send(WRITE, 0, 0, 1 << 20, &[1; 1000]).unwrap();
    assert_alive(&served);
    drop((silent, half_option, half_request, half_write));
    // What arrived of the last one was not written.
    assert_eq!(served.client().read(0, 512), [0; 512]);
}

#[test]
fn a_client_that_takes_no_replies_delays_nobody() {
    let served = Served::new();
    let mut deaf = served.client();
    deaf.stream.set_nonblocking(true).unwrap();
    let mut sent = 0;
    // Until the server takes no more, having done what it may do at a time.
    while sent < 1_000_000 && deaf.send(READ, 0, 0, 1 << 20, &[]).is_ok() {
        sent += 1;
    }
    assert!(sent < 1_000_000, "there is an end to what is taken");
    let taken = served.server.exports()[0].requests;
    let most = REQUESTS_MAX.min(REQUEST_BYTES_MAX >> 20) as u64;
    // Some replies have found room in the socket; one request waits.
    assert!(taken <= most + 8, "{taken} requests were taken");
    for _ in 0..100 {
        assert_alive(&served);
    }
}

#[test]
fn connections_are_limited_and_become_free_again() {
    let served = Served::new();
    let mut clients: Vec<_> = (0..CONNECTIONS_MAX).map(|_| served.client()).collect();
    for _ in 0..200 {
        let mut further = UnixStream::connect(served.socket()).unwrap();
        assert!(matches!(further.read(&mut [0; 18]), Ok(0) | Err(_)));
    }
    for client in &mut clients {
        assert_eq!(client.ask(READ, 0, 0, 512), 0);
    }
    drop(clients);
    while served.server.exports()[0].connections > 0 {
        std::thread::yield_now();
    }
    // Having left the export, a connection has still to end itself.
    let is_greeted = |mut stream: UnixStream| stream.read_exact(&mut [0; 18]).is_ok();
    let mut attempts = (0..10_000).map(|_| UnixStream::connect(served.socket()).unwrap());
    assert!(attempts.any(is_greeted));
}

#[test]
fn a_flood_of_small_requests_is_answered_to_the_last() {
    const REQUESTS: u64 = 20_000;
    let served = Served::new();
    let mut client = served.client();
    let mut sending = Client {
        stream: client.stream.try_clone().unwrap(),
        ..client
    };
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for number in 0..REQUESTS {
                sending.send(FLUSH + 50, 0, number, 0, &[]).unwrap();
            }
        });
        let mut cookies = 0;
        for _ in 0..REQUESTS {
            let (cookie, error) = client.reply().unwrap();
            assert_eq!(error, EINVAL);
            cookies += cookie;
        }
        assert_eq!(cookies, REQUESTS * (REQUESTS - 1) / 2);
    });
    assert_alive(&served);
}

#[test]
fn a_client_that_leaves_takes_its_requests_along() {
    let host = HostFile::new(1 << 20);
    let volume = Arc::new(Slow {
        inner: crate::volumes::volume_of(&host.path()),
        gate: crate::volumes::Gate::default(),
    });
    let served = Served::volume(host, volume.clone());
    for _ in 0..8 {
        let mut client = served.client();
        client.send(READ, 0, 1 << 19, 512, &[]).unwrap();
    }
    assert_alive(&served);
    volume.gate.open();
    while served.server.exports()[0].connections > 0 {
        std::thread::yield_now();
    }
    assert_alive(&served);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// Bytes at random, in the handshake or after it.
    #[test]
    fn no_bytes_harm_the_server(
        chosen: bool,
        pieces in prop::collection::vec(prop_oneof![
            Just(b"IHAVEOPT".to_vec()),
            Just(vec![0x25, 0x60, 0x95, 0x13]),
            prop::collection::vec(0u8..8, 1..30),
            prop::collection::vec(any::<u8>(), 1..30),
        ], 0..12),
    ) {
        let served = Served::new();
        let mut client = match chosen {
            true => served.client(),
            false => Client::greeted(&served.socket()),
        };
        for piece in pieces {
            if client.stream.write_all(&piece).is_err() {
                break;
            }
        }
        client.stream.shutdown(std::net::Shutdown::Write).unwrap();
        _ = client.stream.read_to_end(&mut Vec::new());
        assert_alive(&served);
    }
}
