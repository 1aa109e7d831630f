//! `io.transom.View`: one live view at a socket of its own.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::method::methods;
use crate::{Bytes, Interface};

/// The name of the interface.
pub const INTERFACE: &str = "io.transom.View";

/// The interface as varlink's description language has it.
pub const INTERFACE_TEXT: &str = include_str!("io.transom.View.varlink");

methods! {
    "io.transom.View", Error;
    Describe => DescribeReply,
    Update => UpdateReply,
    Explain => Explanation,
    Trace => TraceReply,
    Statistics => StatisticsReply,
}

/// What a view is and how much it holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    /// How the user calls it.
    pub name: String,
    /// How it is served.
    pub engine: String,
    /// Grows by one with every update.
    pub epoch: u64,
    /// Declared files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Whether the kernel reads the host files itself.
    pub passthrough: bool,
}

/// One change of an update.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Change {
    /// Declares a name that does not exist yet: an input of a manifest.
    Add(Value),
    /// Gives a name that exists another meaning: an input of a manifest.
    Replace(Value),
    /// Takes a name away, with everything below it.
    Withdraw(Bytes),
    /// Points a name that stands for a file at another host file.
    Redirect {
        /// The name in the view.
        name: Bytes,
        /// The host file.
        file: Bytes,
    },
}

/// The view itself.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Describe {}

/// To [`Describe`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DescribeReply {
    /// The view itself.
    pub view: Description,
}

/// Changes the view while it is used: all changes or none.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Update {
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
    /// From the root of the view.
    pub path: Bytes,
}

/// To [`Explain`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Explanation {
    /// For people.
    pub text: String,
    /// For programs.
    pub explanation: Value,
}

/// Which inputs were used so far.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trace {}

/// To [`Trace`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TraceReply {
    /// The JSON form of a trace.
    pub trace: Value,
}

/// Requests so far.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statistics {}

/// To [`Statistics`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StatisticsReply {
    /// As in the summary of a run.
    pub statistics: Value,
}

/// Why a call was not served.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "error", content = "parameters")]
pub enum Error {
    /// The update cannot be applied; nothing has changed.
    #[serde(rename = "io.transom.View.Refused")]
    #[error("{message}")]
    Refused {
        /// Why.
        message: String,
    },
    /// The view was made without what the method needs.
    #[serde(rename = "io.transom.View.Unavailable")]
    #[error("{message}")]
    Unavailable {
        /// Which option gives it.
        message: String,
    },
}

/// What serves the calls of `io.transom.View`.
pub trait ViewService: Send + Sync + 'static {
    /// The view itself.
    fn describe(&self) -> Description;

    /// Applies all changes or none; returns the new epoch.
    fn update(&self, changes: &[Change]) -> Result<u64, Error>;

    /// Why a path is there, or is not.
    fn explain(&self, path: &Bytes) -> Result<Explanation, Error>;

    /// Which inputs were used so far.
    fn trace(&self) -> Result<Value, Error>;

    /// Requests so far.
    fn statistics(&self) -> Value;
}

/// The interface, answered by `service`.
#[must_use]
pub fn interface<S: ViewService>(service: Arc<S>) -> Interface {
    Interface::builder(INTERFACE, INTERFACE_TEXT, service)
        .method(|service, _, Describe {}| {
            let view = service.describe();
            Ok(DescribeReply { view })
        })
        .method(|service, _, Update { changes }| {
            let epoch = service.update(&changes)?;
            Ok(UpdateReply { epoch })
        })
        .method(|service, _, Explain { path }| service.explain(&path))
        .method(|service, _, Trace {}| {
            let trace = service.trace()?;
            Ok(TraceReply { trace })
        })
        .method(|service, _, Statistics {}| {
            let statistics = service.statistics();
            Ok(StatisticsReply { statistics })
        })
        .build()
}
