//! What a sandbox backend reads from Bazel.
//!
//! The input is the stream: lengths, requests, and in them directories and
//! digests.

#![no_main]

use std::collections::HashSet;
use std::path::Path;
use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use transom_bazel::backend::wire::{Operation, Request};
use transom_bazel::backend::{HashFunction, Store, Unresolved, framing};
use transom_projection::{HostRoot, Projection, ProjectionOptions};

/// A directory without files: nothing is found that was not pushed.
const NOWHERE: &str = "/nonexistent/execroot";

fuzz_target!(|data: &[u8]| {
    let store = Store::new(projection());
    let mut pushed = HashSet::new();
    let mut rest = data;
    loop {
        let before = rest.len();
        match framing::read::<Request>(&mut rest) {
            Ok(Some(request)) => {
                assert!(rest.len() < before);
                serve(&store, request, &mut pushed);
            }
            Ok(None) => break assert!(rest.is_empty()),
            Err(error) => break assert!(!error.to_string().is_empty()),
        }
    }
});

fn serve(store: &Store, request: Request, pushed: &mut HashSet<String>) {
    let nowhere = Path::new(NOWHERE);
    match request.op {
        Some(Operation::Push(mut push)) => {
            // Host files are not the fuzzer's.
            push.content.clear();
            pushed.extend(push.blobs.keys().cloned());
            store.push(push, nowhere);
        }
        Some(Operation::Create(create)) => {
            let manifest = create.manifest.unwrap_or_default();
            let root = manifest.input_root_digest.as_ref();
            match store.resolve(root, HashFunction::Unchecked, nowhere) {
                // What is there is not asked for again.
                Err(Unresolved::Missing(hashes)) => {
                    assert!(hashes.iter().any(|hash| !pushed.contains(hash)));
                }
                Err(error) => assert!(!error.to_string().is_empty()),
                Ok(made) => {
                    let again = store.resolve(root, HashFunction::Unchecked, nowhere);
                    assert!(std::sync::Arc::ptr_eq(&made, &again.expect("it was there")));
                }
            }
        }
        _ => {}
    }
}

fn projection() -> Projection {
    static PROJECTION: OnceLock<Projection> = OnceLock::new();
    let projection = PROJECTION.get_or_init(|| {
        let host = HostRoot::of_process().expect("a process has a root");
        Projection::new(host, ProjectionOptions::default())
    });
    projection.clone()
}
