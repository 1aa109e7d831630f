//! The requests of Bazel to sandboxfs.
//!
//! The first byte says where the stream is cut in two; the rest is the stream.

#![no_main]

use libfuzzer_sys::fuzz_target;
use transom_bazel::sandboxfs::{Decoder, Rejected, Request};

fuzz_target!(|data: &[u8]| {
    let Some((cut, stream)) = data.split_first() else {
        return;
    };
    let mut decoder = Decoder::default();
    let whole: Vec<_> = decoder.push(stream).into();
    whole.iter().for_each(check);
    // How the bytes arrive makes no difference.
    let (first, second) = stream.split_at(stream.len().min(usize::from(*cut)));
    let mut decoder = Decoder::default();
    let mut pieces: Vec<_> = decoder.push(first).into();
    pieces.extend(decoder.push(second));
    // Which of several mistakes is told depends on the order of a hash table.
    assert_eq!(pieces.len(), whole.len());
    for (piece, whole) in pieces.iter().zip(&whole) {
        assert_eq!(piece.as_ref().ok(), whole.as_ref().ok());
    }
});

fn check(decoded: &Result<Request, Rejected>) {
    match decoded {
        Ok(Request::Create { id, mappings }) => {
            check_id(id);
            assert!(mappings.iter().all(|mapping| mapping.source.is_absolute()));
        }
        Ok(Request::Destroy { id }) => check_id(id),
        Err(rejected) => assert!(!rejected.to_string().is_empty()),
    }
}

/// It can be a name in a directory.
fn check_id(id: &str) {
    assert!(!id.is_empty() && !id.contains('/') && id != "." && id != "..");
}
