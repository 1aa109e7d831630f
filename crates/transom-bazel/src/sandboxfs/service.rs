//! Reading requests, having them done, and answering.

use std::io::{self, Read, Write};
use std::num::NonZero;
use std::sync::mpsc::{self, Receiver};
use std::sync::{Mutex, PoisonError};
use std::thread;

use super::protocol::{Answer, Decoder, Rejected, Request};

/// How much is read of the stream at once.
const READ_BYTES: usize = 64 << 10;

/// Who does what is requested. Called on several threads at once.
pub trait Handle: Sync {
    /// Does it; an error is what the client is told.
    fn handle(&self, request: Request) -> Result<(), String>;
}

/// Why no more requests are read.
#[derive(Debug)]
pub enum Ended {
    /// The client has closed the stream.
    Closed,
    /// What it sends makes no sense any more; it was told.
    Lost(Rejected),
}

/// Serves a client until it closes `input`, or makes no sense. Requests are
/// done by `workers` threads at once, and answered when they are done: who
/// builds on one has to wait for its answer.
///
/// Returns when all of them are answered. Fails if `input` cannot be read; an
/// answer that nobody reads is lost.
pub fn serve(
    mut input: impl Read,
    output: impl Write + Send,
    handler: &impl Handle,
    workers: NonZero<usize>,
) -> io::Result<Ended> {
    let output = Mutex::new(output);
    let (sender, receiver) = mpsc::channel();
    let receiver = Mutex::new(receiver);
    thread::scope(|scope| {
        for _ in 0..workers.get() {
            scope.spawn(|| work(&receiver, &output, handler));
        }
        // Moved in, so that it is closed, and the workers end, before the scope.
        let sender = sender;
        let mut decoder = Decoder::default();
        let mut buffer = vec![0; READ_BYTES];
        loop {
            let length = match input.read(&mut buffer) {
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let mut decoded = decoder.push(&buffer[..length]);
            if length == 0
                && let Err(unfinished) = decoder.finish()
            {
                decoded.push_back(Err(unfinished));
            }
            for request in decoded {
                match request {
                    Ok(request) => _ = sender.send(request),
                    Err(rejected) => {
                        answer(
                            &output,
                            &Answer::failed(rejected.id.clone(), rejected.to_string()),
                        );
                        if rejected.is_last {
                            return Ok(Ended::Lost(rejected));
                        }
                    }
                }
            }
            if length == 0 {
                return Ok(Ended::Closed);
            }
        }
    })
}

fn work(requests: &Mutex<Receiver<Request>>, output: &Mutex<impl Write>, handler: &impl Handle) {
    loop {
        let next = {
            let requests = requests.lock().unwrap_or_else(PoisonError::into_inner);
            requests.recv()
        };
        let Ok(request) = next else {
            return;
        };
        let (Request::Create { id, .. } | Request::Destroy { id }) = &request;
        let id = id.clone();
        let done = match handler.handle(request) {
            Ok(()) => Answer::done(id),
            Err(error) => Answer::failed(Some(id), error),
        };
        answer(output, &done);
    }
}

/// In one piece, so that answers do not mix. A client that is gone has closed
/// its other end too, where that is noticed.
fn answer(output: &Mutex<impl Write>, answer: &Answer) {
    let mut output = output.lock().unwrap_or_else(PoisonError::into_inner);
    let _ = output
        .write_all(&answer.encode())
        .and_then(|()| output.flush());
}

#[cfg(test)]
mod tests {
    use super::*;

    struct OnlyDestroy;

    impl Handle for OnlyDestroy {
        fn handle(&self, request: Request) -> Result<(), String> {
            match request {
                Request::Destroy { .. } => Ok(()),
                Request::Create { .. } => Err("full".into()),
            }
        }
    }

    fn answers(stream: &[u8]) -> (Vec<String>, Ended) {
        let mut output = Vec::new();
        let ended = serve(stream, &mut output, &OnlyDestroy, NonZero::<usize>::MIN).unwrap();
        let text = String::from_utf8(output).unwrap();
        (text.lines().map(str::to_owned).collect(), ended)
    }

    #[test]
    fn each_request_is_answered_by_its_id() {
        let (lines, ended) = answers(br#"{"D":"1"}{"C":{"i":"2"}}{"D":"3"}"#);
        let expected = [
            r#"{"id":"1","error":null}"#,
            r#"{"id":"2","error":"full"}"#,
            r#"{"id":"3","error":null}"#,
        ];
        assert_eq!(lines, expected);
        assert!(matches!(ended, Ended::Closed));
    }

    #[test]
    fn a_stream_that_makes_no_sense_is_told_and_left() {
        for stream in [&b"nonsense"[..], b"{\"D\":"] {
            let (lines, ended) = answers(stream);
            assert!(lines[0].starts_with(r#"{"id":null,"error":""#), "{lines:?}");
            assert!(matches!(ended, Ended::Lost(_)));
        }
    }
}
