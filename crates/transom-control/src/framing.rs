//! Framing: one JSON object, one NUL byte.

use std::io::{self, BufRead, BufReader, Read, Write};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Largest message in bytes: an update of some ten thousand names.
pub const MESSAGE_BYTES_MAX: usize = 16 << 20;

/// A call.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Call {
    pub(crate) method: String,
    #[serde(default)]
    pub(crate) parameters: Value,
    /// The caller wants no reply.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) oneway: bool,
}

/// A reply: parameters, or an error with parameters.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Reply {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
    #[serde(default)]
    pub(crate) parameters: Value,
}

fn is_false(value: &bool) -> bool {
    !value
}

impl Reply {
    pub(crate) fn error(name: impl Into<String>, parameters: &[(&str, &str)]) -> Self {
        let parameters: Map<_, _> = parameters
            .iter()
            .map(|(key, value)| ((*key).to_owned(), Value::from(*value)))
            .collect();
        Self {
            error: Some(name.into()),
            parameters: parameters.into(),
        }
    }
}

/// Reads messages from one side of a connection.
pub(crate) struct Reader<R>(BufReader<R>);

impl<R: Read> Reader<R> {
    pub(crate) fn new(source: R) -> Self {
        Self(BufReader::new(source))
    }

    /// The bytes of the next message, `None` at the end.
    pub(crate) fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut message = Vec::new();
        let limit = MESSAGE_BYTES_MAX as u64 + 1;
        self.0.by_ref().take(limit).read_until(0, &mut message)?;
        match message.pop() {
            None => Ok(None),
            Some(0) => Ok(Some(message)),
            Some(_) if message.len() >= MESSAGE_BYTES_MAX => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("a message is longer than {MESSAGE_BYTES_MAX} bytes"),
            )),
            Some(_) => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

pub(crate) fn write(mut sink: impl Write, message: &impl Serialize) -> io::Result<()> {
    let mut bytes = serde_json::to_vec(message)?;
    bytes.push(0);
    sink.write_all(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_end_with_nul() {
        let mut reader = Reader::new(&b"{\"method\":\"a\"}\0{}\0"[..]);
        assert_eq!(reader.next().unwrap().unwrap(), b"{\"method\":\"a\"}");
        assert_eq!(reader.next().unwrap().unwrap(), b"{}");
        assert!(reader.next().unwrap().is_none());
        let mut torn = Reader::new(&b"{}"[..]);
        assert_eq!(
            torn.next().unwrap_err().kind(),
            io::ErrorKind::UnexpectedEof
        );
    }

    #[test]
    fn endless_messages_are_cut_off() {
        let mut reader = Reader::new(io::repeat(b' '));
        assert_eq!(
            reader.next().unwrap_err().kind(),
            io::ErrorKind::InvalidData
        );
    }
}
