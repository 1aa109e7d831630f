use std::os::unix::fs::{MetadataExt, symlink};
use std::time::{Duration, SystemTime};

use transom_module::{
    AttributeChanges, Controls, ExtendedAttributes, ItemKind, Naming, NewTime, OpenMode, Presence,
    Synchronization, Synchronize, Timestamp,
};
use transom_sys::inode_flags;
use transom_test::{LoopVolume, privileged, temp_dir};

use super::*;

const NONE: AttributeChanges = AttributeChanges {
    permissions: None,
    uid: None,
    gid: None,
    size: None,
    accessed: None,
    modified: None,
    drop_privileges: false,
};

#[test]
fn attributes_are_set_and_told_to_the_nanosecond() {
    let directory = temp_dir().unwrap();
    let volume = volume(directory.path()).volume;
    let file = volume.make_file("file").item;
    let accessed = Timestamp {
        seconds: -5,
        nanoseconds: 999_999_999,
    };
    let modified = Timestamp {
        seconds: 1_700_000_000,
        nanoseconds: 1,
    };
    let changes = AttributeChanges {
        permissions: Some(0o4751),
        size: Some(12345),
        accessed: Some(NewTime::At(accessed)),
        modified: Some(NewTime::At(modified)),
        ..NONE
    };
    let (told, _) = volume
        .set_attributes(&own(), &file, None, &changes)
        .unwrap();
    assert_eq!((told.permissions, told.size), (0o4751, 12345));
    assert_eq!((told.accessed, told.modified), (accessed, modified));
    assert_eq!(told, volume.attributes(&own(), &file).unwrap().0);
    assert!(told.created.is_some());

    let now = AttributeChanges {
        modified: Some(NewTime::Now),
        ..NONE
    };
    let (told, _) = volume.set_attributes(&own(), &file, None, &now).unwrap();
    assert_eq!(told.accessed, accessed);
    let host = fs::metadata(directory.path().join("file")).unwrap();
    let age = SystemTime::now().duration_since(host.modified().unwrap());
    assert!(age.unwrap() < Duration::from_secs(10));
}

#[test]
fn times_of_a_link_are_its_own() {
    let directory = temp_dir().unwrap();
    let path = directory.path().join("link");
    symlink("nowhere", &path).unwrap();
    let volume = volume(directory.path()).volume;
    let link = volume.at("link").item;
    let changes = AttributeChanges {
        modified: Some(NewTime::At(Timestamp {
            seconds: 77,
            nanoseconds: 0,
        })),
        ..NONE
    };
    volume
        .set_attributes(&own(), &link, None, &changes)
        .unwrap();
    assert_eq!(fs::symlink_metadata(path).unwrap().mtime(), 77);
}

#[test]
fn privileged_a_new_owner_can_keep_set_id_bits_only_if_told_so() {
    privileged!("give files away");
    let directory = temp_dir().unwrap();
    let volume = volume(directory.path()).volume;
    let file = volume.make_file("file").item;
    let owner = AttributeChanges {
        uid: Some(12),
        gid: Some(34),
        ..NONE
    };
    let with_permissions = AttributeChanges {
        permissions: Some(0o6755),
        ..owner
    };
    let set = |changes| {
        volume
            .set_attributes(&own(), &file, None, changes)
            .unwrap()
            .0
    };
    let told = set(&with_permissions);
    assert_eq!((told.uid, told.gid, told.permissions), (12, 34, 0o6755));
    assert_eq!(set(&owner).permissions, 0o755);
}

#[test]
fn privileges_of_a_file_are_dropped() {
    let directory = temp_dir().unwrap();
    let volume = volume(directory.path()).volume;
    let file = volume.make_file("file").item;
    // Permissions before, after.
    for (before, after) in [(0o6775, 0o775), (0o6765, 0o2765), (0o644, 0o644)] {
        let changes = AttributeChanges {
            permissions: Some(before),
            ..NONE
        };
        volume
            .set_attributes(&own(), &file, None, &changes)
            .unwrap();
        let truncate = OpenMode {
            write: true,
            truncate: true,
            drop_privileges: true,
            ..OpenMode::default()
        };
        volume.open(&own(), &file, truncate).unwrap();
        let (told, _) = volume.attributes(&own(), &file).unwrap();
        assert_eq!(told.permissions, after, "{before:o}");
    }
}

#[test]
fn extended_attributes_of_files_and_directories() {
    let directory = temp_dir().unwrap();
    let volume = volume(directory.path()).volume;
    let name = OsStr::new("user.colour");
    let large = vec![b'x'; 2000];
    for item in [volume.make_file("file").item, volume.root_item()] {
        let get = || volume.get_attribute(&own(), &item, name);
        let set = |value: &[u8], presence| {
            errno_of(volume.set_attribute(&own(), &item, name, value, presence))
        };
        assert_eq!(errno_of(get()), Some(Errno::ENODATA));
        assert_eq!(set(b"red", Presence::MustExist), Some(Errno::ENODATA));
        assert_eq!(set(b"red", Presence::MustNotExist), None);
        assert_eq!(set(b"blue", Presence::MustNotExist), Some(Errno::EEXIST));
        assert_eq!(get().unwrap(), b"red");
        assert_eq!(set(&large, Presence::Any), None);
        assert_eq!(get().unwrap(), large);
        let names = volume.list_attributes(&own(), &item).unwrap();
        let mut names = names.split(|byte| *byte == 0);
        assert!(names.any(|listed| listed == b"user.colour"));
        volume.remove_attribute(&own(), &item, name).unwrap();
        assert_eq!(errno_of(get()), Some(Errno::ENODATA));
    }
}

#[test]
fn privileged_attributes_for_root_are_listed_for_root_alone() {
    privileged!("set trusted attributes");
    let directory = temp_dir().unwrap();
    symlink("nowhere", directory.path().join("link")).unwrap();
    let volume = volume(directory.path()).volume;
    // Of a link itself, too.
    let link = volume.at("link").item;
    let name = OsStr::new("trusted.secret");
    volume
        .set_attribute(&own(), &link, name, b"1", Presence::Any)
        .unwrap();
    assert_eq!(volume.get_attribute(&own(), &link, name).unwrap(), b"1");
    let for_root = volume.list_attributes(&own(), &link).unwrap();
    assert_eq!(for_root, b"trusted.secret\0");
    assert!(
        volume
            .list_attributes(&by(65534, 65534), &link)
            .unwrap()
            .is_empty()
    );
}

#[test]
fn the_volume_has_a_name() {
    let directory = temp_dir().unwrap();
    let volume = volume(directory.path()).volume;
    assert_eq!(volume.name(&own()).unwrap(), "");
    volume.set_name(&own(), OsStr::new("Backup 7")).unwrap();
    assert_eq!(volume.name(&own()).unwrap(), "Backup 7");
    let longest = "n".repeat(256);
    let too_long = volume.set_name(&own(), OsStr::new(&longest));
    assert_eq!(errno_of(too_long), Some(Errno::ENAMETOOLONG));
}

#[test]
fn privileged_flags_of_files() {
    privileged!("make an ext4 volume and files that cannot be changed");
    const NODUMP: u32 = 0x40;
    let ext4 = LoopVolume::ext4(LoopVolume::BYTES_MIN).unwrap();
    let volume = loaded(ext4.path()).volume;
    let file = volume.make_file("file").item;
    let control = |uid, command, argument: &[u8], room| {
        let reply = volume.control(&by(uid, uid), &file, None, command, argument, room);
        reply.map(|reply| reply.data)
    };
    let flags = || {
        let data = control(0, inode_flags::GET_FLAGS, &[], 8).unwrap();
        u32::from_ne_bytes(data.try_into().unwrap())
    };
    let wanted = flags() | NODUMP;
    let wanted = wanted.to_ne_bytes();
    let by_others = control(65534, inode_flags::SET_FLAGS, &wanted, 0);
    assert_eq!(errno_of(by_others), Some(Errno::EPERM));
    control(0, inode_flags::SET_FLAGS, &wanted, 0).unwrap();
    assert_eq!(flags() & NODUMP, NODUMP);

    let version = control(0, inode_flags::GET_VERSION, &[], 8).unwrap();
    assert_eq!(version.len(), 4);
    let extended = control(0, inode_flags::GET_EXTENDED, &[], 28).unwrap();
    control(0, inode_flags::SET_EXTENDED, &extended, 0).unwrap();
    let short = control(0, inode_flags::SET_EXTENDED, &extended[..27], 0);
    assert_eq!(errno_of(short), Some(Errno::EINVAL));
    const TCGETS: u32 = 0x5401;
    assert_eq!(errno_of(control(0, TCGETS, &[], 0)), Some(Errno::ENOTTY));
}

#[test]
fn everything_can_be_synchronized() {
    let directory = temp_dir().unwrap();
    let definition = volume(directory.path());
    let volume = &definition.volume;
    let file = volume.make_file("file").item;
    let opened = volume.open(&own(), &file, OpenMode::default()).unwrap();
    let root = volume.root_item();
    let open_directories = definition.open_directories().unwrap();
    let listing = open_directories.open_directory(&own(), &root).unwrap();
    for what in [Synchronize::Data, Synchronize::All] {
        volume
            .synchronize_item(&own(), &file, &opened.handle, what)
            .unwrap();
        volume
            .synchronize_item(&own(), &root, &listing, what)
            .unwrap();
    }
    volume.synchronize(&own()).unwrap();
    assert_eq!(file.kind, ItemKind::File);
}
