//! Errors of the host as the wire has them.

use transom_control::host::Error;
use transom_host::State;
use transom_module::Errno;

/// An error of the host.
pub(super) fn refused(error: &transom_module::Error) -> Error {
    Error::Refused {
        errno: error.errno().raw(),
        name: error.errno().to_string(),
        message: error.to_string(),
    }
}

/// The same where the error may be that something is in use by `holders`.
pub(super) fn refused_or_busy(error: &transom_module::Error, holders: Vec<String>) -> Error {
    match error.errno() {
        Errno::EBUSY => Error::Busy {
            holders,
            message: error.to_string(),
        },
        _ => refused(error),
    }
}

/// An error of the operating system, met while doing `what`.
pub(super) fn failed(what: &str, error: std::io::Error) -> Error {
    refused(&transom_module::Error::from_host(error, what))
}

/// What is wrong with the parameters.
pub(super) fn invalid(message: impl Into<String>) -> Error {
    refused(&transom_module::Error::new(Errno::EINVAL, message))
}

/// There is none of that name, or it is somebody else's: which of the two is
/// not told.
pub(super) fn not_found(what: &str, name: &str) -> Error {
    Error::NotFound {
        name: name.into(),
        message: format!("there is no {what} `{name}`, or it is somebody else's"),
    }
}

/// Something that needs a loaded container was asked of one that is not.
pub(super) fn not_ready(state: State, missing: Vec<u32>, name: &str) -> Option<Error> {
    (state == State::Blocked).then(|| Error::Blocked {
        missing,
        message: format!("`{name}` waits for members; offer them, or load it degraded"),
    })
}
