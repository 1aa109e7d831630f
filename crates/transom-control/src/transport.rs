//! Messages with descriptors on a stream socket.
//!
//! A stream has no borders: one `recvmsg` may bring the end of one message, some
//! whole ones and the beginning of another. Whoever sends descriptors sends them
//! with the first byte of their message, one message at a time (that is how
//! sd-varlink does it). The kernel glues bytes that came without descriptors to
//! those before them, and stops a `recvmsg` after bytes that came with some
//! (`unix_stream_read_generic`, net/unix/af_unix.c). So the descriptors that one
//! call brings belong to the message that the *last* byte it brings is of.

use std::collections::VecDeque;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

use crate::DESCRIPTORS_MAX;
use crate::message::{MESSAGE_BYTES_MAX, Message};

/// Most bytes that are read at once.
const CHUNK_BYTES: usize = 1 << 16;

const ANCILLARY_BYTES: usize = rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX));

/// A message as it was received, without the NUL.
#[derive(Debug, Default)]
pub(crate) struct Received {
    pub(crate) bytes: Vec<u8>,
    pub(crate) descriptors: Vec<OwnedFd>,
}

/// Reads messages from one side of a connection.
#[derive(Debug, Default)]
pub(crate) struct Receiver {
    ready: VecDeque<Received>,
    /// The beginning of a message.
    partial: Received,
}

/// Whoever must agree that a message is received.
pub(crate) trait Gate {
    /// So many more descriptors were received.
    fn descriptors(&mut self, count: usize) -> io::Result<()>;
    /// A message is larger than what is read at once.
    fn large_message(&mut self) -> io::Result<()>;
}

/// Agrees.
pub(crate) struct Ungated;

impl Gate for Ungated {
    fn descriptors(&mut self, _: usize) -> io::Result<()> {
        Ok(())
    }
    fn large_message(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Receiver {
    /// The next message; `None` at the end. Waits for its beginning as long as
    /// it takes, and for its end at most for `patience`: `TimedOut`.
    pub(crate) fn next(
        &mut self,
        stream: &UnixStream,
        patience: Option<Duration>,
        gate: &mut impl Gate,
    ) -> io::Result<Option<Received>> {
        let mut deadline = None;
        loop {
            if let Some(received) = self.ready.pop_front() {
                return Ok(Some(received));
            }
            let has_begun = !self.partial.bytes.is_empty();
            if has_begun && deadline.is_none() {
                deadline = patience.map(|patience| Instant::now() + patience);
            }
            if self.partial.bytes.len() >= CHUNK_BYTES {
                gate.large_message()?;
            }
            wait(stream, PollFlags::IN, deadline)?;
            match self.receive(stream, gate)? {
                0 if has_begun => return Err(io::ErrorKind::UnexpectedEof.into()),
                0 => return Ok(None),
                _ => (),
            }
        }
    }

    /// Reads once; returns how many bytes.
    fn receive(&mut self, stream: &UnixStream, gate: &mut impl Gate) -> io::Result<usize> {
        let mut chunk = [0; CHUNK_BYTES];
        let mut space = [MaybeUninit::uninit(); ANCILLARY_BYTES];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let received = rustix::io::retry_on_intr(|| {
            let buffer = &mut [IoSliceMut::new(&mut chunk)];
            recvmsg(stream, buffer, &mut ancillary, RecvFlags::CMSG_CLOEXEC)
        })?;
        let mut descriptors = Vec::new();
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(rights) = message {
                descriptors.extend(rights);
            }
        }
        if received.flags.contains(ReturnFlags::CTRUNC) {
            return Err(invalid("descriptors of a message were lost"));
        }
        if !descriptors.is_empty() {
            gate.descriptors(descriptors.len())?;
        }
        self.append(&chunk[..received.bytes], descriptors)?;
        Ok(received.bytes)
    }

    /// Takes apart what was read at once.
    fn append(&mut self, chunk: &[u8], descriptors: Vec<OwnedFd>) -> io::Result<()> {
        for part in chunk.split_inclusive(|&byte| byte == 0) {
            let (bytes, is_whole) = match part {
                [bytes @ .., 0] => (bytes, true),
                bytes => (bytes, false),
            };
            self.partial.bytes.extend_from_slice(bytes);
            if self.partial.bytes.len() > MESSAGE_BYTES_MAX {
                let message = format!("a message is longer than {MESSAGE_BYTES_MAX} bytes");
                return Err(invalid(message));
            }
            if is_whole {
                if self.partial.bytes.is_empty() {
                    return Err(invalid("a message is empty"));
                }
                self.ready.push_back(std::mem::take(&mut self.partial));
            }
        }
        let last = match self.ready.back_mut() {
            Some(last) if self.partial.bytes.is_empty() => last,
            _ => &mut self.partial,
        };
        last.descriptors.extend(descriptors);
        if last.descriptors.len() > DESCRIPTORS_MAX {
            let message = format!("a message has more than {DESCRIPTORS_MAX} descriptors");
            return Err(invalid(message));
        }
        Ok(())
    }
}

/// Sends a message, all of it within `patience`: `TimedOut`.
pub(crate) fn send(
    stream: &UnixStream,
    Message(bytes): &Message,
    descriptors: &[BorrowedFd<'_>],
    patience: Option<Duration>,
) -> io::Result<()> {
    let deadline = patience.map(|patience| Instant::now() + patience);
    let mut space = [MaybeUninit::uninit(); ANCILLARY_BYTES];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(descriptors)) {
        let message = format!("a message cannot have more than {DESCRIPTORS_MAX} descriptors");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    let mut rest = &bytes[..];
    while !rest.is_empty() {
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        match sendmsg(stream, &[IoSlice::new(rest)], &mut ancillary, flags) {
            Ok(sent) => {
                rest = &rest[sent..];
                ancillary.clear();
            }
            Err(Errno::AGAIN) => wait(stream, PollFlags::OUT, deadline)?,
            Err(Errno::INTR) => (),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Whether the other side can neither be read from nor written to any more.
pub(crate) fn has_hung_up(stream: &UnixStream) -> io::Result<bool> {
    let mut polled = [PollFd::new(stream, PollFlags::empty())];
    rustix::io::retry_on_intr(|| poll(&mut polled, Some(&Timespec::default())))?;
    Ok(polled[0]
        .revents()
        .intersects(PollFlags::HUP | PollFlags::ERR))
}

fn wait(stream: &UnixStream, until: PollFlags, deadline: Option<Instant>) -> io::Result<()> {
    let mut polled = [PollFd::from_borrowed_fd(stream.as_fd(), until)];
    loop {
        let rest = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let rest = rest.map(Timespec::try_from).transpose();
        match poll(&mut polled, rest.map_err(io::Error::other)?.as_ref()) {
            Ok(0) => return Err(io::ErrorKind::TimedOut.into()),
            Ok(_) => return Ok(()),
            Err(Errno::INTR) => (),
            Err(error) => return Err(error.into()),
        }
    }
}

fn invalid(message: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message.into())
}
