//! What users can do with views.

use std::os::unix::fs::{PermissionsExt, chown};

use rustix::io::Errno;
use serde_json::json;
use transom_control::views::{
    Describe, Discard, Error, Explain, List, Open, Statistics, Trace, Update, Verify,
};
use transom_control::{Bytes, view::Change};
use transom_fuse::Opcode;
use transom_test::{Tmpfs, privileged};

use crate::users::{Daemon, GROUP, OTHER, USER, act_as, denial, input, manifest};

#[test]
fn privileged_a_user_has_a_view_with_passthrough_and_steers_it() {
    privileged!("serve others");
    let daemon = Daemon::start();
    let one = daemon.write("one", "1");
    let other = daemon.write("other", "2");
    act_as(USER, &[], || {
        let mut caller = daemon.connect();
        let whole = daemon.write_as_user("tree/file", "3");
        let declared = manifest(&[("dir/f", &one), ("tree", whole.parent().unwrap())]);
        let (view, tree) = caller
            .create(&declared, |call| {
                call.name = Some("mine".into());
                call.trace = true;
            })
            .unwrap();
        assert_eq!(
            (view.name.as_str(), view.owner, view.files),
            ("mine", USER, 1)
        );
        assert!(view.passthrough && !view.keep);
        assert_eq!(tree.read("dir/f"), Ok("1".into()));
        assert_eq!(tree.read("tree/file"), Ok("3".into()));
        assert_eq!(tree.read("absent"), Err(Errno::NOENT));

        let changes = vec![
            Change::Redirect {
                name: Bytes::from("dir/f"),
                file: Bytes::from(&other),
            },
            Change::Add(input("new", &one)),
        ];
        let view = "mine".to_owned();
        let update = Update {
            view: view.clone(),
            changes,
        };
        assert_eq!(caller.call(&update).unwrap().epoch, 1);
        assert_eq!(tree.read("dir/f"), Ok("2".into()));
        assert_eq!(tree.read("new"), Ok("1".into()));

        let explain = Explain {
            view: view.clone(),
            path: Bytes::from("/new"),
        };
        assert!(caller.call(&explain).unwrap().text.contains("run time"));
        let trace = caller.call(&Trace { view: view.clone() }).unwrap().trace;
        assert!(trace.to_string().contains("dir/f"), "{trace}");
        let changed = caller.call(&Verify { view: view.clone() }).unwrap().changed;
        assert_eq!(changed, Vec::<serde_json::Value>::new());
        let requests = caller.call(&Statistics {}).unwrap().statistics;
        assert_eq!(requests["read"], 0);
        assert_eq!(requests["passthrough_opens"], 4);
        let listed = caller.call(&List {}).unwrap().views;
        let described = caller.call(&Describe { view: view.clone() }).unwrap().view;
        assert_eq!(listed, [described]);

        // Another descriptor of the same tree, and its end.
        let (open, mut descriptors) = caller
            .0
            .call_with_descriptors(&Open { view: view.clone() }, &[])
            .unwrap();
        let again = crate::users::Tree(descriptors.take(open.descriptor).unwrap());
        assert_eq!(again.read("new"), Ok("1".into()));
        caller.call(&Discard { view: view.clone() }).unwrap();
        for tree in [tree, again] {
            assert_eq!(tree.read("new"), Err(Errno::NOENT));
            assert_eq!(tree.read("dir/f"), Err(Errno::NOENT));
        }
        let gone = caller.call(&Describe { view }).unwrap_err();
        assert!(matches!(gone, Error::NotFound { .. }), "{gone:?}");
    });
    assert_eq!(daemon.views.session().statistics().count(Opcode::Read), 0);
}

#[test]
fn privileged_views_end_with_their_connection_unless_they_are_kept() {
    privileged!("serve others");
    let daemon = Daemon::start();
    let source = daemon.write("file", "text");
    act_as(USER, &[], || {
        let mut caller = daemon.connect();
        let (_, ended) = caller.map(&source).unwrap();
        let (kept, tree) = caller
            .create(&manifest(&[("f", &source)]), |call| call.keep = true)
            .unwrap();
        assert!(kept.keep);
        drop(caller);
        daemon.wait_for_views(1);
        // It is empty before it leaves the table's count for good.
        while ended.read("f").is_ok() {
            std::thread::yield_now();
        }
        assert_eq!(ended.read("f"), Err(Errno::NOENT));
        assert_eq!(tree.read("f"), Ok("text".into()));
        let mut later = daemon.connect();
        later.call(&Discard { view: kept.id }).unwrap();
        assert_eq!(daemon.views.len(), 0);
    });
}

#[test]
fn privileged_files_of_a_supplementary_group_are_mapped_and_others_are_refused_by_name() {
    privileged!("serve others");
    let daemon = Daemon::start();
    let of_group = daemon.write("of-group", "of the group");
    chown(&of_group, Some(0), Some(GROUP)).unwrap();
    let mode = std::fs::Permissions::from_mode(0o640);
    std::fs::set_permissions(&of_group, mode).unwrap();
    act_as(USER, &[7, GROUP], || {
        let mut caller = daemon.connect();
        let (_, tree) = caller.map(&of_group).unwrap();
        assert_eq!(tree.read("f"), Ok("of the group".into()));
    });
    act_as(USER, &[7], || {
        let (rule, message) = denial(daemon.connect().map(&of_group));
        assert_eq!(rule, "a client maps what he can open himself");
        let named = format!("`{}` cannot be read", of_group.display());
        assert!(message.contains(&named), "{message}");
    });
}

#[test]
fn privileged_views_of_others_are_neither_seen_nor_steered_without_a_rule() {
    privileged!("serve others");
    let daemon = Daemon::with_policy(&format!(
        "[allow]\nsteer-others = [\"group:{GROUP}\"]\nstatus = [\"group:{GROUP}\"]\n"
    ));
    let source = daemon.write("file", "text");
    let mut owner = daemon.connect_as(USER);
    let id = act_as(USER, &[], || owner.map(&source).unwrap().0.id);
    let view = || id.clone();
    let steer = Update {
        view: view(),
        changes: vec![Change::Withdraw(Bytes::from("f"))],
    };
    act_as(OTHER, &[], || {
        let mut caller = daemon.connect();
        assert_eq!(caller.call(&List {}).unwrap().views, []);
        let path = Bytes::from("f");
        let steering = "allow.steer-others = [\"group:4242\"], policy.toml:2";
        let seeing = "allow.status = [\"group:4242\"], policy.toml:3";
        let explain = Explain { view: view(), path };
        let refusals = [
            (denial(caller.call(&Open { view: view() })), steering),
            (denial(caller.call(&steer)), steering),
            (denial(caller.call(&Discard { view: view() })), steering),
            (denial(caller.call(&explain)), steering),
            (denial(caller.call(&Describe { view: view() })), seeing),
            (denial(caller.call(&Trace { view: view() })), seeing),
            (denial(caller.call(&Verify { view: view() })), seeing),
        ];
        for ((rule, message), expected) in refusals {
            assert_eq!(rule, expected, "{message}");
        }
    });
    assert_eq!(daemon.views.len(), 1);
    act_as(OTHER, &[GROUP], || {
        let mut caller = daemon.connect();
        assert_eq!(caller.call(&List {}).unwrap().views.len(), 1);
        // What is steered is opened with the rights of the owner, not of who
        // steers.
        let private = daemon.write_as_user("private", "of the other");
        let mode = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(&private, mode).unwrap();
        let redirect = Update {
            view: view(),
            changes: vec![Change::Redirect {
                name: Bytes::from("f"),
                file: Bytes::from(&private),
            }],
        };
        assert!(denial(caller.call(&redirect)).1.contains("cannot be read"));
        caller.call(&steer).unwrap();
    });
    let mut root = daemon.connect();
    assert_eq!(root.call(&List {}).unwrap().views[0].epoch, 1);
    root.call(&Discard { view: view() }).unwrap();
}

#[test]
fn privileged_names_of_views_are_one_users_own() {
    privileged!("serve others");
    let daemon = Daemon::start();
    let source = daemon.write("file", "text");
    let make = |name: &str| {
        let named = |call: &mut transom_control::views::Create| {
            call.name = Some(name.into());
            call.keep = true;
        };
        let made = daemon.connect().create(&manifest(&[("f", &source)]), named);
        made.map(drop).map_err(|error| match error {
            Error::Refused { name, .. } => name,
            other => other.to_string(),
        })
    };
    for user in [USER, OTHER] {
        act_as(user, &[], || {
            assert_eq!(make("a"), Ok(()));
            assert_eq!(make("a"), Err("EEXIST".into()));
            for wrong in ["v1", "", "a/b", &"x".repeat(65)] {
                assert_eq!(make(wrong), Err("EINVAL".into()), "{wrong:?}");
            }
            let view = "a".to_owned();
            let described = daemon.connect().call(&Describe { view }).unwrap().view;
            assert_eq!(described.owner, user);
        });
    }
    assert_eq!(daemon.views.len(), 2);
}

#[test]
fn privileged_what_is_mounted_later_can_be_mapped_too() {
    privileged!("mount");
    let daemon = Daemon::start();
    let mounted = Tmpfs::new(1 << 20).unwrap();
    let file = mounted.path().join("file");
    std::fs::write(&file, "new").unwrap();
    act_as(USER, &[], || {
        let mut caller = daemon.connect();
        let (_, tree) = caller.map(&file).unwrap();
        assert_eq!(tree.read("f"), Ok("new".into()));
    });
}

#[test]
fn privileged_what_is_wrong_with_a_manifest_is_told() {
    privileged!("serve others");
    let daemon = Daemon::start();
    let mut caller = daemon.connect();
    let wrong = [
        (
            json!({ "version": 1, "inputs": [{ "name": "f", "file": "/no/such" }] }),
            "ENOENT",
        ),
        (json!({ "version": 9 }), "EINVAL"),
        (
            json!({ "version": 1, "inputs": [{ "name": "../f", "file": "/etc/passwd" }] }),
            "EINVAL",
        ),
        (
            json!({ "version": 1, "inputs": [
            { "name": "f", "file": "/etc/passwd" }, { "name": "f", "file": "/etc/group" },
        ] }),
            "EINVAL",
        ),
    ];
    for (manifest, expected) in wrong {
        match caller.create(&manifest, |_| ()) {
            Err(Error::Refused { name, .. }) => assert_eq!(name, expected),
            other => panic!("{other:?}"),
        }
    }
    assert!(daemon.views.is_empty());
}
