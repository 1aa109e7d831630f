//! Formatting and checking.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;

use transom_concat::ConcatModule;
use transom_module::{Container, Errno, Maintenance, Module, Outcome, Probe, Stop};

use crate::pool::{BLOCK, OVERHEAD, Pool, Told, create, ended, load_options, resource};

const LABELS: [u64; 1] = [0];
const SLOTS: [u64; 2] = [1 << 20, 2 << 20];

/// Writes over the beginning of what is at `offset`.
fn damage(path: &Path, offset: u64) {
    let file = OpenOptions::new().write(true).open(path).unwrap();
    file.write_all_at(&[0x5a; 100], offset + 40).unwrap();
}

#[test]
fn formatting_tells_how_far_it_is() {
    let pool = Pool::of_files(&[10, 10]);
    let formatted = pool.format("").done();
    assert_eq!(formatted.progress, [(1, 4), (2, 4), (3, 4), (4, 4)]);
    assert_eq!(formatted.log.len(), 1);
    assert!(
        formatted.log[0].contains("2 members and 81920 bytes"),
        "{:?}",
        formatted.log
    );
    assert!(pool.load().volumes().is_empty());
}

#[test]
fn what_is_known_is_not_overwritten_unless_by_force() {
    let pool = Pool::formatted(&[10, 10], "");
    let before = fs::read(&pool.paths[0]).unwrap();
    let error = pool.format("").failed();
    assert_eq!(error.errno(), Errno::EEXIST);
    for word in ["member-0`", "member of a container", "`force`"] {
        assert!(error.to_string().contains(word), "{error}");
    }
    assert!(fs::read(&pool.paths[0]).unwrap() == before);
    pool.format("force").done();

    let pool = Pool::of_files(&[10, 10]);
    let file = OpenOptions::new().write(true).open(&pool.paths[1]).unwrap();
    file.write_all_at(&[0x53, 0xef], 1080).unwrap();
    let error = pool.format("").failed();
    assert!(
        error.to_string().contains("member-1` holds an ext2"),
        "{error}"
    );
    let Probe::NotRecognized = ConcatModule.probe(&resource(&pool.paths[0])).unwrap() else {
        panic!("the first was formatted")
    };
}

#[test]
fn impossible_wishes_are_refused() {
    let pool = Pool::of_files(&[1, 1]);
    for (options, errno, word) in [
        ("layout=raid5", Errno::EINVAL, "`layout`"),
        ("layout=stripe,chunk=8k", Errno::ENOSPC, "at least"),
    ] {
        let error = pool.format(options).failed();
        assert_eq!(error.errno(), errno);
        assert!(error.to_string().contains(word), "{error}");
    }
    fs::write(&pool.paths[1], "").unwrap();
    assert_eq!(pool.format("").failed().errno(), Errno::ENOSPC);
    let options = load_options("");
    let none = ended(&Told::default(), |task| {
        ConcatModule.format(Vec::new(), &options, task)
    });
    assert_eq!(none.failed().errno(), Errno::EINVAL);
    let many = Pool::of_files(&[1; 65]);
    assert_eq!(many.format("").failed().errno(), Errno::EINVAL);
    let twice = || vec![resource(&pool.paths[0]), resource(&pool.paths[0])];
    let error = ended(&Told::default(), |task| {
        ConcatModule.format(twice(), &options, task)
    })
    .failed();
    assert!(error.to_string().contains("given twice"), "{error}");
    Pool::formatted(&[1; 64], "").load();
}

#[test]
fn interrupted_formatting_leaves_no_container() {
    for checkpoint in 0..4 {
        let pool = Pool::formatted(&[10, 10], "");
        let told = Told::stopping_at(checkpoint, Stop::Cancelled);
        let options = load_options("force");
        let stopped = ended(&told, |task| {
            ConcatModule.format(pool.resources(), &options, task)
        });
        assert!(matches!(stopped.outcome, Outcome::Stopped(Stop::Cancelled)));
        match checkpoint {
            // Before anything was done, and when all second labels were there.
            0 | 3 => drop(pool.load()),
            _ => assert!(pool.load_without(&[], false).is_err()),
        }
    }
}

#[test]
fn a_whole_container_is_found_to_be_whole() {
    let pool = Pool::formatted(&[10, 10], "");
    let container = pool.load();
    create(&container, "a", 15);
    drop(container);
    let checked = pool.check("").done();
    let log = checked.log.join("\n");
    assert!(log.contains("2 of 2 members"), "{log}");
    assert!(log.contains("1 volumes with 61440 of 81920 bytes"), "{log}");
    assert_eq!(pool.check("force").failed().errno(), Errno::EINVAL);
}

#[test]
fn every_damaged_copy_is_found_and_restored_from_another() {
    let end = OVERHEAD + 10 * BLOCK - BLOCK;
    for offset in LABELS.into_iter().chain(SLOTS).chain([end]) {
        let pool = Pool::formatted(&[10, 10], "");
        let container = pool.load();
        create(&container, "a", 15);
        drop(container);
        damage(&pool.paths[1], offset);

        let error = pool.check("").failed();
        assert_eq!(error.errno(), Errno::EIO);
        assert!(error.to_string().contains("1 things are wrong"), "{error}");
        let repaired = pool.check("repair").done();
        assert_eq!(repaired.log.last().unwrap(), "1 repaired");
        pool.check("").done();
        let container = pool.load();
        assert_eq!(container.volumes().len(), 1);
        assert_eq!(container.trouble(), None);
    }
}

#[test]
fn a_member_without_a_table_is_given_one() {
    let pool = Pool::formatted(&[10, 10], "");
    let container = pool.load();
    create(&container, "a", 15);
    drop(container);
    SLOTS.iter().for_each(|slot| damage(&pool.paths[0], *slot));
    let error = pool.load_without(&[], false).unwrap_err();
    assert_eq!(error.errno(), Errno::EIO);
    assert!(error.to_string().contains("member-0`"), "{error}");
    assert!(error.to_string().contains("repair"), "{error}");
    pool.check("").failed();
    pool.check("repair").done();
    assert_eq!(pool.load().volumes().len(), 1);
}

#[test]
fn a_damaged_label_is_told_of_a_loaded_container() {
    let pool = Pool::formatted(&[10, 10], "");
    damage(&pool.paths[1], 0);
    let Probe::Member(member) = ConcatModule.probe(&resource(&pool.paths[1])).unwrap() else {
        panic!("the second label is whole")
    };
    assert_eq!(member.index, 1);
    let container = pool.load();
    let trouble = container.trouble().unwrap();
    assert!(
        trouble.contains("beginning of member 2 of 2 of `pool`"),
        "{trouble}"
    );
}

#[test]
fn without_a_label_there_is_nothing_to_repair() {
    let pool = Pool::formatted(&[10, 10], "");
    for offset in [0, OVERHEAD + 10 * BLOCK - BLOCK] {
        damage(&pool.paths[1], offset);
    }
    let error = ConcatModule.probe(&resource(&pool.paths[1])).unwrap_err();
    assert_eq!(error.errno(), Errno::EIO);
    assert!(error.to_string().contains("checksum"), "{error}");
    assert_eq!(pool.check("repair").failed().errno(), Errno::EIO);
}

#[test]
fn a_missing_member_is_told_and_nothing_is_written() {
    let pool = Pool::formatted(&[10, 10], "");
    let before = fs::read(&pool.paths[0]).unwrap();
    let checked = crate::pool::check(vec![resource(&pool.paths[0])], "repair");
    assert!(
        checked
            .log
            .iter()
            .any(|line| line == "member 2 of 2 of `pool` is missing")
    );
    assert_eq!(checked.failed().errno(), Errno::EIO);
    assert!(fs::read(&pool.paths[0]).unwrap() == before);
}
