use serde::{Deserialize, Serialize};

use crate::MissingDescriptor;

/// What every method returns.
pub type Result<T> = std::result::Result<T, Error>;

/// The errors of `io.transom.Host`. The messages are for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "error", content = "parameters")]
pub enum Error {
    /// It could not be done; nothing has changed.
    #[serde(rename = "io.transom.Host.Refused")]
    #[error("{message} ({name})")]
    Refused {
        /// The error number of Linux.
        errno: i32,
        /// What that is called, such as `EINVAL`.
        name: String,
        /// Why.
        message: String,
    },
    /// The policy does not allow it to this caller.
    #[serde(rename = "io.transom.Host.Denied")]
    #[error("{message} (rule {rule})")]
    Denied {
        /// The rule that decided.
        rule: String,
        /// What is not allowed.
        message: String,
    },
    /// There is no such thing, or the caller may not see it.
    #[serde(rename = "io.transom.Host.NotFound")]
    #[error("{message}")]
    NotFound {
        /// What was asked for.
        name: String,
        /// What there is.
        message: String,
    },
    /// It is in use.
    #[serde(rename = "io.transom.Host.Busy")]
    #[error("{message}")]
    Busy {
        /// By these, in words for people.
        holders: Vec<String>,
        /// What to do.
        message: String,
    },
    /// Members of the container are missing.
    #[serde(rename = "io.transom.Host.Blocked")]
    #[error("{message}")]
    Blocked {
        /// Which, from 0.
        missing: Vec<u32>,
        /// What to do.
        message: String,
    },
    /// Events that were asked for are not kept any more.
    #[serde(rename = "io.transom.Host.Gap")]
    #[error("{message}")]
    Gap {
        /// The oldest that is kept.
        first: u64,
        /// For people.
        message: String,
    },
}

impl From<MissingDescriptor> for Error {
    fn from(missing: MissingDescriptor) -> Self {
        Self::Refused {
            errno: rustix::io::Errno::BADF.raw_os_error(),
            name: "EBADF".into(),
            message: missing.to_string(),
        }
    }
}
