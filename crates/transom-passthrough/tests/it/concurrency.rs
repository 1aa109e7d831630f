//! Many clients at once, some of whose requests hang.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use rustix::io::Errno;
use transom_fuse::Passthrough;
use transom_module::VolumeDefinition;
use transom_test::files::{Answer, HostDirectory, Model, Operation, Subject, operations};
use transom_test::{Tmpfs, privileged};

use crate::PATIENCE;
use crate::mounted::{Mounted, WAYS, load, options};
use crate::watched::{Counts, HANGS, Watched};

const CLIENTS: u8 = 8;
const ROUNDS: usize = 25;
/// Names, in the environment, for how many seconds this is done again and again.
const SECONDS: &str = "TRANSOM_TEST_SECONDS";

fn watched(source: &Path, passthrough: Passthrough) -> (Mounted<Watched>, Arc<Counts>) {
    let VolumeDefinition { volume, .. } = load(source, "forever").volume().unwrap();
    let (definition, counts) = Watched::watch(volume);
    (Mounted::serve(definition, &options(passthrough)), counts)
}

#[test]
fn privileged_many_clients_with_passthrough() {
    privileged!("mount");
    many_clients(Passthrough::On);
}

#[test]
fn privileged_many_clients_with_passthrough_of_reads() {
    privileged!("mount");
    many_clients(Passthrough::ReadOnly);
}

#[test]
fn privileged_many_clients_without_passthrough() {
    privileged!("mount");
    many_clients(Passthrough::Off);
}

/// Once, or for as long as the environment says.
fn many_clients(passthrough: Passthrough) {
    let seconds = std::env::var(SECONDS).map_or(0, |seconds| seconds.parse().unwrap());
    let end = Instant::now() + Duration::from_secs(seconds);
    for seed in 0.. {
        change_a_tree_together(passthrough, seed);
        if Instant::now() >= end {
            return;
        }
    }
}

/// Each of the clients has a directory of its own, which is what a naive tree
/// is, and all of them do the same things in one that they share.
fn change_a_tree_together(passthrough: Passthrough, seed: u64) {
    let source = Tmpfs::new(256 << 20).unwrap();
    let (mounted, counts) = watched(source.path(), passthrough);
    fs::create_dir(mounted.path().join("shared")).unwrap();
    thread::scope(|scope| {
        for client in 0..CLIENTS {
            let (mount, source) = (mounted.path(), source.path());
            let seed = seed * u64::from(CLIENTS) + u64::from(client);
            scope.spawn(move || be_a_client(mount, source, client, seed));
        }
    });
    let [here, behind] = [mounted.path(), source.path()].map(|path| path.join("shared"));
    assert_eq!(tree(&here), tree(&behind));
    mounted.end();
    assert_eq!(counts.handed_out(), counts.reclaimed());
}

fn be_a_client(mount: &Path, source: &Path, client: u8, seed: u64) {
    let own = format!("own-{client}");
    fs::create_dir(mount.join(&own)).unwrap();
    let mut model = Model::default();
    let mut subject = HostDirectory::open(&mount.join(&own)).unwrap();
    let mut shared = HostDirectory::open(&mount.join("shared")).unwrap();
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let seed = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut random = TestRunner::new_with_rng(Config::default(), seed);
    for _ in 0..ROUNDS {
        for operation in operations().new_tree(&mut random).unwrap().current() {
            assert_eq!(
                subject.apply(&operation),
                model.apply(&operation),
                "{operation:?}"
            );
            let outcome = shared.apply(&operation);
            let is_normal = !matches!(outcome, Err(Errno::IO | Errno::BADF | Errno::INTR));
            assert!(is_normal, "{operation:?}: {outcome:?}");
        }
    }
    model.compare(&mut subject);
    model.compare(&mut HostDirectory::open(&source.join(&own)).unwrap());
}

/// Everything below a directory, as whoever looks at it sees it.
fn tree(directory: &Path) -> BTreeMap<PathBuf, Vec<Answer>> {
    let mut subject = HostDirectory::open(directory).unwrap();
    let mut seen = BTreeMap::new();
    let top = fs::read_dir(directory).unwrap();
    let mut left: Vec<PathBuf> = top.map(|entry| entry.unwrap().file_name().into()).collect();
    while let Some(path) = left.pop() {
        let looks = [
            Operation::Stat(path.clone()),
            Operation::List(path.clone()),
            Operation::ReadLink(path.clone()),
            Operation::Read {
                path: path.clone(),
                offset: 0,
                length: 1 << 20,
            },
        ];
        let answers: Vec<_> = looks
            .iter()
            .filter_map(|look| subject.apply(look).ok())
            .collect();
        for answer in &answers {
            if let Answer::Names(names) = answer {
                left.extend(names.iter().map(|name: &OsString| path.join(name)));
            }
        }
        seen.insert(path, answers);
    }
    seen
}

/// A client that hangs in the volume.
fn hang(mount: &Path, directory: usize) -> Child {
    Command::new("stat")
        .arg(mount.join(directory.to_string()).join(HANGS))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < end, "{what}");
        thread::sleep(Duration::from_millis(1));
    }
}

const HANGING: usize = 20;

#[test]
fn privileged_hanging_handlers_delay_nobody_and_killed_clients_are_gone() {
    privileged!("mount");
    for passthrough in WAYS {
        let source = Tmpfs::new(64 << 20).unwrap();
        let (mounted, counts) = watched(source.path(), passthrough);
        for directory in 0..HANGING {
            fs::create_dir(mounted.path().join(directory.to_string())).unwrap();
        }
        fs::write(mounted.path().join("0/beside"), b"beside").unwrap();
        fs::create_dir(mounted.path().join("free")).unwrap();
        let mut hanging: Vec<_> = (0..HANGING)
            .map(|directory| hang(mounted.path(), directory))
            .collect();
        until("all hang", || counts.hanging() == HANGING as u64);

        // What does not hang by itself does not hang: this would take until
        // the deadline of the requests.
        let started = Instant::now();
        let beside = mounted.path().join("0/beside");
        assert_eq!(fs::read(&beside).unwrap(), b"beside");
        fs::write(&beside, b"changed").unwrap();
        for index in 0..50 {
            let path = mounted.path().join(format!("free/{index}"));
            fs::write(&path, b"free").unwrap();
            fs::rename(&path, path.with_extension("moved")).unwrap();
        }
        let listed = fs::read_dir(mounted.path().join("free")).unwrap();
        assert_eq!(listed.count(), 50);
        assert!(started.elapsed() < PATIENCE, "{:?}", started.elapsed());
        assert_eq!(counts.hanging(), HANGING as u64);

        let killed = Instant::now();
        for child in &mut hanging {
            assert!(child.try_wait().unwrap().is_none(), "it still hangs");
            child.kill().unwrap();
        }
        for child in &mut hanging {
            child.wait().unwrap();
        }
        assert!(killed.elapsed() < PATIENCE, "{:?}", killed.elapsed());
        until("all handlers give up", || counts.hanging() == 0);
        let statistics = mounted.end();
        assert_eq!(statistics.interrupted, HANGING as u64);
        assert_eq!(statistics.timed_out, 0);
        assert_eq!(counts.handed_out(), counts.reclaimed());
    }
}
