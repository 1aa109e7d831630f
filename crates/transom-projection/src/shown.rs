use std::ffi::OsStr;
use std::fmt::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// A name or path as messages show it: what could move a cursor, end a line or
/// deceive the eye is escaped as in a Rust string, and so are a backslash and
/// bytes that are no text (`\n`, `\u{1b}`, `\\`, `\xff`).
#[must_use]
pub fn shown<N: AsRef<Path> + ?Sized>(name: &N) -> Shown<'_> {
    Shown(name.as_ref().as_os_str())
}

/// Made by [`shown`].
#[derive(Debug, Clone, Copy)]
pub struct Shown<'a>(&'a OsStr);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.as_bytes().utf8_chunks() {
            for character in chunk.valid().chars() {
                if character == '\\' || is_deceptive(character) {
                    write!(f, "{}", character.escape_default())?;
                } else {
                    f.write_char(character)?;
                }
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

/// A control character, or one that changes the direction of writing.
fn is_deceptive(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_shown_as_it_is_and_the_rest_as_escapes() {
        let cases = [
            (&b"src/main.c"[..], "src/main.c"),
            (
                "h\u{f6}he \u{5b57} `x' \"y\"".as_bytes(),
                "h\u{f6}he \u{5b57} `x' \"y\"",
            ),
            (b"a\x1b[31mb", "a\\u{1b}[31mb"),
            (b"one\ntwo\ttab\r", "one\\ntwo\\ttab\\r"),
            (b"back\\slash", "back\\\\slash"),
            (b"not \xff\xfe text", "not \\xff\\xfe text"),
            (
                "\u{202e}gpj.exe\u{9b}".as_bytes(),
                "\\u{202e}gpj.exe\\u{9b}",
            ),
        ];
        for (bytes, text) in cases {
            assert_eq!(shown(OsStr::from_bytes(bytes)).to_string(), text);
        }
    }
}
