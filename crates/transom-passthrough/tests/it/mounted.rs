//! A volume attached to a directory, as its users meet it.

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags};
use rustix::mount::{MountAttrFlags, UnmountFlags, unmount};
use tempfile::TempDir;
use transom_fuse::{Options, Passthrough, Session, Statistics};
use transom_module::{
    ContainerId, LoadOptions, Module, Resource, ResourceKind, Resources, Volume, VolumeDefinition,
};
use transom_passthrough::{PassthroughModule, Source};
use transom_test::temp_dir;

use crate::PATIENCE;

/// Every way in which the bytes of files can go.
pub(crate) const WAYS: [Passthrough; 3] =
    [Passthrough::On, Passthrough::ReadOnly, Passthrough::Off];

/// Few enough that larger tests come to where items are given back.
const ITEMS_MAX: usize = 1000;

/// A mounted volume, unmounted on drop.
pub(crate) struct Mounted<V: Volume> {
    session: Option<Session<V>>,
    target: PathBuf,
    _directory: TempDir,
}

/// Loads a directory, to be cached as `cache` says.
pub(crate) fn load(source: &Path, cache: &str) -> Source {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let directory: OwnedFd = rustix::fs::openat(CWD, source, flags, Mode::empty()).unwrap();
    let resource = Resource::new(ResourceKind::Directory, source, directory);
    let options = LoadOptions {
        named: vec![("cache".into(), Some(cache.into()))],
        ..LoadOptions::default()
    };
    PassthroughModule
        .load(Resources::alone(ContainerId::NIL, resource), &options)
        .unwrap()
}

pub(crate) fn options(passthrough: Passthrough) -> Options {
    Options {
        read_only: false,
        attributes: MountAttrFlags::empty(),
        passthrough,
        items_max: ITEMS_MAX,
        ..Options::default()
    }
}

impl Mounted<transom_passthrough::Passthrough> {
    /// The directory `source`, cached until somebody changes it through the
    /// mount.
    pub(crate) fn of(source: &Path, passthrough: Passthrough) -> Self {
        let definition = load(source, "forever").volume().unwrap();
        Self::serve(definition, &options(passthrough))
    }
}

impl<V: Volume> Mounted<V> {
    pub(crate) fn serve(definition: VolumeDefinition<V>, options: &Options) -> Self {
        let mut session = Session::start(definition, options).unwrap();
        let directory = temp_dir().unwrap();
        let target = directory.path().join("mount");
        fs::create_dir(&target).unwrap();
        let path = CString::new(target.as_os_str().as_bytes()).unwrap();
        transom_sys::mount::attach(session.take_mount().unwrap(), CWD, &path).unwrap();
        Self {
            session: Some(session),
            target,
            _directory: directory,
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.target
    }

    /// Unmounts, and waits until the volume was given everything back.
    pub(crate) fn end(mut self) -> Statistics {
        unmount(&self.target, UnmountFlags::empty()).unwrap();
        let session = self.session.take().unwrap();
        // What is behind is synchronized, which a busy disk delays.
        assert!(session.wait(PATIENCE), "somebody still has the mount");
        session.statistics()
    }
}

impl<V: Volume> Drop for Mounted<V> {
    fn drop(&mut self) {
        if self.session.is_some() {
            _ = unmount(&self.target, UnmountFlags::DETACH);
        }
    }
}

/// Makes the kernel forget every name and item that nobody uses.
pub(crate) fn drop_caches() -> io::Result<()> {
    fs::write("/proc/sys/vm/drop_caches", "2")
}
