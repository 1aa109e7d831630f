//! What clients of an NBD server send: options until they have chosen an
//! export, and requests from then on.
//!
//! The input is what arrives on a socket: any bytes at all.

#![no_main]

use std::io::{self, Read, Write};

use libfuzzer_sys::fuzz_target;
use transom_block::nbd::wire::{Command, PAYLOAD_BYTES_MAX, Request};
use transom_block::nbd::{Exports, negotiate};
use transom_module::Geometry;

const NAMES: [&str; 2] = ["disk", "other"];
const GREETING_BYTES: usize = 18;
/// What an export chosen in the oldest way is told by: size, flags, zeroes.
const OLD_INFO_BYTES: [usize; 2] = [10, 134];

fuzz_target!(|data: &[u8]| {
    let mut client = Client {
        says: data,
        heard: Vec::new(),
    };
    let chosen = negotiate(&mut client, &Named);
    let replies = check_replies(&client.heard[GREETING_BYTES..]);
    match chosen {
        Ok(Some(name)) => {
            assert!(NAMES.contains(&name));
            // Told by a reply, or in the oldest way after all replies.
            assert!(replies.is_empty() || OLD_INFO_BYTES.contains(&replies.len()));
        }
        Ok(None) => assert!(replies.is_empty()),
        Err(error) => assert!(!error.to_string().is_empty() && replies.is_empty()),
    }
    if let Some(head) = data.first_chunk() {
        check_request(head);
    }
    let mut truthful = *b"\x25\x60\x95\x13\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    for (to, from) in truthful[4..].iter_mut().zip(data) {
        *to = *from;
    }
    assert!(check_request(&truthful));
});

/// Skips replies to options, which have to be whole, and returns the rest.
fn check_replies(mut heard: &[u8]) -> &[u8] {
    while let Some((head, rest)) = heard.split_first_chunk::<20>() {
        if head[..8] != 0x3_e889_0455_65a9_u64.to_be_bytes() {
            break;
        }
        let length = u32::from_be_bytes(head[16..].try_into().expect("four bytes"));
        heard = &rest[length as usize..];
    }
    heard
}

fn check_request(head: &[u8; Request::BYTES]) -> bool {
    let Ok(request) = Request::decode(head) else {
        return false;
    };
    assert!(request.memory_bytes() <= PAYLOAD_BYTES_MAX as usize);
    let has_payload = request.payload_bytes() > 0;
    assert!(!has_payload || request.command == Command::Write);
    true
}

/// Exports of which nothing is used.
struct Named;

impl Exports for Named {
    type Export = &'static str;

    fn names(&self) -> Vec<String> {
        NAMES.map(String::from).to_vec()
    }

    fn find(&self, name: &str) -> Option<(String, &'static str)> {
        let found = NAMES.into_iter().find(|known| *known == name)?;
        Some((found.into(), found))
    }

    fn geometry(&self, _: &&'static str) -> Geometry {
        Geometry {
            bytes: 1 << 20,
            block_bytes: 512,
            preferred_bytes: 4096,
            read_only: false,
            discards: true,
        }
    }
}

struct Client<'a> {
    says: &'a [u8],
    heard: Vec<u8>,
}

impl Read for Client<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.says.read(buffer)
    }
}

impl Write for Client<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.heard.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
