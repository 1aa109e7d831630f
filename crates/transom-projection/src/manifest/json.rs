//! JSON, read lazily: a [`Json`] is the *text* of one value, decoded only when
//! somebody asks for it as an object, a string and so on.
//!
//! Because the text of every value is a slice of the document, its distance
//! from the document's start gives its line, so that every complaint can name
//! the line of the very value it is about, and nothing is spent on positions
//! while all is well. Objects are decoded into an array with one slot per known
//! field; the same list of known fields produces the message about an unknown
//! one.

mod visitors;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::de::{DeserializeSeed, Deserializer as _};

use super::error::{ManifestError, Problem};
use super::position::{count_newlines, line_and_column, offset_of};
use crate::Origin;
use visitors::{FieldVisitor, ItemVisitor, Text};

/// The whole text that values are slices of.
pub(super) struct Source<'a> {
    /// How messages call it.
    pub(super) label: &'a Arc<str>,
    /// All of it.
    pub(super) text: &'a str,
}

impl<'a> Source<'a> {
    /// The value that the text consists of. Its syntax is checked as a whole
    /// by the first look at it, before any part of it is decoded.
    pub(super) fn root(&'a self) -> Json<'a> {
        Json {
            source: self,
            text: self.text,
            place: Place::Root,
        }
    }
}

/// The text of one value of a document.
#[derive(Clone, Copy)]
pub(super) struct Json<'a> {
    source: &'a Source<'a>,
    text: &'a str,
    place: Place,
}

/// Where a value stands, for messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// It is the document.
    Root,
    /// It is the value of this field.
    Field(&'static str),
    /// It is one of the values in this field.
    Item(&'static str),
}

impl Place {
    fn item(self) -> Self {
        match self {
            Self::Root => Self::Root,
            Self::Field(name) | Self::Item(name) => Self::Item(name),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => f.write_str("the document"),
            Self::Field(name) => write!(f, "`{name}`"),
            Self::Item(name) => write!(f, "each value in `{name}`"),
        }
    }
}

/// Values by field, in the order of the list of known fields.
pub(super) type Fields<'a, const N: usize> = [Option<Json<'a>>; N];

impl<'a> Json<'a> {
    /// The fields of an object, each in the slot of its name in `known`.
    pub(super) fn fields<const N: usize>(
        self,
        known: &'static [&'static str; N],
    ) -> Result<Fields<'a, N>, ManifestError> {
        let mut fields = [None; N];
        self.for_each_field(|key, value| {
            let Some(slot) = known.iter().position(|name| *name == key) else {
                let field = key.into_owned();
                return Err(value.error(Problem::UnknownField { field, known }));
            };
            if fields[slot].is_some() {
                let field = key.into_owned();
                return Err(value.error(Problem::RepeatedField(field)));
            }
            fields[slot] = Some(Json {
                place: Place::Field(known[slot]),
                ..value
            });
            Ok(())
        })?;
        Ok(fields)
    }

    /// Visits the fields of an object. Their number and names are not limited
    /// here.
    pub(super) fn for_each_field(
        self,
        visit: impl FnMut(Cow<'a, str>, Json<'a>) -> Result<(), ManifestError>,
    ) -> Result<(), ManifestError> {
        self.expect(b"{", "an object")?;
        self.decode(|deserializer| {
            deserializer.deserialize_map(FieldVisitor { json: self, visit })
        })?
    }

    /// Visits the values of an array. Their number is not limited here.
    pub(super) fn for_each_item(
        self,
        visit: impl FnMut(Json<'a>) -> Result<(), ManifestError>,
    ) -> Result<(), ManifestError> {
        self.expect(b"[", "an array")?;
        self.decode(|deserializer| deserializer.deserialize_seq(ItemVisitor { json: self, visit }))?
    }

    /// A string.
    pub(super) fn text(self) -> Result<Cow<'a, str>, ManifestError> {
        self.expect(b"\"", "a string")?;
        self.decode(|deserializer| Text.deserialize(deserializer))
    }

    /// Bytes: a string, or an object with the single field `base64`.
    pub(super) fn bytes(self) -> Result<Cow<'a, [u8]>, ManifestError> {
        self.expect(b"\"{", "a string or {\"base64\": \"...\"}")?;
        if self.text.starts_with('"') {
            return Ok(match self.text()? {
                Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
                Cow::Owned(text) => Cow::Owned(text.into_bytes()),
            });
        }
        let [encoded] = self.fields(&BYTES_FIELDS)?;
        let encoded = self.required(encoded, BYTES_FIELDS[0])?;
        BASE64
            .decode(encoded.text()?.as_bytes())
            .map(Cow::Owned)
            .map_err(|error| encoded.error(Problem::Base64(error)))
    }

    /// `true` or `false`.
    pub(super) fn boolean(self) -> Result<bool, ManifestError> {
        self.expect(b"tf", "true or false")?;
        Ok(self.text == "true")
    }

    /// A number. One too large for an `f64` is infinite.
    pub(super) fn number(self) -> Result<f64, ManifestError> {
        self.expect(b"-0123456789", "a number")?;
        Ok(self.text.parse().unwrap_or(f64::INFINITY))
    }

    /// One of a few words, and what each stands for.
    pub(super) fn word<T: Copy>(
        self,
        words: &'static [(&'static str, T)],
    ) -> Result<T, ManifestError> {
        let text = self.text()?;
        match words.iter().find(|(word, _)| *word == text) {
            Some((_, meaning)) => Ok(*meaning),
            None => Err(self.error(Problem::UnknownWord {
                place: self.place,
                word: text.into_owned(),
                known: words.iter().map(|(word, _)| *word).collect(),
            })),
        }
    }

    /// Whether the value is an array.
    pub(super) fn is_array(self) -> bool {
        self.text.starts_with('[')
    }

    /// The value of a field that must be there; `self` is the object that
    /// lacks it otherwise.
    pub(super) fn required(
        self,
        value: Option<Json<'a>>,
        field: &'static str,
    ) -> Result<Json<'a>, ManifestError> {
        value.ok_or_else(|| self.error(Problem::MissingField(field)))
    }

    /// A complaint about this value.
    pub(super) fn error(self, problem: Problem) -> ManifestError {
        let (line, _) = line_and_column(self.source.text.as_bytes(), self.offset());
        ManifestError::new(self.source.label, Some(line), problem)
    }

    /// Where the value begins in the document.
    pub(super) fn offset(self) -> usize {
        self.text.as_ptr().addr() - self.source.text.as_ptr().addr()
    }

    /// Checks the kind of the value by its first byte. The root's syntax has
    /// not been checked yet, so what begins like no value at all passes here
    /// and is reported as a syntax error by the decoder.
    fn expect(self, first_bytes: &[u8], expected: &'static str) -> Result<(), ManifestError> {
        let text = self.text.trim_ascii_start();
        let found = match text.as_bytes().first() {
            Some(first) if first_bytes.contains(first) => return Ok(()),
            Some(b'{') => "an object",
            Some(b'[') => "an array",
            Some(b'"') => "a string",
            Some(b't' | b'f') => "true or false",
            Some(b'n') => "null",
            Some(b'-' | b'0'..=b'9') => "a number",
            _ => return Ok(()),
        };
        Err(self.error(Problem::WrongType {
            place: self.place,
            expected,
            found,
        }))
    }

    fn decode<T>(
        self,
        decode: impl FnOnce(&mut serde_json::Deserializer<StrRead<'a>>) -> serde_json::Result<T>,
    ) -> Result<T, ManifestError> {
        let mut deserializer = serde_json::Deserializer::from_str(self.text);
        decode(&mut deserializer)
            .and_then(|value| deserializer.end().map(|()| value))
            .map_err(|error| self.syntax_error(&error))
    }

    fn syntax_error(self, error: &serde_json::Error) -> ManifestError {
        let within = offset_of(self.text, error.line(), error.column());
        let (line, column) = line_and_column(self.source.text.as_bytes(), self.offset() + within);
        let message = error.to_string();
        let position = format!(" at line {} column {}", error.line(), error.column());
        let message = message.strip_suffix(&position).unwrap_or(&message);
        let problem = if error.is_eof() {
            Problem::CutShort(message.to_owned())
        } else {
            Problem::Syntax(message.to_owned())
        };
        ManifestError::new(self.source.label, Some(line), problem).at_column(column)
    }

    fn child(self, text: &'a str, place: Place) -> Self {
        Self {
            source: self.source,
            text,
            place,
        }
    }
}

/// Tells the lines of values that are asked about in the order in which they
/// stand in the document, counting each line once.
#[derive(Default)]
pub(super) struct LineCounter {
    offset: usize,
    newlines: u32,
}

impl LineCounter {
    /// Where `value` begins.
    pub(super) fn origin(&mut self, value: Json<'_>) -> Origin {
        let offset = value.offset();
        let passed = &value.source.text.as_bytes()[self.offset..offset];
        self.newlines += count_newlines(passed);
        self.offset = offset;
        Origin {
            source: Arc::clone(value.source.label),
            line: Some(1 + self.newlines),
        }
    }
}

/// The fields of bytes that are not text.
pub(super) const BYTES_FIELDS: [&str; 1] = ["base64"];

type StrRead<'a> = serde_json::de::StrRead<'a>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_know_their_line() {
        let label = Arc::from("a.json");
        let source = Source {
            label: &label,
            text: "\n{\"a\": [1,\n 2,\n \"x\\u00e9\"]}",
        };
        let [a] = source.root().fields(&["a"]).unwrap();
        let mut lines = Vec::new();
        a.unwrap()
            .for_each_item(|item| {
                lines.push(line_and_column(source.text.as_bytes(), item.offset()).0);
                Ok(())
            })
            .unwrap();
        assert_eq!(lines, [2, 3, 4]);
    }

    #[test]
    fn strings_without_escapes_are_borrowed() {
        let label = Arc::from("a.json");
        let text = |text| {
            let source = Source {
                label: &label,
                text,
            };
            match source.root().text().unwrap() {
                Cow::Borrowed(text) => (true, text.to_owned()),
                Cow::Owned(text) => (false, text),
            }
        };
        assert_eq!(text("\"plain\""), (true, "plain".to_owned()));
        assert_eq!(text("\"\\u0041\""), (false, "A".to_owned()));
    }
}
