use std::fs::{File, FileTimes};
use std::process::Command;
use std::time::{Duration, SystemTime};

use transom_fuse::Driver;
use transom_module::{AccessTimes, ItemId, OpenMode, PersistentItems};
use transom_test::{Tmpfs, privileged, temp_dir, unprivileged};

use super::*;

fn with_option(name: &str, value: Option<&str>) -> LoadOptions {
    LoadOptions {
        named: vec![(name.to_owned(), value.map(str::to_owned))],
        ..LoadOptions::default()
    }
}

#[test]
fn what_cannot_be_loaded() {
    let directory = temp_dir().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, "").unwrap();
    let none = LoadOptions::default();
    let cases = [
        (
            ResourceKind::File,
            &file,
            none.clone(),
            Errno::EINVAL,
            "file",
        ),
        (ResourceKind::Directory, &file, none, Errno::ENOTDIR, "file"),
        (
            ResourceKind::Directory,
            &directory.path().to_owned(),
            with_option("speed", None),
            Errno::EINVAL,
            "speed",
        ),
        (
            ResourceKind::Directory,
            &directory.path().to_owned(),
            with_option("cache", Some("soon")),
            Errno::EINVAL,
            "cache=soon",
        ),
    ];
    for (kind, path, options, errno, word) in cases {
        let resource = Resource::new(kind, path, open_path(path));
        let error = PassthroughModule
            .load(Resources::alone(ContainerId::NIL, resource), &options)
            .unwrap_err();
        assert_eq!(error.errno(), errno, "{error}");
        assert!(error.to_string().contains(word), "{error}");
    }
}

#[test]
fn a_directory_that_may_not_be_read_cannot_be_loaded() {
    unprivileged!();
    let directory = temp_dir().unwrap();
    let locked = directory.path().join("locked");
    fs::create_dir(&locked).unwrap();
    rustix::fs::chmod(&locked, Mode::empty()).unwrap();
    let error = load(&locked, &LoadOptions::default()).unwrap_err();
    assert_eq!(error.errno(), Errno::EACCES, "{error}");
}

#[test]
fn privileged_what_is_mounted_below_is_not_part_of_it() {
    privileged!("mount");
    let tmpfs = Tmpfs::new(1 << 20).unwrap();
    let source = tmpfs.path().parent().unwrap();
    fs::write(tmpfs.path().join("above"), "").unwrap();
    let loaded = loaded(source);

    let directory = loaded.volume.at("tmpfs").item;
    let found = loaded
        .volume
        .lookup(&own(), &directory, OsStr::new("above"));
    assert!(matches!(found, Ok(Lookup::Absent(_))));

    // Nor is what is mounted later.
    fs::create_dir(source.join("later")).unwrap();
    fs::write(source.join("later/below"), "").unwrap();
    let mount = Command::new("mount")
        .args(["-t", "tmpfs", "none"])
        .arg(source.join("later"))
        .status();
    assert!(mount.unwrap().success());
    loaded.volume.at("later/below");
    let umount = Command::new("umount").arg(source.join("later")).status();
    assert!(umount.unwrap().success());
}

#[test]
fn privileged_the_parent_of_the_root_is_the_root() {
    privileged!("make a mount");
    let directory = temp_dir().unwrap();
    fs::create_dir_all(directory.path().join("a/b")).unwrap();
    let volume = loaded(directory.path()).volume;
    let parent_of = |item: &Item| volume.parent(&own(), item).unwrap().item.id;
    assert_eq!(parent_of(&volume.root_item()), ItemId::ROOT);
    assert_eq!(parent_of(&volume.at("a").item), ItemId::ROOT);
    assert_eq!(parent_of(&volume.at("a/b").item), volume.at("a").item.id);
}

#[test]
fn privileged_access_times_are_as_was_asked() {
    privileged!("make a mount");
    let directory = temp_dir().unwrap();
    for (asked, is_updated) in [
        (AccessTimes::Always, true),
        (AccessTimes::Never, false),
        // Older than the last change.
        (AccessTimes::Relative, true),
    ] {
        let path = directory.path().join(format!("{asked:?}"));
        fs::write(&path, "content").unwrap();
        let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
        let times = FileTimes::new().set_accessed(long_ago);
        File::options()
            .write(true)
            .open(&path)
            .and_then(|file| file.set_times(times))
            .unwrap();
        let options = LoadOptions {
            access_times: Some(asked),
            ..LoadOptions::default()
        };
        let definition = load(directory.path(), &options).unwrap().volume().unwrap();
        let driver = Driver::new(definition).unwrap();
        let name = path.file_name().unwrap();
        assert_eq!(driver.read(name, 0, 100).unwrap(), b"content");
        let accessed = fs::metadata(&path).unwrap().accessed().unwrap();
        assert_eq!(accessed > long_ago, is_updated, "{asked:?}");
    }
}

#[test]
fn privileged_a_read_only_source_cannot_be_written_through_any_descriptor() {
    privileged!("make a mount");
    let directory = temp_dir().unwrap();
    fs::write(directory.path().join("file"), "content").unwrap();
    let options = LoadOptions {
        read_only: true,
        ..LoadOptions::default()
    };
    let definition = load(directory.path(), &options).unwrap().volume().unwrap();
    assert!(definition.changes().is_none());

    let volume = &definition.volume;
    let file = volume.at("file").item;
    let write = OpenMode {
        write: true,
        ..OpenMode::default()
    };
    assert_eq!(
        errno_of(volume.open(&own(), &file, write)),
        Some(Errno::EROFS)
    );
    let reopened = crate::host::reopen(&file.descriptor, OFlags::WRONLY);
    assert_eq!(errno_of(reopened), Some(Errno::EROFS));
    let made = volume.create(
        &own(),
        &volume.root_item(),
        OsStr::new("new"),
        &new(NewKind::File, 0o644),
    );
    assert_eq!(errno_of(made), Some(Errno::EROFS));
}

#[test]
fn privileged_all_descriptors_are_given_back() {
    privileged!("make a mount");
    let tmpfs = Tmpfs::new(1 << 20).unwrap();
    fs::create_dir(tmpfs.path().join("directory")).unwrap();
    let device = rustix::fs::stat(tmpfs.path()).unwrap().st_dev;
    let open_there = || {
        let descriptors = fs::read_dir("/proc/self/fd").unwrap();
        descriptors
            .filter_map(|entry| rustix::fs::stat(entry.unwrap().path()).ok())
            .filter(|stat| stat.st_dev == device)
            .count()
    };
    assert_eq!(open_there(), 0);
    let source = load(tmpfs.path(), &LoadOptions::default()).unwrap();
    {
        let definition = source.volume().unwrap();
        let volume = &definition.volume;
        let root = volume.root_item();
        let item = volume.at("directory").item;
        let handle = definition.open_directories().unwrap();
        let handle = handle.open_directory(&own(), &item).unwrap();
        let name = OsStr::new("file");
        let file = new(NewKind::File, 0o644);
        let created = volume.create_open(&own(), &root, name, &file, OpenMode::default(), true);
        let created = created.unwrap();
        assert!(open_there() > 5, "{}", open_there());
        volume.close(handle);
        volume.close(created.opened.handle);
        drop(created.opened.io);
        for item in [root, item, created.entry.item] {
            volume.reclaim(item);
        }
    }
    assert_eq!(open_there(), 2);
    drop(source);
    assert_eq!(open_there(), 0);
}
