//! Where requests come from and answers go to.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use rustix::io::Errno;
use transom_sys::fuse_abi as abi;
use zerocopy::{FromBytes, IntoBytes};

use crate::Answer;

/// A source of requests, used by one thread.
///
/// The trait has the shape that both of the kernel's interfaces fit: the
/// handler writes its answer into a buffer the queue lends it, and sending the
/// answer may be the same step as waiting for the next request.
pub trait Queue: Send {
    /// Waits for one request, lets `handle` write the payload of the answer
    /// and sends it.
    fn turn(&mut self, handle: &mut dyn Handle) -> io::Result<Turn>;
}

/// What a queue does with a request.
pub trait Handle: Send {
    /// Looks at the bytes of a request and writes the payload of its answer.
    fn request(&mut self, request: &[u8], payload: &mut [u8]) -> Answer;

    /// Asked just before the answer is sent. False if somebody else has
    /// answered the request meanwhile: then nothing is sent.
    fn may_answer(&mut self) -> bool;

    /// The answer did not reach the kernel: what it handed out must be taken
    /// back.
    fn undelivered(&mut self);
}

/// How a turn ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// A request was handled, or none was there after all.
    Continue,
    /// The volume was unmounted or the connection aborted.
    Closed,
}

/// Reads and writes a descriptor of `/dev/fuse`.
#[derive(Debug)]
pub struct DeviceQueue {
    connection: Arc<OwnedFd>,
    request: Vec<u8>,
    /// Head and payload of the answer.
    answer: Vec<u8>,
}

const HEAD: usize = size_of::<abi::OutHeader>();

impl DeviceQueue {
    /// A queue on one descriptor of a connection, for requests and payloads of
    /// at most that many bytes. Both are a page at least.
    #[must_use]
    pub fn new(connection: Arc<OwnedFd>, max_write: usize, max_read: usize) -> Self {
        let request = abi::READ_BUFFER_MIN
            .max(size_of::<abi::InHeader>() + size_of::<abi::WriteIn>() + max_write);
        Self {
            connection,
            request: vec![0; request],
            answer: vec![0; HEAD + max_read],
        }
    }
}

impl Queue for DeviceQueue {
    fn turn(&mut self, handle: &mut dyn Handle) -> io::Result<Turn> {
        let length = match rustix::io::read(&self.connection, &mut self.request[..]) {
            Ok(0) => return Ok(Turn::Closed),
            Ok(length) => length,
            Err(Errno::NODEV | Errno::CONNABORTED) => return Ok(Turn::Closed),
            // ENOENT: the request was interrupted before it was read.
            Err(Errno::INTR | Errno::AGAIN | Errno::NOENT) => return Ok(Turn::Continue),
            Err(error) => return Err(error.into()),
        };
        let request = &self.request[..length];
        let answer = handle.request(request, &mut self.answer[HEAD..]);
        let (error, payload) = match answer {
            Answer::Silence => return Ok(Turn::Continue),
            Answer::Payload(length) => (0, length),
            Answer::Error(errno) => (-errno.raw(), 0),
        };
        if !handle.may_answer() {
            handle.undelivered();
            return Ok(Turn::Continue);
        }
        let unique = abi::InHeader::read_from_prefix(request).map_or(0, |(head, _)| head.unique);
        let total = HEAD + payload;
        let head = abi::OutHeader {
            len: total as u32,
            error,
            unique,
        };
        self.answer[..HEAD].copy_from_slice(head.as_bytes());
        match rustix::io::write(&self.connection, &self.answer[..total]) {
            Ok(_) => Ok(Turn::Continue),
            // The request is gone: its caller was killed, or the connection
            // aborted, which the next read will say.
            Err(_) => {
                handle.undelivered();
                Ok(Turn::Continue)
            }
        }
    }
}

/// Sends the answer to a request that carries only an error, from any thread.
pub(crate) fn answer_error(
    connection: impl AsFd,
    unique: u64,
    errno: transom_module::Errno,
) -> io::Result<()> {
    send(
        connection,
        abi::OutHeader {
            len: 0,
            error: -errno.raw(),
            unique,
        },
        &[],
    )
}

/// Sends a head and what follows it as one message; `head.len` is filled in.
pub(crate) fn send(
    connection: impl AsFd,
    mut head: abi::OutHeader,
    parts: &[&[u8]],
) -> io::Result<()> {
    head.len = (HEAD + parts.iter().map(|part| part.len()).sum::<usize>()) as u32;
    let mut slices = vec![IoSlice::new(head.as_bytes())];
    slices.extend(parts.iter().map(|part| IoSlice::new(part)));
    rustix::io::writev(connection, &slices)?;
    Ok(())
}
