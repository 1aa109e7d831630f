//! Block volumes as loop devices.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::thread;

use transom_block::{
    FileVolume, LoopDevice, LoopIdentity, LoopOptions, Withdrawal, detach_abandoned, publish_loop,
};
use transom_fuse::Opcode;
use transom_module::{BlockVolume, Errno};
use transom_test::{KernelRequests, RequestCounts, privileged};

use crate::volumes::{Gate, HostFile, Slow};
use crate::{run, text};

const MIB: u64 = 1 << 20;

/// Every byte of a volume goes through this process.
fn served() -> LoopOptions {
    LoopOptions {
        passthrough: false,
        ..LoopOptions::default()
    }
}

fn publish(host: &HostFile, options: &LoopOptions) -> LoopDevice {
    publish_loop(host.volume(), options).unwrap()
}

/// The requests that the kernel sends for a device, by its own count.
fn watch(device: &LoopDevice) -> KernelRequests {
    let file = run(
        "losetup",
        &["-n", "-O", "BACK-MAJ:MIN", text(device.path())],
    );
    let (_, minor) = file.trim().split_once(':').unwrap();
    KernelRequests::watch(minor.parse().unwrap()).unwrap()
}

fn open(device: &Path) -> File {
    File::options().read(true).write(true).open(device).unwrap()
}

/// A device that is mounted somewhere.
struct Mounted {
    directory: tempfile::TempDir,
}

impl Mounted {
    fn new(device: &Path) -> Self {
        let directory = transom_test::temp_dir().unwrap();
        run("mount", &[text(device), text(directory.path())]);
        Self { directory }
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        run("umount", &[text(self.directory.path())]);
    }
}

/// Makes a file system, fills it, and has it checked.
fn use_as_disk(device: &LoopDevice) -> RequestCounts {
    let requests = watch(device);
    let path = text(device.path());
    run("mkfs.ext4", &["-q", path]);
    let mounted = Mounted::new(device.path());
    for number in 0..20 {
        let content = vec![number; 300_000];
        fs::write(mounted.path().join(number.to_string()), content).unwrap();
    }
    drop(mounted);
    run("e2fsck", &["-fn", path]);
    // What the kernel remembers of the disk is not asked for again.
    run("blockdev", &["--flushbufs", path]);
    let mounted = Mounted::new(device.path());
    for number in 0..20 {
        let content = fs::read(mounted.path().join(number.to_string())).unwrap();
        assert_eq!(content, vec![number; 300_000]);
    }
    drop(mounted);
    requests.finish().unwrap()
}

#[test]
fn privileged_a_host_file_is_a_disk_without_a_request_for_its_bytes() {
    privileged!("attach a loop device");
    let host = HostFile::new(64 * MIB);
    let device = publish(&host, &LoopOptions::default());
    assert!(device.passthrough());
    let counts = use_as_disk(&device);
    assert_eq!(counts.of(Opcode::Read as u32), 0, "{counts}");
    assert_eq!(counts.of(Opcode::Write as u32), 0, "{counts}");
    assert!(counts.of(Opcode::Fsync as u32) > 0, "{counts}");
    device.withdraw(Withdrawal::IfUnused).unwrap();
    run("e2fsck", &["-fn", text(&host.path())]);
}

#[test]
fn privileged_a_volume_without_a_host_file_is_a_disk() {
    privileged!("attach a loop device");
    let host = HostFile::new(64 * MIB);
    let device = publish(&host, &served());
    assert!(!device.passthrough());
    let counts = use_as_disk(&device);
    assert!(counts.of(Opcode::Read as u32) > 0, "{counts}");
    assert!(counts.of(Opcode::Write as u32) > 0, "{counts}");
    assert!(counts.of(Opcode::Fsync as u32) > 0, "{counts}");
    device.withdraw(Withdrawal::IfUnused).unwrap();
    run("e2fsck", &["-fn", text(&host.path())]);
}

#[test]
fn privileged_discarded_blocks_are_given_back_to_the_host() {
    privileged!("attach a loop device");
    for options in [LoopOptions::default(), served()] {
        let host = HostFile::new(64 * MIB);
        let device = publish(&host, &options);
        run("mkfs.ext4", &["-q", text(device.path())]);
        let mounted = Mounted::new(device.path());
        let file = mounted.path().join("file");
        fs::write(&file, vec![1; 32 << 20]).unwrap();
        run("sync", &["-f", text(mounted.path())]);
        let full = host.space();
        assert!(full > 32 * MIB);
        fs::remove_file(&file).unwrap();
        run("sync", &["-f", text(mounted.path())]);
        run("fstrim", &[text(mounted.path())]);
        assert!(host.space() < full - 30 * MIB, "{} of {full}", host.space());
    }
}

#[test]
fn privileged_a_disk_is_made_larger_while_it_is_mounted() {
    privileged!("attach a loop device");
    for options in [LoopOptions::default(), served()] {
        let host = HostFile::new(128 * MIB);
        let device = publish(&host, &options);
        run("mkfs.btrfs", &["-q", text(device.path())]);
        let mounted = Mounted::new(device.path());
        fs::write(mounted.path().join("file"), [5; 10_000]).unwrap();

        host.resize(256 * MIB);
        device.resize().unwrap();
        let size = run("blockdev", &["--getsize64", text(device.path())]);
        assert_eq!(size.trim(), (256 * MIB).to_string());
        let grow = ["filesystem", "resize", "max", text(mounted.path())];
        run("btrfs", &grow);
        fs::write(mounted.path().join("large"), vec![6; 150 << 20]).unwrap();
        run("sync", &["-f", text(mounted.path())]);
        assert_eq!(fs::read(mounted.path().join("file")).unwrap(), [5; 10_000]);
    }
}

/// As above, but ext4 takes the space only when it is not mounted: not every
/// root may have it do so online (`CAP_SYS_RESOURCE`).
#[test]
fn privileged_an_ext4_volume_takes_the_space_that_its_disk_got() {
    privileged!("attach a loop device");
    let host = HostFile::new(32 * MIB);
    let device = publish(&host, &LoopOptions::default());
    run("mkfs.ext4", &["-q", text(device.path())]);
    let mounted = Mounted::new(device.path());
    host.resize(64 * MIB);
    device.resize().unwrap();
    fs::write(mounted.path().join("file"), [5; 10_000]).unwrap();
    drop(mounted);

    run("e2fsck", &["-fp", text(device.path())]);
    run("resize2fs", &[text(device.path())]);
    run("e2fsck", &["-fn", text(device.path())]);
    let mounted = Mounted::new(device.path());
    fs::write(mounted.path().join("large"), vec![6; 40 << 20]).unwrap();
    assert_eq!(fs::read(mounted.path().join("file")).unwrap(), [5; 10_000]);
}

#[test]
fn privileged_a_disk_in_use_is_not_withdrawn() {
    privileged!("attach a loop device");
    let host = HostFile::new(32 * MIB);
    let device = publish(&host, &LoopOptions::default());
    run("mkfs.ext4", &["-q", text(device.path())]);
    let busy = || {
        let error = device.withdraw(Withdrawal::IfUnused).unwrap_err();
        assert_eq!(error.errno(), Errno::EBUSY, "{error}");
    };
    let mounted = Mounted::new(device.path());
    busy();
    fs::write(mounted.path().join("file"), "still there").unwrap();
    drop(mounted);
    let open = File::open(device.path()).unwrap();
    busy();
    drop(open);
    // Having been refused has left nothing behind.
    drop(Mounted::new(device.path()));
    assert!(device.identity_is_attached());

    device.withdraw(Withdrawal::IfUnused).unwrap();
    assert!(!device.identity_is_attached());
    let again = device.withdraw(Withdrawal::IfUnused).unwrap_err();
    assert_eq!(again.errno(), Errno::ENXIO, "{again}");
}

#[test]
fn privileged_a_disk_that_is_withdrawn_by_force_has_no_content() {
    privileged!("attach a loop device");
    for options in [LoopOptions::default(), served()] {
        let host = HostFile::new(32 * MIB);
        let volume = host.volume();
        let device = publish_loop(volume.clone(), &options).unwrap();
        let open = open(device.path());
        open.write_all_at(&[1; 4096], MIB).unwrap();
        open.sync_all().unwrap();

        device.withdraw(Withdrawal::Forced).unwrap();
        assert_eq!(Arc::strong_count(&volume), 1, "nobody holds the volume");
        assert!(matches!(open.read_at(&mut [0; 4096], MIB), Ok(0) | Err(_)));
        assert!(open.write_all_at(&[2; 4096], MIB).is_err() || open.sync_all().is_err());
        drop(open);
        assert!(!device.identity_is_attached());
        let mut byte = [0; 1];
        let image = File::open(host.path()).unwrap();
        image.read_exact_at(&mut byte, MIB).unwrap();
        assert_eq!(byte, [1], "written before, and not after");
    }
}

#[test]
fn privileged_a_dropped_disk_is_served_until_its_last_user_closes_it() {
    privileged!("attach a loop device");
    let host = HostFile::new(32 * MIB);
    let device = publish(&host, &served());
    let identity = device.identity();
    let open = open(device.path());
    drop(device);
    open.write_all_at(&[1; 4096], MIB).unwrap();
    open.sync_all().unwrap();
    drop(open);
    assert!(!detach_abandoned(&identity).unwrap(), "it is detached");
    let mut byte = [0; 1];
    let image = File::open(host.path()).unwrap();
    image.read_exact_at(&mut byte, MIB).unwrap();
    assert_eq!(byte, [1]);
}

#[test]
fn privileged_only_the_device_that_is_meant_is_detached() {
    privileged!("attach a loop device");
    let host = HostFile::new(32 * MIB);
    let device = publish(&host, &LoopOptions::default());
    let mine = device.identity();
    let other = LoopIdentity {
        name: "image".into(),
        ..mine.clone()
    };
    assert!(!detach_abandoned(&other).unwrap());
    assert!(device.identity_is_attached());
    for path in ["/dev/null", "/dev/no-such-device", "/"] {
        let none = LoopIdentity {
            path: path.into(),
            ..mine.clone()
        };
        assert!(!detach_abandoned(&none).unwrap(), "{path}");
    }
    assert!(detach_abandoned(&mine).unwrap());
    assert!(!device.identity_is_attached());
}

#[test]
fn privileged_a_read_only_volume_is_a_read_only_disk() {
    privileged!("attach a loop device");
    let host = HostFile::new(MIB);
    let file = std::os::fd::OwnedFd::from(File::open(host.path()).unwrap());
    for options in [LoopOptions::default(), served()] {
        let file = file.try_clone().unwrap();
        let device = publish_loop(Arc::new(FileVolume::new(file).unwrap()), &options).unwrap();
        assert_eq!(
            run("blockdev", &["--getro", text(device.path())]).trim(),
            "1"
        );
        let mut content = vec![1; 1 << 20];
        let open = File::open(device.path()).unwrap();
        open.read_exact_at(&mut content, 0).unwrap();
        assert!(content.iter().all(|byte| *byte == 0));
    }
}

#[test]
fn privileged_blocks_of_4096_bytes_are_blocks_of_the_device() {
    privileged!("attach a loop device");
    let host = HostFile::new(32 * MIB);
    for options in [LoopOptions::default(), served()] {
        let volume = crate::volumes::volume_of(&host.path());
        let volume = volume.with_block_bytes(4096).unwrap();
        let device = publish_loop(Arc::new(volume), &options).unwrap();
        assert_eq!(
            run("blockdev", &["--getss", text(device.path())]).trim(),
            "4096"
        );
        use_as_disk(&device);
    }
}

#[test]
fn privileged_a_slow_request_does_not_hold_up_another() {
    privileged!("attach a loop device");
    let host = HostFile::new(32 * MIB);
    let volume = Arc::new(Slow {
        inner: crate::volumes::volume_of(&host.path()),
        gate: Gate::default(),
    });
    let device = publish_loop(volume.clone(), &LoopOptions::default()).unwrap();
    let open = File::open(device.path()).unwrap();
    thread::scope(|scope| {
        let slow = scope.spawn(|| open.read_exact_at(&mut [0; 4096], 20 * MIB));
        for index in 0..8 {
            open.read_exact_at(&mut [0; 4096], index * MIB).unwrap();
        }
        assert!(!slow.is_finished());
        volume.gate.open();
        slow.join().unwrap().unwrap();
    });
}

#[test]
fn privileged_a_volume_with_odd_blocks_is_not_published() {
    privileged!("attach a loop device");
    struct Odd;
    impl BlockVolume for Odd {
        fn geometry(&self) -> transom_module::Geometry {
            transom_module::Geometry {
                bytes: MIB,
                block_bytes: 100,
                preferred_bytes: 100,
                read_only: true,
                discards: false,
            }
        }
        fn read(&self, _: u64, _: &mut [u8]) -> transom_module::Result<()> {
            Ok(())
        }
        fn write(&self, _: u64, _: &[u8]) -> transom_module::Result<()> {
            Ok(())
        }
        fn flush(&self) -> transom_module::Result<()> {
            Ok(())
        }
    }
    let error = publish_loop(Arc::new(Odd), &LoopOptions::default()).unwrap_err();
    assert_eq!(error.errno(), Errno::EINVAL);
}

/// Whether the kernel still has a device attached.
trait IdentityIsAttached {
    fn identity_is_attached(&self) -> bool;
}

impl IdentityIsAttached for LoopDevice {
    fn identity_is_attached(&self) -> bool {
        let number = self.path().file_name().unwrap().to_str().unwrap();
        let file = format!("/sys/block/{number}/loop/backing_file");
        fs::read_to_string(file).is_ok_and(|file| file.contains(&self.identity().name))
    }
}
