use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Arc;

use super::json::Place;
use super::suggestion::closest;
use crate::{InvalidViewPath, Origin, shown};

/// What is wrong with a manifest, where, and what to do about it:
///
/// ```text
/// action.json:12: input "work/../x": `.` and `..` are not allowed; ...
/// ```
#[derive(Debug)]
pub struct ManifestError(Box<Details>);

#[derive(Debug)]
struct Details {
    origin: Origin,
    column: Option<u32>,
    subject: Option<String>,
    problem: Problem,
}

impl ManifestError {
    pub(super) fn new(label: &Arc<str>, line: Option<u32>, problem: Problem) -> Self {
        Self(Box::new(Details {
            origin: Origin {
                source: Arc::clone(label),
                line,
            },
            column: None,
            subject: None,
            problem,
        }))
    }

    pub(super) fn at_column(mut self, column: u32) -> Self {
        self.0.column = Some(column);
        self
    }

    /// Names the entry that is wrong, unless it is named already.
    pub(super) fn about(mut self, subject: impl FnOnce() -> String) -> Self {
        self.0.subject.get_or_insert_with(subject);
        self
    }

    /// The file and line, or the flag.
    #[must_use]
    pub fn origin(&self) -> &Origin {
        &self.0.origin
    }
}

impl fmt::Display for ManifestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let details = &*self.0;
        details.origin.fmt(f)?;
        if let Some(column) = details.column {
            write!(f, ":{column}")?;
        }
        if let Some(subject) = &details.subject {
            write!(f, ": {subject}")?;
        }
        write!(f, ": {}", details.problem)
    }
}

impl std::error::Error for ManifestError {}

/// The ways in which a manifest can be wrong.
#[derive(Debug, thiserror::Error)]
pub(super) enum Problem {
    /// Not JSON.
    #[error("this is not valid JSON: {0}")]
    Syntax(String),
    /// JSON that ends before it is complete.
    #[error("the JSON ends before it is complete ({0}); was the file cut short?")]
    CutShort(String),
    /// Not text, which JSON has to be.
    #[error(
        "a manifest is UTF-8 text and this byte is not; \
         write a name that is not text as {{\"base64\": \"...\"}}"
    )]
    NotText,
    /// A manifest of a version that this program does not know.
    #[error("`version` must be {supported}, the one this program understands", supported = super::VERSION)]
    Version,
    /// A value of another type.
    #[error("{place} must be {expected}, not {found}")]
    WrongType {
        /// Where the value stands.
        place: Place,
        /// The type it should have.
        expected: &'static str,
        /// The type it has.
        found: &'static str,
    },
    /// A word that is not one of the few allowed.
    #[error("{place} cannot be {}{}", quoted(word.as_bytes()), Hint { written: word, known })]
    UnknownWord {
        /// Where the word stands.
        place: Place,
        /// The word.
        word: String,
        /// The allowed ones.
        known: Vec<&'static str>,
    },
    /// A field that has no meaning.
    #[error("unknown field {}{}", quoted(field.as_bytes()), Hint { written: field, known })]
    UnknownField {
        /// The field.
        field: String,
        /// Those with a meaning.
        known: &'static [&'static str],
    },
    /// The same field twice in an object.
    #[error("the field {} is given twice; remove one of them", quoted(.0.as_bytes()))]
    RepeatedField(String),
    /// A field that must be there.
    #[error("the field `{0}` is missing")]
    MissingField(&'static str),
    /// An input that says what it is not at all or more than once.
    #[error(
        "an input has exactly one of the fields {}, and this one has {}",
        Listed(&super::input::KINDS),
        Listed(found)
    )]
    Kind {
        /// Those it has.
        found: Vec<&'static str>,
    },
    /// A field that has no meaning for this kind of input.
    #[error("`{field}` has no meaning beside `{kind}`; remove it")]
    FieldWithoutMeaning {
        /// The field.
        field: &'static str,
        /// The field that says what the input is.
        kind: &'static str,
    },
    /// A field whose only meaning is in being `true`.
    #[error("`{0}` can only be true; remove the field or the entry")]
    OnlyTrue(&'static str),
    /// Not base64.
    #[error("this is not base64 (RFC 4648, with padding): {0}")]
    Base64(base64::DecodeError),
    /// Something that cannot be a name in a view.
    #[error("{invalid}{remedy}", invalid = .0, remedy = name_remedy(*.0))]
    Name(InvalidViewPath),
    /// A path from which a name would be derived that is outside the view.
    #[error(
        "this path leads above the root of the view; \
         give it a name inside (`NAME=PATH`, or an input with `name`), or a deeper `under`"
    )]
    LeavesView,
    /// A path from which the name of the root would be derived.
    #[error(
        "the root of the view cannot itself be declared; \
         give the path a name inside, or declare what lies below it"
    )]
    NamesRoot,
    /// Bytes that the kernel would not take.
    #[error("{what} {why}")]
    Unusable {
        /// What the bytes are.
        what: &'static str,
        /// What is wrong with them.
        why: Unusable,
    },
    /// A mount point that cannot be one.
    #[error("`mount_at` must be an absolute path other than `/`, without `.` and `..`")]
    MountPoint,
    /// A mount point for a view that is the root.
    #[error(
        "`mount_at` says where the view is in the host's root; it needs `\"root\": \"host-ro\"`"
    )]
    MountPointInView,
    /// Something that cannot name an environment variable.
    #[error("an environment variable has a name, and no `=` or NUL byte in it")]
    VariableName,
    /// A timeout that is no time, or absurdly long.
    #[error("`timeout_seconds` must be more than 0 and at most {max}", max = super::TIMEOUT_SECONDS_MAX)]
    Timeout,
    /// An empty command.
    #[error("`command` must at least name a program; leave it out if the command line gives one")]
    NoProgram,
    /// Too many of something.
    #[error("there are more than {max} {what}; {remedy}")]
    TooMany {
        /// What there is too much of.
        what: &'static str,
        /// How much is allowed.
        max: usize,
        /// What to do.
        remedy: &'static str,
    },
    /// A document, or all of them together, are too long.
    #[error(
        "the manifest and the files it refers to are longer than {max} bytes together; \
         declare directories as a whole instead of their files",
        max = super::BYTES_MAX
    )]
    TooLong,
    /// A file that the manifest refers to cannot be read.
    #[error("cannot read {}: {cause}", shown(&path))]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        cause: std::io::Error,
    },
    /// A line of a file list that ends as on Windows.
    #[error(
        "this line ends with a carriage return; let lines end with a newline alone \
         (`sed -i 's/\\r$//' LIST`), or separate such paths by NUL bytes (`--file-list0`)"
    )]
    CarriageReturn,
    /// A depfile that is not one.
    #[error("{0}")]
    Depfile(&'static str),
}

/// Why the kernel would not take some bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unusable {
    /// There are none.
    #[error("is empty")]
    Empty,
    /// The kernel's strings end at a NUL byte.
    #[error("contains a NUL byte, which no Linux path or argument can")]
    Nul,
    /// Longer than the kernel takes.
    #[error("is {length} bytes long, at most {max} are allowed")]
    TooLong {
        /// Their number.
        length: usize,
        /// How many are allowed.
        max: usize,
    },
}

/// What to do about an invalid name, if its own message does not say.
fn name_remedy(invalid: InvalidViewPath) -> &'static str {
    match invalid {
        InvalidViewPath::Absolute => "",
        _ => "; names are relative to the root of the view, like `usr/include/stdio.h`",
    }
}

/// Bytes as messages show them: quoted, escaped, and not too many.
pub(super) fn quoted(bytes: &[u8]) -> String {
    match bytes.get(..SHOWN_BYTES_MAX) {
        Some(start) if bytes.len() > SHOWN_BYTES_MAX => {
            format!("{:?}...", OsStr::from_bytes(start))
        }
        _ => format!("{:?}", OsStr::from_bytes(bytes)),
    }
}

/// `did you mean`, and what else there is.
struct Hint<'a> {
    written: &'a str,
    known: &'a [&'static str],
}

impl fmt::Display for Hint<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(meant) = closest(self.written, self.known) {
            write!(f, "; did you mean `{meant}`?")?;
        }
        write!(f, " (known: {})", Listed(self.known))
    }
}

/// Words in backquotes, with commas; or `none`.
struct Listed<'a>(&'a [&'static str]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("none");
        }
        for (index, word) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            write!(f, "{separator}`{word}`")?;
        }
        Ok(())
    }
}

/// How much of a name a message shows.
const SHOWN_BYTES_MAX: usize = 200;
