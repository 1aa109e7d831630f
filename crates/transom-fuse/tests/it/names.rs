//! Lookups, listings, what is cached and what is given back.

use std::fs::File;
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use transom_fuse::Opcode;
use transom_module::{Invalidation, ItemId, Name};
use transom_test::privileged;

use crate::shelf::Content;
use crate::{PATIENCE, path_of, serve};

#[test]
fn privileged_names_are_asked_for_once() {
    privileged!("mount");
    let session = serve(&[("one", Content::Bytes(b"first".to_vec()))]);
    for _ in 0..3 {
        assert_eq!(std::fs::read(path_of(&session, "one")).unwrap(), b"first");
        let absent = std::fs::metadata(path_of(&session, "two")).unwrap_err();
        assert_eq!(absent.kind(), io::ErrorKind::NotFound);
    }
    let statistics = session.statistics();
    assert_eq!(
        statistics.count(Opcode::Lookup),
        2,
        "one for each name, absent or not: {statistics:?}"
    );
    assert_eq!(statistics.count(Opcode::Open), 3);
    assert_eq!(
        statistics.count(Opcode::Read),
        1,
        "the pages are kept from open to open"
    );
}

#[test]
fn privileged_listings_are_whole_and_cached() {
    privileged!("mount");
    let names: Vec<String> = (0..2000)
        .map(|number| format!("file-{number:04}"))
        .collect();
    let files: Vec<_> = names
        .iter()
        .map(|name| (name.as_str(), Content::Bytes(Vec::new())))
        .collect();
    let session = serve(&files);
    let list = || -> Vec<String> {
        let listing = std::fs::read_dir(path_of(&session, "")).unwrap();
        let mut listed: Vec<_> = listing
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        listed.sort();
        listed
    };
    assert_eq!(list(), names);
    let asked = session.statistics().total();
    assert_eq!(list(), names);
    assert_eq!(
        session.statistics().total(),
        asked,
        "the second listing is the kernel's own"
    );
    assert_eq!(
        session.statistics().count(Opcode::Opendir),
        1,
        "answered once, with `do not ask again`"
    );
}

#[test]
fn privileged_invalidated_names_are_asked_for_again() {
    privileged!("mount");
    let session = serve(&[("one", Content::Bytes(b"old".to_vec()))]);
    let read = || std::fs::read_to_string(path_of(&session, "one")).unwrap();
    assert_eq!(read(), "old");
    session
        .volume()
        .put("one", Content::Bytes(b"new version".to_vec()));
    session.volume().put("two", Content::Bytes(Vec::new()));
    assert_eq!(read(), "old", "until the kernel is told");
    session
        .invalidate(&[
            Invalidation::Name {
                directory: ItemId::ROOT,
                name: Name::new("one").unwrap(),
            },
            Invalidation::Listing(ItemId::ROOT),
        ])
        .unwrap();
    assert_eq!(read(), "new version");
    assert_eq!(std::fs::read_dir(path_of(&session, "")).unwrap().count(), 2);
}

#[test]
fn privileged_an_epoch_invalidates_every_name_at_once() {
    privileged!("mount");
    let session = serve(&[("one", Content::Bytes(b"old".to_vec()))]);
    assert!(std::fs::exists(path_of(&session, "one")).unwrap());
    assert!(!std::fs::exists(path_of(&session, "two")).unwrap());
    session.volume().put("two", Content::Bytes(Vec::new()));
    session
        .volume()
        .files
        .lock()
        .unwrap()
        .remove(std::ffi::OsStr::new("one"));
    session.invalidate(&[Invalidation::Epoch]).unwrap();
    assert!(!std::fs::exists(path_of(&session, "one")).unwrap());
    assert!(std::fs::exists(path_of(&session, "two")).unwrap());
}

#[test]
fn privileged_extended_attributes() {
    privileged!("mount");
    let session = serve(&[("one", Content::Bytes(Vec::new()))]);
    let path = path_of(&session, "one");
    let mut buffer = [0; 16];
    assert_eq!(
        rustix::fs::getxattr(&path, "user.kind", &mut buffer).unwrap(),
        5
    );
    assert_eq!(&buffer[..5], b"shelf");
    assert_eq!(
        rustix::fs::getxattr(&path, "user.kind", &mut [0; 2]),
        Err(rustix::io::Errno::RANGE)
    );
    assert_eq!(
        rustix::fs::getxattr(&path, "user.none", &mut buffer),
        Err(rustix::io::Errno::NODATA)
    );
    assert_eq!(rustix::fs::listxattr(&path, &mut buffer).unwrap(), 10);
}

#[test]
fn privileged_every_item_and_handle_is_given_back_exactly_once() {
    privileged!("mount");
    let files: Vec<_> = (0..100)
        .map(|number| (format!("file-{number}"), Content::Bytes(b"x".to_vec())))
        .collect();
    let files: Vec<_> = files
        .iter()
        .map(|(name, content)| (name.as_str(), content.clone()))
        .collect();
    let session = serve(&files);
    for (name, _) in &files {
        std::fs::read(path_of(&session, name)).unwrap();
    }
    // Left open until after the session has ended.
    assert_eq!(session.live_items(), 101);
    let volume = session.volume();
    let (reclaimed, closed) = (Arc::clone(&volume.reclaimed), Arc::clone(&volume.closed));
    let handed_out = volume.handed_out.load(Ordering::Relaxed) + reclaimed.load(Ordering::Relaxed);
    let statistics = session.end().unwrap();
    assert_eq!(
        reclaimed.load(Ordering::Relaxed),
        handed_out,
        "the kernel sends no FORGET at unmount"
    );
    assert_eq!(closed.load(Ordering::Relaxed), 100);
    assert_eq!(statistics.count(Opcode::Open), 100);
}

#[test]
fn privileged_items_that_nobody_uses_are_given_back_when_fewer_are_allowed() {
    privileged!("mount");
    const FILES: usize = 3000;
    const ALLOWED: usize = 500;
    let names: Vec<_> = (0..FILES).map(|number| format!("file-{number}")).collect();
    let content = Content::Bytes(b"x".to_vec());
    let files = names.iter().map(|name| (name.as_str(), content.clone()));
    let session = serve(&files.collect::<Vec<_>>());
    let look_at_all = || {
        for name in &names {
            std::fs::metadata(path_of(&session, name)).unwrap();
        }
    };
    let open = |name| File::open(path_of(&session, name)).unwrap();
    let used: Vec<_> = names[..10].iter().map(|name| open(name)).collect();
    look_at_all();
    assert_eq!(session.live_items(), FILES + 1);
    let before = session.statistics().count(Opcode::Lookup);
    assert_eq!(before, FILES as u64);

    // Though nobody asks for anything.
    session.set_items_max(ALLOWED);
    let deadline = Instant::now() + PATIENCE;
    while session.live_items() > ALLOWED {
        assert!(Instant::now() < deadline, "{} items", session.live_items());
        thread::sleep(Duration::from_millis(1));
    }
    for mut file in used {
        let mut content = String::new();
        file.read_to_string(&mut content).unwrap();
        assert_eq!(content, "x");
    }

    session.set_items_max(usize::MAX);
    look_at_all();
    assert_eq!(session.live_items(), FILES + 1);
    let asked = session.statistics().count(Opcode::Lookup) - before;
    assert!(asked >= (FILES - ALLOWED) as u64, "{asked} lookups");
}

#[test]
fn privileged_names_that_are_too_long_never_reach_the_module() {
    privileged!("mount");
    let session = serve(&[]);
    let error = std::fs::metadata(path_of(&session, &"n".repeat(300))).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::ENAMETOOLONG));
}
