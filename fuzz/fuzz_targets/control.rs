//! What clients send to a control socket.
//!
//! The input is the stream: messages, each ended by a NUL byte. The first byte
//! is not part of it: it says where the stream is cut in two pieces.

#![no_main]

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, LazyLock};
use std::thread;

use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};
use transom_control::view::{Change, Description, Error, Explanation, ViewService, interface};
use transom_control::{Bytes, Method, Services, host, views};

static SERVICES: LazyLock<Services> = LazyLock::new(|| Services::new([interface(Arc::new(Fixed))]));

fuzz_target!(|data: &[u8]| {
    let Some((&cut, data)) = data.split_first() else {
        return;
    };
    let (first, second) = data.split_at(usize::from(cut).min(data.len()));
    let replies = served(first, second);

    let calls: Vec<_> = data.split(|byte| *byte == 0).collect();
    let replies: Vec<_> = replies.split_terminator('\0').collect();
    assert!(replies.len() < calls.len(), "one reply for each whole call");
    for reply in replies {
        let reply: Value = serde_json::from_str(reply).expect("a reply is JSON");
        assert!(reply["parameters"].is_object());
        assert!(reply.get("continues").is_none(), "nothing is streamed");
    }
    for call in calls {
        decode(call);
    }
});

/// What a client is replied that sends these pieces.
fn served(first: &[u8], second: &[u8]) -> String {
    let (ours, mut theirs) = UnixStream::pair().expect("a pair of sockets");
    thread::scope(|scope| {
        let serving = scope.spawn(move || {
            // Garbage is no failure of the server's.
            let _ = SERVICES.serve(&ours);
        });
        let mut reader = theirs.try_clone().expect("a descriptor");
        let reading = scope.spawn(move || {
            let mut replies = Vec::new();
            let _ = reader.read_to_end(&mut replies);
            String::from_utf8(replies).expect("replies are text")
        });
        // It may have hung up by now.
        let _ = theirs.write_all(first);
        let _ = theirs.write_all(second);
        let _ = theirs.shutdown(Shutdown::Write);
        // Also for the leak detector, which would find what a thread that ends has.
        serving.join().expect("serving does not panic");
        reading.join().expect("reading does not panic")
    })
}

/// Whatever parameters are understood mean the same when they are written again.
fn decode(call: &[u8]) {
    let Ok(call) = serde_json::from_slice::<Value>(call) else {
        return;
    };
    let parameters = &call["parameters"];
    survives::<host::Load>(parameters);
    survives::<host::Mount>(parameters);
    survives::<host::PublishBlock>(parameters);
    survives::<host::StartFormat>(parameters);
    survives::<host::Unmount>(parameters);
    survives::<host::Events>(parameters);
    survives::<views::Create>(parameters);
    survives::<views::Explain>(parameters);
    survives::<views::Update>(parameters);
}

fn survives<M: Method>(parameters: &Value) {
    if let Ok(call) = serde_json::from_value::<M>(parameters.clone()) {
        let written = serde_json::to_value(&call).expect("a call is JSON");
        let again: M = serde_json::from_value(written.clone()).expect("it was understood");
        assert_eq!(serde_json::to_value(&again).expect("JSON"), written);
    }
}

struct Fixed;

impl ViewService for Fixed {
    fn describe(&self) -> Description {
        Description {
            name: "fuzzed".into(),
            engine: "none".into(),
            epoch: 0,
            files: 0,
            bytes: 0,
            passthrough: false,
        }
    }

    fn update(&self, changes: &[Change]) -> Result<u64, Error> {
        Ok(changes.len() as u64)
    }

    fn explain(&self, path: &Bytes) -> Result<Explanation, Error> {
        Ok(Explanation {
            text: String::new(),
            explanation: json!({ "path": path }),
        })
    }

    fn trace(&self) -> Result<Value, Error> {
        Err(Error::Unavailable {
            message: String::new(),
        })
    }

    fn statistics(&self) -> Value {
        json!({})
    }
}
