//! Messages in a stream: each has its length before it, as a varint
//! (protobuf's `writeDelimitedTo`).

use std::io::{self, Read, Write};

use prost::Message;

/// The most bytes of one message. A push of 300,000 files takes some thirty
/// million.
pub const MESSAGE_BYTES_MAX: usize = 256 << 20;

/// The most bytes of a length: seven bits in each.
const LENGTH_BYTES_MAX: usize = 10;

/// How much is read at once of a message that may not be as long as it says.
const READ_BYTES: u64 = 1 << 20;

/// Why no message could be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// The stream failed, or ended inside of a message.
    #[error("the stream cannot be read: {0}")]
    Read(#[from] io::Error),
    /// A length that no message has.
    #[error("the stream holds no messages: a length takes more than {LENGTH_BYTES_MAX} bytes")]
    Length,
    /// More than is accepted.
    #[error("a message of {0} bytes is too long; at most {MESSAGE_BYTES_MAX} are accepted")]
    TooLong(u64),
    /// The bytes are no such message.
    #[error("a message cannot be decoded: {0}")]
    Decode(#[from] prost::DecodeError),
}

/// Reads the next message; `None` at the end of the stream.
pub fn read<M: Message + Default>(stream: &mut impl Read) -> Result<Option<M>, FrameError> {
    let Some(length) = read_length(stream)? else {
        return Ok(None);
    };
    if length > MESSAGE_BYTES_MAX as u64 {
        return Err(FrameError::TooLong(length));
    }
    // Memory is taken as the bytes come, not as they are promised.
    let mut bytes = Vec::new();
    while (bytes.len() as u64) < length {
        let wanted = (length - bytes.len() as u64).min(READ_BYTES);
        if stream.by_ref().take(wanted).read_to_end(&mut bytes)? == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
    }
    Ok(Some(M::decode(&bytes[..])?))
}

/// Writes a message, and sees to it that it is sent.
pub fn write<M: Message>(stream: &mut impl Write, message: &M) -> io::Result<()> {
    stream.write_all(&message.encode_length_delimited_to_vec())?;
    stream.flush()
}

fn read_length(stream: &mut impl Read) -> Result<Option<u64>, FrameError> {
    let mut length = 0u64;
    for place in 0..LENGTH_BYTES_MAX {
        let mut byte = [0];
        match stream.read_exact(&mut byte) {
            Err(error) if place == 0 && error.kind() == io::ErrorKind::UnexpectedEof => {
                return Ok(None);
            }
            read => read?,
        }
        let [byte] = byte;
        length |= u64::from(byte & 0x7f)
            .checked_shl(7 * place as u32)
            .unwrap_or(0);
        if byte & 0x80 == 0 {
            return Ok(Some(length));
        }
    }
    Err(FrameError::Length)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::backend::wire::{Error, Request};

    fn error(message: impl Into<String>) -> Error {
        Error {
            message: message.into(),
        }
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(texts in prop::collection::vec(".{0,300}", 0..5)) {
            let mut stream = Vec::new();
            for text in &texts {
                write(&mut stream, &error(text)).unwrap();
            }
            let mut rest = &stream[..];
            for text in texts {
                prop_assert_eq!(read(&mut rest).unwrap(), Some(error(text)));
            }
            prop_assert_eq!(read::<Error>(&mut rest).unwrap(), None);
        }

        #[test]
        fn no_bytes_do_harm(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let mut rest = &bytes[..];
            while let Ok(Some(_)) = read::<Request>(&mut rest) {}
        }

        #[test]
        fn a_stream_that_ends_inside_of_a_message_is_no_end(cut in 1usize..12) {
            let mut stream = Vec::new();
            write(&mut stream, &error("0123456789")).unwrap();
            let read = read::<Error>(&mut &stream[..cut]);
            prop_assert!(matches!(read, Err(FrameError::Read(_))), "{read:?}");
        }
    }

    #[test]
    fn a_length_has_limits() {
        // 2^28 + 1, and then nothing.
        let long = [0x81, 0x80, 0x80, 0x80, 0x01];
        let read_long = read::<Error>(&mut &long[..]);
        assert!(
            matches!(read_long, Err(FrameError::TooLong(0x1000_0001))),
            "{read_long:?}"
        );
        let endless = [0xff; 32];
        assert!(matches!(
            read::<Error>(&mut &endless[..]),
            Err(FrameError::Length)
        ));
    }
}
