//! Cutting the stream into messages.
//!
//! Bazel writes one JSON object after the other, with nothing between them.
//! They are told apart by their braces alone, before anybody parses them: so a
//! message that is well-formed JSON but no request costs its sender an error,
//! and not the stream.

use std::mem;

/// The longest message in bytes: a sandbox of more than a million mappings.
pub const MESSAGE_BYTES_MAX: usize = 1 << 28;

/// Why what follows cannot be cut into messages any more.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LostTrack {
    #[error("expected `{{`, the start of a message, and got the byte {0:#04x}")]
    NotAnObject(u8),
    #[error("a message is longer than {MESSAGE_BYTES_MAX} bytes")]
    TooLong,
    #[error("the stream ends within a message")]
    Unfinished,
}

/// Bytes that have arrived and make up no whole message yet.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    bytes: Vec<u8>,
    /// How many of them were looked at.
    seen: usize,
    /// Braces and brackets that are open.
    depth: usize,
    in_string: bool,
    after_backslash: bool,
}

impl Frames {
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole message; `None` if more bytes are needed for it.
    pub(crate) fn next(&mut self) -> Result<Option<Vec<u8>>, LostTrack> {
        while let Some(byte) = self.bytes.get(self.seen) {
            self.seen += 1;
            if self.depth == 0 {
                self.begin(*byte)?;
            } else if self.in_string {
                self.within_string(*byte);
            } else if self.ends_with(*byte) {
                let rest = self.bytes.split_off(self.seen);
                self.seen = 0;
                return Ok(Some(mem::replace(&mut self.bytes, rest)));
            }
            if self.seen > MESSAGE_BYTES_MAX {
                return Err(LostTrack::TooLong);
            }
        }
        Ok(None)
    }

    /// Whether the stream may end here.
    pub(crate) fn finish(&self) -> Result<(), LostTrack> {
        match self.depth {
            0 => Ok(()),
            _ => Err(LostTrack::Unfinished),
        }
    }

    fn begin(&mut self, byte: u8) -> Result<(), LostTrack> {
        match byte {
            b'{' => self.depth = 1,
            b' ' | b'\t' | b'\n' | b'\r' => {
                self.bytes.drain(..self.seen);
                self.seen = 0;
            }
            other => return Err(LostTrack::NotAnObject(other)),
        }
        Ok(())
    }

    fn within_string(&mut self, byte: u8) {
        match byte {
            _ if self.after_backslash => self.after_backslash = false,
            b'\\' => self.after_backslash = true,
            b'"' => self.in_string = false,
            _ => {}
        }
    }

    /// True at the brace that closes the message.
    fn ends_with(&mut self, byte: u8) -> bool {
        match byte {
            b'"' => self.in_string = true,
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' => self.depth -= 1,
            _ => {}
        }
        self.depth == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(stream: &[&[u8]]) -> (Vec<Vec<u8>>, Result<(), LostTrack>) {
        let mut frames = Frames::default();
        let mut found = Vec::new();
        for bytes in stream {
            frames.push(bytes);
            loop {
                match frames.next() {
                    Ok(Some(frame)) => found.push(frame),
                    Ok(None) => break,
                    Err(lost) => return (found, Err(lost)),
                }
            }
        }
        let end = frames.finish();
        (found, end)
    }

    #[test]
    fn objects_follow_each_other_with_or_without_space() {
        let (found, end) = all(&[br#"{"D":"1"}{"D":"}\"{"}"#, b" \n{}\n"]);
        let expected: [&[u8]; 3] = [br#"{"D":"1"}"#, br#"{"D":"}\"{"}"#, b"{}"];
        assert_eq!(found, expected);
        assert_eq!(end, Ok(()));
    }

    #[test]
    fn a_message_may_arrive_in_any_pieces() {
        let stream = br#"{"C":{"i":"a\\","m":[{"p":"]"}]}} {"D":"x"}"#;
        let (whole, _) = all(&[stream]);
        assert_eq!(whole.len(), 2);
        let bytes: Vec<&[u8]> = stream.chunks(1).collect();
        assert_eq!(all(&bytes).0, whole);
        for cut in 0..stream.len() {
            assert_eq!(all(&[&stream[..cut], &stream[cut..]]).0, whole, "{cut}");
        }
    }

    #[test]
    fn what_is_no_object_ends_the_stream() {
        assert_eq!(all(&[b"{}x{}"]).1, Err(LostTrack::NotAnObject(b'x')));
        assert_eq!(all(&[b"[]"]).1, Err(LostTrack::NotAnObject(b'[')));
        assert_eq!(all(&[b"{\"D\":"]).1, Err(LostTrack::Unfinished));
    }
}
