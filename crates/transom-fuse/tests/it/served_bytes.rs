//! Volumes that serve their bytes themselves, over a real mount.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rustix::fs::{FallocateFlags, FlockOperation, RenameFlags};
use transom_fuse::request::Operation;
use transom_fuse::{Driver, Opcode, Options, Session};
use transom_sys::fuse_abi::IoctlIn;
use transom_sys::volume_requests;
use transom_test::privileged;
use zerocopy::FromZeros;

use crate::PATIENCE;
use crate::memory::{COUNT_OPEN, Memory};

fn serve() -> (Session<Memory>, PathBuf) {
    let options = Options {
        read_only: false,
        ..Options::default()
    };
    let session = Session::start(Memory::default().define(), &options).unwrap();
    let root = format!("/proc/self/fd/{}", session.mount().unwrap().as_raw_fd());
    (session, root.into())
}

fn rw(path: PathBuf) -> File {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true);
    options.open(path).unwrap()
}

#[test]
fn privileged_the_tree_is_changed() {
    privileged!("mount");
    let (session, root) = serve();
    fs::create_dir(root.join("d")).unwrap();
    fs::write(root.join("d/f"), "bytes").unwrap();
    symlink("d/f", root.join("l")).unwrap();
    fs::hard_link(root.join("d/f"), root.join("h")).unwrap();
    assert_eq!(fs::read_to_string(root.join("l")).unwrap(), "bytes");
    assert_eq!(fs::metadata(root.join("h")).unwrap().nlink(), 2);
    fs::set_permissions(root.join("h"), fs::Permissions::from_mode(0o640)).unwrap();
    assert_eq!(
        fs::metadata(root.join("d/f")).unwrap().mode() & 0o7777,
        0o640
    );

    let rename = |from: &str, to: &str, flags| {
        let at = File::open(&root).unwrap();
        rustix::fs::renameat_with(&at, from, &at, to, flags)
    };
    assert_eq!(
        rename("l", "h", RenameFlags::NOREPLACE),
        Err(rustix::io::Errno::EXIST)
    );
    rename("l", "h", RenameFlags::EXCHANGE).unwrap();
    assert_eq!(fs::read_link(root.join("h")).unwrap(), OsStr::new("d/f"));
    fs::rename(root.join("d/f"), root.join("d/g")).unwrap();
    assert!(fs::remove_dir(root.join("d")).is_err());
    for name in ["d/g", "h", "l"] {
        fs::remove_file(root.join(name)).unwrap();
    }
    fs::remove_dir(root.join("d")).unwrap();
    assert_eq!(fs::read_dir(&root).unwrap().count(), 0);
    assert!(session.end().is_ok());
}

#[test]
fn privileged_bytes_come_back() {
    privileged!("mount");
    let (session, root) = serve();
    let mut file = rw(root.join("f"));
    file.write_all(&[1; 10_000]).unwrap();
    file.write_all_at(&[2; 10], 100_000).unwrap();
    assert_eq!(file.seek(SeekFrom::End(0)).unwrap(), 100_010);
    let mut all = Vec::new();
    file.rewind().unwrap();
    file.read_to_end(&mut all).unwrap();
    assert_eq!(
        (all.len(), all[9_999], all[50_000], all[100_005]),
        (100_010, 1, 0, 2)
    );

    let data = |at| rustix::fs::seek(&file, rustix::fs::SeekFrom::Data(at)).unwrap();
    let hole = |at| rustix::fs::seek(&file, rustix::fs::SeekFrom::Hole(at)).unwrap();
    assert_eq!((hole(0), data(20_000)), (12_288, 98_304));

    let punch = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    rustix::fs::fallocate(&file, punch, 0, 4096).unwrap();
    assert_eq!(data(0), 4096);
    let collapsed = rustix::fs::fallocate(&file, FallocateFlags::COLLAPSE_RANGE, 0, 4096);
    assert_eq!(collapsed, Err(rustix::io::Errno::OPNOTSUPP));

    let copy = rw(root.join("copy"));
    let (mut from, mut to) = (98_304, 0);
    let copied =
        rustix::fs::copy_file_range(&file, Some(&mut from), &copy, Some(&mut to), 5_000).unwrap();
    assert_eq!(copied, 1706);
    assert_eq!(copy.metadata().unwrap().len(), 1706);

    let mut appended = OpenOptions::new()
        .append(true)
        .open(root.join("copy"))
        .unwrap();
    appended.write_all(b"end").unwrap();
    assert!(fs::read(root.join("copy")).unwrap().ends_with(b"end"));
    file.set_len(5).unwrap();
    assert_eq!(fs::read(root.join("f")).unwrap(), [0; 5]);
    file.sync_all().unwrap();
    let statistics = session.statistics();
    assert!(statistics.count(Opcode::CopyFileRange64) > 0);
    assert!(statistics.bytes_written > 10_000);
    assert_eq!(statistics.passthrough_opens, 0);
}

#[test]
fn privileged_uncached_files() {
    privileged!("mount");
    let (session, root) = serve();
    let mut direct = OpenOptions::new();
    direct.read(true).write(true).create(true);
    let file = direct.custom_flags(libc::O_DIRECT).open(root.join("f"));
    // The open that makes a file is done in two steps, so the second is direct.
    let file = file.unwrap();
    file.write_all_at(b"12345", 0).unwrap();
    let reads = session.statistics().count(Opcode::Read);
    let mut buffer = [0; 5];
    for _ in 0..3 {
        file.read_exact_at(&mut buffer, 0).unwrap();
    }
    assert_eq!(
        (&buffer, session.statistics().count(Opcode::Read)),
        (b"12345", reads + 3)
    );
}

#[test]
fn privileged_attributes_labels_and_requests() {
    privileged!("mount");
    let (session, root) = serve();
    let file = rw(root.join("f"));
    let set = |name: &str, value: &[u8], flags| rustix::fs::fsetxattr(&file, name, value, flags);
    set("user.a", b"1", rustix::fs::XattrFlags::CREATE).unwrap();
    assert_eq!(
        set("user.a", b"2", rustix::fs::XattrFlags::CREATE),
        Err(rustix::io::Errno::EXIST)
    );
    assert_eq!(
        set("user.b", b"2", rustix::fs::XattrFlags::REPLACE),
        Err(rustix::io::Errno::NODATA)
    );
    let mut value = [0u8; 8];
    assert_eq!(rustix::fs::fgetxattr(&file, "user.a", &mut value), Ok(1));
    set("user.a", b"four", rustix::fs::XattrFlags::empty()).unwrap();
    assert_eq!(
        rustix::fs::fgetxattr(&file, "user.a", &mut value[..2]),
        Err(rustix::io::Errno::RANGE)
    );
    rustix::fs::fremovexattr(&file, "user.a").unwrap();
    assert_eq!(
        rustix::fs::fgetxattr(&file, "user.a", &mut value),
        Err(rustix::io::Errno::NODATA)
    );

    volume_requests::set_label(&file, OsStr::new("a name")).unwrap();
    assert_eq!(volume_requests::label(&file).unwrap(), "a name");
    let before = session.volume().synchronized.load(Ordering::Relaxed);
    volume_requests::synchronize(File::open(&root).unwrap()).unwrap();
    assert_eq!(
        session.volume().synchronized.load(Ordering::Relaxed),
        before + 1
    );
}

/// Takes a lock in a process of its own, says so and keeps it until it is
/// killed. A process that serves a mount must not wait for it itself: nobody
/// would be left to answer if it were killed.
fn locker(path: &str) -> Child {
    Command::new("flock")
        .args(["--no-fork", path])
        .args(["sh", "-c", "echo locked; exec sleep 60"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

fn has_locked(locker: &mut Child) {
    let mut word = [0; 6];
    let said = locker.stdout.as_mut().unwrap();
    said.read_exact(&mut word).unwrap();
    assert_eq!(&word, b"locked");
}

#[test]
fn privileged_locks_are_the_volumes() {
    privileged!("mount");
    let (session, root) = serve();
    let file = rw(root.join("f"));
    let mount = session.mount().unwrap().as_raw_fd();
    let path = format!("/proc/{}/fd/{mount}/f", std::process::id());
    let mut holder = locker(&path);
    has_locked(&mut holder);
    assert_eq!(
        rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive),
        Err(rustix::io::Errno::WOULDBLOCK)
    );
    let mut waiting = locker(&path);
    let start = Instant::now();
    while session.statistics().count(Opcode::Setlkw) < 2 {
        assert!(start.elapsed() < PATIENCE, "nobody waits for the lock");
        std::thread::sleep(Duration::from_millis(1));
    }
    holder.kill().unwrap();
    holder.wait().unwrap();
    has_locked(&mut waiting);
    waiting.kill().unwrap();
    waiting.wait().unwrap();
}

#[test]
fn privileged_everything_is_given_back() {
    privileged!("mount");
    let (session, root) = serve();
    for number in 0..50 {
        fs::write(root.join(format!("{number}")), "x").unwrap();
    }
    let open = rw(root.join("0"));
    assert!(fs::read_dir(&root).unwrap().count() == 50);
    drop(open);
    let start = Instant::now();
    // RELEASE is not waited for.
    while session.volume().open.load(Ordering::Relaxed) > 0 {
        assert!(start.elapsed() < PATIENCE);
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(session.volume().deactivated.load(Ordering::Relaxed) >= 50);
    assert_eq!(
        session.volume().held.load(Ordering::Relaxed),
        session.live_items() as u64
    );
}

#[test]
fn a_driver_asks_as_the_kernel_does() {
    let driver = Driver::new(Memory::default().define()).unwrap();
    driver.make_directory("d", 0o755).unwrap();
    driver.make_node("d/f", libc::S_IFREG | 0o644).unwrap();
    assert_eq!(driver.write("d/f", 3, b"abc").unwrap(), 3);
    assert_eq!(driver.read("d/f", 0, 100).unwrap(), b"\0\0\0abc");
    assert_eq!(driver.stat("d/f").unwrap().size, 6);
    driver.link("d/f", "h").unwrap();
    driver.unlink("d/f").unwrap();
    driver.remove_directory("d").unwrap();
    let args = IoctlIn {
        cmd: COUNT_OPEN,
        out_size: 8,
        ..IoctlIn::new_zeroed()
    };
    let answer = driver.request("h", Operation::Ioctl { args, data: &[] });
    assert_eq!(answer.unwrap(), [0; 16 + 8], "nothing is open");
    let names: Vec<_> = driver.list("", 64).unwrap();
    assert_eq!(names.len(), 1, "{names:?}");
    assert_eq!(driver.live_items(), 1);
    assert_eq!(driver.volume().held.load(Ordering::Relaxed), 1);
    assert_eq!(driver.volume().open.load(Ordering::Relaxed), 0);
}
