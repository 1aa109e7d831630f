//! Volumes are what they say, and what a run leaves behind is noticed.

use std::fs;
use std::io::{self, Read};
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::fs::statfs;
use transom_test::{HostState, LoopVolume, Tmpfs, privileged, temp_dir};

/// Magic numbers of `statfs(2)`, from linux/magic.h.
const EXT4: u64 = 0xef53;
const XFS: u64 = 0x5846_5342;
const BTRFS: u64 = 0x9123_683e;
const TMPFS: u64 = 0x0102_1994;

/// The magic number of the file system at `path`, which must be writable.
fn magic_of(path: &Path) -> io::Result<u64> {
    fs::write(path.join("file"), "content")?;
    Ok(statfs(path)?.f_type as u64)
}

#[test]
fn privileged_each_kind_of_volume_leaves_nothing_behind() {
    privileged!("mount loop devices");
    let before = HostState::capture("mkfs", &[]).unwrap();
    {
        let ext4 = LoopVolume::ext4(LoopVolume::BYTES_MIN).unwrap();
        let xfs = LoopVolume::xfs(LoopVolume::BYTES_MIN).unwrap();
        let btrfs = LoopVolume::btrfs(LoopVolume::BYTES_MIN).unwrap();
        let tmpfs = Tmpfs::new(1 << 20).unwrap();
        assert_eq!(magic_of(ext4.path()).unwrap(), EXT4);
        assert_eq!(magic_of(xfs.path()).unwrap(), XFS);
        assert_eq!(magic_of(btrfs.path()).unwrap(), BTRFS);
        assert_eq!(magic_of(tmpfs.path()).unwrap(), TMPFS);

        let left = before.added().unwrap();
        let of_kind = |kind: &str| left.iter().filter(|item| item.starts_with(kind)).count();
        assert_eq!((of_kind("mount"), of_kind("loop device")), (4, 3));
    }
    before.assert_restored();
}

#[test]
fn privileged_a_tmpfs_holds_no_more_than_its_size() {
    privileged!("mount a tmpfs");
    let tmpfs = Tmpfs::new(64 << 10).unwrap();
    let full = fs::write(tmpfs.path().join("file"), vec![0; 128 << 10]).unwrap_err();
    assert_eq!(
        full.raw_os_error(),
        Some(rustix::io::Errno::NOSPC.raw_os_error())
    );
}

#[test]
fn privileged_a_volume_in_use_is_named_when_dropped() {
    privileged!("mount a tmpfs");
    let tmpfs = Tmpfs::new(1 << 20).unwrap();
    let path = tmpfs.path().to_owned();
    let user = fs::File::create(path.join("file")).unwrap();
    let panic = std::panic::catch_unwind(|| drop(tmpfs)).unwrap_err();
    let message = panic.downcast_ref::<String>().unwrap();
    assert!(message.contains(path.to_str().unwrap()), "{message}");
    drop(user);
}

#[test]
fn a_leftover_process_or_file_is_named() {
    let directory = temp_dir().unwrap();
    let marker = format!("transom-test-leftover-{}", std::process::id());
    let before = HostState::capture(&marker, &[directory.path()]).unwrap();

    let mut process = Command::new("sh")
        .args(["-c", "echo started; read line", &marker])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // The kernel shows arguments a moment after the program was started.
    let mut started = [0; 8];
    let mut output = process.stdout.take().unwrap();
    output.read_exact(&mut started).unwrap();
    fs::write(directory.path().join("scratch"), "").unwrap();
    let added = before.added().unwrap();
    process.kill().unwrap();
    process.wait().unwrap();

    let named = |text: &str| added.iter().any(|item| item.contains(text));
    assert!(named(&format!("process {}: sh", process.id())), "{added:?}");
    assert!(named("scratch"), "{added:?}");
}
