//! The messages.
//!
//! Every name has a long form, which the documentation of sandboxfs uses, and a
//! short one, which Bazel sends. What is not known is passed over, as the
//! original does.

use std::borrow::Cow;
use std::collections::{HashMap, VecDeque};
use std::ffi::OsStr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use transom_projection::{PATH_BYTES_MAX, ViewPath, shown};

use super::frames::Frames;
use super::prefixes::Prefixes;

/// What a client wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Make a directory of the root.
    Create {
        /// Its name.
        id: String,
        /// What is in it.
        mappings: Vec<Mapping>,
    },
    /// Take one away, with all that is in it.
    Destroy {
        /// Its name.
        id: String,
    },
}

/// A name in a sandbox, and what it stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapping {
    /// Where it is in the sandbox.
    pub path: ViewPath,
    /// Where it is on the host, from the root.
    pub source: PathBuf,
    /// Whether the sandbox may change it there.
    pub writable: bool,
}

/// A message that is no request, or stands for none that could be done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Rejected {
    /// Which sandbox it concerned, if it said so.
    pub id: Option<String>,
    /// What is wrong with it.
    pub reason: String,
    /// The stream cannot be read any further.
    pub is_last: bool,
}

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Answer {
    /// Which sandbox it concerned; `None` if that is not known.
    pub id: Option<String>,
    /// Why it could not be done; `None` if it was.
    pub error: Option<String>,
}

/// Makes requests of bytes.
#[derive(Debug, Default)]
pub struct Decoder {
    frames: Frames,
    prefixes: Prefixes,
    is_lost: bool,
}

#[derive(Deserialize)]
enum Message<'a> {
    #[serde(alias = "C", borrow)]
    CreateSandbox(Create<'a>),
    #[serde(alias = "D")]
    DestroySandbox(String),
}

#[derive(Deserialize)]
struct Create<'a> {
    #[serde(alias = "i")]
    id: String,
    #[serde(alias = "m", default, borrow)]
    mappings: Vec<WireMapping<'a>>,
    /// JSON has no numbers as keys.
    #[serde(alias = "q", default, borrow)]
    prefixes: HashMap<Cow<'a, str>, Cow<'a, str>>,
}

#[derive(Deserialize)]
struct WireMapping<'a> {
    #[serde(alias = "x", default)]
    path_prefix: u32,
    #[serde(alias = "p", borrow)]
    path: Cow<'a, str>,
    #[serde(alias = "y", default)]
    underlying_path_prefix: u32,
    #[serde(alias = "u", borrow)]
    underlying_path: Cow<'a, str>,
    #[serde(alias = "w", default)]
    writable: bool,
}

impl Decoder {
    /// Takes bytes of the stream, and returns the requests that are whole with
    /// them.
    pub fn push(&mut self, bytes: &[u8]) -> VecDeque<Result<Request, Rejected>> {
        let mut decoded = VecDeque::new();
        if self.is_lost {
            return decoded;
        }
        self.frames.push(bytes);
        loop {
            match self.frames.next() {
                Ok(Some(frame)) => decoded.push_back(self.decode(&frame)),
                Ok(None) => return decoded,
                Err(lost) => {
                    self.is_lost = true;
                    decoded.push_back(Err(Rejected::last(lost.to_string())));
                    return decoded;
                }
            }
        }
    }

    /// Tells the end of the stream, where no message may be under way.
    pub fn finish(&self) -> Result<(), Rejected> {
        let end = self.frames.finish();
        end.map_err(|lost| Rejected::last(lost.to_string()))
    }

    fn decode(&mut self, frame: &[u8]) -> Result<Request, Rejected> {
        match serde_json::from_slice(frame) {
            Ok(Message::CreateSandbox(create)) => {
                let id = create.id.clone();
                self.create(create).map_err(|reason| Rejected {
                    id: Some(id),
                    reason,
                    is_last: false,
                })
            }
            Ok(Message::DestroySandbox(id)) => match check_id(&id) {
                Ok(()) => Ok(Request::Destroy { id }),
                Err(reason) => Err(Rejected {
                    id: Some(id),
                    reason,
                    is_last: false,
                }),
            },
            Err(error) => Err(Rejected {
                id: id_in(frame),
                reason: format!("not a request: {error}"),
                is_last: false,
            }),
        }
    }

    /// Prefixes are learnt even if the request fails for another reason: the
    /// client will not send them again.
    fn create(&mut self, create: Create<'_>) -> Result<Request, String> {
        let mut all_learnt = Ok(());
        for (number, prefix) in create.prefixes {
            all_learnt = self.prefixes.learn(&number, prefix).and(all_learnt);
        }
        all_learnt.map_err(|error| error.to_string())?;
        check_id(&create.id)?;
        let mappings = create.mappings.iter();
        Ok(Request::Create {
            id: create.id,
            mappings: mappings
                .map(|mapping| self.mapping(mapping))
                .collect::<Result<_, _>>()?,
        })
    }

    fn mapping(&self, wire: &WireMapping<'_>) -> Result<Mapping, String> {
        let joined = |prefix, suffix: &str| {
            let path = self.prefixes.path(prefix, suffix);
            path.map_err(|error| error.to_string())
        };
        let path = joined(wire.path_prefix, &wire.path)?;
        let source = joined(wire.underlying_path_prefix, &wire.underlying_path)?;
        for path in [&path, &source] {
            if !path.starts_with('/') {
                return Err(format!("`{}` is not absolute", shown_text(path)));
            }
        }
        if source.len() > PATH_BYTES_MAX || source.contains('\0') {
            return Err(format!("`{}` is no path", shown_text(&source)));
        }
        Ok(Mapping {
            path: ViewPath::parse_inside(path.as_bytes())
                .map_err(|error| format!("`{}`: {error}", shown_text(&path)))?,
            source: source.into(),
            writable: wire.writable,
        })
    }
}

impl Rejected {
    fn last(reason: String) -> Self {
        Self {
            id: None,
            reason,
            is_last: true,
        }
    }
}

impl Answer {
    /// It is done.
    #[must_use]
    pub fn done(id: String) -> Self {
        Self {
            id: Some(id),
            error: None,
        }
    }

    /// It could not be done.
    #[must_use]
    pub fn failed(id: Option<String>, error: String) -> Self {
        Self {
            id,
            error: Some(error),
        }
    }

    /// The line that is sent.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut line = serde_json::to_vec(self).expect("two strings");
        line.push(b'\n');
        line
    }
}

/// A sandbox is a directory of the root.
fn check_id(id: &str) -> Result<(), String> {
    let path = ViewPath::parse(id.as_bytes());
    match path.map(|path| path.names().count()) {
        Ok(1) if !id.ends_with('/') => Ok(()),
        _ => Err(format!("`{}` cannot name a sandbox", shown_text(id))),
    }
}

/// The id in a message that is no request otherwise, so that its sender knows
/// which one failed.
fn id_in(frame: &[u8]) -> Option<String> {
    let message: Value = serde_json::from_slice(frame).ok()?;
    let of = |names: [&str; 2], value: &Value| {
        let mut found = names.into_iter().map(|name| value.get(name).cloned());
        found.find_map(|found| found)
    };
    let id = match of(["C", "CreateSandbox"], &message) {
        Some(create) => of(["i", "id"], &create),
        None => of(["D", "DestroySandbox"], &message),
    };
    id?.as_str().map(str::to_owned)
}

fn shown_text(text: &str) -> String {
    shown(OsStr::new(text)).to_string()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decode(stream: &str) -> Vec<Result<Request, Rejected>> {
        Decoder::default().push(stream.as_bytes()).into()
    }

    fn mapping(path: &str, source: &str, writable: bool) -> Mapping {
        Mapping {
            path: ViewPath::parse_inside(path.as_bytes()).unwrap(),
            source: source.into(),
            writable,
        }
    }

    #[test]
    fn what_bazel_sends() {
        let requests = decode(concat!(
            r#"{"C":{"i":"empty","m":[]}}"#,
            r#"{"C":{"i":"0","m":[{"x":1,"p":"__main__","y":2,"u":"scratch","w":true},"#,
            r#"{"x":3,"p":"b.c","y":4,"u":"b.c"}],"#,
            r#""q":{"1":"/","2":"/base/linux-sandbox/3","3":"/__main__","4":"/execroot/__main__"}}}"#,
            r#"{"C":{"i":"1","m":[{"x":3,"p":"d","y":4,"u":"d"}]}}"#,
            r#"{"D":"0"}"#,
        ));
        let create = |id: &str, mappings: &[Mapping]| {
            Ok(Request::Create {
                id: id.into(),
                mappings: mappings.to_vec(),
            })
        };
        let expected = [
            create("empty", &[]),
            create(
                "0",
                &[
                    mapping("/__main__", "/base/linux-sandbox/3/scratch", true),
                    mapping("/__main__/b.c", "/execroot/__main__/b.c", false),
                ],
            ),
            create(
                "1",
                &[mapping("/__main__/d", "/execroot/__main__/d", false)],
            ),
            Ok(Request::Destroy { id: "0".into() }),
        ];
        assert_eq!(requests, expected);
    }

    #[test]
    fn long_names_mean_the_same() {
        let requests = decode(concat!(
            r#"{"CreateSandbox":{"id":"a","mappings":[{"path_prefix":1,"path":"x","#,
            r#""underlying_path_prefix":0,"underlying_path":"/h","writable":true,"new":[1]}],"#,
            r#""prefixes":{"1":"/"}}} {"DestroySandbox":"a"}"#,
        ));
        assert_eq!(
            requests,
            [
                Ok(Request::Create {
                    id: "a".into(),
                    mappings: vec![mapping("/x", "/h", true)]
                }),
                Ok(Request::Destroy { id: "a".into() }),
            ]
        );
    }

    #[test]
    fn a_bad_request_is_answered_by_its_id_and_the_stream_goes_on() {
        let mappings = |mapping: &str| format!(r#"{{"C":{{"i":"7","m":[{mapping}]}}}}"#);
        for (bad, id, reason) in [
            (mappings(r#"{"p":"x","u":"/h"}"#), Some("7"), "not absolute"),
            (mappings(r#"{"p":"/x","u":"h"}"#), Some("7"), "not absolute"),
            (mappings(r#"{"p":"/a/../x","u":"/h"}"#), Some("7"), ".."),
            (
                mappings(r#"{"p":"/x","x":9,"u":"/h"}"#),
                Some("7"),
                "prefix 9",
            ),
            (mappings(r#"{"p":"/x"}"#), Some("7"), "underlying_path"),
            (mappings(r#"{"p":"/x","u":"/h","w":1}"#), Some("7"), "bool"),
            (r#"{"D":5}"#.into(), None, "not a request"),
            (r#"{"D":"a/b"}"#.into(), Some("a/b"), "cannot name"),
            (r#"{"C":{"i":""}}"#.into(), Some(""), "cannot name"),
            (r#"{"C":{"i":".."}}"#.into(), Some(".."), "cannot name"),
            (r#"{"E":1}"#.into(), None, "not a request"),
            ("{,}".into(), None, "not a request"),
        ] {
            let decoded = decode(&format!("{bad}{{\"D\":\"next\"}}"));
            let [Err(rejected), Ok(next)] = &decoded[..] else {
                panic!("{bad}: {decoded:?}");
            };
            assert_eq!(rejected.id.as_deref(), id, "{bad}");
            assert!(rejected.reason.contains(reason), "{bad}: {rejected}");
            assert!(!rejected.is_last);
            assert_eq!(*next, Request::Destroy { id: "next".into() });
        }
    }

    #[test]
    fn prefixes_of_a_failed_request_are_known() {
        let requests = decode(concat!(
            r#"{"C":{"i":"1","m":[{"p":"bad","u":"/h"}],"q":{"1":"/p"}}}"#,
            r#"{"C":{"i":"2","m":[{"x":1,"p":"x","u":"/h"}]}}"#,
        ));
        assert!(requests[0].is_err());
        assert!(requests[1].is_ok(), "{requests:?}");
    }

    #[test]
    fn nothing_is_read_after_the_stream_is_lost() {
        let mut decoder = Decoder::default();
        let decoded = decoder.push(b"{\"D\":\"a\"} nonsense {\"D\":\"b\"}");
        assert_eq!(decoded.len(), 2);
        assert!(decoded[1].as_ref().is_err_and(|rejected| rejected.is_last));
        assert!(decoder.push(b"{\"D\":\"c\"}").is_empty());
    }

    #[test]
    fn answers_have_both_members_always() {
        assert_eq!(
            Answer::done("1".into()).encode(),
            b"{\"id\":\"1\",\"error\":null}\n"
        );
        assert_eq!(
            Answer::failed(None, "a \"b\"".into()).encode(),
            b"{\"id\":null,\"error\":\"a \\\"b\\\"\"}\n"
        );
    }

    proptest! {
        #[test]
        fn pieces_make_no_difference(
            ids in prop::collection::vec("[a-z\"{}\\\\]{0,4}", 1..5),
            cuts in prop::collection::vec(0..64usize, 0..6),
        ) {
            let stream: String = ids
                .iter()
                .map(|id| serde_json::json!({"C": {"i": id, "m": [{"p": "/x", "u": "/y"}]}}).to_string())
                .collect();
            let whole = decode(&stream);
            let mut decoder = Decoder::default();
            let mut rest = stream.as_bytes();
            let mut pieces = Vec::new();
            for cut in cuts {
                let (piece, after) = rest.split_at(cut.min(rest.len()));
                pieces.extend(decoder.push(piece));
                rest = after;
            }
            pieces.extend(decoder.push(rest));
            prop_assert_eq!(pieces, whole);
            prop_assert!(decoder.finish().is_ok());
        }

        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut decoder = Decoder::default();
            let decoded = decoder.push(&bytes);
            let lost = decoded.iter().flat_map(|one| one.as_ref().err());
            prop_assert!(lost.filter(|rejected| rejected.is_last).count() <= 1);
        }
    }
}
