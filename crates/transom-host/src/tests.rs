//! The contract of loading, error by error.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{CWD, Mode, OFlags};
use transom_fuse::Options;
use transom_module::{ContainerId, Errno, Listing, LoadOptions};
use transom_passthrough::PassthroughModule;
use transom_test::{privileged, temp_dir};

use self::refusing::Refusing;
use crate::{Enablement, Hold, Host, HostOptions, Load, Modules, State, Target, Unmount, VolumeId};

mod refusing;

/// A directory with one thing of each kind in it, and a host that knows the
/// passthrough module and one that refuses whatever it is given.
struct Fixture {
    directory: tempfile::TempDir,
    host: Host,
}

impl Fixture {
    fn new() -> Self {
        let directory = temp_dir().unwrap();
        let at = |name: &str| directory.path().join(name);
        fs::create_dir(at("directory")).unwrap();
        fs::create_dir(at("other")).unwrap();
        fs::create_dir(at("locked")).unwrap();
        fs::write(at("file"), "").unwrap();
        fs::write(at("secret"), "").unwrap();
        symlink("directory", at("link")).unwrap();
        drop(UnixListener::bind(at("socket")).unwrap());
        let pipe = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(CWD, at("pipe"), pipe, Mode::RWXU, 0).unwrap();
        for name in ["locked", "secret"] {
            fs::set_permissions(at(name), fs::Permissions::from_mode(0o000)).unwrap();
        }
        let modules = Modules::new().with(PassthroughModule).with(Refusing);
        let host = Host::new(
            modules,
            Enablement::at(at("modules.json")),
            HostOptions::default(),
        )
        .unwrap();
        Self { directory, host }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn load(&self, module: &str, name: &str) -> transom_module::Result<()> {
        self.load_with(module, name, false, &[])
    }

    fn load_with(
        &self,
        module: &str,
        name: &str,
        force: bool,
        options: &[&str],
    ) -> transom_module::Result<()> {
        let resource = self.host.open(Some(module), &self.path(name), false)?;
        let load = Load {
            module,
            resources: vec![resource],
            options: LoadOptions {
                named: options.iter().map(|&name| (name.into(), None)).collect(),
                ..LoadOptions::default()
            },
            force,
            owner: 0,
            cache_bytes: None,
        };
        self.host.load(load).map(drop)
    }

    fn find(&self, name: &str) -> Option<ContainerId> {
        let path = self.path(name);
        let found = self.host.find(path.to_str().unwrap(), |_| true);
        found.first().copied()
    }

    /// The volume of what was loaded from there.
    fn volume(&self, name: &str) -> VolumeId {
        VolumeId {
            container: self.find(name).unwrap(),
            key: Listing::ONLY.into(),
        }
    }

    fn unload(&self, name: &str) -> transom_module::Result<()> {
        // One that was never loaded, if nothing is.
        let container = self.find(name).unwrap_or(ContainerId::NIL);
        self.host.unload(container, Unmount::Orderly)
    }
}

/// How many descriptors this process has. The test runner gives each test a
/// process of its own.
fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

#[track_caller]
fn assert_refused(result: transom_module::Result<()>, errno: Errno, words: &[&str]) {
    let error = result.expect_err("refused");
    assert_eq!(error.errno(), errno, "{error}");
    for word in words {
        assert!(error.to_string().contains(word), "{word:?} in {error}");
    }
}

/// What is loaded, and by which errno and with which words it is refused.
struct Refused {
    module: &'static str,
    resource: &'static str,
    force: bool,
    options: &'static [&'static str],
    errno: Errno,
    words: &'static [&'static str],
}

const fn refused(
    module: &'static str,
    resource: &'static str,
    errno: Errno,
    words: &'static [&'static str],
) -> Refused {
    Refused {
        module,
        resource,
        force: false,
        options: &[],
        errno,
        words,
    }
}

const REFUSED: &[Refused] = &[
    refused(
        "nobody",
        "directory",
        Errno::ENODEV,
        &["`nobody`", "passthrough"],
    ),
    refused("passthrough", "missing", Errno::ENOENT, &["missing"]),
    refused("passthrough", "file/below", Errno::ENOTDIR, &["file/below"]),
    refused(
        "passthrough",
        "file",
        Errno::EINVAL,
        &["/file", "directory"],
    ),
    refused("passthrough", "pipe", Errno::EINVAL, &["pipe", "directory"]),
    refused(
        "passthrough",
        "socket",
        Errno::EINVAL,
        &["socket", "directory"],
    ),
    refused(
        "refusing",
        "directory",
        Errno::EINVAL,
        &["/directory", "block device"],
    ),
    Refused {
        force: true,
        ..refused(
            "passthrough",
            "directory",
            Errno::EOPNOTSUPP,
            &["format", "/directory"],
        )
    },
    Refused {
        options: &["x"],
        ..refused("passthrough", "directory", Errno::EINVAL, &["`x`", "cache"])
    },
    Refused {
        options: &["x"],
        ..refused("refusing", "file", Errno::EINVAL, &["`x`", "none"])
    },
    // By the modules.
    Refused {
        options: &["cache"],
        ..refused("passthrough", "directory", Errno::EINVAL, &["cache"])
    },
    refused("refusing", "file", Errno::EIO, &["no such format"]),
];

#[test]
fn what_is_refused_leaves_nothing_loaded_and_nothing_open() {
    let fixture = Fixture::new();
    // Whatever is opened once and for all.
    let _ = fixture.load("refusing", "file");
    let before = descriptors();
    for case in REFUSED {
        let (module, name) = (case.module, case.resource);
        let result = fixture.load_with(module, name, case.force, case.options);
        assert_refused(result, case.errno, case.words);
        assert_eq!(descriptors(), before, "{module} {name}");
        assert_refused(fixture.unload(name), Errno::EINVAL, &["nothing is"]);
    }
}

#[test]
fn without_a_right_to_it_nothing_is_loaded() {
    transom_test::unprivileged!();
    let fixture = Fixture::new();
    let before = descriptors();
    for (module, name) in [("passthrough", "locked"), ("refusing", "secret")] {
        assert_refused(fixture.load(module, name), Errno::EACCES, &[name]);
        assert_eq!(descriptors(), before);
    }
}

#[test]
fn a_disabled_module_loads_nothing() {
    let fixture = Fixture::new();
    let enablement = Enablement::at(fixture.path("modules.json"));
    enablement.set("refusing", false).unwrap();
    let words = ["`refusing`", "disabled", "enable"];
    assert_refused(fixture.load("refusing", "file"), Errno::EPERM, &words);
    enablement.set("refusing", true).unwrap();
    assert_refused(fixture.load("refusing", "file"), Errno::EIO, &[]);
}

#[test]
fn privileged_what_was_loaded_is_given_back() {
    privileged!("clone mounts");
    let fixture = Fixture::new();
    fixture.load("passthrough", "directory").unwrap();
    fixture.unload("directory").unwrap();
    let before = descriptors();

    fixture.load("passthrough", "directory").unwrap();
    assert!(descriptors() > before);
    let again = fixture.load("passthrough", "directory");
    assert_refused(again, Errno::EBUSY, &["/directory"]);
    assert_refused(fixture.unload("other"), Errno::EINVAL, &["not loaded"]);
    fixture.unload("directory").unwrap();
    assert_eq!(descriptors(), before);
    let again = fixture.unload("directory");
    assert_refused(again, Errno::EINVAL, &["nothing is"]);
    // Through a link it is the same directory.
    fixture.load("passthrough", "link").unwrap();
    fixture.unload("link").unwrap();
    assert_eq!(descriptors(), before);
}

#[test]
fn privileged_what_is_mounted_is_not_unloaded() {
    privileged!("mount");
    let fixture = Fixture::new();
    let directory = fixture.path("directory");
    fs::write(directory.join("file"), "content").unwrap();
    let before = descriptors();
    fixture.load("passthrough", "directory").unwrap();
    let options = Options {
        read_only: false,
        ..Options::default()
    };
    let volume = fixture.volume("directory");
    let mount = || fixture.host.mount(&volume, &options, Hold::No, 0);
    let one = mount().unwrap();
    assert_refused(mount().map(drop), Errno::EBUSY, &["in use"]);
    assert!(one.served.passthrough_permitted());
    let file = rustix::fs::openat(&one.mount, c"file", OFlags::RDONLY, Mode::empty()).unwrap();

    drop(one);
    let result = fixture.unload("directory");
    assert_refused(result, Errno::EBUSY, &["/directory", "unmount"]);
    drop(file);
    eventually(|| fixture.unload("directory").is_ok());
    assert_eq!(descriptors(), before);
    assert_refused(mount().map(drop), Errno::EINVAL, &["not loaded"]);
}

#[test]
fn privileged_the_manifest_tells_what_volumes_claim() {
    privileged!("clone mounts");
    use transom_module::{ContainerId, Module, Resource, ResourceKind, Resources};
    let fixture = Fixture::new();
    let open = |path: &Path| rustix::fs::open(path, OFlags::PATH, Mode::empty()).unwrap();
    let path = fixture.path("directory");
    let resource = Resource::new(ResourceKind::Directory, &path, open(&path));
    let source = PassthroughModule.load(
        Resources::alone(ContainerId::NIL, resource),
        &LoadOptions::default(),
    );
    let definition = source.unwrap().volume().unwrap();
    let told = PassthroughModule.manifest().capabilities;
    for claimed in definition.claimed() {
        assert!(told.contains(&claimed), "{claimed}");
    }
}

/// Waits for the kernel to give up a mount.
#[track_caller]
fn eventually(condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(5);
    while !condition() {
        assert!(Instant::now() < deadline, "still not so");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn privileged_a_held_volume_is_mounted_many_times_and_unmounted_in_order() {
    privileged!("mount");
    let fixture = Fixture::new();
    let directory = fixture.path("directory");
    fs::write(directory.join("file"), "content").unwrap();
    let before = descriptors();
    fixture.load("passthrough", "directory").unwrap();
    let volume = fixture.volume("directory");
    let options = Options {
        read_only: false,
        ..Options::default()
    };
    let mount = |options| {
        fixture
            .host
            .mount(&volume, options, Hold::UntilUnmounted, 0)
    };
    let one = mount(&options).unwrap();
    let other = mount(&options).unwrap();
    let open = |mount: &std::os::fd::OwnedFd, flags| {
        rustix::fs::openat(mount, c"file", flags, Mode::empty())
    };
    let number = |file: &std::os::fd::OwnedFd| {
        let status = rustix::fs::fstat(file).unwrap();
        (status.st_dev, status.st_ino)
    };
    let (first, second) = (
        open(&one.mount, OFlags::RDONLY).unwrap(),
        open(&other.mount, OFlags::RDONLY).unwrap(),
    );
    assert_eq!(number(&first), number(&second));
    let only_reading = Options {
        read_only: true,
        ..Options::default()
    };
    let read_only = mount(&only_reading).unwrap();
    let refused = open(&read_only.mount, OFlags::RDWR).unwrap_err();
    assert_eq!(refused, rustix::io::Errno::ROFS);
    let status = fixture.host.status();
    let mounted = status[0].volumes[0].mounted.as_ref().unwrap();
    assert_eq!(mounted.mounts.len(), 3);
    assert!(mounted.statistics.total() > 0);

    drop((one, other, read_only));
    let unmount = |how| fixture.host.unmount(&volume, how);
    assert_refused(unmount(Unmount::Orderly), Errno::EBUSY, &["abort"]);
    assert_refused(mount(&options).map(drop), Errno::EBUSY, &["still in use"]);
    drop((first, second));
    eventually(|| fixture.unload("directory").is_ok());
    assert_eq!(descriptors(), before);
}

#[test]
fn privileged_force_cuts_off_those_who_do_not_let_go() {
    privileged!("mount");
    let fixture = Fixture::new();
    fs::write(fixture.path("directory").join("file"), "content").unwrap();
    let before = descriptors();
    fixture.load("passthrough", "directory").unwrap();
    let volume = fixture.volume("directory");
    let options = Options::default();
    let mounted = fixture
        .host
        .mount(&volume, &options, Hold::UntilUnmounted, 0);
    let mount = mounted.unwrap().mount;
    fixture.host.unmount(&volume, Unmount::Abort).unwrap();
    let gone = rustix::fs::openat(&mount, c"file", OFlags::RDONLY, Mode::empty());
    assert_eq!(gone.unwrap_err(), rustix::io::Errno::NOTCONN);
    drop(mount);
    fixture.unload("directory").unwrap();
    assert_eq!(descriptors(), before);
}

#[test]
fn privileged_what_is_attached_is_found_and_detached() {
    privileged!("mount");
    let fixture = Fixture::new();
    fs::write(fixture.path("directory").join("file"), "content").unwrap();
    fixture.load("passthrough", "directory").unwrap();
    let volume = fixture.volume("directory");
    let target = fixture.path("other");
    let attach = || {
        let options = Options::default();
        let mounted = fixture
            .host
            .mount(&volume, &options, Hold::UntilUnmounted, 0);
        mounted
            .unwrap()
            .attach(Target::open(&target).unwrap())
            .unwrap()
    };
    attach();
    assert!(target.join("file").exists());
    let is_active = || fixture.host.status()[0].state == State::Active;
    assert!(is_active());
    fixture.host.unmount(&volume, Unmount::Orderly).unwrap();
    assert!(!target.join("file").exists());
    assert!(!is_active());
    // By somebody else.
    let attached = attach();
    attached.detach().unwrap();
    eventually(|| !is_active());
    fixture.unload("directory").unwrap();
}

#[test]
fn privileged_the_items_of_a_volume_give_way_when_their_budget_shrinks() {
    privileged!("mount");
    const FILES: usize = 3000;
    let fixture = Fixture::new();
    let directory = fixture.path("directory");
    for number in 0..FILES {
        fs::write(directory.join(number.to_string()), "").unwrap();
    }
    fixture.load("passthrough", "directory").unwrap();
    let volume = fixture.volume("directory");
    let options = Options::default();
    let mounted = fixture
        .host
        .mount(&volume, &options, Hold::UntilUnmounted, 0);
    let mount = mounted.unwrap().mount;
    for number in 0..FILES {
        let flags = rustix::fs::AtFlags::empty();
        rustix::fs::statat(&mount, number.to_string(), flags).unwrap();
    }
    let used = || fixture.host.status()[0].cache.unwrap().used;
    let before = used();
    fixture.host.limit_cache(volume.container, 1).unwrap();
    eventually(|| used() < before / 2);
    assert!(used() > 0);
    drop(mount);
    fixture.host.unmount(&volume, Unmount::Orderly).unwrap();
    fixture.unload("directory").unwrap();
}
