//! What a daemon has written and the next one reads: saved tasks, and the ledger of
//! what is to be removed.

#![no_main]

use libfuzzer_sys::fuzz_target;
use transom_host::{Leftover, SavedTask};

fuzz_target!(|data: &[u8]| {
    // What is read means the same when it is written again.
    match SavedTask::decode(data) {
        Ok(task) => {
            let written = task.encode().expect("what was read can be written");
            assert_eq!(SavedTask::decode(&written), Ok(task));
        }
        Err(wrong) => assert!(!wrong.is_empty()),
    }
    match Leftover::decode(data) {
        Ok((boot, leftover)) => {
            assert!(leftover.path().is_absolute());
            let written = leftover.encode(&boot).expect("what was read can be written");
            assert_eq!(Leftover::decode(&written), Ok((boot, leftover)));
        }
        Err(wrong) => assert!(!wrong.is_empty()),
    }
});
