//! FUSE requests.
//!
//! The input is what was read from `/dev/fuse`: any bytes at all.

#![no_main]

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use libfuzzer_sys::fuzz_target;
use transom_fuse::Opcode;
use transom_fuse::request::{Malformed, Operation, Request};

/// The length of the head of a request, from linux/fuse.h.
const HEAD_BYTES: usize = 40;

fuzz_target!(|data: &[u8]| {
    check(data);
    // The kernel always says how long a request is. Said for the input, it
    // leads beyond the first check.
    let mut truthful = data.to_vec();
    if let Some(length) = truthful.get_mut(..4) {
        length.copy_from_slice(&(data.len() as u32).to_ne_bytes());
        check(&truthful);
    }
});

fn check(data: &[u8]) {
    match Request::decode(data) {
        Ok(request) => {
            assert!(data.len() >= HEAD_BYTES);
            assert!(within(data, &request.operation));
            let opcode = request.operation.opcode();
            let said = u32::from_ne_bytes(data[4..8].try_into().expect("four bytes"));
            // One operation stands for both ways to rename.
            assert!(opcode as u32 == said || said == Opcode::Rename as u32);
            // Decoding depends on nothing else.
            assert_eq!(Request::decode(data).as_ref(), Ok(&request));
        }
        Err(malformed) => {
            assert!(!malformed.to_string().is_empty());
            let is_answered = !matches!(malformed, Malformed::Truncated);
            assert!(!is_answered || data.len() >= HEAD_BYTES);
        }
    }
}

/// Whether names and data are what whoever holds a request relies on.
fn within(data: &[u8], operation: &Operation<'_>) -> bool {
    let is_label = |name: &OsStr| {
        let bytes = name.as_bytes();
        !bytes.is_empty() && !bytes.contains(&0) && bytes.len() < data.len()
    };
    let is_name = |name: &OsStr| is_label(name) && !name.as_bytes().contains(&b'/');
    match operation {
        Operation::Lookup { name }
        | Operation::Mknod { name, .. }
        | Operation::Mkdir { name, .. }
        | Operation::Unlink { name }
        | Operation::Rmdir { name }
        | Operation::Link { name, .. }
        | Operation::Create { name, .. } => is_name(name),
        Operation::Symlink { name, target } => is_name(name) && !target.as_bytes().contains(&0),
        Operation::Rename { name, new_name, .. } => is_name(name) && is_name(new_name),
        Operation::Getxattr { name, .. } | Operation::Removexattr { name } => is_label(name),
        Operation::Setxattr { args, name, value } => {
            is_label(name) && value.len() == args.size as usize
        }
        Operation::Write { args, data } => data.len() == args.size as usize,
        Operation::Ioctl { args, data } => data.len() == args.in_size as usize,
        Operation::NotifyReply { args, data } => data.len() == args.size as usize,
        Operation::BatchForget { forgets } => size_of_val(&forgets[..]) <= data.len(),
        Operation::Removemapping { ranges } => size_of_val(&ranges[..]) <= data.len(),
        _ => true,
    }
}
