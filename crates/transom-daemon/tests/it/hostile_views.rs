//! What users try with views, and do not get.

use std::fs::{self, Permissions};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::MountFlags;
use serde_json::json;
use transom_control::views::{Discard, Error, Update};
use transom_control::{Bytes, Descriptor, view::Change};
use transom_fuse::{Options, Session};
use transom_module::VolumeDefinition;
use transom_projection::{
    Declaration, HostRoot, Mapping, Origin, Projection, ProjectionOptions, ViewOptions, ViewPath,
};
use transom_test::privileged;

use crate::users::{Daemon, USER, act_as, denial, input, manifest, open_path};

/// A file that only root can read.
fn secret(daemon: &Daemon) -> PathBuf {
    let path = daemon.write("secret", "secret");
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    path
}

#[test]
fn privileged_a_path_that_is_swapped_meanwhile_gives_what_can_be_read_or_nothing() {
    privileged!("serve others");
    let daemon = Daemon::start();
    let (open, secret) = (daemon.write("open", "open"), secret(&daemon));
    let swapped = daemon.directory.path().join("public/swapped");
    symlink(&open, &swapped).unwrap();
    let is_over = AtomicBool::new(false);
    let mut outcomes = [0; 2];
    thread::scope(|scope| {
        scope.spawn(|| {
            let beside = swapped.with_extension("beside");
            for target in [&secret, &open].into_iter().cycle() {
                if is_over.load(Ordering::Relaxed) {
                    break;
                }
                symlink(target, &beside).unwrap();
                fs::rename(&beside, &swapped).unwrap();
            }
        });
        act_as(USER, &[], || {
            let mut caller = daemon.connect();
            while outcomes.contains(&0) || outcomes.iter().sum::<u32>() < 500 {
                match caller.map(&swapped) {
                    Ok((view, tree)) => {
                        assert_eq!(tree.read("f"), Ok("open".into()));
                        caller.call(&Discard { view: view.id }).unwrap();
                        outcomes[0] += 1;
                    }
                    refused => {
                        denial(refused);
                        outcomes[1] += 1;
                    }
                }
            }
        });
        is_over.store(true, Ordering::Relaxed);
    });
}

#[test]
fn privileged_no_way_of_writing_a_path_leads_to_what_cannot_be_read() {
    privileged!("serve others");
    let daemon = Daemon::start();
    let secret = secret(&daemon);
    let public = daemon.directory.path().join("public");
    symlink(&secret, public.join("link")).unwrap();
    symlink(public.join("link"), public.join("link-to-link")).unwrap();
    symlink("..", public.join("up")).unwrap();
    // What the daemon has open itself, by its number there.
    let of_daemon = fs::File::open(&secret).unwrap();
    let number = of_daemon.as_raw_fd();
    let pid = std::process::id();
    let paths = [
        public.join("link"),
        public.join("link-to-link"),
        public.join("up/secret"),
        public.join("../public/../secret"),
        format!("/proc/self/fd/{number}").into(),
        format!("/proc/{pid}/fd/{number}").into(),
        format!("/proc/thread-self/fd/{number}").into(),
        format!("/dev/fd/{number}").into(),
        format!("/proc/{pid}/root{}", secret.display()).into(),
        format!("/proc/self/root{}", secret.display()).into(),
        "/proc/self/environ".into(),
        "/proc/self/maps".into(),
        format!("/proc/{pid}/mem").into(),
        "/proc/kcore".into(),
        "/proc/kallsyms".into(),
        "/proc/1/environ".into(),
        "/sys/kernel/security".into(),
        "/etc/shadow".into(),
        "/root".into(),
    ];
    act_as(USER, &[], || {
        let mut caller = daemon.connect();
        for path in &paths {
            for kind in ["file", "directory"] {
                let declared = json!({
                    "version": 1,
                    "inputs": [{ "name": "f", kind: path.to_str().unwrap() }],
                });
                let made = caller.create(&declared, |_| ());
                assert!(made.is_err(), "{} as {kind}", path.display());
            }
        }
        // A directory above all of it shows none of it, either.
        let (_, tree) = caller.map(Path::new("/")).unwrap();
        for path in &paths {
            let below = format!("f{}", path.display());
            let read = tree.read(&below);
            assert!(read.is_err(), "{below}: {read:?}");
        }
    });
}

#[test]
fn privileged_steering_leads_to_nothing_else_than_making() {
    privileged!("serve others");
    let daemon = Daemon::start();
    let (open, secret) = (daemon.write("open", "open"), secret(&daemon));
    act_as(USER, &[], || {
        let mut caller = daemon.connect();
        let (view, tree) = caller.map(&open).unwrap();
        let redirect = Change::Redirect {
            name: Bytes::from("f"),
            file: Bytes::from(&secret),
        };
        let changes = [
            vec![redirect],
            vec![Change::Add(input("g", &secret))],
            vec![Change::Replace(input("f", &secret))],
            // One that is refused takes back those before it.
            vec![
                Change::Withdraw(Bytes::from("f")),
                Change::Add(input("f", &secret)),
            ],
        ];
        for changes in changes {
            let update = Update {
                view: view.id.clone(),
                changes,
            };
            let (_, message) = denial(caller.call(&update));
            assert!(message.contains("cannot be read"), "{message}");
            assert_eq!(tree.read("f"), Ok("open".into()));
        }
    });
}

#[test]
fn privileged_nothing_can_be_written_through_a_view() {
    privileged!("serve others");
    let daemon = Daemon::start();
    act_as(USER, &[], || {
        // His own, which he could write himself.
        let own = daemon.write_as_user("own", "text");
        let mut caller = daemon.connect();
        let declared = manifest(&[("f", &own), ("d", own.parent().unwrap())]);
        let (_, tree) = caller.create(&declared, |_| ()).unwrap();
        for name in ["f", "d/own"] {
            for flags in [
                OFlags::WRONLY,
                OFlags::RDWR,
                OFlags::RDONLY | OFlags::TRUNC,
                OFlags::WRONLY | OFlags::APPEND,
            ] {
                assert_eq!(
                    tree.open(name, flags).unwrap_err(),
                    Errno::ROFS,
                    "{name} {flags:?}"
                );
            }
            let mode = Mode::from_raw_mode(0o777);
            let flags = AtFlags::empty();
            assert_eq!(
                rustix::fs::chmodat(&tree.0, name, mode, flags),
                Err(Errno::ROFS)
            );
            assert_eq!(rustix::fs::unlinkat(&tree.0, name, flags), Err(Errno::ROFS));
            let file = tree.open(name, OFlags::RDONLY).unwrap();
            assert_eq!(rustix::fs::ftruncate(&file, 0), Err(Errno::INVAL));
            assert_eq!(rustix::io::write(&file, b"x"), Err(Errno::BADF));
            // Nor by opening again what is open.
            let again = format!("/proc/self/fd/{}", file.as_raw_fd());
            let opened = rustix::fs::openat(CWD, again, OFlags::RDWR, Mode::empty());
            assert_eq!(opened.unwrap_err(), Errno::ROFS);
        }
        let new = tree.open("d/new", OFlags::CREATE | OFlags::WRONLY);
        assert_eq!(new.unwrap_err(), Errno::ROFS);
        assert_eq!(fs::read_to_string(own).unwrap(), "text");
    });
}

#[test]
fn privileged_paths_are_those_of_a_root_directory_that_the_caller_has() {
    privileged!("serve others");
    let daemon = Daemon::start();
    let declared = manifest(&[("f", &daemon.write("open", "open"))]);
    act_as(USER, &[], || {
        let mut caller = daemon.connect();
        for other in ["/tmp", "/usr", "/proc/self/ns/mnt", "/etc/passwd"] {
            let (rule, message) = denial(caller.create_below(&open_path(other), &declared, |_| ()));
            assert_eq!(
                rule, "paths begin at the root directory of the daemon",
                "{message}"
            );
        }
        let without = caller.create(&declared, |call| call.root = None);
        assert!(denial(without).1.contains("no descriptor"));
        match caller.create(&declared, |call| call.root = Some(Descriptor(7))) {
            Err(Error::Refused { name, .. }) => assert_eq!(name, "EBADF"),
            other => panic!("{other:?}"),
        }
        caller.create(&declared, |_| ()).unwrap();
    });
    // Another mount of the same directory is another root: other things may be
    // mounted below it.
    let clone = transom_sys::mount::clone(CWD, c"/", transom_sys::mount::Reach::Mount).unwrap();
    act_as(USER, &[], || {
        let made = daemon.connect().create_below(&clone, &declared, |_| ());
        assert_eq!(
            denial(made).0,
            "paths begin at the root directory of the daemon"
        );
    });
}

#[test]
fn privileged_limits_hold_also_for_views_that_were_discarded_and_are_still_mounted() {
    privileged!("serve others");
    let daemon = Daemon::with_policy(
        "[limits.user]\nviews = 3\nnames = 10\n[limits.all]\nviews = 10\nnames = 1000\n",
    );
    let open = daemon.write("open", "open");
    for number in 0..20 {
        daemon.write(&format!("many/{number}"), "x");
    }
    let of_user = "limits.user.views = 3, policy.toml:2";
    let mut root = daemon.connect();
    act_as(USER, &[], || {
        let mut caller = daemon.connect();
        let mut trees = Vec::new();
        for _ in 0..3 {
            let (view, tree) = caller.map(&open).unwrap();
            caller.call(&Discard { view: view.id }).unwrap();
            // He keeps the mount.
            assert!(tree.open(".", OFlags::PATH).is_ok());
            trees.push(tree);
        }
        assert_eq!(denial(caller.map(&open)).0, of_user);
        assert_eq!(denial(daemon.connect().map(&open)).0, of_user);
        trees.clear();
        // The kernel gives them back when it gets to it.
        let (view, tree) = loop {
            match caller.map(&open) {
                Ok(made) => break made,
                refused => assert_eq!(denial(refused).0, of_user),
            }
        };
        let files: Vec<_> = (0..10).map(|n| (format!("n{n}"), open.clone())).collect();
        let files: Vec<_> = files
            .iter()
            .map(|(n, p)| (n.as_str(), p.as_path()))
            .collect();
        let declared = manifest(&files);
        let of_names = "limits.user.names = 10, policy.toml:3";
        assert_eq!(denial(caller.create(&declared, |_| ())).0, of_names);
        let adds = files
            .iter()
            .map(|(name, path)| Change::Add(input(name, path)));
        let update = Update {
            view: view.id.clone(),
            changes: adds.collect(),
        };
        assert_eq!(denial(caller.call(&update)).0, of_names);
        drop(tree);
        // Names that are found count as well.
        let (_, tree) = caller.map(&daemon.directory.path().join("many")).unwrap();
        let found = (0..20)
            .filter(|n| tree.read(&format!("f/{n}")).is_ok())
            .count();
        assert_eq!(found, 8);
        // Root has no limit of its own, but that of all.
        let mut of_root = Vec::new();
        let refused = loop {
            match root.map(&open) {
                Ok((_, tree)) => of_root.push(tree),
                refused => break denial(refused).0,
            }
        };
        assert!(of_root.len() > 3);
        assert_eq!(refused, "limits.all.views = 10, policy.toml:5");
    });
}

#[test]
fn privileged_a_file_system_that_is_private_to_root_is_private_from_clients() {
    privileged!("mount");
    let inner = Projection::new(
        HostRoot::of_process().unwrap(),
        ProjectionOptions::default(),
    );
    let daemon = Daemon::start();
    let hidden = daemon.write("hidden", "of root's own");
    let declaration = Declaration {
        name: ViewPath::parse(b"f").unwrap(),
        mapping: Mapping::File {
            source: hidden.as_path().into(),
            executable: None,
        },
        origin: Origin {
            source: "test".into(),
            line: None,
        },
    };
    let tree = transom_projection::Tree::build(vec![declaration]).unwrap();
    let view = inner.pin(tree, ViewOptions::default()).unwrap();
    for (options, is_open) in [("", false), (",allow_other", true)] {
        let place = daemon.directory.path().join(format!("mounted{is_open}"));
        fs::create_dir(&place).unwrap();
        let connection =
            rustix::fs::open("/dev/fuse", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty());
        let connection = connection.unwrap();
        let data = format!(
            "fd={},rootmode=40000,user_id=0,group_id=0{options}",
            connection.as_raw_fd()
        );
        let data = std::ffi::CString::new(data).unwrap();
        let kind = "fuse.private";
        rustix::mount::mount("private", &place, kind, MountFlags::empty(), &*data).unwrap();
        let definition: VolumeDefinition<Projection> = inner.volume();
        let session = Session::on_connection(definition, connection, &Options::default()).unwrap();
        let file = place.join(view.id().to_string()).join("f");
        assert_eq!(fs::read_to_string(&file).unwrap(), "of root's own");
        act_as(USER, &[], || {
            let himself = rustix::fs::openat(CWD, &file, OFlags::RDONLY, Mode::empty());
            let mapped = daemon.connect().map(&file);
            match is_open {
                true => assert!(himself.is_ok() && mapped.is_ok(), "{mapped:?}"),
                false => {
                    assert_eq!(himself.unwrap_err(), Errno::ACCESS);
                    let (_, message) = denial(mapped);
                    assert!(message.contains("mounted with `allow_other`"), "{message}");
                }
            }
        });
        // The daemon's clone of the host's mounts keeps the file system, but
        // nothing of the path.
        rustix::mount::unmount(&place, rustix::mount::UnmountFlags::DETACH).unwrap();
        drop(session);
    }
}

#[test]
fn privileged_a_descriptor_that_only_names_a_file_gives_no_right_to_it() {
    privileged!("serve others");
    let daemon = Daemon::start();
    let secret = secret(&daemon);
    let declared = manifest(&[("f", &daemon.write("open", "open"))]);
    act_as(USER, &[], || {
        // O_PATH needs no permission on the file. It is sent where a root
        // directory is wanted, and beside it where nothing is.
        let named = open_path(&secret);
        let mut caller = daemon.connect();
        denial(caller.create_below(&named, &declared, |_| ()));
        let link = format!("/proc/self/fd/{}", named.as_raw_fd());
        assert!(caller.map(Path::new(&link)).is_err());
        let call = transom_control::views::Create {
            manifest: declared.clone(),
            base: Bytes::from("/"),
            root: Some(Descriptor(1)),
            ..Default::default()
        };
        let root = open_path("/");
        let sent = [named.as_fd(), root.as_fd()];
        let (reply, mut descriptors) = caller.0.call_with_descriptors(&call, &sent).unwrap();
        let tree = crate::users::Tree(descriptors.take(reply.descriptor).unwrap());
        assert_eq!(tree.read("f"), Ok("open".into()));
    });
}
