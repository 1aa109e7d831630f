use serde::{Deserialize, Serialize};

use crate::MissingDescriptor;

/// What every method returns.
pub type Result<T> = std::result::Result<T, Error>;

/// The errors of `io.transom.Views`. The messages are for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "error", content = "parameters")]
pub enum Error {
    /// It could not be done; nothing has changed.
    #[serde(rename = "io.transom.Views.Refused")]
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
    #[serde(rename = "io.transom.Views.Denied")]
    #[error("{message} (rule {rule})")]
    Denied {
        /// The rule that decided.
        rule: String,
        /// What is not allowed.
        message: String,
    },
    /// There is no such view, or the caller may not see it.
    #[serde(rename = "io.transom.Views.NotFound")]
    #[error("{message}")]
    NotFound {
        /// What was asked for.
        name: String,
        /// What there is.
        message: String,
    },
    /// The view was made without what the method needs.
    #[serde(rename = "io.transom.Views.Unavailable")]
    #[error("{message}")]
    Unavailable {
        /// Which option gives it.
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
