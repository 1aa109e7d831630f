//! Block volumes as ublk devices. Where the kernel has no ublk, all that can be
//! tested is that it is said clearly.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::thread;

use transom_block::{UblkDevice, Withdrawal, publish_ublk};
use transom_module::{BlockVolume, Errno};
use transom_test::privileged;

use crate::volumes::{Gate, HostFile, Slow, Unflushed, volume_of};
use crate::{run, text};

const MIB: u64 = 1 << 20;

/// `None` if the kernel has no ublk, which has been told.
fn publish(volume: Arc<dyn BlockVolume>) -> Option<UblkDevice> {
    let published = publish_ublk(volume);
    if Path::new("/dev/ublk-control").exists() {
        return Some(published.unwrap());
    }
    let error = published.unwrap_err();
    assert_eq!(error.errno(), Errno::EOPNOTSUPP);
    let message = error.to_string();
    assert!(
        message.contains("the kernel has no /dev/ublk-control"),
        "{message}"
    );
    None
}

fn open(device: &UblkDevice) -> File {
    let mut options = File::options();
    options.read(true).write(true).open(device.path()).unwrap()
}

#[test]
fn privileged_a_volume_is_a_disk_through_ublk() {
    privileged!("make a ublk device");
    let host = HostFile::new(64 * MIB);
    let Some(device) = publish(host.volume()) else {
        return;
    };
    let path = text(device.path());
    run("mkfs.ext4", &["-q", path]);
    let directory = transom_test::temp_dir().unwrap();
    let target = text(directory.path());
    run("mount", &["-t", "ext4", path, target]);
    for number in 0..20 {
        let content = vec![number; 300_000];
        fs::write(directory.path().join(number.to_string()), content).unwrap();
    }
    let busy = device.withdraw(Withdrawal::IfUnused).unwrap_err();
    assert_eq!(busy.errno(), Errno::EBUSY, "{busy}");
    run("umount", &[target]);
    run("e2fsck", &["-fn", path]);
    run("mount", &["-t", "ext4", path, target]);
    for number in 0..20 {
        let content = fs::read(directory.path().join(number.to_string())).unwrap();
        assert_eq!(content, vec![number; 300_000]);
    }
    run("umount", &[target]);
    device.withdraw(Withdrawal::IfUnused).unwrap();
    assert!(!device.path().exists());
    run("e2fsck", &["-fn", text(&host.path())]);
    let again = device.withdraw(Withdrawal::IfUnused).unwrap_err();
    assert_eq!(again.errno(), Errno::ENXIO);
}

#[test]
fn privileged_requests_of_ublk_reach_the_volume() {
    privileged!("make a ublk device");
    let host = HostFile::new(8 * MIB);
    let Some(device) = publish(host.volume()) else {
        return;
    };
    let disk = open(&device);
    disk.write_all_at(&vec![7; 4 << 20], MIB).unwrap();
    disk.sync_all().unwrap();
    let image = File::open(host.path()).unwrap();
    let mut bytes = vec![0; 4 << 20];
    image.read_exact_at(&mut bytes, MIB).unwrap();
    assert!(bytes.iter().all(|byte| *byte == 7));
    let full = host.space();
    // fallocate(2) on a block device.
    let punch = ["--punch-hole", "--offset=1MiB", "--length=2MiB"];
    run("fallocate", &[&punch[..], &[text(device.path())]].concat());
    assert!(host.space() <= full - 2 * MIB);
    disk.read_exact_at(&mut bytes, MIB).unwrap();
    assert!(bytes[..2 << 20].iter().all(|byte| *byte == 0));
    assert!(bytes[2 << 20..].iter().all(|byte| *byte == 7));
}

#[test]
fn privileged_a_flush_of_ublk_is_one_of_the_volume() {
    privileged!("make a ublk device");
    let host = HostFile::new(8 * MIB);
    let Some(device) = publish(Arc::new(Unflushed::new(&host.path()))) else {
        return;
    };
    let disk = open(&device);
    disk.write_all_at(&[7; 4096], MIB).unwrap();
    let stored = || {
        let mut byte = [0];
        let image = File::open(host.path()).unwrap();
        image.read_exact_at(&mut byte, MIB).unwrap();
        byte[0]
    };
    assert_eq!(stored(), 0);
    disk.sync_all().unwrap();
    assert_eq!(stored(), 7);
}

#[test]
fn privileged_a_slow_request_of_ublk_does_not_hold_up_another() {
    privileged!("make a ublk device");
    let host = HostFile::new(32 * MIB);
    let volume = Arc::new(Slow {
        inner: volume_of(&host.path()),
        gate: Gate::default(),
    });
    let Some(device) = publish(volume.clone()) else {
        return;
    };
    let disk = open(&device);
    thread::scope(|scope| {
        let slow = scope.spawn(|| disk.read_exact_at(&mut [0; 4096], 20 * MIB));
        for index in 0..8 {
            disk.read_exact_at(&mut [0; 4096], index * MIB).unwrap();
        }
        assert!(!slow.is_finished());
        volume.gate.open();
        slow.join().unwrap().unwrap();
    });
}

#[test]
fn privileged_a_ublk_device_that_is_withdrawn_by_force_fails_its_users() {
    privileged!("make a ublk device");
    let host = HostFile::new(8 * MIB);
    let Some(device) = publish(host.volume()) else {
        return;
    };
    let disk = open(&device);
    device.withdraw(Withdrawal::Forced).unwrap();
    let read = disk.read_at(&mut [0; 4096], 0);
    assert!(matches!(read, Ok(0) | Err(io::Error { .. })), "{read:?}");
    assert!(!device.path().exists());
}
