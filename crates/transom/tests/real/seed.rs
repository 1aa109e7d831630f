//! The action that the project began with, from the first descriptor to the
//! last: nothing of what it reads passes through us.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Seek, Write};
use std::os::unix::ffi::OsStrExt;
use std::process::Command;

use rustix::fs::{Advice, fadvise};
use transom_fuse::Opcode;
use transom_projection::{Declaration, View};
use transom_test::{
    InputFile, KernelRequests, LoopVolume, SeedAction, Tmpfs, connection_of, privileged,
};

use crate::c_project::printed;
use crate::host::{Host, Live, file, path_in, usual_inputs};
use crate::world::Engine;

/// Reads the files whose names come in, each followed by a NUL byte, in reads
/// of 128 KiB.
const READ_ALL: &str = "xargs -0 cat | cksum";

#[test]
fn privileged_fuse_reads_nothing_for_the_seeds_action() {
    privileged!("mount volumes and views");
    let (ext4, tmpfs) = (
        LoopVolume::ext4(64 << 20).unwrap(),
        Tmpfs::new(64 << 20).unwrap(),
    );
    let action = SeedAction::generate(ext4.path(), tmpfs.path()).unwrap();
    let host = Host::new(Engine::Fuse);
    let view = host.view(inputs(&action));
    let session = host.session.as_ref().unwrap();
    evict(&action);

    let tree = host.tree(&view);
    let connection = connection_of(&path_in(&tree, "")).unwrap();
    let kernel = KernelRequests::watch(connection).unwrap();
    assert_eq!(read_inside(&host, &view, &action), read_outside(&action));
    let kernel = kernel.finish().unwrap();
    let statistics = session.statistics();
    println!("{kernel}");
    assert_eq!(kernel.of(Opcode::Read as u32), 0, "{kernel}");
    assert_eq!(statistics.count(Opcode::Read), 0, "{statistics:?}");
    assert_eq!((statistics.served_opens, statistics.bytes_read), (0, 0));
    // The kernel's trace is of this connection, and saw the action.
    let files = action.files().len() as u64;
    assert!(kernel.of(Opcode::Open as u32) >= files, "{kernel}");
    assert_eq!(
        statistics.count(Opcode::Open),
        kernel.of(Opcode::Open as u32)
    );

    drop(tree);
    host.session.unwrap().end().unwrap();
}

#[test]
fn privileged_mounts_makes_no_request_for_the_seeds_action() {
    privileged!("mount volumes and views");
    let (ext4, tmpfs) = (
        LoopVolume::ext4(64 << 20).unwrap(),
        Tmpfs::new(64 << 20).unwrap(),
    );
    let action = SeedAction::generate(ext4.path(), tmpfs.path()).unwrap();
    let host = Host::new(Engine::Mounts);
    let view = host.view(inputs(&action));
    evict(&action);
    assert_eq!(read_inside(&host, &view, &action), read_outside(&action));
    // There is nobody whom a request could be sent to.
    let tree = host.tree(&view);
    for input in action.files() {
        let path = path_in(&tree, &name_in_view(input));
        assert!(connection_of(&path).is_err(), "{}", path.display());
    }
}

fn name_in_view(input: &InputFile) -> String {
    format!("w/{}", input.name.display())
}

fn inputs(action: &SeedAction) -> Vec<Declaration> {
    let files = action.files().iter();
    let files = files.map(|input| file(&name_in_view(input), &input.source));
    files.chain(usual_inputs()).collect()
}

/// What the action reads, as an action of the host reads it.
fn read_inside(host: &Host, view: &View, action: &SeedAction) -> String {
    let mut live = Live::start(host.tree(view), &["sh", "-c", READ_ALL]);
    live.write(&listed(action.files().iter().map(name_in_view)));
    live.finish()
}

fn read_outside(action: &SeedAction) -> String {
    let sources = action.files().iter().map(|input| &input.source);
    let mut list = tempfile::tempfile().unwrap();
    list.write_all(&listed(sources)).unwrap();
    list.rewind().unwrap();
    printed(Command::new("sh").args(["-c", READ_ALL]).stdin(list))
}

fn listed<P: AsRef<OsStr>>(paths: impl Iterator<Item = P>) -> Vec<u8> {
    let paths = paths.map(|path| [path.as_ref().as_bytes(), b"\0"].concat());
    paths.collect::<Vec<_>>().concat()
}

/// Drops the host files from the page cache, so that reads are cold.
fn evict(action: &SeedAction) {
    for input in action.files() {
        let file = File::open(&input.source).unwrap();
        file.sync_all().unwrap();
        fadvise(&file, 0, None, Advice::DontNeed).unwrap();
    }
}
