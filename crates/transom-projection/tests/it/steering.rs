//! Changing a view while it is in use.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use transom_module::{Context, Invalidation, Lifetime, Lookup, Name, Volume};
use transom_projection::{
    Allowance, Change, Charge, Exhausted, Origin, Tree, UpdateError, ViewOptions,
};

use crate::client::Client;
use crate::fixture::{Fixture, directory, file, file_with, link, path, whole};

fn redirect(name: &str, source: PathBuf) -> Change {
    Change::Redirect {
        name: path(name),
        source,
    }
}

#[test]
fn one_change_forgets_one_name() {
    let fixture = Fixture::new();
    let source = fixture.write("f", "f");
    let view = fixture.view(vec![file("d/f", &source)]);
    let mut client = fixture.client(&view);
    assert_eq!(client.find("d/x"), None);
    let directory_id = client.attributes("d").id;
    let name = |name: &str| Invalidation::Name {
        directory: directory_id,
        name: Name::new(name).unwrap(),
    };
    let listing = Invalidation::Listing(directory_id);

    let forgotten = view.update(vec![Change::Add(file("d/x/y/z", &source))]);
    assert_eq!(forgotten.unwrap(), [name("x"), listing.clone()]);
    let forgotten = view.update(vec![Change::Replace(link("d/f", "x"))]);
    assert_eq!(forgotten.unwrap(), [name("f"), listing.clone()]);
    let forgotten = view.update(vec![Change::Withdraw(path("d/x"))]);
    assert_eq!(forgotten.unwrap(), [name("x"), listing.clone()]);
    assert_eq!(view.epoch(), 3);
    assert_eq!(view.update(Vec::new()).unwrap(), []);
    assert_eq!(view.epoch(), 3);

    let forgotten = view.update(vec![
        Change::Add(directory("d/one")),
        Change::Add(directory("d/two")),
    ]);
    assert_eq!(forgotten.unwrap(), [name("one"), name("two"), listing]);
    assert_eq!(view.epoch(), 4);
}

#[test]
fn what_carries_a_mount_has_to_stay() {
    let fixture = Fixture::new();
    let mut tree = Tree::build(vec![directory("work/src")]).unwrap();
    let origin = Origin {
        source: "the action".into(),
        line: None,
    };
    tree.require_directory(&path("work/out/objects"), &origin)
        .unwrap();
    let view = fixture
        .projection
        .pin(tree, ViewOptions::default())
        .unwrap();
    for name in ["work", "work/out", "work/out/objects"] {
        for change in [
            Change::Withdraw(path(name)),
            Change::Replace(link(name, "elsewhere")),
        ] {
            let refused = view.update(vec![change]).unwrap_err();
            assert!(
                matches!(&refused, UpdateError::Required { name: at, .. } if *at == path(name)),
                "{refused}"
            );
        }
    }
    view.update(vec![
        Change::Withdraw(path("work/src")),
        Change::Add(directory("work/out/more")),
    ])
    .unwrap();
}

#[test]
fn a_directory_that_stays_is_listed_anew_even_if_it_is_declared_meanwhile() {
    let fixture = Fixture::new();
    let source = fixture.write("f", "f");
    let view = fixture.view(vec![file("d/f", &source)]);
    let mut client = fixture.client(&view);
    assert_eq!(client.list("d"), ["f"]);
    let id = client.find("d");
    client
        .steer(vec![
            Change::Add(directory("d")),
            Change::Add(file("d/g", &source)),
        ])
        .unwrap();
    assert_eq!(client.find("d"), id);
    assert_eq!(client.list("d"), ["f", "g"]);
}

#[test]
fn whatever_stands_for_something_else_is_a_new_item() {
    let fixture = Fixture::new();
    let one = fixture.write("one", "one");
    let two = fixture.write("two", "two");
    fixture.write("a/f", "f of a");
    fixture.write("b/f", "f of b");
    let view = fixture.view(vec![
        file_with("d/f", &one, true),
        whole("w", &fixture.host("a")),
        link("l", "d"),
    ]);
    let mut client = fixture.client(&view);
    let ids =
        |client: &mut Client| ["d/f", "w", "l", "d", ""].map(|name| client.attributes(name).id);
    let before = ids(&mut client);
    assert_eq!(client.read("w/f").unwrap(), "f of a");
    client.steer(vec![redirect("d/f", two)]).unwrap();
    client
        .steer(vec![redirect("w", fixture.host("b"))])
        .unwrap();
    client.steer(vec![Change::Replace(link("l", "w"))]).unwrap();
    let after = ids(&mut client);
    assert!((0..3).all(|index| before[index] != after[index]));
    assert_eq!(before[3..], after[3..], "directories stay");
    assert_eq!(client.read("d/f").unwrap(), "two");
    assert_eq!(client.attributes("d/f").permissions & 0o111, 0o111);
    assert_eq!(client.read("w/f").unwrap(), "f of b");
}

#[test]
fn an_open_file_outlives_its_name() {
    let fixture = Fixture::new();
    let source = fixture.write("f", "text");
    let view = fixture.view(vec![file("f", &source)]);
    let mut client = fixture.client(&view);
    let backing = client.open("f").unwrap();
    client.steer(vec![Change::Withdraw(path("f"))]).unwrap();
    assert_eq!(client.find("f"), None);
    assert_eq!(client.list(""), [""; 0]);
    assert_eq!(crate::client::contents(&backing), b"text");
}

#[test]
fn a_directory_that_is_gone_is_empty_for_whoever_is_in_it() {
    let fixture = Fixture::new();
    let source = fixture.write("f", "text");
    let view = fixture.view(vec![file("d/f", &source)]);
    let mut inside = fixture.client(&view);
    let id = inside.find("d").unwrap();
    view.update(vec![Change::Withdraw(path("d"))]).unwrap();
    // Nothing was forgotten: `d` is still known, as a working directory is.
    assert_eq!(inside.find("d"), Some(id));
    assert_eq!(inside.find("d/f"), None);
    assert_eq!(inside.list("d"), [""; 0]);

    view.update(vec![Change::Add(file("d/g", &source))])
        .unwrap();
    assert_eq!(inside.find("d/g"), None, "that is another directory");
    assert_ne!(fixture.client(&view).find("d"), Some(id));
}

#[test]
fn a_batch_is_applied_as_a_whole_or_not_at_all() {
    let fixture = Fixture::new();
    let source = fixture.write("f", "f");
    let view = fixture.view(vec![file("d/f", &source), whole("w", &fixture.host("."))]);
    let mut client = fixture.client(&view);
    let good = || Change::Add(file("new", &source));
    let refused = |client: &mut Client, change| {
        let error = client.steer(vec![good(), change]).unwrap_err();
        assert_eq!(client.find("new"), None);
        error
    };
    let error = refused(&mut client, Change::Add(file("d/f", &source)));
    assert_eq!(
        error.to_string(),
        "`d/f` is declared already at test.json:7; replace it, or redirect it to another host file"
    );
    let error = refused(
        &mut client,
        Change::Add(file("x", &fixture.host("missing"))),
    );
    assert!(matches!(error, UpdateError::Pin(_)), "{error}");
    let error = refused(&mut client, Change::Add(file("w/x", &source)));
    assert!(error.to_string().contains("lies inside `w`"), "{error}");
    let error = refused(&mut client, Change::Withdraw(path("x")));
    assert_eq!(error.to_string(), "`x` is not declared in this view");
    let error = refused(&mut client, Change::Replace(link("d", "x")));
    assert!(matches!(error, UpdateError::NotEmpty(_)), "{error}");
    let error = refused(&mut client, redirect("d", fixture.host(".")));
    assert!(matches!(error, UpdateError::NoSource { .. }), "{error}");
    let error = refused(&mut client, redirect("w", source.clone()));
    assert!(matches!(error, UpdateError::OtherKind { .. }), "{error}");
    let error = refused(&mut client, redirect("w", PathBuf::from("/dev/null")));
    assert!(error.to_string().contains("a character device"), "{error}");
    let error = refused(&mut client, Change::Add(link("loop", "d/../loop")));
    assert!(
        error.to_string().contains("`loop` -> `d/../loop`"),
        "{error}"
    );
    assert_eq!(view.epoch(), 0);
    assert_eq!(client.list(""), ["d", "w"]);
}

#[test]
fn nothing_is_remembered_between_the_check_of_a_batch_and_its_change() {
    let fixture = Fixture::new();
    let source = fixture.write("f", "f");
    let view = fixture.view(vec![file("d/old", &source)]);
    let mut client = fixture.client(&view);
    let directory = client.item("d");
    let lookup = |name: &str| {
        let context = Context::internal();
        match fixture
            .projection
            .lookup(&context, &directory, OsStr::new(name))
        {
            Ok(Lookup::Found(entry)) => (true, entry.name_lifetime),
            Ok(Lookup::Absent(lifetime)) => (false, lifetime),
            Err(error) => panic!("{error}"),
        }
    };
    let changes = || {
        vec![
            Change::Withdraw(path("d/old")),
            Change::Add(file("d/new", &source)),
        ]
    };
    let before = [(true, Lifetime::FOREVER), (false, Lifetime::FOREVER)];
    let between = [(true, Lifetime::NONE), (false, Lifetime::NONE)];
    let after = [(false, Lifetime::FOREVER), (true, Lifetime::FOREVER)];
    let both = || ["old", "new"].map(lookup);

    let update = view.prepare(changes()).unwrap();
    assert_eq!(update.names().len(), 2);
    assert_eq!(both(), between);
    drop(update);
    assert_eq!(both(), before, "not applied");
    assert_eq!(view.epoch(), 0);

    assert!(view.prepare(vec![Change::Withdraw(path("x"))]).is_err());
    assert_eq!(both(), before, "not possible");

    let update = view.prepare(changes()).unwrap();
    let listing = Invalidation::Listing(client.attributes("d").id);
    assert_eq!(update.apply(), [listing]);
    assert_eq!(both(), after);
    assert_eq!(view.epoch(), 1);
}

#[test]
fn no_request_sees_half_a_batch() {
    let fixture = Fixture::new();
    let source = fixture.write("f", "f");
    let view = fixture.view(vec![file("a", &source)]);
    let is_done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // One listing is one request here.
            while !is_done.load(Ordering::Relaxed) {
                let mut client = fixture.client(&view);
                client.listing_room = 100;
                let names = client.list("");
                assert!(names == ["a"] || names == ["b", "c"], "{names:?}");
            }
        });
        for _ in 0..500 {
            let forth = [
                Change::Withdraw(path("a")),
                Change::Add(file("b", &source)),
                Change::Add(file("c", &source)),
            ];
            let back = [
                Change::Withdraw(path("b")),
                Change::Withdraw(path("c")),
                Change::Add(file("a", &source)),
            ];
            view.update(forth.to_vec()).unwrap();
            view.update(back.to_vec()).unwrap();
        }
        is_done.store(true, Ordering::Relaxed);
    });
}

#[test]
fn walking_visits_what_is_there_in_order() {
    let fixture = Fixture::new();
    let source = fixture.write("f", "f");
    let view = fixture.view(vec![
        link("z", "a"),
        file("a/c", &source),
        file("a.b", &source),
        whole("a/b", &fixture.host(".")),
    ]);
    view.update(vec![
        Change::Withdraw(path("a.b")),
        Change::Add(directory("a/a/new")),
    ])
    .unwrap();
    let mut seen = Vec::new();
    view.walk(|path, entry| {
        use transom_projection::WalkEntry;
        let what = match entry {
            WalkEntry::Directory => "directory".to_owned(),
            WalkEntry::File(version) => version.host_path().display().to_string(),
            WalkEntry::WholeDirectory(directory) => directory.path().display().to_string(),
            WalkEntry::Symlink { target } => target.display().to_string(),
        };
        seen.push((path.to_string(), what));
        if path.to_string() == "z" {
            Err("the end")
        } else {
            Ok(())
        }
    })
    .unwrap_err();
    let here = fixture.host(".").display().to_string();
    let expected = [
        ("a", "directory"),
        ("a/a", "directory"),
        ("a/a/new", "directory"),
        ("a/b", &here),
        ("a/c", &source.display().to_string()),
        ("z", "a"),
    ];
    assert_eq!(
        seen,
        expected.map(|(path, what)| (path.to_owned(), what.to_owned()))
    );
}

#[test]
fn a_discarded_view_is_empty_for_those_who_still_have_it() {
    let fixture = Fixture::new();
    let source = fixture.write("tree/file", "text");
    let allowance = Arc::new(Allowance::new((1, "views".into()), (6, "names".into())));
    let pin = || {
        let declared = vec![
            file("a/b/file", &source),
            whole("whole", source.parent().unwrap()),
        ];
        let tree = Tree::build(declared).unwrap();
        let charge = Charge::take([allowance.clone()], tree.len())?;
        let pinned = fixture
            .projection
            .pin_charged(tree, ViewOptions::default(), charge);
        Ok::<_, Exhausted>(pinned.unwrap())
    };
    let view = pin().unwrap();
    let mut client = fixture.client(&view);
    assert_eq!(client.read("a/b/file").unwrap(), "text");
    let (a, b) = (client.item("a"), client.item("a/b"));
    let kept = Arc::downgrade(&view);
    let id = view.id();
    let mut adds = (0..2).map(|n| Change::Add(file(&format!("added{n}"), &source)));
    view.update(adds.by_ref().take(1).collect()).unwrap();
    // The last name that is allowed was found, so no other can be added.
    assert_eq!(client.read("whole/file").unwrap(), "text");
    let error = view.update(adds.collect()).unwrap_err().to_string();
    assert!(error.contains("more than 6 names"), "{error}");
    drop(view);

    let forgotten = fixture.projection.discard(id);
    assert!(fixture.projection.view(id).is_none());
    client.forget(forgotten);
    for directory in [a, b] {
        let names = ["b", "file", "other"].map(|name| {
            let found =
                fixture
                    .projection
                    .lookup(&Context::internal(), &directory, OsStr::new(name));
            matches!(found, Ok(Lookup::Absent(_)))
        });
        assert_eq!(names, [true; 3]);
    }
    assert!(pin().is_err(), "as long as somebody has it, it counts");
    drop(client);
    assert_eq!(kept.strong_count(), 0);
    assert!(pin().is_ok());
}
