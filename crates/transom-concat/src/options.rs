//! The options of formatting and checking.

use transom_module::{Errno, Error, Result};

use crate::label::{CONTAINER_NAME_BYTES_MAX, is_name};
use crate::layout::{CHUNK_BYTES_MAX, CHUNK_BYTES_MIN, Layout};

type Named = [(String, Option<String>)];

/// The size of chunks that nobody said.
const CHUNK_BYTES: u64 = 64 << 10;

/// How to format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FormatOptions {
    pub(crate) name: String,
    pub(crate) layout: Layout,
    /// Whatever is there may be overwritten.
    pub(crate) force: bool,
}

impl FormatOptions {
    /// Of `name=`, `layout=linear|stripe`, `chunk=` and `force`. `EINVAL` names
    /// the option.
    pub(crate) fn parse(named: &Named) -> Result<Self> {
        let mut name = String::new();
        let mut striped = false;
        let mut chunk = None;
        let mut force = false;
        for (option, value) in named {
            match (option.as_str(), value.as_deref()) {
                ("name", Some(value)) if is_name(value) => name = value.to_owned(),
                ("name", _) => {
                    return Err(invalid(format!(
                        "option `name` needs a value of at most {CONTAINER_NAME_BYTES_MAX} bytes \
                         without `/` and control characters"
                    )));
                }
                ("layout", Some("linear")) => striped = false,
                ("layout", Some("stripe")) => striped = true,
                ("layout", _) => {
                    return Err(invalid("option `layout` is `linear` or `stripe`".into()));
                }
                ("chunk", value) => chunk = Some(parse_chunk(value.unwrap_or_default())?),
                ("force", None) => force = true,
                _ => return Err(unknown(option, "`name`, `layout`, `chunk` and `force`")),
            }
        }
        let layout = match (striped, chunk) {
            (true, chunk) => Layout::Stripe {
                chunk: chunk.unwrap_or(CHUNK_BYTES),
            },
            (false, None) => Layout::Linear,
            (false, Some(_)) => {
                return Err(invalid("option `chunk` needs `layout=stripe`".into()));
            }
        };
        Ok(Self {
            name,
            layout,
            force,
        })
    }
}

/// Whether to repair what is checked.
pub(crate) fn repair(named: &Named) -> Result<bool> {
    let wrong = named
        .iter()
        .find(|option| **option != ("repair".into(), None));
    match wrong {
        Some((option, _)) => Err(unknown(option, "`repair`")),
        None => Ok(!named.is_empty()),
    }
}

/// For what has no options.
pub(crate) fn none(what: &str, named: &Named) -> Result<()> {
    match named.first() {
        Some((option, _)) => Err(invalid(format!(
            "unknown option `{option}`; {what} has none"
        ))),
        None => Ok(()),
    }
}

fn parse_chunk(text: &str) -> Result<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match text[digits.len()..].to_ascii_lowercase().as_str() {
        "" => 1,
        "k" => 1 << 10,
        "m" => 1 << 20,
        _ => 0,
    };
    let bytes = digits.parse::<u64>().unwrap_or(0).saturating_mul(unit);
    let is_possible =
        bytes.is_power_of_two() && (CHUNK_BYTES_MIN..=CHUNK_BYTES_MAX).contains(&bytes);
    match is_possible {
        true => Ok(bytes),
        false => Err(invalid(format!(
            "option `chunk={text}`: give a power of 2 from 4k to 64m"
        ))),
    }
}

fn unknown(option: &str, known: &str) -> Error {
    invalid(format!(
        "unknown option `{option}`, or one with a wrong value; known: {known}"
    ))
}

fn invalid(message: String) -> Error {
    Error::new(Errno::EINVAL, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<FormatOptions> {
        let options =
            text.split(',')
                .filter(|option| !option.is_empty())
                .map(|option| match option.split_once('=') {
                    Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
                    None => (option.to_owned(), None),
                });
        FormatOptions::parse(&options.collect::<Vec<_>>())
    }

    #[test]
    fn options_of_formatting() {
        let layout = |text: &str| parse(text).unwrap().layout;
        assert_eq!(layout(""), Layout::Linear);
        assert_eq!(layout("layout=stripe"), Layout::Stripe { chunk: 65536 });
        assert_eq!(
            layout("chunk=1M,layout=stripe"),
            Layout::Stripe { chunk: 1 << 20 }
        );
        let named = parse("name=pool,force").unwrap();
        assert_eq!((named.name.as_str(), named.force), ("pool", true));
    }

    #[test]
    fn wrong_options_are_named() {
        let cases = [
            ("nme=x", "`nme`"),
            ("force=yes", "`force`"),
            ("name", "`name`"),
            ("name=a/b", "`name`"),
            ("layout=raid5", "`layout`"),
            ("chunk=64k", "`layout=stripe`"),
            ("layout=stripe,chunk", "chunk="),
            ("layout=stripe,chunk=0", "chunk=0"),
            ("layout=stripe,chunk=65k", "chunk=65k"),
            ("layout=stripe,chunk=2k", "chunk=2k"),
            ("layout=stripe,chunk=128m", "chunk=128m"),
            ("layout=stripe,chunk=64q", "chunk=64q"),
        ];
        for (text, word) in cases {
            let error = parse(text).expect_err(text);
            assert_eq!(error.errno(), Errno::EINVAL);
            assert!(error.to_string().contains(word), "{text}: {error}");
        }
    }

    #[test]
    fn checking_knows_one_option() {
        let repaired = |name: &str| repair(&[(name.to_owned(), None)]);
        assert!(!repair(&[]).unwrap());
        assert!(repaired("repair").unwrap());
        assert!(repaired("force").is_err());
    }
}
