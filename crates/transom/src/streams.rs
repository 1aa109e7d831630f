//! What the program prints itself. The macros of the standard library end the
//! program where that cannot be done.

use std::fmt::Display;
use std::io::{ErrorKind, Write};

use anyhow::Context;

use crate::exit::harmless;

/// Prints a line on standard output. Nobody may be left to read it, as with
/// `| head`; anything else that prevents it is an error.
pub(crate) fn print_line(line: impl Display) -> anyhow::Result<()> {
    match writeln!(anstream::stdout(), "{line}") {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written.context("cannot write to standard output"),
    }
}

/// Prints lines on standard output in which there may be names that others have
/// chosen. Whatever is in them, it does nothing to the terminal.
pub(crate) fn print_text(text: impl Display) -> anyhow::Result<()> {
    let text = text.to_string();
    let lines: Vec<_> = text.split('\n').map(harmless).collect();
    print_line(lines.join("\n"))
}

/// Prints on standard error, if that is possible: nobody is left to be told that
/// it is not, and the exit code belongs to the command.
pub(crate) fn complain(text: impl Display) {
    let _ = write!(anstream::stderr(), "{text}");
}
