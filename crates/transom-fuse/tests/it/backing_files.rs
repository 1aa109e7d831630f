//! I/O by the kernel on host files.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::fd::AsRawFd;
use std::path::Path;

use transom_fuse::{Opcode, Options, Passthrough, Session};
use transom_test::{KernelRequests, connection_of, privileged};

use crate::shelf::{Content, Shelf, host};
use crate::{path_of, serve, serve_with};

const SIZE: usize = 3 << 20;

fn host_file(directory: &Path) -> std::path::PathBuf {
    let path = directory.join("host");
    let bytes: Vec<u8> = (0..SIZE).map(|index| (index % 251) as u8).collect();
    std::fs::write(&path, bytes).unwrap();
    path
}

fn kernel_watch(session: &Session<Shelf>) -> KernelRequests {
    KernelRequests::watch(connection_of(&path_of(session, "")).unwrap()).unwrap()
}

#[test]
fn privileged_reads_of_a_backing_file_make_no_request() {
    privileged!("mount");
    let directory = tempfile::tempdir().unwrap();
    let path = host_file(directory.path());
    let session = serve(&[("file", host(&path)), ("again", host(&path))]);
    let kernel = kernel_watch(&session);
    // The first step into the root asks for its attributes.
    std::fs::metadata(path_of(&session, "")).unwrap();
    let getattr_before = session.statistics().count(Opcode::Getattr);
    for name in ["file", "again", "file"] {
        assert_eq!(
            std::fs::read(path_of(&session, name)).unwrap(),
            std::fs::read(&path).unwrap()
        );
    }
    let statistics = session.statistics();
    let kernel = kernel.finish().unwrap();
    assert_eq!(statistics.count(Opcode::Read), 0, "{statistics:?}");
    assert_eq!(kernel.of(Opcode::Read as u32), 0);
    assert_eq!(
        kernel.of(Opcode::Open as u32),
        3,
        "the kernel's trace sees this connection"
    );
    assert_eq!(
        (
            statistics.passthrough_opens,
            statistics.served_opens,
            statistics.bytes_read
        ),
        (3, 0, 0)
    );
    assert_eq!(
        statistics.count(Opcode::Getattr),
        getattr_before,
        "a read-only superblock saves them"
    );
}

#[test]
fn privileged_without_passthrough_only_the_counters_differ() {
    privileged!("mount");
    let directory = tempfile::tempdir().unwrap();
    let path = host_file(directory.path());
    let session = serve_with(
        &[("file", host(&path))],
        &Options {
            passthrough: Passthrough::Off,
            ..Options::default()
        },
    );
    assert!(!session.passthrough());
    assert_eq!(
        std::fs::read(path_of(&session, "file")).unwrap(),
        std::fs::read(&path).unwrap()
    );
    let statistics = session.statistics();
    assert!(statistics.count(Opcode::Read) > 0);
    assert_eq!(
        (statistics.passthrough_opens, statistics.bytes_read),
        (0, SIZE as u64)
    );
}

#[test]
fn privileged_readahead_of_a_backing_file_is_served() {
    privileged!("mount");
    let directory = tempfile::tempdir().unwrap();
    let path = host_file(directory.path());
    let session = serve(&[("file", host(&path))]);
    let file = File::open(path_of(&session, "file")).unwrap();
    // The kernel sends READ for this one, passthrough or not.
    rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::WillNeed).unwrap();
    let mut bytes = Vec::new();
    (&file).read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes, std::fs::read(&path).unwrap());
}

#[test]
fn privileged_a_backing_file_cannot_be_written() {
    privileged!("mount");
    let directory = tempfile::tempdir().unwrap();
    let path = host_file(directory.path());
    let before = std::fs::read(&path).unwrap();
    // The superblock is writable here: what must hold is the volume's refusal.
    let session = serve_with(
        &[("file", host(&path))],
        &Options {
            read_only: false,
            ..Options::default()
        },
    );
    let error = OpenOptions::new()
        .read(true)
        .write(true)
        .open(path_of(&session, "file"))
        .unwrap_err();
    assert!(
        matches!(error.raw_os_error(), Some(libc::EROFS)),
        "the kernel would write through a descriptor that is open for reading: {error}"
    );
    assert!(std::fs::write(path_of(&session, "file"), b"no").is_err());
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[test]
fn privileged_a_replaced_file_keeps_its_pinned_bytes() {
    privileged!("mount");
    let directory = tempfile::tempdir().unwrap();
    let path = host_file(directory.path());
    let session = serve(&[("file", host(&path))]);
    let mut open = File::open(path_of(&session, "file")).unwrap();
    let mut replacement = File::create(directory.path().join("new")).unwrap();
    replacement.write_all(b"replacement").unwrap();
    std::fs::rename(directory.path().join("new"), &path).unwrap();
    let mut first = [0; 4];
    open.read_exact(&mut first).unwrap();
    assert_eq!(first, [0, 1, 2, 3]);
    assert_eq!(
        std::fs::read(path_of(&session, "file")).unwrap().len(),
        SIZE,
        "also when opened again"
    );
    open.seek(SeekFrom::End(0)).unwrap();
}

#[test]
fn privileged_a_mapped_file_and_an_executed_one_make_no_read_request() {
    privileged!("mount");
    let directory = tempfile::tempdir().unwrap();
    let program = directory.path().join("true");
    std::fs::copy("/bin/true", &program).unwrap();
    let session = serve(&[("program", host(&program))]);
    // The shelf's files are not executable; the loader maps any file.
    let loader = std::fs::read_dir("/lib64")
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .next()
        .unwrap();
    let mount = format!(
        "/proc/{}/fd/{}",
        std::process::id(),
        session.mount().unwrap().as_raw_fd()
    );
    let status = std::process::Command::new(loader)
        .arg(format!("{mount}/program"))
        .status()
        .unwrap();
    assert!(status.success());
    let statistics = session.statistics();
    assert_eq!(statistics.count(Opcode::Read), 0);
    assert!(statistics.passthrough_opens > 0);
}

#[test]
fn privileged_thousands_of_backing_files_take_no_descriptors() {
    privileged!("mount");
    let directory = tempfile::tempdir().unwrap();
    let path = host_file(directory.path());
    let content = host(&path);
    let names: Vec<String> = (0..500).map(|number| format!("f{number}")).collect();
    let files: Vec<(&str, Content)> = names
        .iter()
        .map(|name| (name.as_str(), content.clone()))
        .collect();
    let session = serve(&files);
    let descriptors = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let before = descriptors();
    for name in &names {
        let mut byte = [0];
        File::open(path_of(&session, name))
            .unwrap()
            .read_exact(&mut byte)
            .unwrap();
    }
    // Other tests of this process open and close files meanwhile.
    assert!(
        descriptors() < before + 250,
        "{before} before, {} after",
        descriptors()
    );
    assert_eq!(session.statistics().passthrough_opens, 500);
}
