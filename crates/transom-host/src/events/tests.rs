use std::collections::BTreeMap;
use std::thread;

use proptest::prelude::*;

use super::*;

const CONTAINER: Option<ContainerId> = Some(ContainerId::from_bytes([1; 16]));

fn numbered(container: u8) -> Option<ContainerId> {
    (container > 0).then(|| ContainerId::from_bytes([container; 16]))
}

/// Everything that can be read without waiting, by its numbers and messages.
fn drain(subscription: &mut Subscription) -> Vec<(u64, String)> {
    let mut read = Vec::new();
    loop {
        match subscription.next(Duration::ZERO) {
            Heard::Event(event) => read.push((event.sequence, event.message)),
            Heard::Gap { first_kept } => read.push((first_kept, "gap".into())),
            Heard::Nothing => return read,
            Heard::End => {
                read.push((0, "end".into()));
                return read;
            }
        }
    }
}

fn told(events: &Events, messages: &[&str]) {
    for message in messages {
        events.tell(CONTAINER, EventKind::Trouble, *message);
    }
}

fn lines(lines: &[(u64, &str)]) -> Vec<(u64, String)> {
    let owned = lines.iter().map(|(number, text)| (*number, (*text).into()));
    owned.collect()
}

#[test]
fn a_reader_resumes_where_it_was() {
    let events = Events::new();
    told(&events, &["a", "b"]);
    let mut first = events.since(CONTAINER, Since::Oldest).unwrap();
    assert_eq!(drain(&mut first), lines(&[(1, "a"), (2, "b")]));
    let stream: StreamId = first.stream().to_string().parse().unwrap();
    drop(first);
    told(&events, &["c"]);
    let after = |sequence| Since::After { stream, sequence };
    let mut resumed = events.since(CONTAINER, after(2)).unwrap();
    assert_eq!(drain(&mut resumed), lines(&[(3, "c")]));
    let mut now = events.since(CONTAINER, Since::Now).unwrap();
    assert_eq!(drain(&mut now), []);
}

#[test]
fn numbers_of_another_daemon_are_a_gap() {
    let before = Events::new();
    told(&before, &["a", "b"]);
    let stream = before.since(CONTAINER, Since::Now).unwrap().stream();
    let events = Events::new();
    told(&events, &["c", "d"]);
    let mut resumed = events
        .since(
            CONTAINER,
            Since::After {
                stream,
                sequence: 1,
            },
        )
        .unwrap();
    let wanted = [(1, "gap"), (1, "c"), (2, "d")];
    assert_eq!(drain(&mut resumed), lines(&wanted));
}

#[test]
fn numbers_that_were_never_told_are_a_gap() {
    let events = Events::new();
    told(&events, &["a"]);
    let stream = events.since(CONTAINER, Since::Now).unwrap().stream();
    for sequence in [2, u64::MAX] {
        let mut ahead = events
            .since(CONTAINER, Since::After { stream, sequence })
            .unwrap();
        assert_eq!(drain(&mut ahead), lines(&[(1, "gap"), (1, "a")]));
    }
}

#[test]
fn who_reads_too_late_is_told_so() {
    let events = Events::new();
    told(&events, &["first"]);
    let mut slow = events.since(CONTAINER, Since::Oldest).unwrap();
    told(&events, &["more"; EVENTS_KEPT_MAX]);
    let read = drain(&mut slow);
    assert_eq!(read[0], (2, "gap".into()));
    assert_eq!(read[1], (2, "more".into()));
    assert_eq!(read.len(), 1 + EVENTS_KEPT_MAX);
}

#[test]
fn the_host_hears_everything_but_progress() {
    let events = Events::new();
    let mut host = events.since(None, Since::Oldest).unwrap();
    let task = "00000000000000ff".parse().unwrap();
    let progress = EventKind::TaskProgress {
        task,
        done: 1,
        of: 2,
    };
    events.tell(None, EventKind::Trouble, "the host's");
    events.tell(CONTAINER, progress.clone(), "so far");
    events.tell(CONTAINER, EventKind::Unloaded, "gone");
    // The end of a container is not that of the host.
    assert_eq!(drain(&mut host), lines(&[(1, "the host's"), (2, "gone")]));
    events.tell(None, progress, "so far");
    assert_eq!(drain(&mut host), lines(&[(3, "so far")]));
}

#[test]
fn the_stream_of_an_unloaded_container_ends() {
    let events = Events::new();
    assert_eq!(
        events.since(CONTAINER, Since::Now).unwrap_err().errno(),
        Errno::ENOENT
    );
    events.tell(CONTAINER, EventKind::Loaded, "loaded");
    let mut reader = events.since(CONTAINER, Since::Oldest).unwrap();
    events.tell(CONTAINER, EventKind::Unloaded, "unloaded");
    let wanted = [(1, "loaded"), (2, "unloaded"), (0, "end")];
    assert_eq!(drain(&mut reader), lines(&wanted));
    events.tell(CONTAINER, EventKind::Loaded, "again");
    assert_eq!(drain(&mut reader), lines(&[(3, "again")]));
}

#[test]
fn streams_of_unloaded_containers_do_not_add_up() {
    let events = Events::new();
    let container = |number: usize| {
        let mut bytes = [9; 16];
        bytes[..8].copy_from_slice(&number.to_le_bytes());
        Some(ContainerId::from_bytes(bytes))
    };
    events.tell(CONTAINER, EventKind::Loaded, "stays");
    for number in 0..3 * UNLOADED_KEPT_MAX {
        events.tell(container(number), EventKind::Loaded, "");
        events.tell(container(number), EventKind::Unloaded, "");
    }
    assert_eq!(events.containers().streams.len(), UNLOADED_KEPT_MAX + 1);
    assert!(events.since(CONTAINER, Since::Now).is_ok());
    assert!(events.since(container(0), Since::Now).is_err());
}

#[test]
fn a_waiting_reader_is_woken() {
    let events = Events::new();
    told(&events, &["a"]);
    let mut reader = events.since(CONTAINER, Since::Now).unwrap();
    let waiting = thread::spawn(move || reader.next(Duration::MAX));
    told(&events, &["b"]);
    let Heard::Event(event) = waiting.join().unwrap() else {
        panic!("no event")
    };
    assert_eq!((event.sequence, event.message.as_str()), (2, "b"));
}

#[test]
fn readers_of_several_threads_miss_nothing_that_is_kept() {
    const TELLERS: usize = 4;
    const EACH: usize = EVENTS_KEPT_MAX / TELLERS;
    let events = Events::new();
    told(&events, &["begin"]);
    let readers: Vec<_> = (0..3)
        .map(|_| {
            let mut reader = events.since(CONTAINER, Since::Now).unwrap();
            thread::spawn(move || {
                let mut counts = BTreeMap::new();
                for sequence in 2..(2 + (TELLERS * EACH) as u64) {
                    let Heard::Event(event) = reader.next(Duration::MAX) else {
                        panic!("no event")
                    };
                    assert_eq!(event.sequence, sequence);
                    // Those of one teller are in its order.
                    let (teller, number) = event.message.split_once(' ').unwrap();
                    let count = counts.entry(teller.to_owned()).or_insert(0_usize);
                    assert_eq!(number, count.to_string());
                    *count += 1;
                }
            })
        })
        .collect();
    for teller in 0..TELLERS {
        let events = events.clone();
        thread::spawn(move || {
            for number in 0..EACH {
                told(&events, &[&format!("{teller} {number}")]);
            }
        });
    }
    for reader in readers {
        reader.join().unwrap();
    }
}

#[derive(Debug, Clone)]
enum Step {
    /// So many events of a container, or of the host (0).
    Tell(u8, usize),
    Unload(u8),
    Subscribe(u8, Option<u64>),
    Read(usize, usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let container = 0_u8..4;
    let step = prop_oneof![
        4 => (container.clone(), 1_usize..700).prop_map(|(of, count)| Step::Tell(of, count)),
        1 => (1_u8..4).prop_map(Step::Unload),
        2 => (container, proptest::option::of(0_u64..1500))
            .prop_map(|(of, after)| Step::Subscribe(of, after)),
        4 => (0_usize..8, 1_usize..900).prop_map(|(reader, count)| Step::Read(reader, count)),
    ];
    proptest::collection::vec(step, 1..40)
}

/// Every event of every stream, for ever.
#[derive(Default)]
struct Model {
    streams: BTreeMap<u8, Vec<String>>,
    count: usize,
}

impl Model {
    fn tell(&mut self, of: u8) -> String {
        self.count += 1;
        let message = self.count.to_string();
        for stream in [of, 0] {
            self.streams
                .entry(stream)
                .or_default()
                .push(message.clone());
        }
        if of == 0 {
            self.streams.entry(0).or_default().pop();
        }
        message
    }

    /// What a reader has to hear whose next number is `next`.
    fn expect(&self, of: u8, next: &mut u64, is_over: bool) -> Heard {
        let all = &self.streams[&of];
        let first = all.len().saturating_sub(EVENTS_KEPT_MAX) as u64 + 1;
        if *next < first {
            *next = first;
            return Heard::Gap { first_kept: first };
        }
        match all.get(*next as usize - 1) {
            None if is_over => Heard::End,
            None => Heard::Nothing,
            Some(message) => {
                *next += 1;
                Heard::Event(Event {
                    sequence: *next - 1,
                    container: None,
                    at: SystemTime::UNIX_EPOCH,
                    kind: EventKind::Trouble,
                    message: message.clone(),
                })
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    #[test]
    fn every_reader_hears_what_a_complete_record_says(steps in steps()) {
        let events = Events::new();
        let mut model = Model::default();
        let mut over = [false; 4];
        let mut readers: Vec<(u8, Subscription, u64)> = Vec::new();
        for step in steps {
            match step {
                Step::Tell(of, count) => {
                    for _ in 0..count {
                        events.tell(numbered(of), EventKind::Trouble, model.tell(of));
                    }
                    over[usize::from(of)] = false;
                }
                Step::Unload(of) => {
                    events.tell(numbered(of), EventKind::Unloaded, model.tell(of));
                    over[usize::from(of)] = true;
                }
                Step::Subscribe(of, after) => {
                    let Some(told) = model.streams.get(&of).map(Vec::len) else {
                        continue;
                    };
                    let stream = events.since(numbered(of), Since::Now).unwrap().stream();
                    let (since, next) = match after {
                        None => (Since::Now, told as u64 + 1),
                        Some(sequence) => {
                            let next = if sequence <= told as u64 { sequence + 1 } else { 0 };
                            (Since::After { stream, sequence }, next)
                        }
                    };
                    readers.push((of, events.since(numbered(of), since).unwrap(), next));
                }
                Step::Read(reader, count) => {
                    let Some((of, reader, next)) = readers.get_mut(reader) else {
                        continue;
                    };
                    for _ in 0..count {
                        let expected = model.expect(*of, next, over[usize::from(*of)]);
                        match (reader.next(Duration::ZERO), expected) {
                            (Heard::Event(heard), Heard::Event(expected)) => {
                                prop_assert_eq!(heard.sequence, expected.sequence);
                                prop_assert_eq!(heard.message, expected.message);
                            }
                            (heard, expected) => prop_assert_eq!(heard, expected),
                        }
                    }
                }
            }
        }
    }
}
