//! Disks whose server is killed.

use std::cell::RefCell;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::FileExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use transom_block::{
    LoopIdentity, LoopOptions, NbdServer, detach_abandoned, publish_loop, publish_ublk,
};
use transom_module::BlockVolume;
use transom_test::privileged;

use crate::nbd_client::{Client, FLUSH, WRITE};
use crate::volumes::{Fatal, Gate, HostFile, Slow, Unflushed, volume_of};
use crate::{PATIENCE, run, text};

const MIB: u64 = 1 << 20;

/// Set in a process that is to be killed: what to publish, and how.
const IMAGE: &str = "TRANSOM_TEST_IMAGE";
const VOLUME: &str = "TRANSOM_TEST_VOLUME";

/// Not a test of its own: publishes a volume.
#[test]
fn process_that_publishes() {
    let Some(image) = std::env::var_os(IMAGE) else {
        return;
    };
    let image = Path::new(&image);
    let volume: Arc<dyn BlockVolume> = match std::env::var(VOLUME).unwrap().as_str() {
        "unflushed" | "nbd" => Arc::new(Unflushed::new(image)),
        "slow" | "ublk" => Arc::new(Slow {
            inner: volume_of(image),
            gate: Gate::default(),
        }),
        "fatal" => Arc::new(Fatal::default()),
        _ => Arc::new(volume_of(image)),
    };
    if std::env::var(VOLUME).unwrap() == "ublk" {
        let device = publish_ublk(volume).unwrap();
        println!("\npublished {} none", device.path().display());
        return thread::sleep(Duration::MAX);
    }
    if std::env::var(VOLUME).unwrap() == "nbd" {
        let socket = image.with_file_name("socket");
        let server = NbdServer::listen(&socket).unwrap();
        server.export("disk", volume).unwrap();
        println!("\npublished {} disk", socket.display());
        return thread::sleep(Duration::MAX);
    }
    let device = publish_loop(volume, &LoopOptions::default()).unwrap();
    let LoopIdentity { path, name } = device.identity();
    println!("\npublished {} {name}", path.display());
    thread::sleep(Duration::MAX);
}

fn spawn(image: &HostFile, volume: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "killed::process_that_publishes"])
        .arg("--nocapture")
        .env(IMAGE, image.path())
        .env(VOLUME, volume)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Asserts that it ends, by a signal, and not only when others have.
fn assert_killed(child: &mut Child) {
    let end = Instant::now() + PATIENCE;
    let status = loop {
        assert!(Instant::now() < end, "it cannot be killed");
        match child.try_wait().unwrap() {
            Some(status) => break status,
            None => thread::sleep(Duration::from_millis(5)),
        }
    };
    assert_eq!(status.signal(), Some(9), "{status}");
}

/// A process that publishes a volume.
struct Server {
    child: Child,
    /// Of NBD, the socket; of ublk, that device.
    device: LoopIdentity,
}

impl Server {
    fn start(image: &HostFile, volume: &str) -> Self {
        let mut child = spawn(image, volume);
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let published = lines
            .find_map(|line| line.unwrap().strip_prefix("published ").map(str::to_owned))
            .unwrap();
        let (path, name) = published.split_once(' ').unwrap();
        let device = LoopIdentity {
            path: path.into(),
            name: name.into(),
        };
        Self { child, device }
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        assert_killed(&mut self.child);
    }

    fn open(&self) -> File {
        let mut options = File::options();
        options.read(true).write(true);
        options.open(&self.device.path).unwrap()
    }

    fn is_attached(&self) -> bool {
        run("losetup", &["-n", "-a"]).contains(&self.device.name)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
        _ = detach_abandoned(&self.device);
    }
}

/// The byte that a block of a file is full of.
fn byte_at(image: &HostFile, offset: u64) -> u8 {
    let mut content = [0; 4096];
    let file = File::open(image.path()).unwrap();
    file.read_exact_at(&mut content, offset).unwrap();
    assert_eq!(content, [content[0]; 4096]);
    content[0]
}

/// What is done to a disk by `write` and `flush`, before its server is killed.
fn write_and_flush(mut write: impl FnMut(u8, u64), mut flush: impl FnMut()) {
    for block in 0..64 {
        write(block, u64::from(block) * 4096);
        if block % 8 == 7 {
            flush();
        }
    }
    write(99, 4 * MIB);
}

fn assert_flushed(image: &HostFile) {
    for block in 0..64 {
        assert_eq!(byte_at(image, u64::from(block) * 4096), block);
    }
    // Otherwise the volume of this test would have kept nothing back.
    assert_eq!(byte_at(image, 4 * MIB), 0);
}

#[test]
fn privileged_what_was_flushed_survives_the_server() {
    privileged!("attach a loop device");
    let host = HostFile::new(8 * MIB);
    let mut server = Server::start(&host, "unflushed");
    let disk = server.open();
    write_and_flush(
        |byte, offset| disk.write_all_at(&[byte; 4096], offset).unwrap(),
        || disk.sync_all().unwrap(),
    );
    server.kill();
    assert_flushed(&host);
}

#[test]
fn what_was_flushed_over_nbd_survives_the_server() {
    let host = HostFile::new(8 * MIB);
    let mut server = Server::start(&host, "nbd");
    let client = RefCell::new(Client::using(&server.device.path, "disk"));
    write_and_flush(
        |byte, offset| {
            let mut client = client.borrow_mut();
            client.send(WRITE, 0, offset, 4096, &[byte; 4096]).unwrap();
            assert_eq!(client.reply().unwrap(), (offset, 0));
        },
        || assert_eq!(client.borrow_mut().ask(FLUSH, 0, 0, 0), 0),
    );
    server.kill();
    assert_flushed(&host);
}

#[test]
fn privileged_a_disk_without_a_server_fails_and_can_be_detached() {
    privileged!("attach a loop device");
    let host = HostFile::new(8 * MIB);
    // Through this process go all its bytes.
    let mut server = Server::start(&host, "unflushed");
    let disk = server.open();
    server.kill();
    // A file system on it, or a program, is told so and does not hang.
    assert!(disk.read_exact_at(&mut [0; 4096], MIB).is_err());
    disk.write_all_at(&[1; 4096], MIB).unwrap();
    assert!(disk.sync_all().is_err());
    assert!(server.is_attached());
    assert!(detach_abandoned(&server.device).unwrap());
    drop(disk);
    assert!(!server.is_attached());
    assert!(!detach_abandoned(&server.device).unwrap());
}

#[test]
fn privileged_nobody_waits_for_a_server_that_was_killed() {
    privileged!("attach a loop device");
    let host = HostFile::new(8 * MIB);
    let mut server = Server::start(&host, "slow");
    let disk = server.open();
    let reader = thread::spawn(move || disk.read_exact_at(&mut [0; 4096], 6 * MIB));
    // The request has to be under way: the reader waits in the kernel.
    thread::sleep(Duration::from_millis(200));
    assert!(!reader.is_finished());
    server.kill();
    assert!(reader.join().unwrap().is_err());
}

#[test]
fn privileged_a_mounted_disk_without_a_server_can_be_unmounted_and_detached() {
    privileged!("attach a loop device");
    for volume in ["unflushed", "file"] {
        let host = HostFile::new(32 * MIB);
        let mut server = Server::start(&host, volume);
        run("mkfs.ext4", &["-q", text(&server.device.path)]);
        let directory = transom_test::temp_dir().unwrap();
        run(
            "mount",
            &[text(&server.device.path), text(directory.path())],
        );
        std::fs::write(directory.path().join("file"), [1; 100_000]).unwrap();
        server.kill();
        // Whether this succeeds is up to the file system.
        _ = std::fs::write(directory.path().join("other"), [1; 100_000]);
        run("umount", &[text(directory.path())]);
        assert!(detach_abandoned(&server.device).unwrap());
        assert!(!server.is_attached());
    }
}

#[test]
fn privileged_a_process_can_be_killed_while_it_publishes() {
    privileged!("attach a loop device");
    let host = HostFile::new(8 * MIB);
    for _ in 0..20 {
        assert_killed(&mut spawn(&host, "fatal"));
    }
}

#[test]
fn privileged_a_ublk_device_goes_with_its_server() {
    privileged!("make a ublk device");
    if !Path::new("/dev/ublk-control").exists() {
        // `ublk_devices.rs` has a test of what is said then.
        return;
    }
    let host = HostFile::new(8 * MIB);
    let mut server = Server::start(&host, "ublk");
    let disk = server.open();
    disk.read_exact_at(&mut [0; 4096], MIB).unwrap();
    let reader = thread::spawn(move || disk.read_exact_at(&mut [0; 4096], 6 * MIB));
    thread::sleep(Duration::from_millis(200));
    assert!(!reader.is_finished());
    server.kill();
    assert!(reader.join().unwrap().is_err());
    let end = Instant::now() + PATIENCE;
    while server.device.path.exists() {
        assert!(Instant::now() < end, "the device stays");
        thread::sleep(Duration::from_millis(5));
    }
}
