//! How a client uses an export.

use std::io::{self, BufReader, Read, Write};
use std::net::Shutdown;
use std::ops::Range;
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, PoisonError};

use transom_module::{BlockVolume, Errno, Geometry, write_zeroes_as_data};

use super::wire::{self, Command, ErrorNumber, PAYLOAD_BYTES_MAX, Request};
use crate::caught::caught;
use crate::extent::{self, Refused};
use crate::jobs::Jobs;

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
    let geometry = caught(|| Ok(volume.geometry())).map_err(ErrorNumber::from);
    let range = geometry.and_then(|geometry| check(&geometry, request));
    let done = range.and_then(|range| {
        let done = caught(|| perform(volume, request, range, payload, &mut reply));
        Ok(done?)
    });
    if done.is_err() {
        reply.truncate(HEAD);
    }
    reply[..HEAD].copy_from_slice(&wire::reply_head(request.cookie, done));
    reply
}

/// Whether something may be asked for, and of which part of the volume.
fn check(geometry: &Geometry, request: &Request) -> Result<Range<u64>, ErrorNumber> {
    let known = match request.command {
        Command::WriteZeroes => Request::FUA | Request::NO_HOLE,
        _ => Request::FUA,
    };
    if request.flags & !known != 0 {
        return Err(ErrorNumber::Invalid);
    }
    match request.command {
        Command::Write | Command::Trim | Command::WriteZeroes if geometry.read_only => {
            return Err(ErrorNumber::Permission);
        }
        Command::Flush if (request.offset, request.length) != (0, 0) => {
            return Err(ErrorNumber::Invalid);
        }
        Command::Read if request.length > PAYLOAD_BYTES_MAX => return Err(ErrorNumber::Invalid),
        Command::Disconnect | Command::Other => return Err(ErrorNumber::Invalid),
        _ => {}
    }
    let part = extent::part(geometry, request.offset, request.length.into());
    part.map_err(|refused| match (refused, request.command) {
        (Refused::Beyond, Command::Write | Command::WriteZeroes) => ErrorNumber::Space,
        _ => ErrorNumber::Invalid,
    })
}

/// What was read is appended to `reply`.
fn perform(
    volume: &dyn BlockVolume,
    request: &Request,
    range: Range<u64>,
    payload: &[u8],
    reply: &mut Vec<u8>,
) -> transom_module::Result<()> {
    match request.command {
        Command::Read => {
            let head = reply.len();
            reply.resize(head + request.length as usize, 0);
            return volume.read(request.offset, &mut reply[head..]);
        }
        Command::Write => volume.write(request.offset, payload)?,
        Command::Flush => return volume.flush(),
        Command::Trim => match volume.discard(range) {
            // It is a hint.
            Err(error) if error.errno() == Errno::EOPNOTSUPP => {}
            done => done?,
        },
        Command::WriteZeroes if request.flags & Request::NO_HOLE != 0 => {
            write_zeroes_as_data(volume, range)?;
        }
        Command::WriteZeroes => volume.write_zeroes(range)?,
        Command::Disconnect | Command::Other => return Err(Errno::EINVAL.into()),
    }
    match request.flags & Request::FUA {
        0 => Ok(()),
        _ => volume.flush(),
    }
}
