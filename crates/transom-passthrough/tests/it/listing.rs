//! What is done for a listing, and what is left until somebody looks.

use std::fs;
use std::path::Path;
use std::thread;

use transom_fuse::{Opcode, Passthrough};
use transom_test::{privileged, temp_dir};

use crate::mounted::Mounted;

const DIRECTORIES: u64 = 5;
const FILES: u64 = 10;

/// Lists all directories in a new thread, of which nothing is known yet.
fn requests_of(source: &Path, looks: fn(&Path)) -> u64 {
    let mounted = Mounted::of(source, Passthrough::On);
    let root = mounted.path().to_owned();
    let listing = thread::spawn(move || {
        for directory in 0..DIRECTORIES {
            for entry in fs::read_dir(root.join(directory.to_string())).unwrap() {
                looks(&entry.unwrap().path());
            }
        }
    });
    listing.join().unwrap();
    let statistics = mounted.end();
    assert!(statistics.count(Opcode::Readdirplus) >= DIRECTORIES);
    // The directories are looked up by name.
    statistics.count(Opcode::Lookup) - DIRECTORIES
}

#[test]
fn privileged_files_are_found_for_those_who_look_at_them() {
    privileged!("mount");
    let source = temp_dir().unwrap();
    for directory in 0..DIRECTORIES {
        let directory = source.path().join(directory.to_string());
        fs::create_dir(&directory).unwrap();
        for file in 0..FILES {
            fs::write(directory.join(file.to_string()), "").unwrap();
        }
    }
    assert_eq!(requests_of(source.path(), |_| ()), 0);
    // The second and the fourth directory are told without their files.
    let looks = |path: &Path| assert!(fs::symlink_metadata(path).is_ok());
    assert_eq!(requests_of(source.path(), looks), 2 * FILES);
}
