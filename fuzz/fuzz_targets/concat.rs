//! The label and the table of volumes that a member of a container carries.
//!
//! The first byte says whether checksums are made right, without which nothing
//! gets far. What follows is a label without its magic number, then a table.

#![no_main]

use std::fs::{File, OpenOptions};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use sha2::{Digest, Sha256};
use transom_concat::ConcatModule;
use transom_module::{
    BlockVolumes, Container, ContainerId, LoadOptions, Module, Probe, Resource, ResourceKind,
    Resources,
};

/// A sparse file that large labels fit into.
const FILE_BYTES: u64 = 1 << 40;
const LABEL_MAGIC: &[u8] = b"transom-concat\r\n";
/// What the fields of a label take.
const FIELDS_BYTES: usize = 824;
const LABEL_BYTES: usize = 4096;
const TABLE_MAGIC: &[u8] = b"transom-table\r\n\0";
const TABLE_OFFSET: u64 = 1 << 20;

fuzz_target!(|data: &[u8]| {
    let Some((&sealed, data)) = data.split_first() else {
        return;
    };
    let (fields, table) = data.split_at(data.len().min(FIELDS_BYTES - LABEL_MAGIC.len()));
    let (file, path) = file();
    match sealed & 1 {
        0 => file.write_all_at(data, 0).expect("it is written"),
        _ => {
            let mut label = [LABEL_MAGIC, fields].concat();
            label.resize(LABEL_BYTES - 32, 0);
            file.write_all_at(&sealed_by(&label, &[]), 0)
                .expect("it is written");
            let identity = label.get(40..56).unwrap_or_default();
            let generation = 2_u64.to_le_bytes();
            let length = (table.len() as u64).to_le_bytes();
            let head = [TABLE_MAGIC, identity, &generation, &length].concat();
            let slot = [&sealed_by(&head, table), table].concat();
            file.write_all_at(&slot, TABLE_OFFSET)
                .expect("it is written");
        }
    }
    let resource = || {
        let file = OpenOptions::new()
            .read(true)
            .open(path)
            .expect("it is there");
        Resource::new(ResourceKind::File, path, file.into())
    };
    if let Ok(Probe::Member(member)) = ConcatModule.probe(&resource()) {
        assert!(member.index < member.of && member.enough <= member.of);
        load(resource());
    }
    // The next input begins with nothing.
    file.set_len(0)
        .and_then(|()| file.set_len(FILE_BYTES))
        .expect("it is emptied");
});

fn load(resource: Resource) {
    let options = LoadOptions {
        read_only: true,
        degraded: true,
        ..LoadOptions::default()
    };
    let Ok(container) = ConcatModule.load(Resources::alone(ContainerId::NIL, resource), &options)
    else {
        return;
    };
    let _ = container.trouble();
    for volume in container.volumes() {
        assert!(!volume.name.is_empty() && !volume.name.contains('/'));
        let Ok(volume) = container.block_volume(&volume.key) else {
            continue;
        };
        let bytes = volume.geometry().bytes;
        let mut sector = [0; 512];
        volume.read(0, &mut sector).expect("all is there");
        volume.read(bytes - 512, &mut sector).expect("all is there");
        assert!(volume.read(bytes, &mut sector).is_err());
    }
}

/// Bytes with their checksum, which covers what comes behind, too.
fn sealed_by(bytes: &[u8], behind: &[u8]) -> Vec<u8> {
    let checksum = Sha256::new()
        .chain_update(bytes)
        .chain_update(behind)
        .finalize();
    [bytes, &checksum].concat()
}

fn file() -> &'static (File, PathBuf) {
    static FILE: OnceLock<(File, PathBuf)> = OnceLock::new();
    FILE.get_or_init(|| {
        let name = format!("transom-fuzz-concat-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let file = File::create_new(&path).expect("a temporary file");
        file.set_len(FILE_BYTES).expect("a sparse file");
        // It goes when this process does.
        std::fs::remove_file(&path).expect("it is there");
        let itself = format!("/proc/self/fd/{}", file.as_raw_fd());
        (file, itself.into())
    })
}
