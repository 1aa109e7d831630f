//! What the program prints itself. The macros of the standard library end the
//! program where that cannot be done.

use std::fmt::Display;
use std::io::{ErrorKind, Write};

use anyhow::Context;

/// Prints a line on standard output. Nobody may be left to read it, as with
/// `| head`; anything else that prevents it is an error.
pub(crate) fn print_line(line: impl Display) -> anyhow::Result<()> {
    match writeln!(anstream::stdout(), "{line}") {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written.context("cannot write to standard output"),
    }
}

/// Prints on standard error, if that is possible: nobody is left to be told that
/// it is not, and the exit code belongs to the command.
pub(crate) fn complain(text: impl Display) {
    let _ = write!(anstream::stderr(), "{text}");
}
