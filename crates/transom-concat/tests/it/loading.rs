//! Which resources are loaded together, and which are refused and why.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::process::{Command, Stdio};

use transom_concat::ConcatModule;
use transom_module::{
    BlockVolumes, Container, ContainerId, Errno, LoadOptions, Module, Probe, Resource,
    ResourceKind, Resources, Result, VolumeManagement,
};

use crate::pool::{BLOCK, Pool, content, create, disk, key_of, load, resource};

#[track_caller]
fn refused<T>(result: Result<T>, errno: Errno, words: &[&str]) {
    let Err(error) = result else {
        panic!("not refused")
    };
    assert_eq!(error.errno(), errno, "{error}");
    for word in words {
        assert!(error.to_string().contains(word), "{word:?} in {error}");
    }
}

#[test]
fn a_probe_says_which_member_of_which_container() {
    let pool = Pool::of_files(&[10, 10, 10]);
    let probe = |index: usize| ConcatModule.probe(&resource(&pool.paths[index])).unwrap();
    assert_eq!(probe(0), Probe::NotRecognized);
    pool.format("").done();
    let mut identities = Vec::new();
    for index in 0..3 {
        let Probe::Member(found) = probe(index) else {
            panic!("member {index} is not recognized")
        };
        let told = (
            found.index as usize,
            found.of,
            found.enough,
            found.name.as_str(),
        );
        assert_eq!(told, (index, 3, 1, "pool"));
        identities.push(found.container);
    }
    assert!(identities.iter().all(|identity| *identity == identities[0]));
    assert_ne!(identities[0], ContainerId::NIL);
    // A striped one is of no use in part.
    pool.format("layout=stripe,chunk=4k,force").done();
    let Probe::Member(striped) = probe(1) else {
        panic!("not recognized")
    };
    assert_eq!(striped.enough, 3);
    assert_ne!(striped.container, identities[0]);
}

#[test]
fn a_probe_changes_nothing_and_locks_nobody_out() {
    let pool = Pool::formatted(&[10], "");
    let container = pool.load();
    let before = fs::read(&pool.paths[0]).unwrap();
    let read_only = fs::File::open(&pool.paths[0]).unwrap();
    let resource = Resource::new(ResourceKind::File, &pool.paths[0], read_only.into());
    assert!(matches!(
        ConcatModule.probe(&resource),
        Ok(Probe::Member(_))
    ));
    assert!(fs::read(&pool.paths[0]).unwrap() == before);
    drop(container);
}

#[test]
fn members_are_loaded_in_any_order() {
    let pool = Pool::formatted(&[10, 20, 30], "");
    let container = pool.load();
    let volume = create(&container, "a", 60);
    let bytes: Vec<u8> = (0..60 * BLOCK).map(|at| (at / BLOCK) as u8 + 1).collect();
    volume.write(0, &bytes).unwrap();
    drop((container, volume));
    let reversed = pool.resources().into_iter().rev().collect();
    let container = load(reversed, &LoadOptions::default()).unwrap();
    assert!(content(&*disk(&container, "a")) == bytes);
}

#[test]
fn without_a_member_only_what_lies_elsewhere_is_usable() {
    let pool = Pool::formatted(&[10, 20, 30], "");
    let container = pool.load();
    for (name, blocks) in [("a", 10), ("b", 20), ("c", 25)] {
        create(&container, name, blocks)
            .write(0, name.repeat(512).as_bytes())
            .unwrap();
    }
    create(&container, "d", 5).write(0, &[1; 512]).unwrap();
    drop(container);

    refused(
        pool.load_without(&[1], false),
        Errno::ENODEV,
        &["member 2 of 3 of `pool`", "degraded"],
    );
    let container = pool.load_without(&[1], true).unwrap();
    let trouble = container.trouble().unwrap();
    assert!(
        trouble.contains("member 2 of 3 of `pool` is missing"),
        "{trouble}"
    );
    let names: Vec<_> = container
        .volumes()
        .into_iter()
        .map(|volume| volume.name)
        .collect();
    assert_eq!(names, ["a", "b", "c", "d"]);
    let b = key_of(&container, "b");
    let words = ["`b`", "member 2 of 3 of `pool`", "missing"];
    refused(container.block_volume(&b), Errno::EIO, &words);
    refused(container.volume(&b), Errno::EIO, &words);
    for name in ["a", "c", "d"] {
        let volume = disk(&container, name);
        volume.write(4096, &[7; 512]).unwrap();
        volume.flush().unwrap();
    }
    let words = ["member 2 of 3"];
    refused(container.create("e", Some(BLOCK)), Errno::EROFS, &words);
    refused(container.rename(&b, "e"), Errno::EROFS, &words);
    refused(container.resize(&b, BLOCK), Errno::EROFS, &words);
    refused(container.remove(&b), Errno::EROFS, &words);
    drop(container);

    // It comes back, and all is as it was left.
    let container = pool.load();
    assert_eq!(container.trouble(), None);
    assert_eq!(content(&*disk(&container, "b"))[..512], *b"b".repeat(512));
    assert_eq!(content(&*disk(&container, "c"))[4096..4608], [7; 512]);
}

#[test]
fn a_stripe_needs_all_members() {
    let pool = Pool::formatted(&[16, 16], "layout=stripe");
    for degraded in [false, true] {
        refused(
            pool.load_without(&[0], degraded),
            Errno::ENODEV,
            &["member 1 of 2", "striped"],
        );
    }
}

#[test]
fn what_does_not_belong_together_is_refused_by_name() {
    let pool = Pool::formatted(&[10, 10], "");
    let other = Pool::formatted(&[10, 10], "");
    let plain = Pool::of_files(&[10]);
    let options = LoadOptions::default();
    let load_paths = |paths: &[&std::path::Path]| {
        load(paths.iter().map(|path| resource(path)).collect(), &options)
    };
    let (one, two) = (pool.paths[0].as_path(), pool.paths[1].as_path());

    refused(
        load_paths(&[one, &other.paths[1]]),
        Errno::EINVAL,
        &[other.paths[1].to_str().unwrap()],
    );
    refused(
        load_paths(&[one, &plain.paths[0]]),
        Errno::EINVAL,
        &["member-0", "no member"],
    );
    refused(load_paths(&[one, one]), Errno::EINVAL, &["given twice"]);
    let copy = pool.directory.path().join("copy");
    fs::copy(one, &copy).unwrap();
    let words = ["copy`", "member-0`", "member 1 of 2"];
    refused(load_paths(&[one, two, &copy]), Errno::EINVAL, &words);
    // Only now does that copy get old.
    drop(pool.load());
    refused(
        load_paths(&[&copy, two]),
        Errno::ESTALE,
        &["copy`", "out of date"],
    );

    let file = OpenOptions::new().write(true).open(two).unwrap();
    file.set_len(pool.bytes()[1] - BLOCK).unwrap();
    refused(
        load_paths(&[one, two]),
        Errno::EIO,
        &["member-1`", "its label says"],
    );
    // More than there was is ignored.
    file.set_len(pool.bytes()[1] + 10 * BLOCK).unwrap();
    file.write_all_at(&[0; 4096], 0).unwrap();
    refused(load_paths(&[one, two]), Errno::EINVAL, &["member-1`"]);
}

#[test]
fn the_host_must_mean_the_same_container() {
    let pool = Pool::formatted(&[10], "");
    let members = Resources::new(ContainerId::from_bytes([1; 16]), pool.resources()).unwrap();
    let loaded = ConcatModule.load(members, &LoadOptions::default());
    refused(loaded, Errno::EINVAL, &["`pool`", "01010101-"]);
    let members = Resources::new(ContainerId::NIL, pool.resources()).unwrap();
    let options = crate::pool::load_options("cache=1s");
    refused(
        ConcatModule.load(members, &options),
        Errno::EINVAL,
        &["`cache`"],
    );
}

#[test]
fn to_be_read_only_nothing_is_written() {
    let pool = Pool::formatted(&[10], "");
    let container = pool.load();
    create(&container, "a", 2);
    drop(container);
    let before = fs::read(&pool.paths[0]).unwrap();
    let file = || fs::File::open(&pool.paths[0]).unwrap();
    let resource = || Resource::new(ResourceKind::File, &pool.paths[0], file().into());
    refused(
        load(vec![resource()], &LoadOptions::default()),
        Errno::EACCES,
        &["member-0`"],
    );
    let options = LoadOptions {
        read_only: true,
        ..LoadOptions::default()
    };
    let container = load(vec![resource()], &options).unwrap();
    let volume = disk(&container, "a");
    assert!(volume.geometry().read_only);
    refused(volume.write(0, &[1; 512]), Errno::EROFS, &[]);
    refused(volume.discard(0..512), Errno::EROFS, &[]);
    refused(volume.write_zeroes(0..512), Errno::EROFS, &[]);
    refused(
        container.create("b", Some(BLOCK)),
        Errno::EROFS,
        &["read only"],
    );
    container.synchronize().unwrap();
    drop(container);
    assert!(fs::read(&pool.paths[0]).unwrap() == before);
}

#[test]
fn what_is_loaded_is_not_loaded_again() {
    let pool = Pool::formatted(&[10, 10], "");
    let container = pool.load();
    let me = format!("process {}", std::process::id());
    refused(
        pool.load_without(&[], false),
        Errno::EBUSY,
        &["member-0`", &me],
    );
    let error = pool.format("force").failed();
    assert_eq!(error.errno(), Errno::EBUSY);
    let error = pool.check("").failed();
    assert_eq!(error.errno(), Errno::EBUSY);
    drop(container);
    drop(pool.load());
}

#[test]
fn what_another_process_has_locked_is_not_loaded() {
    let pool = Pool::formatted(&[10], "");
    let mut other = Command::new("flock")
        .args(["--no-fork".as_ref(), pool.paths[0].as_os_str()])
        .args(["sh", "-c", "echo; exec sleep 1000"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut byte = [0];
    std::io::Read::read_exact(other.stdout.as_mut().unwrap(), &mut byte).unwrap();
    let loaded = pool.load_without(&[], false);
    other.kill().unwrap();
    other.wait().unwrap();
    refused(
        loaded,
        Errno::EBUSY,
        &["member-0`", &format!("process {}", other.id())],
    );
    drop(pool.load());
}
