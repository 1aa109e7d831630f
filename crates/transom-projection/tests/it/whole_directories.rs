//! Host directories that are mapped as a whole.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::symlink;
use std::sync::Barrier;

use rustix::fs::{CWD, FileType, Mode, OFlags, mkdirat, mknodat, openat};
use transom_module::{Context, Errno, ItemKind, Lookup, Volume};
use transom_projection::ProjectionOptions;

use crate::client::refusal;
use crate::fixture::{Fixture, whole};

#[test]
fn what_is_shown_of_the_host() {
    let fixture = Fixture::new();
    fixture.write("secret", "secret");
    fixture.write("d/f", "f");
    fixture.write("d/sub/g", "g");
    symlink("../secret", fixture.host("d/escape")).unwrap();
    symlink(fixture.host("secret"), fixture.host("d/absolute")).unwrap();
    mknodat(CWD, fixture.host("d/pipe"), FileType::Fifo, Mode::RWXU, 0).unwrap();
    let view = fixture.view(vec![whole("w", &fixture.host("d"))]);
    for lists_with_attributes in [false, true] {
        let mut client = fixture.client(&view);
        client.lists_with_attributes = lists_with_attributes;
        assert_eq!(client.list("w"), ["absolute", "escape", "f", "sub"]);
        assert_eq!(client.list("w/sub"), ["g"]);
        assert_eq!(client.read("w/sub/g").unwrap(), "g");
        assert_eq!(client.find("w/pipe"), None);
        assert_eq!(client.find("w/escape/x"), None);
        for name in ["w/escape", "w/absolute"] {
            assert_eq!(client.attributes(name).kind, ItemKind::Symlink);
        }
        assert_eq!(client.attributes("w/escape").size, 9);
    }
}

#[test]
fn what_appears_is_found_and_what_was_found_stays() {
    let fixture = Fixture::new();
    fixture.write("d/sub/f", "f");
    let view = fixture.view(vec![whole("w", &fixture.host("d"))]);
    let mut client = fixture.client(&view);
    let id = client.attributes("w/sub").id;
    fixture.write("d/later", "later");
    assert_eq!(client.read("w/later").unwrap(), "later");

    // The directory is another one now, but it had been found.
    fs::rename(fixture.host("d/sub"), fixture.host("elsewhere")).unwrap();
    fixture.write("d/sub/new", "new");
    let mut another = fixture.client(&view);
    assert_eq!(another.attributes("w/sub").id, id);
    assert_eq!(another.list("w/sub"), ["f"]);
    assert_eq!(another.find("w/sub/new"), None);
}

#[test]
fn two_mappings_of_one_directory_are_two_directories() {
    let fixture = Fixture::new();
    fixture.write("d/sub/f", "f");
    let source = fixture.host("d");
    let view = fixture.view(vec![whole("a", &source), whole("b", &source)]);
    let mut client = fixture.client(&view);
    for below in ["", "/sub"] {
        let ids = ["a", "b"].map(|name| client.attributes(&format!("{name}{below}")).id);
        assert_ne!(ids[0], ids[1]);
    }
    let files = ["a", "b"].map(|name| client.attributes(&format!("{name}/sub/f")).id);
    assert_eq!(files[0], files[1]);
}

/// How many files and directories of the fixture this process has open.
fn descriptors_in(fixture: &Fixture) -> usize {
    let entries = fs::read_dir("/proc/self/fd").unwrap();
    entries
        .filter_map(|entry| fs::read_link(entry.unwrap().path()).ok())
        .filter(|target| target.starts_with(fixture.host("")))
        .count()
}

fn beyond(descriptors: usize) -> Fixture {
    Fixture::with_options(ProjectionOptions {
        descriptors: Some(descriptors),
        ..ProjectionOptions::default()
    })
}

#[test]
fn descriptors_are_kept_up_to_a_limit_and_everything_is_found() {
    for limit in [0, 1, 7, 40] {
        let fixture = beyond(limit);
        let directories: Vec<_> = (0..40).map(|n| format!("{}/d{n}", n % 7)).collect();
        for directory in &directories {
            fixture.write(&format!("d/{directory}/deep/er/f"), directory);
            fixture.write(&format!("d/{directory}/g"), directory);
        }
        let view = fixture.view(vec![whole("w", &fixture.host("d"))]);
        for lists_with_attributes in [true, false] {
            let mut client = fixture.client(&view);
            client.lists_with_attributes = lists_with_attributes;
            assert_eq!(client.list("w"), ["0", "1", "2", "3", "4", "5", "6"]);
            for directory in &directories {
                assert_eq!(client.list(&format!("w/{directory}")), ["deep", "g"]);
                assert_eq!(client.list(&format!("w/{directory}/deep/er")), ["f"]);
            }
            for directory in &directories {
                for name in ["g", "deep/er/f"] {
                    let content = client.read(&format!("w/{directory}/{name}"));
                    assert_eq!(content.unwrap(), *directory);
                }
            }
            assert!(descriptors_in(&fixture) <= limit, "{limit}");
        }
        assert_eq!(view.verify(), []);
    }
}

#[test]
fn a_directory_beyond_the_limit_is_never_mistaken_for_another() {
    let fixture = Fixture::without_descriptors();
    fixture.write("d/sub/below/f", "f");
    fixture.write("d/gone/f", "f");
    let view = fixture.view(vec![whole("w", &fixture.host("d"))]);
    let mut client = fixture.client(&view);
    for name in ["w/sub/below/f", "w/gone/f"] {
        assert_eq!(client.read(name).unwrap(), "f");
    }
    // One becomes another directory, one a symbolic link to what it was.
    fs::rename(fixture.host("d/sub"), fixture.host("elsewhere")).unwrap();
    fixture.write("d/sub/below/f", "another");
    fixture.write("d/sub/below/new", "new");
    fs::rename(fixture.host("d/gone"), fixture.host("there")).unwrap();
    symlink(fixture.host("there"), fixture.host("d/gone")).unwrap();

    for name in ["w/sub/below/f", "w/gone/f"] {
        assert_eq!(refusal(client.read(name)).0, Errno::ESTALE);
    }
    for name in ["w/sub", "w/sub/below", "w/gone"] {
        let directory = client.item(name);
        let answer = fixture
            .projection
            .lookup(&Context::internal(), &directory, "new".as_ref());
        assert_eq!(refusal(answer).0, Errno::ESTALE, "{name}");
    }
}

#[test]
fn a_listing_can_be_long() {
    let fixture = Fixture::new();
    let names: Vec<_> = (0..3000)
        .map(|n| format!("a-name-long-enough-to-need-several-buffers-{n:04}"))
        .collect();
    for name in &names {
        fixture.write(&format!("d/{name}"), "");
    }
    let view = fixture.view(vec![whole("w", &fixture.host("d"))]);
    let mut client = fixture.client(&view);
    client.listing_room = 700;
    assert_eq!(client.list("w"), names);
}

#[test]
fn nobody_can_descend_for_ever() {
    let fixture = Fixture::new();
    let name = "n".repeat(250);
    let mut host: OwnedFd = fs::File::open(fixture.host(".")).unwrap().into();
    for _ in 0..20 {
        mkdirat(&host, name.as_str(), Mode::RWXU).unwrap();
        host = openat(&host, name.as_str(), OFlags::PATH, Mode::empty()).unwrap();
    }
    let view = fixture.view(vec![whole("w", &fixture.host("."))]);
    let mut client = fixture.client(&view);
    let mut directory = client.item("w");
    let refused = (0..20).find_map(|_| {
        let name = name.as_ref();
        let answer = fixture
            .projection
            .lookup(&Context::internal(), &directory, name);
        match answer {
            Ok(Lookup::Found(entry)) => {
                directory = entry.item;
                None
            }
            other => Some(other.unwrap_err().errno()),
        }
    });
    assert_eq!(refused, Some(Errno::ENAMETOOLONG));
}

#[test]
fn a_name_is_one_item_whoever_asks_first() {
    let fixture = Fixture::new();
    let names: Vec<_> = (0..300).map(|n| format!("w/d{n}")).collect();
    for n in 0..300 {
        fs::create_dir_all(fixture.host(&format!("d/d{n}"))).unwrap();
    }
    let view = fixture.view(vec![whole("w", &fixture.host("d"))]);
    let start = Barrier::new(2);
    let ask = || {
        let mut client = fixture.client(&view);
        client.find("w");
        start.wait();
        let ids = names.iter().map(|name| client.find(name).unwrap());
        ids.collect::<Vec<_>>()
    };
    let (one, other) = std::thread::scope(|scope| {
        let (one, other) = (scope.spawn(ask), scope.spawn(ask));
        (one.join().unwrap(), other.join().unwrap())
    });
    assert_eq!(one, other);
}
