//! What goes over the wire: the one place to change when the contract does.
//!
//! Field for field `src/main/protobuf/sandbox.proto` of bazelbuild/bazel pull
//! request 29886 as it was in July 2026, and the four messages it takes from
//! `build.bazel.remote.execution.v2`. It is a draft: fields come and go. Fields
//! that are not known are skipped. Written by hand, so that building Transom
//! needs no `protoc`.

use std::collections::HashMap;

use prost::{Enumeration, Message, Oneof};

/// From Bazel to the backend.
#[derive(Clone, PartialEq, Message)]
pub struct Request {
    /// Repeated in the answer.
    #[prost(uint64, tag = "1")]
    pub rid: u64,
    /// Bazel's name for a sandbox; empty where none is meant.
    #[prost(string, tag = "2")]
    pub sandbox_id: String,
    /// What is asked for.
    #[prost(oneof = "Operation", tags = "3, 4, 5, 6, 7")]
    pub op: Option<Operation>,
}

/// What a request asks for.
#[derive(Clone, PartialEq, Oneof)]
pub enum Operation {
    /// Make a sandbox.
    #[prost(message, tag = "3")]
    Create(Create),
    /// Forget a sandbox.
    #[prost(message, tag = "4")]
    Destroy(Empty),
    /// Move the outputs out.
    #[prost(message, tag = "5")]
    Collect(Collect),
    /// The handshake.
    #[prost(message, tag = "6")]
    Negotiate(Negotiate),
    /// Directories and contents. Not answered.
    #[prost(message, tag = "7")]
    Push(Push),
}

/// From the backend to Bazel.
#[derive(Clone, PartialEq, Message)]
pub struct Response {
    /// That of the request.
    #[prost(uint64, tag = "1")]
    pub rid: u64,
    /// The result, of the kind that was asked for.
    #[prost(oneof = "Answer", tags = "2, 3, 4, 5")]
    pub result: Option<Answer>,
}

/// What came of a request.
#[derive(Clone, PartialEq, Oneof)]
pub enum Answer {
    /// `Create.Result`
    #[prost(message, tag = "2")]
    Create(CreateResult),
    /// `Destroy.Result`
    #[prost(message, tag = "3")]
    Destroy(PlainResult),
    /// `Collect.Result`
    #[prost(message, tag = "4")]
    Collect(PlainResult),
    /// `Negotiate.Result`
    #[prost(message, tag = "5")]
    Negotiate(NegotiateResult),
}

/// A message without fields: `Destroy`, `Unconfined`, and two kinds of `Ok`.
#[derive(Clone, Copy, PartialEq, Message)]
pub struct Empty {}

/// Why an operation failed for good, for the build log.
#[derive(Clone, PartialEq, Message)]
pub struct Error {
    /// In words.
    #[prost(string, tag = "1")]
    pub message: String,
}

/// The handshake.
#[derive(Clone, PartialEq, Message)]
pub struct Negotiate {
    /// What the user gave with `--sandbox_backend_opt`.
    #[prost(string, repeated, tag = "1")]
    pub options: Vec<String>,
    /// The versions of the protocol that Bazel speaks.
    #[prost(enumeration = "Version", repeated, tag = "2")]
    pub versions: Vec<i32>,
}

/// A version of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Enumeration)]
#[repr(i32)]
pub enum Version {
    /// The only one.
    Version1 = 0,
}

/// `Negotiate.Result`
#[derive(Clone, PartialEq, Message)]
pub struct NegotiateResult {
    /// One of them.
    #[prost(oneof = "NegotiateOutcome", tags = "1, 2")]
    pub outcome: Option<NegotiateOutcome>,
}

/// What came of the handshake.
#[derive(Clone, PartialEq, Oneof)]
pub enum NegotiateOutcome {
    /// It can begin.
    #[prost(message, tag = "1")]
    Ok(Negotiated),
    /// It cannot.
    #[prost(message, tag = "2")]
    Error(Error),
}

/// `Negotiate.Result.Ok`
#[derive(Clone, Copy, PartialEq, Message)]
pub struct Negotiated {
    /// The version that is spoken from here on.
    #[prost(enumeration = "Version", tag = "1")]
    pub version: i32,
}

/// Directories and contents by digest.
#[derive(Clone, PartialEq, Message)]
pub struct Push {
    /// Serialized [`Directory`] messages.
    #[prost(map = "string, bytes", tag = "1")]
    pub blobs: HashMap<String, Vec<u8>>,
    /// Contents of files, where they are not to be read at their default
    /// location, `exec_root/<path in the tree>`.
    #[prost(map = "string, message", tag = "2")]
    pub content: HashMap<String, Content>,
}

/// The bytes of one file.
#[derive(Clone, PartialEq, Message)]
pub struct Content {
    /// Where they are.
    #[prost(oneof = "Source", tags = "1, 2")]
    pub source: Option<Source>,
    /// For how long they are worth keeping.
    #[prost(enumeration = "Retention", tag = "3")]
    pub retention: i32,
}

/// Where bytes are.
#[derive(Clone, PartialEq, Oneof)]
pub enum Source {
    /// Here.
    #[prost(bytes, tag = "1")]
    Inline(Vec<u8>),
    /// At that host path, now.
    #[prost(string, tag = "2")]
    Location(String),
}

/// For how long content is worth keeping.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Enumeration)]
#[repr(i32)]
pub enum Retention {
    /// Other actions will use it.
    Reuse = 0,
    /// One action uses it.
    SingleUse = 1,
}

/// Make a sandbox.
#[derive(Clone, PartialEq, Message)]
pub struct Create {
    /// Of what.
    #[prost(message, optional, tag = "1")]
    pub manifest: Option<Manifest>,
}

/// What an action reads and writes.
#[derive(Clone, PartialEq, Message)]
pub struct Manifest {
    /// The kind of action.
    #[prost(string, tag = "1")]
    pub mnemonic: String,
    /// The host directory that holds the workspace's exec root.
    #[prost(string, tag = "2")]
    pub exec_root: String,
    /// That of all digests, such as `SHA-256`.
    #[prost(string, tag = "3")]
    pub hash_function: String,
    /// The inputs.
    #[prost(message, optional, tag = "4")]
    pub input_root_digest: Option<Digest>,
    /// The outputs, by their paths from the sandbox's root, with a `/` before.
    #[prost(map = "string, message", tag = "5")]
    pub outputs: HashMap<String, Output>,
    /// Host directories by the paths, from the sandbox's root, at which they
    /// can be written.
    #[prost(map = "string, string", tag = "6")]
    pub writable_dirs: HashMap<String, String>,
    /// What a jail allows.
    #[prost(message, optional, tag = "7")]
    pub confinement_setting: Option<ConfinementSetting>,
}

/// One output.
#[derive(Clone, PartialEq, Message)]
pub struct Output {
    /// `dir` or `file`.
    #[prost(string, tag = "1")]
    pub r#type: String,
    /// Where it goes, below the exec root; empty for the path it is made at.
    #[prost(string, tag = "2")]
    pub dest: String,
}

/// What a jail allows.
#[derive(Clone, PartialEq, Message)]
pub struct ConfinementSetting {
    /// Host paths that may be written.
    #[prost(string, repeated, tag = "1")]
    pub writable_paths: Vec<String>,
    /// Host paths that may not be read.
    #[prost(string, repeated, tag = "2")]
    pub inaccessible_paths: Vec<String>,
    /// Whether the network may be used.
    #[prost(bool, tag = "3")]
    pub allow_network: bool,
}

/// `Create.Result`
#[derive(Clone, PartialEq, Message)]
pub struct CreateResult {
    /// One of them.
    #[prost(oneof = "CreateOutcome", tags = "1, 2, 3")]
    pub outcome: Option<CreateOutcome>,
}

/// What came of creating a sandbox.
#[derive(Clone, PartialEq, Oneof)]
pub enum CreateOutcome {
    /// It exists.
    #[prost(message, tag = "1")]
    Ok(Created),
    /// Push these, and ask again.
    #[prost(message, tag = "2")]
    MissingContent(MissingContent),
    /// It cannot be.
    #[prost(message, tag = "3")]
    Error(Error),
}

/// `Create.Result.Ok`
#[derive(Clone, PartialEq, Message)]
pub struct Created {
    /// The absolute path of the sandbox's root. The action's working directory
    /// is the workspace's name below it.
    #[prost(string, tag = "1")]
    pub path: String,
    /// Who confines the action; Bazel, if nobody else does.
    #[prost(oneof = "Confinement", tags = "2, 3")]
    pub confinement: Option<Confinement>,
}

/// Who confines an action.
#[derive(Clone, PartialEq, Oneof)]
pub enum Confinement {
    /// The program it is started by.
    #[prost(message, tag = "2")]
    Custom(CustomConfinement),
    /// Nobody needs to.
    #[prost(message, tag = "3")]
    Unconfined(Empty),
}

/// The program that an action is started by.
#[derive(Clone, PartialEq, Message)]
pub struct CustomConfinement {
    /// For logs.
    #[prost(string, tag = "1")]
    pub name: String,
    /// What is put before the action's arguments; not empty.
    #[prost(string, repeated, tag = "2")]
    pub wrapper: Vec<String>,
    /// More environment.
    #[prost(map = "string, string", tag = "3")]
    pub env: HashMap<String, String>,
}

/// `Create.Result.MissingContent`
#[derive(Clone, PartialEq, Message)]
pub struct MissingContent {
    /// The hashes of the digests.
    #[prost(string, repeated, tag = "1")]
    pub digest_hashes: Vec<String>,
}

/// Move the outputs of a successful action out.
#[derive(Clone, PartialEq, Message)]
pub struct Collect {
    /// The host directory that holds the workspace's exec root.
    #[prost(string, tag = "1")]
    pub exec_root: String,
}

/// `Destroy.Result` and `Collect.Result`
#[derive(Clone, PartialEq, Message)]
pub struct PlainResult {
    /// One of them.
    #[prost(oneof = "PlainOutcome", tags = "1, 2")]
    pub outcome: Option<PlainOutcome>,
}

/// What came of an operation that has no result.
#[derive(Clone, PartialEq, Oneof)]
pub enum PlainOutcome {
    /// It was done.
    #[prost(message, tag = "1")]
    Ok(Empty),
    /// It was not.
    #[prost(message, tag = "2")]
    Error(Error),
}

/// `build.bazel.remote.execution.v2.Digest`
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct Digest {
    /// In hexadecimal, lower case.
    #[prost(string, tag = "1")]
    pub hash: String,
    /// How many bytes were hashed.
    #[prost(int64, tag = "2")]
    pub size_bytes: i64,
}

/// `build.bazel.remote.execution.v2.Directory`. Each list is sorted by name,
/// and no name is in two of them.
#[derive(Clone, PartialEq, Message)]
pub struct Directory {
    /// Its files.
    #[prost(message, repeated, tag = "1")]
    pub files: Vec<FileNode>,
    /// Its directories.
    #[prost(message, repeated, tag = "2")]
    pub directories: Vec<DirectoryNode>,
    /// Its symbolic links.
    #[prost(message, repeated, tag = "3")]
    pub symlinks: Vec<SymlinkNode>,
}

/// `build.bazel.remote.execution.v2.FileNode`
#[derive(Clone, PartialEq, Message)]
pub struct FileNode {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Its content.
    #[prost(message, optional, tag = "2")]
    pub digest: Option<Digest>,
    /// Whether it can be executed.
    #[prost(bool, tag = "4")]
    pub is_executable: bool,
}

/// `build.bazel.remote.execution.v2.DirectoryNode`
#[derive(Clone, PartialEq, Message)]
pub struct DirectoryNode {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Its [`Directory`] message.
    #[prost(message, optional, tag = "2")]
    pub digest: Option<Digest>,
}

/// `build.bazel.remote.execution.v2.SymlinkNode`
#[derive(Clone, PartialEq, Message)]
pub struct SymlinkNode {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Its target.
    #[prost(string, tag = "2")]
    pub target: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A field of wire type 2, assembled by hand.
    fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
        let length = u8::try_from(bytes.len()).unwrap();
        [&[number << 3 | 2, length], bytes].concat()
    }

    /// The numbers as `sandbox.proto` has them, read by a person.
    #[test]
    fn a_request_is_what_the_contract_says() {
        let digest = [field(1, b"ab"), vec![2 << 3, 5]].concat();
        let output = field(
            5,
            &[
                field(1, b"/w/o"),
                field(2, &[field(1, b"dir"), field(2, b"/w/p")].concat()),
            ]
            .concat(),
        );
        let writable = field(6, &[field(1, b"/tmp"), field(2, b"/s")].concat());
        let confinement = [field(1, b"/a"), field(2, b"/b"), vec![3 << 3, 1]].concat();
        let manifest = [
            field(1, b"M"),
            field(2, b"/e"),
            field(3, b"SHA-256"),
            field(4, &digest),
            output,
            writable,
            field(7, &confinement),
        ]
        .concat();
        let bytes = [
            vec![1 << 3, 9],
            field(2, b"id"),
            field(3, &field(1, &manifest)),
        ]
        .concat();
        let request = Request::decode(&bytes[..]).unwrap();
        assert_eq!(request.encode_to_vec(), bytes);
        let Some(Operation::Create(Create {
            manifest: Some(manifest),
        })) = &request.op
        else {
            panic!("{request:?}");
        };
        assert_eq!((request.rid, &*request.sandbox_id), (9, "id"));
        assert_eq!(manifest.outputs["/w/o"].dest, "/w/p");
        assert_eq!(manifest.input_root_digest.as_ref().unwrap().size_bytes, 5);
        assert!(manifest.confinement_setting.as_ref().unwrap().allow_network);

        let content = field(
            2,
            &[
                field(1, b"ab"),
                field(2, &[field(2, b"/f"), vec![3 << 3, 1]].concat()),
            ]
            .concat(),
        );
        let push = [
            field(1, &[field(1, b"cd"), field(2, b"blob")].concat()),
            content,
        ]
        .concat();
        let request = Request::decode(&field(7, &push)[..]).unwrap();
        let Some(Operation::Push(push)) = &request.op else {
            panic!("{request:?}");
        };
        assert_eq!(push.blobs["cd"], b"blob");
        assert_eq!(push.content["ab"].retention(), Retention::SingleUse);
        assert_eq!(
            push.content["ab"].source,
            Some(Source::Location("/f".into()))
        );
        // A list of one version is packed, and may be zero.
        let negotiate = [field(1, b"--o"), field(2, &[0])].concat();
        let request = Request::decode(&field(6, &negotiate)[..]).unwrap();
        let Some(Operation::Negotiate(negotiate)) = &request.op else {
            panic!("{request:?}");
        };
        assert_eq!(negotiate.versions, [Version::Version1 as i32]);
        let destroy = Request::decode(&field(4, b"")[..]).unwrap();
        assert_eq!(destroy.op, Some(Operation::Destroy(Empty {})));
        let collect = Request::decode(&field(5, &field(1, b"/e"))[..]).unwrap();
        let exec_root = "/e".into();
        assert_eq!(collect.op, Some(Operation::Collect(Collect { exec_root })));
    }

    #[test]
    fn an_answer_is_what_the_contract_says() {
        let response = Response {
            rid: 3,
            result: Some(Answer::Create(CreateResult {
                outcome: Some(CreateOutcome::Ok(Created {
                    path: "/p".into(),
                    confinement: Some(Confinement::Custom(CustomConfinement {
                        name: "n".into(),
                        wrapper: vec!["w".into()],
                        env: HashMap::new(),
                    })),
                })),
            })),
        };
        let custom = [field(1, b"n"), field(2, b"w")].concat();
        let ok = [field(1, b"/p"), field(2, &custom)].concat();
        let expected = [vec![1 << 3, 3], field(2, &field(1, &ok))].concat();
        assert_eq!(response.encode_to_vec(), expected);

        let missing = CreateResult {
            outcome: Some(CreateOutcome::MissingContent(MissingContent {
                digest_hashes: vec!["ab".into()],
            })),
        };
        assert_eq!(missing.encode_to_vec(), field(2, &field(1, b"ab")));
        let failed = Error {
            message: "m".into(),
        };
        let failed = PlainResult {
            outcome: Some(PlainOutcome::Error(failed)),
        };
        for (answer, number) in [
            (Answer::Destroy(failed.clone()), 3),
            (Answer::Collect(failed), 4),
        ] {
            let response = Response {
                rid: 0,
                result: Some(answer),
            };
            assert_eq!(
                response.encode_to_vec(),
                field(number, &field(2, &field(1, b"m")))
            );
        }
        let negotiated = Response {
            rid: 0,
            result: Some(Answer::Negotiate(NegotiateResult {
                outcome: Some(NegotiateOutcome::Ok(Negotiated { version: 0 })),
            })),
        };
        assert_eq!(negotiated.encode_to_vec(), field(5, &field(1, b"")));
    }
}
