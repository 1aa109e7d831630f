//! How a client uses an export.

use std::io::{self, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::panic::{self, AssertUnwindSafe};
use std::sync::{Mutex, PoisonError};

use transom_module::{BlockVolume, Errno, write_zeroes_as_data};

use super::jobs::Jobs;
use super::wire::{self, Command, ErrorNumber, PAYLOAD_BYTES_MAX, Request};
use crate::extent::{self, Refused};

/// Serves a client that has chosen an export until it or the connection ends.
/// What it asked for until then is done when this returns.
pub(super) fn serve(
    stream: &UnixStream,
    volume: &dyn BlockVolume,
    count: &(dyn Fn(Command) + Sync),
) {
    let replies = Mutex::new(stream);
    let answer = |(request, payload): (Request, Vec<u8>)| {
        let reply = reply(volume, &request, &payload);
        // The memory that a client makes us use is what was counted.
        drop(payload);
        let mut stream = replies.lock().unwrap_or_else(PoisonError::into_inner);
        if stream.write_all(&reply).is_err() {
            // Also the end for who reads from it.
            _ = stream.shutdown(Shutdown::Both);
        }
    };
    Jobs::run(answer, |give| {
        let mut requests = BufReader::new(stream);
        // How the connection ended is for the client to know.
        while let Ok(Some((request, payload))) = next(&mut requests) {
            count(request.command);
            give((request, payload), request.memory_bytes());
        }
    });
}

/// The next request, with what is to be written. `None` if there will be none.
fn next(requests: &mut impl Read) -> io::Result<Option<(Request, Vec<u8>)>> {
    let mut head = [0; Request::BYTES];
    requests.read_exact(&mut head)?;
    let request = Request::decode(&head)?;
    if request.command == Command::Disconnect {
        return Ok(None);
    }
    let length = request.payload_bytes();
    if length > PAYLOAD_BYTES_MAX {
        return Err(wire::Malformed.into());
    }
    // It grows with what arrives: nobody is believed what he will send.
    let mut payload = Vec::new();
    requests.take(length.into()).read_to_end(&mut payload)?;
    match payload.len() == length as usize {
        true => Ok(Some((request, payload))),
        false => Ok(None),
    }
}

/// Does what is asked for, and returns the whole reply.
fn reply(volume: &dyn BlockVolume, request: &Request, payload: &[u8]) -> Vec<u8> {
    const HEAD: usize = 16;
    let mut reply = vec![0; HEAD];
    let done = panic::catch_unwind(AssertUnwindSafe(|| {
        perform(volume, request, payload, &mut reply)
    }));
    let done = done.unwrap_or(Err(ErrorNumber::InputOutput));
    if done.is_err() {
        reply.truncate(HEAD);
    }
    reply[..HEAD].copy_from_slice(&wire::reply_head(request.cookie, done));
    reply
}

/// What was read is appended to `reply`.
fn perform(
    volume: &dyn BlockVolume,
    request: &Request,
    payload: &[u8],
    reply: &mut Vec<u8>,
) -> Result<(), ErrorNumber> {
    let geometry = volume.geometry();
    let known = match request.command {
        Command::WriteZeroes => Request::FUA | Request::NO_HOLE,
        _ => Request::FUA,
    };
    if request.flags & !known != 0 {
        return Err(ErrorNumber::Invalid);
    }
    let changes = match request.command {
        Command::Read => false,
        Command::Write | Command::Trim | Command::WriteZeroes => true,
        Command::Flush if (request.offset, request.length) == (0, 0) => {
            return told(volume.flush());
        }
        Command::Flush | Command::Disconnect | Command::Other => {
            return Err(ErrorNumber::Invalid);
        }
    };
    if changes && geometry.read_only {
        return Err(ErrorNumber::Permission);
    }
    let range = extent::part(&geometry, request.offset, request.length.into()).map_err(
        |refused| match (refused, request.command) {
            (Refused::Beyond, Command::Write | Command::WriteZeroes) => ErrorNumber::Space,
            _ => ErrorNumber::Invalid,
        },
    )?;
    match request.command {
        Command::Read if request.length > PAYLOAD_BYTES_MAX => return Err(ErrorNumber::Invalid),
        Command::Read => {
            let head = reply.len();
            reply.resize(head + request.length as usize, 0);
            told(volume.read(request.offset, &mut reply[head..]))?;
        }
        Command::Write => told(volume.write(request.offset, payload))?,
        Command::Trim => match volume.discard(range) {
            // It is a hint.
            Err(error) if error.errno() == Errno::EOPNOTSUPP => {}
            done => told(done)?,
        },
        Command::WriteZeroes if request.flags & Request::NO_HOLE != 0 => {
            told(write_zeroes_as_data(volume, range))?;
        }
        _ => told(volume.write_zeroes(range))?,
    }
    match changes && request.flags & Request::FUA != 0 {
        true => told(volume.flush()),
        false => Ok(()),
    }
}

/// An error in the client's words, which the operator has been told in ours.
fn told(done: transom_module::Result<()>) -> Result<(), ErrorNumber> {
    done.map_err(|error| {
        if error.is_notable() {
            tracing::warn!(%error, "a block volume failed");
        }
        error.errno().into()
    })
}
