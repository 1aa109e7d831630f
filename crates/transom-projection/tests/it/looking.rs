//! Attributes, listings and refusals.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use transom_module::{
    Context, Errno, Invalidation, ItemId, ItemKind, Lookup, Name, OpenMode, Volume,
};
use transom_projection::{OwnerMap, ProjectionOptions, ViewId};

use crate::client::refusal;
use crate::fixture::{Fixture, directory, file, file_with, link, whole};

#[test]
fn files_look_like_the_host_files() {
    let fixture = Fixture::new();
    let source = fixture.write("f", "12345");
    fs::set_permissions(&source, fs::Permissions::from_mode(0o640)).unwrap();
    fs::hard_link(&source, fixture.host("hard")).unwrap();
    let view = fixture.view(vec![
        file("plain", &source),
        file_with("executable", &source, true),
        file_with("not", &source, false),
    ]);
    let mut client = fixture.client(&view);
    let host = fs::metadata(&source).unwrap();
    let shown = client.attributes("plain");
    assert_eq!(shown.kind, ItemKind::File);
    assert_eq!(shown.permissions, 0o640);
    assert_eq!((shown.uid, shown.gid), (host.uid(), host.gid()));
    assert_eq!((shown.size, shown.blocks), (5, 1));
    assert_eq!(shown.links, 1);
    assert_eq!(shown.modified.seconds, host.mtime());
    assert_eq!(i64::from(shown.modified.nanoseconds), host.mtime_nsec());
    assert_eq!(shown.changed.seconds, host.ctime());
    assert_eq!(client.attributes("executable").permissions, 0o750);

    fs::set_permissions(&source, fs::Permissions::from_mode(0o4755)).unwrap();
    let view = fixture.view(vec![
        file("plain", &source),
        file_with("not", &source, false),
    ]);
    let mut client = fixture.client(&view);
    assert_eq!(client.attributes("plain").permissions, 0o4755);
    assert_eq!(client.attributes("not").permissions, 0o4644);
}

#[test]
fn directories_do_not_count_their_links() {
    let fixture = Fixture::new();
    fixture.write("d/sub/f", "");
    let view = fixture.view(vec![directory("e"), whole("w", &fixture.host("d"))]);
    let mut client = fixture.client(&view);
    for name in ["", "e", "w", "w/sub"] {
        let shown = client.attributes(name);
        assert_eq!(shown.kind, ItemKind::Directory);
        assert_eq!(shown.links, 1, "`{name}`");
    }
    assert_eq!(client.attributes("e").permissions, 0o555);
    assert_eq!(
        client.attributes("e").modified,
        client.attributes("").modified
    );
    let host = fs::metadata(fixture.host("d")).unwrap();
    assert_eq!(
        u32::from(client.attributes("w").permissions),
        host.mode() & 0o7777
    );
}

#[test]
fn owners_that_are_not_mapped_are_shown_as_somebody_who_is() {
    let map = |uids, gids| OwnerMap {
        uids,
        gids,
        overflow_uid: 4242,
        overflow_gid: 4343,
    };
    let owners = |owners| {
        let fixture = Fixture::with_options(ProjectionOptions {
            owners,
            ..ProjectionOptions::default()
        });
        let source = fixture.write("f", "");
        let view = fixture.view(vec![file("f", &source), link("l", "f"), directory("d")]);
        let mut client = fixture.client(&view);
        ["f", "l", "d"].map(|name| {
            let shown = client.attributes(name);
            (shown.uid, shown.gid)
        })
    };
    let (uid, gid) = {
        let fixture = Fixture::new();
        let host = fs::metadata(fixture.write("f", "")).unwrap();
        (host.uid(), host.gid())
    };
    assert_eq!(owners(None)[0], (uid, gid));
    assert_eq!(
        owners(Some(map(vec![uid..=uid], vec![gid..=gid])))[0],
        (uid, gid)
    );
    assert_eq!(
        owners(Some(map(vec![uid + 1..=uid + 9], Vec::new()))),
        [(4242, 4343); 3]
    );
}

#[test]
fn listings_are_complete_however_small_the_buffer() {
    let fixture = Fixture::new();
    let names: Vec<_> = (0..50).map(|n| format!("f{n:02}")).collect();
    for name in &names {
        fixture.write(&format!("d/{name}"), "");
    }
    let mut declared = vec![whole("w", &fixture.host("d"))];
    declared.extend(
        names
            .iter()
            .map(|name| file(&format!("p/{name}"), &fixture.host(&format!("d/{name}")))),
    );
    let view = fixture.view(declared);
    for lists_with_attributes in [false, true] {
        let mut client = fixture.client(&view);
        client.lists_with_attributes = lists_with_attributes;
        assert_eq!(client.list("p"), names);
        assert_eq!(client.list("w"), names);
        assert_eq!(client.list(""), ["p", "w"]);
    }
}

#[test]
fn nothing_can_be_opened_for_writing() {
    let fixture = Fixture::new();
    let source = fixture.write("f", "");
    let view = fixture.view(vec![file("f", &source), directory("d")]);
    let mut client = fixture.client(&view);
    for (read, write, truncate) in [
        (false, true, false),
        (true, true, false),
        (true, false, true),
    ] {
        let mode = OpenMode {
            read,
            write,
            truncate,
            ..OpenMode::default()
        };
        assert_eq!(refusal(client.open_as("f", mode)).0, Errno::EROFS);
    }
    assert_eq!(refusal(client.open("d")).0, Errno::EISDIR);
}

#[test]
fn views_are_found_by_number_and_never_listed() {
    let fixture = Fixture::new();
    let view = fixture.view(vec![directory("d")]);
    assert_eq!(view.id().to_string(), "v1");
    let projection = &fixture.projection;
    let root = projection.root().unwrap().item;
    let is_found = |name: &str| {
        let answer = projection.lookup(&Context::internal(), &root, name.as_ref());
        matches!(answer.unwrap(), Lookup::Found(_))
    };
    assert!(is_found("v1"));
    for name in ["v2", "v0", "v01", "v+1", "v", "1", "V1", "\u{1f600}"] {
        assert!(!is_found(name), "{name}");
    }
    assert_eq!("v1".parse::<ViewId>().unwrap(), view.id());

    let mut client = fixture.client(&view);
    assert!(client.find("d").is_some());
    let removed = projection.remove(view.id());
    let name = Name::new("v1").unwrap();
    let directory = ItemId::ROOT;
    assert_eq!(removed, [Invalidation::Name { directory, name }]);
    assert_eq!(projection.remove(view.id()), []);
    assert!(client.find("d").is_some(), "what is in use goes on");
    client.forget(removed);
    assert!(client.find("d").is_none());
    assert!(projection.view(view.id()).is_none());
}

#[test]
fn names_that_are_too_long_say_so() {
    let fixture = Fixture::new();
    let view = fixture.view(Vec::new());
    let root = fixture.projection.root().unwrap().item;
    let name = "x".repeat(256);
    let answer = fixture
        .projection
        .lookup(&Context::internal(), &root, name.as_ref());
    assert_eq!(answer.unwrap_err().errno(), Errno::ENAMETOOLONG);
    assert_eq!(fixture.client(&view).list(""), [""; 0]);
}
