//! Calls that are answered several times.

use std::thread;

use transom_control::{CallError, ServiceError};

use crate::service::{Count, Echo, Flood, Odd, Wait, start};

#[test]
fn replies_come_one_after_the_other() {
    let running = start();
    let counted: Result<Vec<_>, _> = running.client().more(&Count { to: 10 }).unwrap().collect();
    let numbers: Vec<_> = counted.unwrap().iter().map(|reply| reply.number).collect();
    assert_eq!(numbers, (1..=10).collect::<Vec<_>>());
}

#[test]
fn a_stream_fails_at_its_beginning_or_later() {
    let running = start();
    let replies: Vec<_> = running.client().more(&Count { to: 3 }).unwrap().collect();
    assert!(matches!(
        &replies[..],
        [Err(CallError::Method(Odd::Odd { number: 3 }))]
    ));
    let replies: Vec<_> = running.client().more(&Count { to: 20 }).unwrap().collect();
    assert_eq!(replies.len(), 13);
    assert!(replies[..12].iter().all(Result::is_ok));
    assert!(replies[12].is_err());
}

#[test]
fn a_stream_has_to_be_asked_for() {
    let running = start();
    let mut client = running.client();
    let refused = client.call(&Count { to: 2 });
    assert!(matches!(
        refused,
        Err(CallError::Service(ServiceError::ExpectedMore {}))
    ));
    // Whoever asks for more of what has no more gets one reply.
    let text = String::from("x");
    let replies: Vec<_> = client.more(&Echo { text }).unwrap().collect();
    assert_eq!(replies.len(), 1);
}

#[test]
fn a_stream_ends_with_its_client() {
    let running = start();
    let waiting: Vec<_> = (0..10)
        .map(|_| running.client().more(&Wait {}).unwrap())
        .collect();
    let mut flooded = running.client().more(&Flood {}).unwrap();
    flooded.next().unwrap().unwrap();
    drop((waiting, flooded));
    running.service.wait_for_ends(11);
}

#[test]
fn a_stream_ends_with_its_server() {
    let mut running = start();
    let mut waiting = running.client().more(&Wait {}).unwrap();
    let mut flooded = running.client().more(&Flood {}).unwrap();
    flooded.next().unwrap().unwrap();
    let server = running.server.take().unwrap();
    let reading = thread::spawn(move || flooded.filter(Result::is_ok).count());
    assert!(server.stop(std::time::Duration::from_secs(60)));
    assert!(matches!(
        waiting.next(),
        Some(Err(CallError::Connection(_)))
    ));
    assert!(waiting.next().is_none());
    reading.join().unwrap();
}
