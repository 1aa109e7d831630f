//! A sub-volume as a directory: driven without a kernel, and mounted.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::PathBuf;

use rustix::fs::{FallocateFlags, fallocate};
use transom_concat::{Concat, Tree};
use transom_fuse::{Driver, Options, Session};
use transom_module::{Container, Errno, ItemKind, VolumeManagement};
use transom_test::privileged;

use crate::pool::{BLOCK, Pool, content, create, disk, key_of};

fn driver(container: &Concat, name: &str) -> Driver<Tree> {
    Driver::new(container.volume(&key_of(container, name)).unwrap()).unwrap()
}

#[test]
fn a_volume_is_a_directory_with_its_content() {
    let pool = Pool::formatted(&[10, 20], "");
    let container = pool.load();
    let block = create(&container, "a", 25);
    let driver = driver(&container, "a");
    let listed = driver.list("", 4096).unwrap();
    let files: Vec<_> = listed
        .iter()
        .filter(|(_, kind)| *kind == ItemKind::File)
        .map(|(name, _)| name.to_str().unwrap())
        .collect();
    assert_eq!(files, ["content", "description"]);
    assert_eq!(driver.stat("content").unwrap().size, 25 * BLOCK);

    // The same bytes, whoever writes.
    assert_eq!(
        driver.write("content", 9 * BLOCK, &[1; 8192]).unwrap(),
        8192
    );
    block.write(0, &[2; 512]).unwrap();
    let bytes = content(&*block);
    assert_eq!(driver.read("content", 0, 25 * BLOCK as u32).unwrap(), bytes);
    assert_eq!((bytes[0], bytes[512], bytes[9 * BLOCK as usize]), (2, 0, 1));

    // It ends where the volume does.
    assert_eq!(
        driver.write("content", 25 * BLOCK - 10, &[3; 100]).unwrap(),
        10
    );
    assert_eq!(
        driver.write("content", 25 * BLOCK, &[3]).unwrap_err(),
        Errno::ENOSPC
    );
    assert_eq!(driver.read("content", 25 * BLOCK, 10).unwrap(), b"");
    container
        .resize(&key_of(&container, "a"), 26 * BLOCK)
        .unwrap();
    assert_eq!(driver.stat("content").unwrap().size, 26 * BLOCK);

    let description = driver.read("description", 0, 4096).unwrap();
    let description = String::from_utf8(description).unwrap();
    for line in [
        "name: a",
        "bytes: 106496",
        "`pool`",
        "member 1 of 2",
        "member 2 of 2",
    ] {
        assert!(description.contains(line), "{description}");
    }
    assert_eq!(
        driver.write("description", 0, b"x").unwrap_err(),
        Errno::EPERM
    );
    assert_eq!(driver.stat("other").unwrap_err(), Errno::ENOENT);
    assert_eq!(driver.stat("content/x").unwrap_err(), Errno::ENOTDIR);
    assert_eq!(driver.live_items(), 1);
}

#[test]
fn the_content_belongs_to_whom_the_members_belong() {
    use std::os::unix::fs::PermissionsExt;
    let pool = Pool::formatted(&[10, 10], "");
    for (path, mode) in pool.paths.iter().zip([0o664, 0o620]) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }
    let container = pool.load();
    create(&container, "a", 1);
    let status = driver(&container, "a").stat("content").unwrap();
    let member = fs::metadata(&pool.paths[0]).unwrap();
    assert_eq!((status.uid, status.gid), (member.uid(), member.gid()));
    assert_eq!(status.permissions, 0o620);
}

/// A volume that is mounted, nowhere that others see.
struct Mounted(Session<Tree>);

impl Mounted {
    fn of(container: &Concat, name: &str) -> Self {
        let definition = container.volume(&key_of(container, name)).unwrap();
        let options = Options {
            read_only: false,
            ..Options::default()
        };
        Self(Session::start(definition, &options).unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        let mount = self.0.mount().unwrap().as_raw_fd();
        format!("/proc/self/fd/{mount}/{name}").into()
    }

    fn open(&self) -> File {
        let options = OpenOptions::new()
            .read(true)
            .write(true)
            .open(self.path("content"));
        options.unwrap()
    }
}

#[test]
fn privileged_mounted_and_as_a_disk_it_is_the_same() {
    privileged!("mount");
    let pool = Pool::formatted(&[100, 100], "layout=stripe,chunk=4k");
    let container = pool.load();
    let block = create(&container, "a", 64);
    let mounted = Mounted::of(&container, "a");
    let file = mounted.open();
    assert_eq!(file.metadata().unwrap().len(), 64 * BLOCK);
    let mut bytes = vec![0; 64 * BLOCK as usize];
    for round in 1..10_u8 {
        let at = u64::from(round) * 6 * BLOCK;
        file.write_all_at(&[round; 5000], at).unwrap();
        block.write(at, &[round | 0x80; 512]).unwrap();
        file.read_exact_at(&mut bytes, 0).unwrap();
        assert!(bytes == content(&*block), "round {round}");
        assert_eq!(
            (bytes[at as usize], bytes[at as usize + 512]),
            (round | 0x80, round)
        );
    }
    file.sync_all().unwrap();
    fallocate(
        &file,
        FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE,
        0,
        32 * BLOCK,
    )
    .unwrap();
    assert!(
        content(&*block)[..32 * BLOCK as usize]
            .iter()
            .all(|byte| *byte == 0)
    );

    // Its size is not changed from here.
    let errno = |result: io::Result<_>| result.err().and_then(|error| error.raw_os_error());
    assert_eq!(errno(file.set_len(BLOCK)), Some(Errno::EROFS.raw()));
    let truncated = OpenOptions::new()
        .write(true)
        .truncate(true)
        .open(mounted.path("content"));
    assert!(truncated.is_err());
    assert_eq!(
        errno(file.write_all_at(&[1], 64 * BLOCK)),
        Some(Errno::ENOSPC.raw())
    );
    // But it is when the volume is resized, at once.
    container
        .resize(&key_of(&container, "a"), 80 * BLOCK)
        .unwrap();
    assert_eq!(file.metadata().unwrap().len(), 80 * BLOCK);
    file.write_all_at(&[9; 4096], 79 * BLOCK).unwrap();
    assert_eq!(content(&*block)[79 * BLOCK as usize], 9);
    let description = fs::read_to_string(mounted.path("description")).unwrap();
    assert!(
        description.starts_with("name: a\nbytes: 327680\n"),
        "{description}"
    );
}

#[test]
fn privileged_a_file_system_in_a_volume_survives_loading_again() {
    privileged!("mount");
    let pool = Pool::formatted(&[2000, 3000], "");
    let container = pool.load();
    create(&container, "a", 4000);
    let mounted = Mounted::of(&container, "a");
    let made = std::process::Command::new("mkfs.ext4")
        .args(["-q", "-F"])
        .arg(mounted_path(&mounted))
        .status();
    assert!(made.unwrap().success());
    mounted.0.end().unwrap();
    container.synchronize().unwrap();
    drop(container);

    let container = pool.load();
    let mounted = Mounted::of(&container, "a");
    let checked = std::process::Command::new("e2fsck")
        .args(["-f", "-n"])
        .arg(mounted_path(&mounted))
        .output()
        .unwrap();
    assert!(checked.status.success(), "{checked:?}");
    let mut magic = [0; 2];
    disk(&container, "a").read(1024, &mut [0; 1024]).unwrap();
    mounted.open().read_exact_at(&mut magic, 1080).unwrap();
    assert_eq!(magic, [0x53, 0xef]);
}

/// The content as another process finds it.
fn mounted_path(mounted: &Mounted) -> PathBuf {
    let mount = mounted.0.mount().unwrap().as_raw_fd();
    format!("/proc/{}/fd/{mount}/content", std::process::id()).into()
}

#[test]
fn privileged_a_read_only_container_is_mounted_read_only() {
    privileged!("mount");
    let pool = Pool::formatted(&[10], "");
    let container = pool.load();
    create(&container, "a", 1);
    drop(container);
    let options = transom_module::LoadOptions {
        read_only: true,
        ..transom_module::LoadOptions::default()
    };
    let container = crate::pool::load(pool.resources(), &options).unwrap();
    let mounted = Mounted::of(&container, "a");
    let open = |write| {
        let mut options = OpenOptions::new();
        options
            .read(true)
            .write(write)
            .custom_flags(0)
            .open(mounted.path("content"))
    };
    assert!(open(false).is_ok());
    assert_eq!(
        open(true).unwrap_err().raw_os_error(),
        Some(Errno::EROFS.raw())
    );
}
