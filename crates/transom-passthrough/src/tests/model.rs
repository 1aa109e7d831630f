//! Random operations on the volume, as the kernel would ask for them, come to
//! what they come to in a naive tree, and in a directory of the host.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use rustix::fs::FileType;
use rustix::io::Errno;
use transom_fuse::Driver;
use transom_fuse::request::Operation as Request;
use transom_module::{AttributeChanges, NewTime, Timestamp};
use transom_test::files::{
    Answer, HostDirectory, Model, Operation, Outcome, Presence, Rename, Status, Subject, operations,
};

use crate::Passthrough;

/// As many as take a few seconds.
const CASES: u32 = 200;

/// Less than what the entries of a directory take here: more than one request
/// is needed to list it.
const LISTING_BYTES: u32 = 100;

#[test]
fn the_volume_is_what_a_naive_tree_is() {
    let (source, plain) = (in_memory(), in_memory());
    let descriptors_before = descriptors_in(source.path());
    let mut driver = Driver::new(super::volume(source.path())).unwrap();
    driver.act_as(super::own().caller);
    let descriptors = descriptors_in(source.path());
    let case = std::cell::Cell::new(0);
    let mut config = ProptestConfig::with_cases(CASES);
    config.failure_persistence = None;
    proptest!(config, |(operations in operations())| {
        case.set(case.get() + 1);
        let name = format!("case-{}", case.get());
        for directory in [source.path(), plain.path()] {
            fs::create_dir(directory.join(&name)).unwrap();
        }
        let mut model = Model::default();
        let mut driven = Driven { driver: &driver, root: PathBuf::from(&name) };
        let mut host = HostDirectory::open(&plain.path().join(&name)).unwrap();
        let mut below = HostDirectory::open(&source.path().join(&name)).unwrap();
        for operation in &operations {
            let expected = model.apply(operation);
            prop_assert_eq!(&host.apply(operation), &expected, "host: {:?}", operation);
            prop_assert_eq!(&driven.apply(operation), &expected, "volume: {:?}", operation);
        }
        model.compare(&mut host);
        model.compare(&mut driven);
        model.compare(&mut below);
        drop(below);
        prop_assert_eq!(driver.live_items(), 1);
        prop_assert_eq!(descriptors_in(source.path()), descriptors);
    });
    drop(driver);
    assert_eq!(descriptors_in(source.path()), descriptors_before);
}

/// Where it does not matter what a disk takes: the volume is synchronized when
/// it is not driven any more.
fn in_memory() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").unwrap()
}

/// How many descriptors this process has of what is in `directory`.
fn descriptors_in(directory: &Path) -> usize {
    let open = fs::read_dir("/proc/self/fd").unwrap();
    open.filter_map(|entry| fs::read_link(entry.unwrap().path()).ok())
        .filter(|target| target.starts_with(directory))
        .count()
}

/// A directory of a volume that is asked without a mount. What the kernel
/// decides by itself from the kind of an item is decided here.
struct Driven<'d> {
    driver: &'d Driver<Passthrough>,
    root: PathBuf,
}

impl Driven<'_> {
    fn kind(&self, path: &Path) -> Result<FileType, transom_module::Errno> {
        let kind = self.driver.stat(self.root.join(path))?.kind;
        Ok(FileType::from_raw_mode(kind.mode_bits()))
    }

    fn ask(&self, operation: &Operation) -> Result<Answer, transom_module::Errno> {
        let driver = self.driver;
        let at = |path: &Path| self.root.join(path);
        match operation {
            Operation::Create { path, permissions } => {
                driver.make_node(at(path), libc::S_IFREG | permissions)?;
            }
            Operation::MakePipe { path, permissions } => {
                driver.make_node(at(path), libc::S_IFIFO | permissions)?;
            }
            Operation::MakeDirectory { path, permissions } => {
                driver.make_directory(at(path), *permissions)?;
            }
            Operation::MakeSymlink { path, target } => driver.make_symlink(at(path), target)?,
            Operation::Link { old, new } => driver.link(at(old), at(new))?,
            Operation::Unlink(path) => driver.unlink(at(path))?,
            Operation::RemoveDirectory(path) => driver.remove_directory(at(path))?,
            Operation::Rename { old, new, how } => {
                let flags = match how {
                    Rename::Replace => 0,
                    Rename::NoReplace => libc::RENAME_NOREPLACE,
                    Rename::Exchange => libc::RENAME_EXCHANGE,
                };
                driver.rename(at(old), at(new), flags)?;
            }
            Operation::Write {
                path,
                offset,
                bytes,
            } => {
                let written = driver.write(at(path), *offset, bytes)?;
                assert_eq!(written, bytes.len(), "all of it");
            }
            Operation::Resize { path, size } => {
                match self.kind(path)? {
                    FileType::RegularFile => {}
                    FileType::Directory => return Err(errno(Errno::ISDIR)),
                    FileType::Symlink => return Err(errno(Errno::LOOP)),
                    _ => return Err(errno(Errno::NXIO)),
                }
                let size = Some(*size);
                self.change(path, |changes| changes.size = size)?;
            }
            Operation::SetPermissions { path, permissions } => {
                let permissions = Some(*permissions as u16);
                self.change(path, |changes| changes.permissions = permissions)?;
            }
            Operation::SetTime {
                path,
                time: (seconds, nanoseconds),
            } => {
                let time = NewTime::At(Timestamp {
                    seconds: *seconds,
                    nanoseconds: *nanoseconds,
                });
                self.change(path, |changes| changes.modified = Some(time))?;
            }
            Operation::SetAttribute {
                path,
                name,
                value,
                presence,
            } => {
                let flags = match presence {
                    Presence::Any => 0,
                    Presence::MustNotExist => libc::XATTR_CREATE,
                    Presence::MustExist => libc::XATTR_REPLACE,
                };
                driver.set_attribute(at(path), name.as_ref(), value, flags.cast_unsigned())?;
            }
            Operation::RemoveAttribute { path, name } => {
                let name = name.as_ref();
                driver.request(at(path), Request::Removexattr { name })?;
            }
            Operation::GetAttribute { path, name } => {
                return Ok(Answer::Bytes(
                    driver.get_attribute(at(path), name.as_ref())?,
                ));
            }
            Operation::Read {
                path,
                offset,
                length,
            } => {
                let bytes = driver.read(at(path), *offset, *length as u32)?;
                return Ok(Answer::Bytes(bytes));
            }
            Operation::ReadLink(path) => {
                if self.kind(path)? != FileType::Symlink {
                    return Err(errno(Errno::INVAL));
                }
                let target = driver.read_link(at(path))?;
                return Ok(Answer::Bytes(target.into_encoded_bytes()));
            }
            Operation::List(path) => {
                let entries = driver.list(at(path), LISTING_BYTES)?;
                let names: BTreeSet<_> = entries.iter().map(|(name, _)| name.clone()).collect();
                assert_eq!(names.len(), entries.len(), "nothing is listed twice");
                return Ok(Answer::Names(names));
            }
            Operation::Stat(path) => {
                let status = driver.stat(at(path))?;
                let modified = status.modified;
                return Ok(Answer::Status(Status::new(
                    status.kind.mode_bits() | u32::from(status.permissions),
                    status.links.into(),
                    status.size,
                    (modified.seconds, modified.nanoseconds),
                )));
            }
        }
        Ok(Answer::Done)
    }

    fn change(
        &self,
        path: &Path,
        set: impl FnOnce(&mut AttributeChanges),
    ) -> Result<(), transom_module::Errno> {
        let mut changes = AttributeChanges::default();
        set(&mut changes);
        let path = self.root.join(path);
        self.driver.set_attributes(path, &changes).map(drop)
    }
}

impl Subject for Driven<'_> {
    fn apply(&mut self, operation: &Operation) -> Outcome {
        self.ask(operation)
            .map_err(|error| Errno::from_raw_os_error(error.raw()))
    }
}

fn errno(errno: Errno) -> transom_module::Errno {
    transom_module::Errno::from_raw(errno.raw_os_error())
}
