//! The types of `io.transom.View`.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Name of the interface.
pub const INTERFACE: &str = "io.transom.View";

/// The interface as varlink's description language has it.
pub const INTERFACE_TEXT: &str = include_str!("io.transom.View.varlink");

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
    Withdraw(Value),
    /// Points a name that stands for a file at another host file.
    Redirect {
        /// The name in the view.
        name: Value,
        /// The host file.
        file: Value,
    },
}

/// Why a path is there, or is not.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Explanation {
    /// For people.
    pub text: String,
    /// For programs.
    pub explanation: Value,
}

/// Why a call was not served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The update cannot be applied.
    Refused(String),
    /// The view was made without what the method needs.
    Unavailable(String),
}

pub(crate) mod wire {
    //! Parameters of calls and replies.

    use super::*;

    #[derive(Serialize, Deserialize)]
    pub(crate) struct DescribeReply {
        pub(crate) view: Description,
    }

    #[derive(Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    pub(crate) struct UpdateCall {
        pub(crate) changes: Vec<Change>,
    }

    #[derive(Serialize, Deserialize)]
    pub(crate) struct UpdateReply {
        pub(crate) epoch: u64,
    }

    #[derive(Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    pub(crate) struct ExplainCall {
        pub(crate) path: Value,
    }

    #[derive(Serialize, Deserialize)]
    pub(crate) struct TraceReply {
        pub(crate) trace: Value,
    }

    #[derive(Serialize, Deserialize)]
    pub(crate) struct StatisticsReply {
        pub(crate) statistics: Value,
    }

    #[derive(Serialize, Deserialize)]
    pub(crate) struct ErrorParameters {
        pub(crate) message: String,
    }
}
