//! The contract of loading, error by error.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{CWD, Mode, OFlags};
use transom_fuse::Options;
use transom_module::{Errno, LoadOptions};
use transom_passthrough::PassthroughModule;
use transom_test::{privileged, temp_dir};

use self::refusing::Refusing;
use crate::{Enablement, Host, Load, Modules};

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
        let host = Host::new(modules, Enablement::at(at("modules.json")));
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
        self.host.load(&Load {
            module,
            resource: &self.path(name),
            options: LoadOptions {
                named: options.iter().map(|&name| (name.into(), None)).collect(),
                ..LoadOptions::default()
            },
            force,
        })
    }

    fn unload(&self, module: &str, name: &str) -> transom_module::Result<()> {
        self.host.unload(module, &self.path(name))
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
        assert_refused(fixture.unload(module, name), Errno::EINVAL, &["nothing is"]);
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
    fixture.unload("passthrough", "directory").unwrap();
    let before = descriptors();

    fixture.load("passthrough", "directory").unwrap();
    assert!(descriptors() > before);
    let again = fixture.load("passthrough", "directory");
    assert_refused(again, Errno::EBUSY, &["/directory"]);
    for (module, name) in [("passthrough", "other"), ("refusing", "directory")] {
        assert_refused(fixture.unload(module, name), Errno::EINVAL, &[name]);
    }
    fixture.unload("passthrough", "directory").unwrap();
    assert_eq!(descriptors(), before);
    let again = fixture.unload("passthrough", "directory");
    assert_refused(again, Errno::EINVAL, &["nothing is"]);
    // Through a link it is the same directory.
    fixture.load("passthrough", "link").unwrap();
    fixture.unload("passthrough", "link").unwrap();
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
    let mount = || fixture.host.mount("passthrough", &directory, &options);
    let (one, other) = (mount().unwrap(), mount().unwrap());
    assert!(one.served.passthrough_permitted());
    let file = rustix::fs::openat(&one.mount, c"file", OFlags::RDONLY, Mode::empty()).unwrap();

    drop(one);
    drop(other);
    let result = fixture.unload("passthrough", "directory");
    assert_refused(result, Errno::EBUSY, &["/directory", "unmount"]);
    drop(file);
    eventually(|| fixture.unload("passthrough", "directory").is_ok());
    assert_eq!(descriptors(), before);
    let mounted = fixture.host.mount("passthrough", &directory, &options);
    assert_eq!(mounted.unwrap_err().errno(), Errno::EINVAL);
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
