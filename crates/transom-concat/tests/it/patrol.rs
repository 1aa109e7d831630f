//! The patrol.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;

use transom_module::{Container, Errno, Jobs, Outcome, Stop};

use crate::pool::{BLOCK, OVERHEAD, Pool, Told, create, ended, ended_with};

const MIB: u64 = 1 << 20;

#[test]
fn every_byte_of_every_member_is_read() {
    let pool = Pool::formatted(&[512, 100], "");
    let container = pool.load();
    create(&container, "a", 600);
    let patrol = ended(&Told::default(), |task| container.run("patrol", task)).done();
    let of: u64 = pool.bytes().iter().sum();
    assert_eq!(patrol.progress.last(), Some(&(of, of)));
    assert!(
        patrol
            .progress
            .iter()
            .all(|(done, all)| done <= all && *all == of)
    );
    assert!(
        patrol.log[0].contains(&format!("{of} bytes are readable")),
        "{:?}",
        patrol.log
    );
    assert_eq!(container.trouble(), None);
    assert_eq!(container.kinds()[0].0, "patrol");
    let other = ended(&Told::default(), |task| container.run("scrub", task)).failed();
    assert_eq!(other.errno(), Errno::EINVAL);
}

#[test]
fn it_goes_on_where_it_was_suspended() {
    let pool = Pool::formatted(&[512, 512], "");
    let of: u64 = pool.bytes().iter().sum();
    let container = pool.load();
    let told = Told::stopping_at(6, Stop::Suspended);
    let mut first = ended(&told, |task| container.run("patrol", task));
    assert!(matches!(first.outcome, Outcome::Stopped(Stop::Suspended)));
    let (position, _) = *first.progress.last().unwrap();
    assert!(position < of);
    drop(container);

    let container = pool.load();
    let saved = first.saved.pop();
    let second = ended_with(&Told::default(), saved, |task| {
        container.run("patrol", task)
    })
    .done();
    assert_eq!(second.progress[0].0, position + MIB);
    assert_eq!(second.progress.last(), Some(&(of, of)));
    // What nobody has saved begins at the beginning.
    let garbled = Some(vec![0xff; 3]);
    let third = ended_with(&Told::default(), garbled, |task| {
        container.run("patrol", task)
    })
    .done();
    assert_eq!(third.progress[0].0, MIB);
}

#[test]
fn a_cancelled_one_saves_nothing() {
    let pool = Pool::formatted(&[512], "");
    let container = pool.load();
    let told = Told::stopping_at(2, Stop::Cancelled);
    let patrol = ended(&told, |task| container.run("patrol", task));
    assert!(matches!(patrol.outcome, Outcome::Stopped(Stop::Cancelled)));
    assert!(patrol.saved.is_empty());
}

#[test]
fn what_cannot_be_read_is_told_with_the_volume_it_is_of() {
    let pool = Pool::formatted(&[100, 512], "");
    let container = pool.load();
    create(&container, "a", 100);
    create(&container, "b", 512);
    // The medium ends 10 blocks early: 9 of data, and that of the label.
    let file = OpenOptions::new().write(true).open(&pool.paths[1]).unwrap();
    file.set_len(OVERHEAD + 502 * BLOCK).unwrap();
    let patrol = ended(&Told::default(), |task| container.run("patrol", task));
    let blocks: Vec<_> = patrol
        .log
        .iter()
        .filter(|line| line.contains("the block at"))
        .collect();
    assert_eq!(blocks.len(), 10, "{blocks:?}");
    let of_volume = blocks
        .iter()
        .filter(|line| line.contains("of `pool`: the block at"));
    assert_eq!(
        of_volume
            .filter(|line| line.contains("of volume `b`"))
            .count(),
        9
    );
    let error = patrol.failed();
    assert_eq!(error.errno(), Errno::EIO);
    assert!(error.to_string().contains("10 blocks"), "{error}");
    assert!(container.trouble().unwrap().contains("10 blocks"));
}

#[test]
fn damaged_copies_are_found_while_all_is_in_use() {
    let pool = Pool::formatted(&[100, 100], "");
    let container = pool.load();
    let file = OpenOptions::new().write(true).open(&pool.paths[0]).unwrap();
    file.write_all_at(&[1; 8], MIB + 48).unwrap();
    let error = ended(&Told::default(), |task| container.run("patrol", task)).failed();
    assert!(error.to_string().contains("table at 1048576"), "{error}");
    assert!(error.to_string().contains("member-0`"), "{error}");
    // The next commits write both slots anew.
    create(&container, "a", 1);
    create(&container, "b", 1);
    ended(&Told::default(), |task| container.run("patrol", task)).done();
    assert_eq!(container.trouble(), None);
}
