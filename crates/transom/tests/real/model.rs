//! Random views, steered at random while host files are replaced, show through
//! the kernel what a naive tree shows.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use proptest::prelude::*;
use rustix::fs::{Dir, FileType, Mode, OFlags, ResolveFlags};
use transom_projection::{Change, Declaration, View, ViewOptions, ViewPath};
use transom_test::model::{HostFiles, Model, Operation, Seen, Subject, declarations, operations};
use transom_test::privileged;

use crate::host::Host;
use crate::world::Engine;

/// As many as take a few seconds.
const CASES: u32 = 600;

#[test]
fn privileged_fuse_a_mounted_view_is_what_a_naive_tree_is() {
    privileged!("mount views");
    a_mounted_view_is_what_a_naive_tree_is(Engine::Fuse);
}

#[test]
fn privileged_mounts_a_mounted_view_is_what_a_naive_tree_is() {
    privileged!("mount views");
    a_mounted_view_is_what_a_naive_tree_is(Engine::Mounts);
}

fn a_mounted_view_is_what_a_naive_tree_is(engine: Engine) {
    let files = HostFiles::new().unwrap();
    let strategy = (declarations(&files), operations(&files), any::<bool>());
    let files = std::cell::RefCell::new(files);
    let host = Host::new(engine);
    let mut config = ProptestConfig::with_cases(CASES);
    config.failure_persistence = None;
    proptest!(config, |((declared, operations, trace) in strategy)| {
        let Some(mut model) = Model::build(&declared) else {
            return Ok(());
        };
        let mut mounted = Mounted::new(&host, declared, trace);
        model.compare(&mut mounted);
        for operation in operations {
            match operation {
                Operation::Steer(changes) => {
                    let accepted = model.steer(&changes);
                    prop_assert_eq!(mounted.steer(changes), accepted);
                }
                Operation::Replace(index) => files.borrow_mut().replace(index).unwrap(),
            }
            model.compare(&mut mounted);
        }
    });
}

/// A view as the kernel shows it.
struct Mounted<'h> {
    host: &'h Host,
    view: Arc<View>,
    tree: OwnedFd,
}

impl<'h> Mounted<'h> {
    fn new(host: &'h Host, declared: Vec<Declaration>, trace: bool) -> Self {
        let options = ViewOptions {
            trace,
            ..ViewOptions::default()
        };
        let view = host.view_with(declared, options);
        let tree = host.tree(&view);
        Self { host, view, tree }
    }
}

impl Subject for Mounted<'_> {
    fn see(&mut self, path: &ViewPath) -> Seen {
        let path = if path.is_root() {
            OsStr::new(".")
        } else {
            path.as_os_str()
        };
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        let Ok(item) = rustix::fs::openat2(&self.tree, path, flags, Mode::empty(), resolve) else {
            return Seen::Absent;
        };
        let mode = rustix::fs::fstat(&item).unwrap().st_mode;
        match FileType::from_raw_mode(mode) {
            FileType::RegularFile => Seen::File {
                bytes: std::fs::read(format!("/proc/self/fd/{}", item.as_raw_fd())).unwrap(),
                executable: mode & 0o100 != 0,
            },
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(&item, c"", Vec::new()).unwrap();
                Seen::Symlink(OsStr::from_bytes(target.as_bytes()).into())
            }
            FileType::Directory => Seen::Directory(names_in(&item)),
            // A bind mount of a directory shows its pipes as well, and nothing
            // can be done about it.
            FileType::Fifo if self.host.session.is_none() => Seen::Absent,
            other => panic!("{other:?}"),
        }
    }

    /// What the engine `mounts` has made stays as it is; what it would make
    /// next is compared instead.
    fn steer(&mut self, changes: Vec<Change>) -> bool {
        let Ok(invalidations) = self.view.update(changes) else {
            return false;
        };
        self.host.invalidate(&invalidations);
        if self.host.session.is_none() {
            self.tree = self.host.tree(&self.view);
        }
        true
    }
}

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        let invalidations = self.host.projection.remove(self.view.id());
        self.host.invalidate(&invalidations);
    }
}

fn names_in(directory: &OwnedFd) -> BTreeSet<OsString> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = rustix::fs::openat(directory, c".", flags, Mode::empty()).unwrap();
    Dir::new(directory)
        .unwrap()
        .map(Result::unwrap)
        .filter(|entry| entry.file_type() != FileType::Fifo)
        .map(|entry| OsStr::from_bytes(entry.file_name().to_bytes()).to_os_string())
        .filter(|name| name != "." && name != "..")
        .collect()
}
