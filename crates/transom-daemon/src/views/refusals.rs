//! What clients are told when something cannot be done.

use std::io;

use rustix::io::Errno;
use transom_control::views::Error;
use transom_projection::{Errors, Exhausted, PinError, PinProblem, UpdateError};

use crate::Denial;

/// The rule that is no policy: nothing changes it.
const OWN_RIGHTS: &str = "a client maps what he can open himself";

pub(super) fn denied(denial: Denial) -> Error {
    Error::Denied {
        rule: denial.rule,
        message: denial.message,
    }
}

/// A system call failed.
pub(super) fn refused(error: &io::Error, message: &str) -> Error {
    let errno = Errno::from_io_error(error).unwrap_or(Errno::IO);
    because(errno, format!("{message}: {error}"))
}

/// The call makes no sense.
pub(super) fn invalid(message: String) -> Error {
    because(Errno::INVAL, message)
}

pub(super) fn exists(name: &str) -> Error {
    because(
        Errno::EXIST,
        format!("there is a view named {name:?} already; give this one another name"),
    )
}

pub(super) fn exhausted(exhausted: &Exhausted) -> Error {
    Error::Denied {
        rule: exhausted.rule.clone(),
        message: exhausted.to_string(),
    }
}

/// Host files that could not be pinned, all of them told.
pub(super) fn not_pinned(errors: &Errors<PinError>) -> Error {
    let is_denied = errors.shown().iter().any(|error| match &error.problem {
        PinProblem::Unreadable => true,
        PinProblem::Host(error) => error.kind() == io::ErrorKind::PermissionDenied,
        _ => false,
    });
    let message = errors.to_string();
    match is_denied {
        true => Error::Denied {
            rule: OWN_RIGHTS.into(),
            message,
        },
        false => because(Errno::NOENT, message),
    }
}

pub(super) fn not_updated(error: &UpdateError) -> Error {
    match error {
        UpdateError::Pin(errors) => not_pinned(errors),
        UpdateError::Exhausted(error) => exhausted(error),
        _ => invalid(error.to_string()),
    }
}

fn because(errno: Errno, message: String) -> Error {
    Error::Refused {
        errno: errno.raw_os_error(),
        name: transom_module::Errno::from_raw(errno.raw_os_error()).to_string(),
        message,
    }
}
