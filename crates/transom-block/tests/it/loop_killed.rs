//! Loop devices whose server is killed.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::FileExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use transom_block::{LoopIdentity, LoopOptions, detach_abandoned, publish_loop};
use transom_module::BlockVolume;
use transom_test::privileged;

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
        "unflushed" => Arc::new(Unflushed::new(image)),
        "slow" => Arc::new(Slow {
            inner: volume_of(image),
            gate: Gate::default(),
        }),
        "fatal" => Arc::new(Fatal::default()),
        _ => Arc::new(volume_of(image)),
    };
    let device = publish_loop(volume, &LoopOptions::default()).unwrap();
    let LoopIdentity { path, name } = device.identity();
    println!("\npublished {} {name}", path.display());
    thread::sleep(Duration::MAX);
}

fn spawn(image: &HostFile, volume: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "loop_killed::process_that_publishes"])
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

#[test]
fn privileged_what_was_flushed_survives_the_server() {
    privileged!("attach a loop device");
    let host = HostFile::new(8 * MIB);
    let mut server = Server::start(&host, "unflushed");
    let disk = server.open();
    for block in 0..64 {
        disk.write_all_at(&[block; 4096], u64::from(block) * 4096)
            .unwrap();
        if block % 8 == 7 {
            disk.sync_all().unwrap();
        }
    }
    disk.write_all_at(&[99; 4096], 4 * MIB).unwrap();
    server.kill();
    let image = File::open(host.path()).unwrap();
    let mut content = [0; 4096];
    for block in 0..64 {
        image
            .read_exact_at(&mut content, u64::from(block) * 4096)
            .unwrap();
        assert_eq!(content, [block; 4096]);
    }
    // Otherwise the volume of this test would have kept nothing back.
    image.read_exact_at(&mut content, 4 * MIB).unwrap();
    assert_eq!(content, [0; 4096]);
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
