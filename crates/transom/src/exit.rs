//! How the program ends.
//!
//! The exit code of a wrapped command is passed on as it is. Our own failures
//! use the codes that `env`, `timeout` and their kin use, just below those of
//! the shell:
//!
//! | code | meaning |
//! |---|---|
//! | 123 | the command succeeded, but what it made or used is not as declared |
//! | 124 | the command ran out of time |
//! | 125 | transom failed; the command may not have run |
//! | 126 | the command was found but cannot be executed |
//! | 127 | the command was not found in the view |

use std::process::ExitCode;

/// The command succeeded, but its outputs or inputs are not as declared.
pub(crate) const NOT_AS_DECLARED: u8 = 123;
/// The command ran out of time.
pub(crate) const TIMED_OUT: u8 = 124;
/// We failed.
pub(crate) const FAILED: u8 = 125;

/// Prints an error with all its causes.
pub(crate) fn report(error: &anyhow::Error) -> ExitCode {
    anstream::eprintln!("{RED}transom:{RED:#} {error:#}");
    ExitCode::from(FAILED)
}

/// How our own messages begin.
pub(crate) const RED: anstyle::Style = anstyle::AnsiColor::Red.on_default().bold();
