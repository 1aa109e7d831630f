//! The NBD server with clients that others wrote.

use std::fs;
use std::path::Path;

use crate::nbd_protocol::Served;
use crate::{run, text};

const MIB: usize = 1 << 20;

fn uri(served: &Served, export: &str) -> String {
    format!("nbd+unix:///{export}?socket={}", text(&served.socket()))
}

/// A file with something in it.
fn content(directory: &Path) -> (String, Vec<u8>) {
    let path = directory.join("content");
    let mut bytes = vec![0; MIB];
    for (index, byte) in bytes.iter_mut().enumerate() {
        // Every fourth block of 64 KiB is a hole.
        if index >> 16 & 3 != 3 {
            *byte = (index % 251) as u8;
        }
    }
    fs::write(&path, &bytes).unwrap();
    (text(&path).into(), bytes)
}

#[test]
fn nbdinfo_sees_the_exports_and_what_they_can_do() {
    let served = Served::new();
    let info = run("nbdinfo", &[&uri(&served, "disk")]);
    for line in [
        "export-size: 1048576 (1M)",
        "can_flush: true",
        "can_fua: true",
        "can_multi_conn: true",
        "can_trim: true",
        "can_zero: true",
        "is_read_only: false",
        "block_size_minimum: 512",
        "block_size_maximum: 33554432",
    ] {
        assert!(info.contains(line), "{line} is missing in\n{info}");
    }
    served.server.export("other", served.host.volume()).unwrap();
    let list = run("nbdinfo", &["--list", &uri(&served, "")]);
    for line in ["export=\"disk\"", "export=\"other\""] {
        assert!(list.contains(line), "{line} is missing in\n{list}");
    }
}

#[test]
fn nbdcopy_copies_to_and_fro_over_several_connections() {
    let served = Served::new();
    let directory = transom_test::temp_dir().unwrap();
    let (file, bytes) = content(directory.path());
    let uri = uri(&served, "disk");
    let connections = ["--connections=4", "--requests=64", "--request-size=65536"];
    run(
        "nbdcopy",
        &[&connections[..], &["--flush", &file, &uri]].concat(),
    );
    assert_eq!(fs::read(served.host.path()).unwrap(), bytes);
    assert!(served.host.space() < MIB as u64, "holes stay holes");

    let back = directory.path().join("back");
    run(
        "nbdcopy",
        &[&connections[..], &[&uri, text(&back)]].concat(),
    );
    assert_eq!(fs::read(back).unwrap(), bytes);
}

#[test]
fn qemu_img_converts_and_compares() {
    let served = Served::new();
    let directory = transom_test::temp_dir().unwrap();
    let (file, bytes) = content(directory.path());
    let uri = uri(&served, "disk");
    run("qemu-img", &["info", &uri]);
    let raw = ["-f", "raw", "-O", "raw"];
    run(
        "qemu-img",
        &[&["convert", "-n"][..], &raw, &[&file, &uri]].concat(),
    );
    assert_eq!(fs::read(served.host.path()).unwrap(), bytes);
    run(
        "qemu-img",
        &["compare", "-f", "raw", "-F", "raw", &file, &uri],
    );

    let image = directory.path().join("image.qcow2");
    run(
        "qemu-img",
        &["convert", "-f", "raw", "-O", "qcow2", &uri, text(&image)],
    );
    run(
        "qemu-img",
        &["compare", "-f", "raw", "-F", "qcow2", &uri, text(&image)],
    );
}

#[test]
fn qemu_io_reads_writes_discards_and_flushes() {
    let served = Served::new();
    let uri = uri(&served, "disk");
    let printed = run(
        "qemu-io",
        &[
            "-f",
            "raw",
            "-d",
            "unmap",
            "-c",
            "write -P 17 64k 64k",
            "-c",
            "read -P 17 64k 64k",
            "-c",
            "write -z 64k 32k",
            "-c",
            "read -P 0 64k 32k",
            "-c",
            "read -P 17 96k 32k",
            "-c",
            "write -f -P 18 0 4k",
            "-c",
            "discard 512k 64k",
            "-c",
            "flush",
            &uri,
        ],
    );
    assert!(!printed.contains("failed"), "{printed}");
    let bytes = fs::read(served.host.path()).unwrap();
    assert_eq!((bytes[0], bytes[64 << 10], bytes[96 << 10]), (18, 0, 17));

    // Requests that are not aligned are made so by the client.
    run("qemu-io", &["-f", "raw", "-c", "write -P 19 100 7", &uri]);
    let bytes = fs::read(served.host.path()).unwrap();
    assert_eq!(bytes[99..108], [18, 19, 19, 19, 19, 19, 19, 19, 18]);
}
