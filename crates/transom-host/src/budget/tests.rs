use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::{Heard, Since};

const PATIENCE: Duration = Duration::from_secs(30);

fn container(number: u8) -> ContainerId {
    ContainerId::from_bytes([number; 16])
}

/// A cache that uses what it may, as long as that is not more than it wants.
struct Greedy {
    wanted: u64,
    used: Mutex<u64>,
    limited: Sender<u64>,
    /// The next limit says that it was told, and waits.
    stuck: Mutex<Option<(Sender<()>, Receiver<()>)>>,
}

impl Greedy {
    fn new(wanted: u64) -> (Arc<Self>, Receiver<u64>) {
        let (limited, limits) = channel();
        let cache = Self {
            wanted,
            used: Mutex::new(0),
            limited,
            stuck: Mutex::new(None),
        };
        (Arc::new(cache), limits)
    }
}

impl Cache for Greedy {
    fn wanted(&self) -> u64 {
        self.wanted
    }

    fn used(&self) -> u64 {
        *self.used.lock().unwrap()
    }

    fn limit(&self, bytes: u64) {
        if let Some((told, released)) = self.stuck.lock().unwrap().take() {
            told.send(()).unwrap();
            _ = released.recv();
        }
        *self.used.lock().unwrap() = bytes.min(self.wanted);
        _ = self.limited.send(bytes);
    }
}

fn enter(budgets: &Budgets, number: u8, cache: &Arc<Greedy>, declared: Option<u64>) {
    let cache: Arc<dyn Cache + Send + Sync> = Arc::<Greedy>::clone(cache);
    budgets.enter(container(number), &cache, declared);
}

fn becomes(limits: &Receiver<u64>, bytes: u64) {
    let is_it = |limit| limit == bytes;
    assert!(limits.iter().any(is_it));
}

#[test]
fn a_cache_is_limited_to_its_share() {
    let budgets = Budgets::new(1 << 20, Events::new());
    let (one, ones) = Greedy::new(u64::MAX);
    enter(&budgets, 1, &one, None);
    // At once, not soon.
    assert_eq!(ones.try_recv(), Ok(1 << 20));
    let (two, twos) = Greedy::new(10);
    enter(&budgets, 2, &two, Some(1 << 18));
    assert_eq!(twos.try_recv(), Ok(1 << 18));
    becomes(&ones, 3 << 18);
    let status = BudgetStatus {
        container: container(2),
        declared: Some(1 << 18),
        share: 1 << 18,
        limit: 1 << 18,
        used: 10,
        wanted: 10,
    };
    assert_eq!(budgets.status()[1], status);
    assert_eq!(budgets.status_of(container(2)), Some(status));
    assert!(budgets.declare(container(2), None));
    becomes(&ones, 1 << 19);
    becomes(&twos, 1 << 19);
    assert!(!budgets.declare(container(3), None));
    assert_eq!(budgets.status_of(container(3)), None);
    budgets.leave(container(2));
    assert_eq!(Arc::strong_count(&two), 1);
    becomes(&ones, 1 << 20);
    // It goes when nobody has it any more, who just tells it its limit included.
    drop(one);
    while !budgets.status().is_empty() {
        std::thread::yield_now();
    }
}

#[test]
fn shares_are_what_was_declared_or_equal() {
    assert_eq!(shares(100, &[None]), [100]);
    assert_eq!(shares(100, &[None, None]), [50, 50]);
    assert_eq!(shares(100, &[Some(20), None, None]), [20, 40, 40]);
    assert_eq!(shares(100, &[Some(300), Some(100)]), [75, 25]);
    assert_eq!(shares(0, &[Some(1), None]), [0, 0]);
    // Who has declared everything leaves a little.
    assert_eq!(shares(1000, &[Some(1000), None]), [888, 111]);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn shares_are_never_more_than_there_is(
        total in 0..u64::MAX,
        declared in proptest::collection::vec(proptest::option::of(0..u64::MAX), 0..9),
    ) {
        let shares = shares(total, &declared);
        let sum: u128 = shares.iter().copied().map(u128::from).sum();
        prop_assert!(sum <= u128::from(total));
        prop_assert_eq!(shares.len(), declared.len());
    }
}

#[test]
fn pressure_takes_from_what_is_used() {
    const MIB: u64 = 1 << 20;
    let events = Events::new();
    let budgets = Budgets::new(64 * MIB, events.clone());
    let (full, fulls) = Greedy::new(u64::MAX);
    let (empty, empties) = Greedy::new(MIB);
    enter(&budgets, 1, &full, None);
    enter(&budgets, 2, &empty, None);
    becomes(&fulls, 32 * MIB);
    assert_eq!(budgets.used(), 33 * MIB);
    assert!(budgets.give_way(8 * MIB));
    becomes(&fulls, 24 * MIB);
    becomes(&empties, 24 * MIB);
    assert_eq!(budgets.used(), 25 * MIB);
    let mut told = events.since(Some(container(1)), Since::Oldest).unwrap();
    let Heard::Event(event) = told.next(Duration::ZERO) else {
        panic!("not told")
    };
    assert_eq!(event.kind, EventKind::CacheLimited { bytes: 24 * MIB });

    // More than there is: down to the floor, and no further.
    assert!(budgets.give_way(u64::MAX));
    becomes(&fulls, 2 * MIB);
    assert_eq!(budgets.level(), LEVEL_MIN);
    assert!(!budgets.give_way(u64::MAX));
}

#[test]
fn what_is_given_back_comes_back_in_steps() {
    let budgets = Budgets::new(1 << 20, Events::new());
    let (cache, limits) = Greedy::new(u64::MAX);
    enter(&budgets, 1, &cache, None);
    assert!(!budgets.recover());
    assert!(budgets.give_way(u64::MAX));
    becomes(&limits, 1 << 16);
    let mut steps = 0;
    while budgets.recover() {
        steps += 1;
        becomes(&limits, (steps + 1) << 16);
    }
    assert_eq!(steps, 15);
    assert_eq!(budgets.level(), LEVEL_MAX);
}

#[test]
fn a_cache_that_does_not_return_delays_no_other() {
    let budgets = Budgets::new(1 << 20, Events::new());
    let (stuck, stucks) = Greedy::new(u64::MAX);
    let (other, others) = Greedy::new(u64::MAX);
    enter(&budgets, 1, &stuck, Some(1 << 18));
    enter(&budgets, 2, &other, Some(1 << 18));
    let (release, released) = channel();
    let (tell, told) = channel();
    *stuck.stuck.lock().unwrap() = Some((tell, released));
    assert!(budgets.give_way(1 << 18));
    told.recv().unwrap();
    becomes(&others, 1 << 17);
    assert!(budgets.give_way(u64::MAX));
    becomes(&others, 1 << 14);
    assert_eq!(stucks.try_recv(), Ok(1 << 18));
    assert!(stucks.try_recv().is_err());
    // It hears of the newest in the end.
    drop(release);
    assert_eq!(stucks.recv_timeout(PATIENCE), Ok(1 << 17));
    assert_eq!(stucks.recv_timeout(PATIENCE), Ok(1 << 14));
}
