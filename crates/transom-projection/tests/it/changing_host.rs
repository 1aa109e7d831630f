//! The host goes on changing while a view is in use.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::time::{Duration, SystemTime};

use transom_module::Errno;
use transom_projection::{
    ChangedInput, OnChange, ProjectionOptions, VersionState, View, ViewOptions, WalkEntry,
};

use crate::client::refusal;
use crate::fixture::{Fixture, file, file_with, whole};

fn with_policy(on_change: OnChange) -> ViewOptions {
    ViewOptions {
        on_change,
        ..ViewOptions::default()
    }
}

/// Path and state of everything that changed.
fn changed(view: &View) -> Vec<(String, &'static str)> {
    let word = |state| match state {
        VersionState::Unchanged => "unchanged",
        VersionState::Touched { .. } => "touched",
        VersionState::ChangedInPlace { .. } => "changed",
        VersionState::Replaced { .. } => "replaced",
        VersionState::Deleted => "deleted",
        VersionState::Unknown { .. } => "unknown",
    };
    view.verify()
        .into_iter()
        .map(|ChangedInput { path, state, .. }| (path.to_string(), word(state)))
        .collect()
}

fn one(name: &str, state: &'static str) -> Vec<(String, &'static str)> {
    vec![(name.to_owned(), state)]
}

#[test]
fn a_replaced_file_stays_what_it_was_until_the_next_view() {
    let fixture = Fixture::new();
    let source = fixture.write("f", "old");
    let view = fixture.view(vec![file("f", &source)]);
    fixture.replace("f", "new and longer");
    let mut client = fixture.client(&view);
    assert_eq!(client.read("f").unwrap(), "old");
    assert_eq!(client.attributes("f").size, 3);
    assert_eq!(changed(&view), []);

    let next = fixture.view(vec![file("f", &source)]);
    let mut next_client = fixture.client(&next);
    assert_eq!(next_client.read("f").unwrap(), "new and longer");
    assert_ne!(next_client.attributes("f").id, client.attributes("f").id);
    assert_eq!(client.read("f").unwrap(), "old");
}

#[test]
fn a_file_changed_in_place_is_refused_and_reported() {
    let fixture = Fixture::new();
    let source = fixture.write("f", "old");
    let view = fixture.view(vec![file("f", &source)]);
    let mut client = fixture.client(&view);
    assert_eq!(client.read("f").unwrap(), "old");
    fixture.write("f", "changed");
    let (errno, message) = refusal(client.read("f"));
    assert_eq!(errno, Errno::ESTALE);
    assert_eq!(
        message,
        format!(
            "`{}` was changed in place after it was pinned, so it cannot be opened",
            source.display()
        )
    );
    assert_eq!(changed(&view), one("f", "changed"));

    let report = &view.verify()[0];
    let json = serde_json::to_string(report).unwrap();
    assert_eq!(
        *report,
        serde_json::from_str(&json).unwrap(),
        "also for those who are told in JSON"
    );
    assert_eq!(report.host_path, source);
    assert_eq!(report.pinned.size, 3);
    let VersionState::ChangedInPlace { now } = report.state else {
        panic!("{report:?}");
    };
    assert_eq!(now.size, 7);
    assert_eq!(now.inode, fs::metadata(&source).unwrap().ino());
}

#[test]
fn what_was_given_to_a_mount_is_reported_whenever_it_changed() {
    for change_first in [true, false] {
        let fixture = Fixture::new();
        let source = fixture.write("f", "old");
        let view = fixture.view(vec![file("f", &source)]);
        if change_first {
            fixture.write("f", "changed");
        }
        view.walk(|_, entry| match entry {
            WalkEntry::File(version) => version.open_to_mount().map(drop),
            _ => Ok(()),
        })
        .unwrap();
        if !change_first {
            fixture.write("f", "changed");
        }
        assert_eq!(changed(&view), one("f", "changed"));
    }
}

#[test]
fn changes_are_reported_in_order_of_their_names() {
    let fixture = Fixture::new();
    let names = ["c", "a", "b"];
    let sources = names.map(|name| fixture.write(name, "old"));
    let declared = std::iter::zip(names, &sources).map(|(name, source)| file(name, source));
    let view = fixture.view(declared.collect());
    let mut client = fixture.client(&view);
    for name in names {
        client.read(name).unwrap();
        fixture.write(name, "changed");
    }
    assert_eq!(
        changed(&view),
        ["a", "b", "c"].map(|name| (name.to_owned(), "changed"))
    );
}

#[test]
fn the_policy_decides_what_a_changed_file_shows() {
    for (on_change, is_reported) in [(OnChange::Report, true), (OnChange::Ignore, false)] {
        for fixture in [Fixture::new(), Fixture::without_descriptors()] {
            let source = fixture.write("f", "old");
            let view = fixture
                .pin(with_policy(on_change), vec![file("f", &source)])
                .unwrap();
            fixture.write("f", "changed");
            assert_eq!(fixture.client(&view).read("f").unwrap(), "changed");
            assert_eq!(changed(&view).len(), usize::from(is_reported));
        }
    }
}

#[test]
fn a_file_that_changes_back_is_still_reported() {
    let fixture = Fixture::new();
    let source = fixture.write("f", "old");
    let modified = fs::metadata(&source).unwrap().modified().unwrap();
    let view = fixture.view(vec![file("f", &source)]);
    fixture.write("f", "changed");
    refusal(fixture.client(&view).read("f"));
    fixture.write("f", "old");
    set_modified(&source, modified);
    fs::set_permissions(&source, fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(changed(&view), one("f", "changed"));
}

#[test]
fn a_writer_that_restores_the_mtime_is_told_of_but_not_refused() {
    for fixture in [Fixture::new(), Fixture::without_descriptors()] {
        let source = fixture.write("f", "old");
        let modified = fs::metadata(&source).unwrap().modified().unwrap();
        let view = fixture.view(vec![file("f", &source)]);
        fixture.write("f", "bad");
        set_modified(&source, modified);
        assert_eq!(fixture.client(&view).read("f").unwrap(), "bad");
        assert_eq!(changed(&view), one("f", "touched"));
        assert!(!view.verify()[0].is_wrong());
    }
}

#[test]
fn a_hard_link_that_was_made_and_removed_is_no_change() {
    for fixture in [Fixture::new(), Fixture::without_descriptors()] {
        let source = fixture.write("f", "old");
        let view = fixture.view(vec![file("f", &source)]);
        fs::hard_link(&source, fixture.host("hard")).unwrap();
        fs::remove_file(fixture.host("hard")).unwrap();
        assert_eq!(fixture.client(&view).read("f").unwrap(), "old");
        assert_eq!(changed(&view), one("f", "touched"));
        assert!(!view.verify()[0].is_wrong());
    }
}

#[test]
fn a_file_that_was_changed_in_place_is_not_served_because_it_was_replaced_later() {
    let fixture = Fixture::new();
    let sources = [fixture.write("f", "old"), fixture.write("g", "old")];
    let view = fixture.view(vec![file("f", &sources[0]), file("g", &sources[1])]);
    fixture.write("f", "changed");
    fixture.replace("f", "old");
    fixture.write("g", "changed");
    fs::remove_file(&sources[1]).unwrap();
    assert_eq!(changed(&view), [], "nobody has opened them");
    let mut client = fixture.client(&view);
    for name in ["f", "g"] {
        assert_eq!(refusal(client.read(name)).0, Errno::ESTALE);
    }
    let both = [one("f", "changed"), one("g", "changed")].concat();
    assert_eq!(changed(&view), both);
}

#[test]
fn links_modes_and_renames_of_ancestors_change_no_version() {
    for fixture in [Fixture::new(), Fixture::without_descriptors()] {
        let source = fixture.write("f", "old");
        let view = fixture.view(vec![file("f", &source)]);
        let mut client = fixture.client(&view);
        fs::hard_link(&source, fixture.host("hard")).unwrap();
        assert_eq!(client.read("f").unwrap(), "old");
        fs::set_permissions(&source, fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(client.read("f").unwrap(), "old");
        assert_eq!(changed(&view), []);
    }
    let fixture = Fixture::new();
    let source = fixture.write("d/f", "old");
    let view = fixture.view(vec![file("f", &source)]);
    fs::rename(fixture.host("d"), fixture.host("elsewhere")).unwrap();
    assert_eq!(fixture.client(&view).read("f").unwrap(), "old");
}

#[test]
fn a_deleted_file_is_an_error_with_or_without_a_descriptor() {
    for fixture in [Fixture::new(), Fixture::without_descriptors()] {
        let source = fixture.write("f", "old");
        let moved = fixture.write("g", "old");
        let view = fixture.view(vec![file("f", &source), file("g", &moved)]);
        fs::remove_file(&source).unwrap();
        fs::rename(&moved, fixture.host("elsewhere")).unwrap();
        let mut client = fixture.client(&view);
        for (name, source) in [("f", source), ("g", moved)] {
            let (errno, message) = refusal(client.read(name));
            assert_eq!(errno, Errno::ESTALE);
            assert_eq!(
                message,
                format!(
                    "`{}` was deleted after it was pinned, so it cannot be opened",
                    source.display()
                )
            );
        }
        let both = [one("f", "deleted"), one("g", "deleted")].concat();
        assert_eq!(changed(&view), both);
    }
}

#[test]
fn without_a_descriptor_a_replaced_file_is_refused() {
    let fixture = Fixture::without_descriptors();
    let source = fixture.write("f", "old");
    let view = fixture.view(vec![file("f", &source)]);
    let mut client = fixture.client(&view);
    assert_eq!(client.read("f").unwrap(), "old");
    fixture.replace("f", "new");
    let (errno, message) = refusal(client.read("f"));
    assert_eq!(errno, Errno::ESTALE);
    assert!(
        message.contains("was replaced by another file"),
        "{message}"
    );
    assert_eq!(changed(&view), one("f", "replaced"));
}

#[test]
fn a_host_that_refuses_to_look_again_is_no_deletion() {
    transom_test::unprivileged!();
    let fixture = Fixture::without_descriptors();
    let source = fixture.write("d/f", "text");
    let view = fixture.view(vec![file("f", &source)]);
    let permit = |mode| {
        let permissions = fs::Permissions::from_mode(mode);
        fs::set_permissions(fixture.host("d"), permissions).unwrap();
    };
    permit(0o000);
    let (errno, message) = refusal(fixture.client(&view).read("f"));
    assert_eq!(errno, Errno::EACCES, "{message}");
    assert_eq!(changed(&view), one("f", "unknown"));
    permit(0o755);
    assert_eq!(fixture.client(&view).read("f").unwrap(), "text");
    assert_eq!(changed(&view), []);
}

#[test]
fn all_opens_of_a_version_get_one_descriptor() {
    use std::os::fd::{AsFd, AsRawFd};
    for fixture in [Fixture::new(), Fixture::without_descriptors()] {
        let source = fixture.write("f", "text");
        let view = fixture.view(vec![file("f", &source)]);
        let mut client = fixture.client(&view);
        let (one, other) = (client.open("f").unwrap(), client.open("f").unwrap());
        assert_eq!(one.as_fd().as_raw_fd(), other.as_fd().as_raw_fd());
    }
}

#[test]
fn views_share_the_same_version_of_the_same_file() {
    let fixture = Fixture::new();
    let source = fixture.write("f", "text");
    let declared = || vec![file("f", &source), file("d/g", &source)];
    let one = fixture.view(declared());
    let other = fixture.view(declared());
    let id = fixture.client(&one).attributes("f").id;
    assert_eq!(fixture.client(&one).attributes("d/g").id, id);
    assert_eq!(fixture.client(&other).attributes("f").id, id);

    let mut different = vec![
        fixture.view(vec![file_with("f", &source, true)]),
        fixture
            .pin(with_policy(OnChange::Ignore), declared())
            .unwrap(),
        fixture
            .pin(
                ViewOptions {
                    trace: true,
                    ..ViewOptions::default()
                },
                declared(),
            )
            .unwrap(),
    ];
    fixture.write("f", "changed in place");
    different.push(fixture.view(declared()));
    for view in different {
        assert_ne!(fixture.client(&view).attributes("f").id, id);
    }
    // A directory is one per path.
    assert_ne!(
        fixture.client(&one).attributes("d").id,
        fixture.client(&other).attributes("d").id
    );
}

#[test]
fn descriptors_are_given_back() {
    let fixture = Fixture::with_options(ProjectionOptions {
        descriptors: Some(1),
        ..ProjectionOptions::default()
    });
    let sources = [fixture.write("a", "a"), fixture.write("b", "b")];
    let held = |view: &View| {
        let mut held = 0;
        view.walk(|_, entry| {
            held += usize::from(format!("{entry:?}").contains("is_held_open: true"));
            Ok::<_, ()>(())
        })
        .unwrap();
        held
    };
    let declared = || vec![file("a", &sources[0]), file("b", &sources[1])];
    let view = fixture.view(declared());
    assert_eq!(held(&view), 1);
    let id = fixture.client(&view).attributes("a").id;
    fixture.projection.remove(view.id());
    drop(view);

    let view = fixture.view(declared());
    assert_eq!(held(&view), 1);
    let new = fixture.client(&view).attributes("a").id;
    assert_ne!(new, id, "a number is never used again");
}

#[test]
fn files_found_in_whole_directories_are_pinned_too() {
    let fixture = Fixture::new();
    fixture.write("d/sub/f", "old");
    fixture.write("d/sub/g", "old");
    let view = fixture.view(vec![whole("w", &fixture.host("d"))]);
    let mut client = fixture.client(&view);
    assert_eq!(client.read("w/sub/f").unwrap(), "old");
    assert_eq!(client.read("w/sub/g").unwrap(), "old");
    fixture.replace("d/sub/f", "new");
    fixture.write("d/sub/g", "changed");
    let mut another = fixture.client(&view);
    assert_eq!(another.read("w/sub/f").unwrap(), "old");
    assert_eq!(refusal(another.read("w/sub/g")).0, Errno::ESTALE);
    assert_eq!(changed(&view), one("w/sub/g", "changed"));
}

fn set_modified(path: &Path, time: SystemTime) {
    let file = fs::File::options().write(true).open(path).unwrap();
    file.set_modified(time).unwrap();
    assert!(time.elapsed().unwrap() < Duration::from_secs(3600));
}
