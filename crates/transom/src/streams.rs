//! What the program prints itself. The macros of the standard library end the
//! program where that cannot be done.

use std::fmt::Display;
use std::io::Write;

use anyhow::Context;

/// Prints a line on standard output.
pub(crate) fn print_line(text: impl Display) -> anyhow::Result<()> {
    writeln!(anstream::stdout(), "{text}").context("cannot write to standard output")
}

/// Prints on standard error, if that is possible: nobody is left to be told that
/// it is not, and the exit code belongs to the command.
pub(crate) fn complain(text: impl Display) {
    let _ = write!(anstream::stderr(), "{text}");
}
