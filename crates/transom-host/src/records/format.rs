//! What records look like:
//!
//! ```text
//!   transom 1 5          the version, and how many bytes there are at the end
//!   {"what": "it is"}    the head
//!   bytes                as they are
//! ```

use serde::Serialize;
use serde::de::DeserializeOwned;

/// How long a head is, in bytes.
pub(crate) const HEAD_BYTES_MAX: usize = 64 << 10;
/// How long the first line is, in bytes.
const LINE_BYTES_MAX: usize = 64;
const NAME: &str = "transom";
/// For those who read records of another version than they know.
const VERSION: &str = "1";

/// A record, or in a few words why it cannot be one.
pub(crate) fn encode(head: &impl Serialize, bytes: &[u8]) -> Result<Vec<u8>, String> {
    let head = serde_json::to_vec(head).map_err(|error| error.to_string())?;
    if head.len() > HEAD_BYTES_MAX {
        return Err(format!(
            "it has {} bytes besides its content; {HEAD_BYTES_MAX} can be written",
            head.len()
        ));
    }
    let line = format!("{NAME} {VERSION} {}\n", bytes.len());
    Ok([line.as_bytes(), &head, b"\n", bytes].concat())
}

/// What a record says, or in a few words what is wrong with it.
pub(crate) fn decode<H: DeserializeOwned>(record: &[u8]) -> Result<(H, &[u8]), String> {
    let (line, rest) = cut_line(record, LINE_BYTES_MAX)?;
    let words = str::from_utf8(line).map(|line| line.split(' ').collect::<Vec<_>>());
    let length = match words.as_deref() {
        Ok([NAME, VERSION, length]) => length,
        Ok([NAME, version, _]) => return Err(format!("its version is {version}, not {VERSION}")),
        _ => return Err("it does not begin as a record".into()),
    };
    let (head, bytes) = cut_line(rest, HEAD_BYTES_MAX)?;
    // Written in one way only, so without signs and leading zeroes.
    if *length != bytes.len().to_string() {
        return Err(format!("it has {} bytes and says {length}", bytes.len()));
    }
    let head = serde_json::from_slice(head).map_err(|error| error.to_string())?;
    Ok((head, bytes))
}

fn cut_line(bytes: &[u8], bytes_max: usize) -> Result<(&[u8], &[u8]), String> {
    let mut looked_at = bytes.iter().take(bytes_max + 1);
    let end = looked_at.position(|byte| *byte == b'\n');
    let (line, rest) = bytes.split_at(end.ok_or("a line of it does not end")?);
    Ok((line, &rest[1..]))
}
