//! Members that were made to do harm.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;

use proptest::prelude::*;
use transom_concat::ConcatModule;
use transom_module::{Container, LoadOptions, Module, Probe};

use crate::pool::{Pool, load, resource};

#[test]
fn changed_bytes_are_refused_or_harmless() {
    let mut config = ProptestConfig::with_cases(300);
    config.failure_persistence = None;
    let pool = Pool::formatted(&[10], "");
    let container = pool.load();
    crate::pool::create(&container, "a", 5);
    drop(container);
    // After this, both slots have it.
    drop(pool.load());
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(&pool.paths[0])
        .unwrap();
    let place = prop_oneof![
        0_u64..900,
        (1_u64 << 20)..(1 << 20) + 200,
        (2_u64 << 20)..(2 << 20) + 200,
    ];
    let changes = prop::collection::vec((place, any::<u8>()), 1..6);
    let options = LoadOptions {
        read_only: true,
        ..LoadOptions::default()
    };
    proptest!(config, |(changes in changes)| {
        let mut before = Vec::new();
        for (at, byte) in changes {
            let mut old = [0];
            file.read_exact_at(&mut old, at).unwrap();
            before.push((at, old));
            file.write_all_at(&[byte], at).unwrap();
        }
        // The other label and the other slot are whole, or it is refused.
        let probed = ConcatModule.probe(&resource(&pool.paths[0]));
        prop_assert!(!matches!(probed, Ok(Probe::Alone)));
        if let Ok(container) = load(vec![resource(&pool.paths[0])], &options) {
            prop_assert_eq!(container.volumes().len(), 1);
        }
        for (at, old) in before.into_iter().rev() {
            file.write_all_at(&old, at).unwrap();
        }
    });
}

#[test]
fn what_is_no_member_is_not_recognized() {
    let pool = Pool::of_files(&[0]);
    let contents: [&[u8]; 4] = [b"", b"transom-concat", &[0; 4096], &[0xff; 10000]];
    for content in contents {
        std::fs::write(&pool.paths[0], content).unwrap();
        let probed = ConcatModule.probe(&resource(&pool.paths[0])).unwrap();
        assert_eq!(probed, Probe::NotRecognized);
    }
}
