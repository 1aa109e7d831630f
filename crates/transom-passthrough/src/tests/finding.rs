use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::symlink;

use transom_module::{Io, ItemId, ItemKind, OpenMode, StatFs};
use transom_test::temp_dir;

use super::*;

#[test]
fn only_single_names_are_looked_up() {
    let directory = temp_dir().unwrap();
    fs::create_dir_all(directory.path().join("a/b")).unwrap();
    let volume = volume(directory.path()).volume;
    let root = volume.root_item();
    let longest = "n".repeat(256);
    for (name, errno) in [
        ("", Errno::EINVAL),
        (".", Errno::EINVAL),
        ("..", Errno::EINVAL),
        ("a/b", Errno::EINVAL),
        ("/etc", Errno::EINVAL),
        (&longest, Errno::ENAMETOOLONG),
    ] {
        let name = OsStr::new(name);
        let found = volume.lookup(&own(), &root, name);
        assert_eq!(errno_of(found), Some(errno), "{name:?}");
        let file = new(NewKind::File, 0o644);
        let made = volume.create(&own(), &root, name, &file);
        assert_eq!(errno_of(made), Some(errno), "{name:?}");
    }
    let absent = volume.lookup(&own(), &root, OsStr::new("c"));
    assert!(matches!(absent, Ok(Lookup::Absent(Lifetime::NONE))));
    let file = volume.make_file("file").item;
    let below = volume.lookup(&own(), &file, OsStr::new("c"));
    assert_eq!(errno_of(below), Some(Errno::ENOTDIR));
}

#[test]
fn names_are_bytes() {
    let directory = temp_dir().unwrap();
    let volume = volume(directory.path()).volume;
    for name in [b"\xff\xfe\x80".to_vec(), vec![b'n'; 255]] {
        let name = OsString::from_vec(name);
        fs::write(directory.path().join(&name), "").unwrap();
        let found = volume.lookup(&own(), &volume.root_item(), &name);
        assert!(matches!(found, Ok(Lookup::Found(_))), "{name:?}");
    }
}

#[test]
fn numbers_are_those_of_the_host() {
    let directory = temp_dir().unwrap();
    fs::write(directory.path().join("file"), "").unwrap();
    fs::hard_link(
        directory.path().join("file"),
        directory.path().join("again"),
    )
    .unwrap();
    let volume = volume(directory.path()).volume;
    let inode = rustix::fs::stat(directory.path().join("file"))
        .unwrap()
        .st_ino;
    assert_eq!(volume.root_item().id, ItemId::ROOT);
    assert_eq!(volume.at("file").attributes.id.raw(), inode);
    assert_eq!(volume.at("again").attributes.id.raw(), inode);
    assert_eq!(volume.at("again").attributes.links, 2);
}

#[test]
fn symbolic_links_are_read_and_never_followed() {
    let directory = temp_dir().unwrap();
    let target = OsStr::from_bytes(b"/etc/\xff");
    symlink(target, directory.path().join("link")).unwrap();
    let volume = volume(directory.path()).volume;
    let link = volume.at("link").item;
    assert_eq!(link.kind, ItemKind::Symlink);
    assert_eq!(volume.read_link(&own(), &link).unwrap(), target);
    let open = |item: &Item| errno_of(volume.open(&own(), item, OpenMode::default()));
    assert_eq!(open(&link), Some(Errno::ELOOP));
    assert_eq!(open(&volume.root_item()), Some(Errno::EISDIR));
}

/// The classic attack: a directory in the middle of a path is replaced by a
/// link to another place.
#[test]
fn a_link_swapped_in_leads_nowhere() {
    let outside = temp_dir().unwrap();
    fs::write(outside.path().join("secret"), "").unwrap();
    let directory = temp_dir().unwrap();
    let (inner, away) = (
        directory.path().join("inner"),
        directory.path().join("away"),
    );
    fs::create_dir(&inner).unwrap();
    let volume = volume(directory.path()).volume;
    let item = volume.at("inner").item;
    let secret = OsStr::new("secret");

    fs::rename(&inner, &away).unwrap();
    symlink(outside.path(), &inner).unwrap();
    let found = volume.lookup(&own(), &item, secret);
    assert!(matches!(found, Ok(Lookup::Absent(_))));
    let swapped = volume.at("inner").item;
    let found = volume.lookup(&own(), &swapped, secret);
    assert_eq!(errno_of(found), Some(Errno::ENOTDIR));
    let file = new(NewKind::File, 0o644);
    let made = volume.create(&own(), &swapped, OsStr::new("new"), &file);
    assert_eq!(errno_of(made), Some(Errno::ENOTDIR));

    // What is made in the directory that was meant is made there.
    volume
        .create(&own(), &item, OsStr::new("new"), &file)
        .unwrap();
    assert_eq!(names_in(&away), ["new"]);
    assert_eq!(names_in(outside.path()), ["secret"]);
}

#[test]
fn a_removed_item_stays_what_it_was() {
    let directory = temp_dir().unwrap();
    let path = directory.path().join("file");
    fs::write(&path, "first").unwrap();
    let volume = volume(directory.path()).volume;
    let item = volume.at("file").item;
    fs::remove_file(&path).unwrap();
    fs::write(&path, "second!").unwrap();
    let (attributes, _) = volume.attributes(&own(), &item).unwrap();
    assert_eq!((attributes.size, attributes.links), (5, 0));
    assert_ne!(volume.at("file").item.id, item.id);
}

#[test]
fn the_kernel_gets_a_backing_file_that_nothing_is_open_by() {
    let directory = temp_dir().unwrap();
    let volume = volume(directory.path()).volume;
    let file = volume.make_file("file").item;
    let opened = volume.open(&own(), &file, OpenMode::default()).unwrap();
    let Io::Passthrough(backing) = opened.io else {
        panic!("{opened:?}");
    };
    let flags = rustix::fs::fcntl_getfl(&backing).unwrap();
    assert!(flags.contains(OFlags::PATH));
}

#[test]
fn space_is_that_of_the_host() {
    let directory = temp_dir().unwrap();
    let host = rustix::fs::statvfs(directory.path()).unwrap();
    let StatFs {
        block_size,
        blocks,
        name_bytes_max,
        ..
    } = volume(directory.path()).volume.statfs().unwrap();
    let told = (u64::from(block_size), blocks, u64::from(name_bytes_max));
    assert_eq!(told, (host.f_frsize, host.f_blocks, host.f_namemax));
}
