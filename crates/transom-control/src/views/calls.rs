//! The types and methods of `io.transom.Views`.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Error;
use crate::method::{Empty, methods, or_default};
use crate::view::{Change, Explanation};
use crate::{Bytes, Descriptor};

methods! {
    "io.transom.Views", Error;
    Create => CreateReply,
    Open => OpenReply,
    Update => UpdateReply,
    Explain => Explanation,
    Trace => TraceReply,
    Verify => VerifyReply,
    Statistics => StatisticsReply,
    Describe => DescribeReply,
    List => ListReply,
    Discard => Empty,
}

/// What is done about a file that was changed in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum OnChange {
    /// Opening it fails with `ESTALE`.
    #[default]
    Refuse,
    /// What it holds now is served.
    Report,
    /// What it holds now is served, and [`Verify`] does not look.
    Ignore,
}

/// What a view is and how much it holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct View {
    /// What it is called here.
    pub id: String,
    /// What the user calls it.
    pub name: String,
    /// Grows by one with every update.
    pub epoch: u64,
    /// Declared files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Whether the kernel reads the host files by itself.
    pub passthrough: bool,
    /// Whether it outlives the connection that made it.
    pub keep: bool,
    /// The user who made it.
    pub owner: u32,
}

/// Makes a view of the inputs of a manifest.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Create {
    /// Without, the id.
    pub name: Option<String>,
    /// A manifest.
    pub manifest: Value,
    /// An absolute directory, at which relative paths begin.
    pub base: Bytes,
    /// What is done about files that are changed in place.
    #[serde(default, deserialize_with = "or_default")]
    pub on_change: OnChange,
    /// Record which inputs are used and which absent names are asked for.
    #[serde(default, deserialize_with = "or_default")]
    pub trace: bool,
    /// It outlives the connection.
    #[serde(default, deserialize_with = "or_default")]
    pub keep: bool,
    /// The caller's root directory.
    pub root: Option<Descriptor>,
    /// Directories that have to be there, and stay.
    #[serde(default, deserialize_with = "or_default")]
    pub required: Vec<Bytes>,
    /// What the caller mounts over names.
    #[serde(default, deserialize_with = "or_default")]
    pub mounted: Vec<Value>,
}

/// To [`Create`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CreateReply {
    /// The view.
    pub view: View,
    /// Its tree: a detached mount.
    pub descriptor: Descriptor,
}

/// Another descriptor of a view's tree.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Open {
    /// The view.
    pub view: String,
}

/// To [`Open`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct OpenReply {
    /// Its tree: a detached mount.
    pub descriptor: Descriptor,
}

/// Changes a view while it is used: all changes or none.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Update {
    /// The view.
    pub view: String,
    /// What is changed.
    pub changes: Vec<Change>,
}

/// To [`Update`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct UpdateReply {
    /// The view's new epoch.
    pub epoch: u64,
}

/// Why a path is there, or is not.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Explain {
    /// The view.
    pub view: String,
    /// From the root of the view.
    pub path: Bytes,
}

/// Which inputs were used so far, and which absent names were asked for.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trace {
    /// The view.
    pub view: String,
}

/// To [`Trace`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TraceReply {
    /// The JSON form of a trace.
    pub trace: Value,
}

/// The inputs that are not what they were when they were declared.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Verify {
    /// The view.
    pub view: String,
}

/// To [`Verify`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct VerifyReply {
    /// As in the summary of a run.
    pub changed: Vec<Value>,
}

/// Requests of the kernel to all views together.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statistics {}

/// To [`Statistics`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StatisticsReply {
    /// As in the summary of a run.
    pub statistics: Value,
}

/// One view.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Describe {
    /// The view.
    pub view: String,
}

/// To [`Describe`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DescribeReply {
    /// The view.
    pub view: View,
}

/// The views that the caller may see.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct List {}

/// To [`List`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ListReply {
    /// In no certain order.
    pub views: Vec<View>,
}

/// Ends a view.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Discard {
    /// The view.
    pub view: String,
}
