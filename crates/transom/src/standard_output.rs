//! Printing what a command was asked for.

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
