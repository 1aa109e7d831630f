use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};

use rustix::io::write;
use transom_module::{Created, Io, ItemKind, OpenMode, Removed, RenameOptions};
use transom_test::{privileged, temp_dir};

use super::*;
use crate::Handle;

const READ_WRITE: OpenMode = OpenMode {
    read: true,
    write: true,
    truncate: false,
    append: false,
    direct: false,
    synchronous: false,
    drop_privileges: false,
};

fn write_to(created: &Created<Item, Handle>, data: &[u8]) {
    let Io::Passthrough(backing) = &created.opened.io else {
        panic!("{created:?}");
    };
    let opened = backing.opened().expect("is open");
    assert_eq!(write(opened.as_fd(), data), Ok(data.len()));
}

#[test]
fn items_of_every_kind_are_made() {
    let directory = temp_dir().unwrap();
    let volume = volume(directory.path()).volume;
    let target = NewKind::Symlink(OsStr::new("target"));
    let cases = [
        ("file", NewKind::File, ItemKind::File, 0o640),
        ("directory", NewKind::Directory, ItemKind::Directory, 0o1750),
        ("link", target, ItemKind::Symlink, 0o777),
        ("fifo", NewKind::Fifo, ItemKind::Fifo, 0o600),
        ("socket", NewKind::Socket, ItemKind::Socket, 0o666),
    ];
    for (name, kind, expected, permissions) in cases {
        let name = OsStr::new(name);
        let make = || volume.create(&own(), &volume.root_item(), name, &new(kind, permissions));
        let made = make().unwrap();
        assert_eq!(made.attributes.kind, expected);
        assert_eq!(made.attributes.permissions, permissions, "{name:?}");
        assert_eq!(errno_of(make()), Some(Errno::EEXIST));
    }
    let fifo = fs::metadata(directory.path().join("fifo")).unwrap();
    assert!(fifo.file_type().is_fifo());
    assert_eq!(
        fs::read_link(directory.path().join("link")).unwrap(),
        Path::new("target")
    );
}

#[test]
fn privileged_devices_are_made() {
    privileged!("make devices");
    let directory = temp_dir().unwrap();
    let volume = volume(directory.path()).volume;
    let device = rustix::fs::makedev(240, 70_000) as u32;
    for (name, kind) in [
        ("character", NewKind::CharacterDevice(device)),
        ("block", NewKind::BlockDevice(device)),
    ] {
        let name = OsStr::new(name);
        let made = volume.create(&own(), &volume.root_item(), name, &new(kind, 0o600));
        assert_eq!(made.unwrap().attributes.device, device);
        let host = rustix::fs::stat(directory.path().join(name)).unwrap();
        assert_eq!(host.st_rdev, u64::from(device));
    }
}

#[test]
fn a_file_is_made_and_opened_in_one_step() {
    let directory = temp_dir().unwrap();
    let volume = volume(directory.path()).volume;
    let name = OsStr::new("file");
    let root = volume.root_item();
    // Read-only for everybody, and yet open for writing.
    let file = new(NewKind::File, 0o444);
    let create = |exclusive| volume.create_open(&own(), &root, name, &file, READ_WRITE, exclusive);
    let created = create(true).unwrap();
    write_to(&created, b"content");
    assert_eq!(fs::read(directory.path().join("file")).unwrap(), b"content");
    assert_eq!(volume.at("file").item.id, created.entry.item.id);

    assert_eq!(errno_of(create(true)), Some(Errno::EEXIST));
    // The kernel is to look at it and to check rights first.
    assert_eq!(errno_of(create(false)), Some(Errno::ESTALE));
}

#[test]
fn a_file_without_a_name_can_be_given_one() {
    let directory = temp_dir().unwrap();
    let volume = volume(directory.path()).volume;
    let root = volume.root_item();
    let file = new(NewKind::File, 0o600);
    let created = volume
        .create_unnamed(&own(), &root, &file, READ_WRITE)
        .unwrap();
    write_to(&created, b"content");
    assert_eq!(created.entry.attributes.links, 0);
    assert!(names_in(directory.path()).is_empty());

    let item = &created.entry.item;
    let linked = volume
        .link(&own(), item, &root, OsStr::new("named"))
        .unwrap();
    assert_eq!((linked.item.id, linked.attributes.links), (item.id, 1));
    assert_eq!(
        fs::read(directory.path().join("named")).unwrap(),
        b"content"
    );
}

#[test]
fn further_names() {
    let directory = temp_dir().unwrap();
    let volume = volume(directory.path()).volume;
    let root = volume.root_item();
    let link = new(NewKind::Symlink(OsStr::new("nowhere")), 0o777);
    let link = volume
        .create(&own(), &root, OsStr::new("link"), &link)
        .unwrap();
    for item in [volume.make_file("file").item, link.item] {
        let name = format!("again {}", item.id.raw());
        let name = OsStr::new(&name);
        let linked = volume.link(&own(), &item, &root, name).unwrap();
        assert_eq!((linked.item.id, linked.attributes.links), (item.id, 2));
        assert_eq!(linked.item.kind, item.kind);
        let again = volume.link(&own(), &item, &root, name);
        assert_eq!(errno_of(again), Some(Errno::EEXIST));
    }
    let directory = volume.link(&own(), &root, &root, OsStr::new("root"));
    assert_eq!(errno_of(directory), Some(Errno::EPERM));
}

#[test]
fn names_are_removed() {
    let directory = temp_dir().unwrap();
    let volume = volume(directory.path()).volume;
    fs::create_dir_all(directory.path().join("full/inner")).unwrap();
    let file = volume.make_file("file").item;
    let root = volume.root_item();
    let cases = [
        ("full", Removed::File, Some(Errno::EISDIR)),
        ("full", Removed::Directory, Some(Errno::ENOTEMPTY)),
        ("file", Removed::Directory, Some(Errno::ENOTDIR)),
        ("file", Removed::File, None),
        ("file", Removed::File, Some(Errno::ENOENT)),
    ];
    for (name, removed, errno) in cases {
        let result = volume.remove(&own(), &root, OsStr::new(name), removed);
        assert_eq!(errno_of(result), errno, "{name} {removed:?}");
    }
    assert_eq!(volume.attributes(&own(), &file).unwrap().0.links, 0);
    let full = volume.at("full").item;
    volume
        .remove(&own(), &full, OsStr::new("inner"), Removed::Directory)
        .unwrap();
    assert!(names_in(&directory.path().join("full")).is_empty());
}

#[test]
fn privileged_renaming_with_every_option() {
    privileged!("leave whiteouts");
    let directory = temp_dir().unwrap();
    let volume = volume(directory.path()).volume;
    let root = volume.root_item();
    let (a, b) = (volume.make_file("a").item.id, volume.make_file("b").item.id);
    let plain = RenameOptions::default();
    let no_replace = RenameOptions {
        no_replace: true,
        ..plain
    };
    let exchange = RenameOptions {
        exchange: true,
        ..plain
    };
    let whiteout = RenameOptions {
        whiteout: true,
        ..plain
    };
    let rename = |from: &str, to: &str, options| {
        let (from, to) = (OsStr::new(from), OsStr::new(to));
        errno_of(volume.rename(&own(), (&root, from), (&root, to), options))
    };
    assert_eq!(rename("a", "b", no_replace), Some(Errno::EEXIST));
    assert_eq!(rename("a", "c", exchange), Some(Errno::ENOENT));
    assert_eq!(rename("a", "b", exchange), None);
    assert_eq!((volume.at("a").item.id, volume.at("b").item.id), (b, a));
    assert_eq!(rename("a", "c", no_replace), None);
    assert_eq!(rename("b", "c", plain), None);
    assert_eq!(names_in(directory.path()), ["c"]);
    assert_eq!(volume.at("c").item.id, a);
    assert_eq!(rename("c", "d", whiteout), None);
    let left = volume.at("c").attributes;
    assert_eq!((left.kind, left.device), (ItemKind::CharacterDevice, 0));

    fs::create_dir_all(directory.path().join("outer/inner")).unwrap();
    let inner = volume.at("outer/inner").item;
    let into_itself = volume.rename(
        &own(),
        (&root, OsStr::new("outer")),
        (&inner, OsStr::new("x")),
        plain,
    );
    assert_eq!(errno_of(into_itself), Some(Errno::EINVAL));
    let both = RenameOptions {
        exchange: true,
        ..no_replace
    };
    assert_eq!(rename("d", "outer", both), Some(Errno::EINVAL));
}

#[test]
fn the_umask_is_the_callers() {
    let directory = temp_dir().unwrap();
    let volume = volume(directory.path()).volume;
    for (name, umask, left) in [("a", 0o077, 0o700), ("b", 0, 0o777), ("c", 0o027, 0o750)] {
        let file = NewItem {
            umask,
            ..new(NewKind::File, 0o777)
        };
        volume
            .create(&own(), &volume.root_item(), OsStr::new(name), &file)
            .unwrap();
        let mode = fs::metadata(directory.path().join(name))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o7777, left, "{name}");
    }
}
