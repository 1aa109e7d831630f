//! The volume as its callers meet it, without a mount.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use rustix::fs::{CWD, Mode, OFlags};
use transom_module::{
    Caller, Changes, ContainerId, Context, Cookie, DirectoryEntry, DirectorySink, Entry, Errno,
    Lifetime, LoadOptions, Lookup, Module, NewItem, NewKind, Resource, ResourceKind, Resources,
    Result, Volume, VolumeDefinition,
};

use crate::{Item, Passthrough, PassthroughModule, Source};

mod attributes;
mod changing;
mod finding;
mod listing;
mod loading;
mod makers;
mod model;
mod persistence;

static NOT_CANCELLED: AtomicBool = AtomicBool::new(false);

/// The context of a request by `uid` and `gid`, who are in no other group.
fn by(uid: u32, gid: u32) -> Context<'static> {
    let caller = Caller {
        uid,
        gid,
        pid: 0,
        directory_group: None,
    };
    Context::new(caller, &NOT_CANCELLED)
}

/// The context of a request by whoever runs the test.
fn own() -> Context<'static> {
    let uid = rustix::process::geteuid().as_raw();
    by(uid, rustix::process::getegid().as_raw())
}

fn open_path(path: &Path) -> OwnedFd {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    rustix::fs::openat(CWD, path, flags, Mode::empty()).unwrap()
}

/// A volume of the directory, without a mount of its own.
fn volume(directory: &Path) -> VolumeDefinition<Passthrough> {
    let source = Source::at(open_path(directory), false, Lifetime::NONE).unwrap();
    source.volume().unwrap()
}

/// Loads as users do. Needs root.
fn load(directory: &Path, options: &LoadOptions) -> Result<Source> {
    let resource = Resource::new(ResourceKind::Directory, directory, open_path(directory));
    PassthroughModule.load(Resources::alone(ContainerId::NIL, resource), options)
}

fn loaded(directory: &Path) -> VolumeDefinition<Passthrough> {
    let source = load(directory, &LoadOptions::default()).unwrap();
    source.volume().unwrap()
}

fn new(kind: NewKind<'_>, permissions: u16) -> NewItem<'_> {
    NewItem {
        kind,
        permissions,
        umask: 0,
    }
}

fn errno_of<T>(result: Result<T>) -> Option<Errno> {
    result.err().map(|error| error.errno())
}

impl Passthrough {
    fn root_item(&self) -> Item {
        self.root().unwrap().item
    }

    /// Looks a path up, name by name.
    fn at(&self, path: &str) -> Entry<Item> {
        let mut entry = self.root().unwrap();
        for name in path.split('/') {
            match self.lookup(&own(), &entry.item, OsStr::new(name)).unwrap() {
                Lookup::Found(found) => entry = found,
                Lookup::Absent(_) => panic!("no {name} in {path}"),
            }
        }
        entry
    }

    /// Makes a file in the root.
    fn make_file(&self, name: &str) -> Entry<Item> {
        let file = new(NewKind::File, 0o644);
        self.create(&own(), &self.root_item(), OsStr::new(name), &file)
            .unwrap()
    }
}

/// The names that the host has in a directory.
fn names_in(directory: &Path) -> Vec<OsString> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    names
}

/// Takes up to `room` entries of a listing.
struct Sink {
    room: usize,
    with_attributes: bool,
    entries: Vec<Listed>,
}

#[derive(Debug)]
struct Listed {
    name: OsString,
    id: u64,
    next: Cookie,
    found: Option<Entry<Item>>,
}

impl Sink {
    fn new(room: usize, with_attributes: bool) -> Self {
        Self {
            room,
            with_attributes,
            entries: Vec::new(),
        }
    }

    fn take(&mut self, entry: Listed) -> bool {
        let fits = self.entries.len() < self.room;
        if fits {
            self.entries.push(entry);
        }
        fits
    }
}

impl DirectorySink<Item> for Sink {
    fn takes_attributes(&self) -> bool {
        self.with_attributes
    }

    fn push(&mut self, entry: DirectoryEntry<'_>) -> bool {
        self.take(Listed {
            name: entry.name.to_owned(),
            id: entry.id.raw(),
            next: entry.next,
            found: None,
        })
    }

    fn push_found(&mut self, name: &OsStr, found: Entry<Item>, next: Cookie) -> bool {
        self.take(Listed {
            name: name.to_owned(),
            id: found.attributes.id.raw(),
            next,
            found: Some(found),
        })
    }
}
