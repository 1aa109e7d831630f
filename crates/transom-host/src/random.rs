//! Numbers that nothing else has had.

use std::fmt;
use std::hash::{BuildHasher, Hasher, RandomState};

/// A random number. It is none to keep a secret with.
pub(crate) fn number() -> u64 {
    // The keys of the hash are what the standard library draws from the kernel.
    RandomState::new().build_hasher().finish()
}

/// Writes a number the way [`read_hex`] reads it.
pub(crate) fn write_hex(number: u64, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, "{number:016x}")
}

/// The number that was written in 16 hexadecimal digits.
pub(crate) fn read_hex(text: &str) -> Option<u64> {
    let is_one = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_one.then(|| u64::from_str_radix(text, 16).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn numbers_differ_also_between_threads() {
        let draw = || (0..1000).map(|_| number()).collect::<Vec<_>>();
        let threads: Vec<_> = (0..4).map(|_| std::thread::spawn(draw)).collect();
        let drawn = threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap());
        assert_eq!(drawn.collect::<HashSet<_>>().len(), 4000);
    }

    #[test]
    fn only_what_was_written_is_read() {
        assert_eq!(read_hex("00000000000000ff"), Some(255));
        for wrong in ["", "ff", "+0000000000000ff", "00000000000000fg"] {
            assert_eq!(read_hex(wrong), None, "{wrong}");
        }
    }
}
