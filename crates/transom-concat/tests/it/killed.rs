//! A process that is killed while it changes volumes.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use transom_module::{Container, VolumeManagement};

use crate::pool::{BLOCK, Pool, key_of};

/// Set in the process that is killed: the directory of the members.
const DIRECTORY: &str = "TRANSOM_TEST_DIRECTORY";
const ROUNDS: usize = 12;

/// Not a test of its own: changes volumes until it is killed, and tells of each
/// change when it is made.
#[test]
fn process_that_changes_volumes() {
    let Some(directory) = std::env::var_os(DIRECTORY) else {
        return;
    };
    let entries = fs::read_dir(directory).unwrap();
    let members = entries.map(|entry| crate::pool::resource(&entry.unwrap().path()));
    let container = crate::pool::load(members.collect(), &Default::default()).unwrap();
    let mut standard_output = std::io::stdout();
    for number in container.volumes().len().. {
        let name = format!("volume {number}");
        container.create("new", Some(3 * BLOCK)).unwrap();
        container.resize(&key_of(&container, "new"), BLOCK).unwrap();
        container.rename(&key_of(&container, "new"), &name).unwrap();
        writeln!(standard_output, "\nmade {name}").unwrap();
    }
}

#[test]
fn what_was_told_is_there_after_a_kill() {
    let pool = Pool::formatted(&[400, 400, 400], "");
    let mut told = 0;
    for round in 0..ROUNDS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "killed::process_that_changes_volumes",
                "--nocapture",
            ])
            .env(DIRECTORY, pool.directory.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let made = lines
            .map_while(Result::ok)
            .filter(|line| line.starts_with("made "));
        told += made.take(round % 4 + 1).count();
        child.kill().unwrap();
        child.wait().unwrap();

        let container = pool.load();
        let names: Vec<_> = container
            .volumes()
            .into_iter()
            .map(|volume| volume.name)
            .collect();
        for number in 0..told {
            assert!(
                names.contains(&format!("volume {number}")),
                "{number} in {names:?}"
            );
        }
        // What was made before it was killed, and not told.
        if names.iter().any(|name| name == "new") {
            container.remove(&key_of(&container, "new")).unwrap();
        }
        told = container.volumes().len();
        assert_eq!(container.trouble(), None);
        drop(container);
        pool.check("").done();
    }
}
