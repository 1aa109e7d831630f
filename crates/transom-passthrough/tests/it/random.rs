//! Random operations through a mount come to what they come to in a naive
//! tree, and so does the directory behind it.

use std::cell::Cell;
use std::fs;

use proptest::prelude::*;
use transom_fuse::{Opcode, Passthrough};
use transom_module::VolumeDefinition;
use transom_test::files::{HostDirectory, Model, Subject, operations};
use transom_test::{Tmpfs, privileged};

use crate::mounted::{Mounted, load, options};
use crate::watched::Watched;

/// As many as take a few seconds.
const CASES: u32 = 300;

#[test]
fn privileged_with_passthrough_a_mount_is_what_a_naive_tree_is() {
    privileged!("mount");
    a_mount_is_what_a_naive_tree_is(Passthrough::On);
}

#[test]
fn privileged_with_passthrough_of_reads_a_mount_is_what_a_naive_tree_is() {
    privileged!("mount");
    a_mount_is_what_a_naive_tree_is(Passthrough::ReadOnly);
}

#[test]
fn privileged_without_passthrough_a_mount_is_what_a_naive_tree_is() {
    privileged!("mount");
    a_mount_is_what_a_naive_tree_is(Passthrough::Off);
}

fn a_mount_is_what_a_naive_tree_is(passthrough: Passthrough) {
    // Synchronizing a disk, as unmounting does, would take longer than the rest.
    let source = Tmpfs::new(64 << 20).unwrap();
    let VolumeDefinition { volume, .. } = load(source.path(), "forever").volume().unwrap();
    let (definition, counts) = Watched::watch(volume);
    let mounted = Mounted::serve(definition, &options(passthrough));
    let (case, asked, done) = (Cell::new(0), Cell::new(0), Cell::new(0));
    let mut config = ProptestConfig::with_cases(CASES);
    config.failure_persistence = None;
    proptest!(config, |(operations in operations())| {
        case.set(case.get() + 1);
        let name = format!("case-{}", case.get());
        fs::create_dir(mounted.path().join(&name)).unwrap();
        let mut model = Model::default();
        let mut seen = HostDirectory::open(&mounted.path().join(&name)).unwrap();
        let mut behind = HostDirectory::open(&source.path().join(&name)).unwrap();
        for operation in &operations {
            let expected = model.apply(operation);
            asked.set(asked.get() + 1);
            done.set(done.get() + u32::from(expected.is_ok()));
            prop_assert_eq!(seen.apply(operation), expected, "{:?}", operation);
        }
        model.compare(&mut seen);
        model.compare(&mut behind);
    });
    let (asked, done) = (asked.get(), done.get());
    assert!(
        done > asked / 5,
        "of {asked} operations {done} were possible"
    );
    let statistics = mounted.end();
    assert_eq!(counts.handed_out(), counts.reclaimed());
    assert!(counts.reclaimed() > u64::from(CASES));
    let by_us = (
        statistics.count(Opcode::Read) > 0,
        statistics.count(Opcode::Write) > 0,
    );
    let expected = match passthrough {
        Passthrough::On => (false, false),
        Passthrough::ReadOnly => (false, true),
        Passthrough::Off => (true, true),
    };
    assert_eq!(by_us, expected, "{statistics:?}");
}
