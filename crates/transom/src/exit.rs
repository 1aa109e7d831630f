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

use transom_sandbox::Exit;

use crate::{signals, streams};

/// The command succeeded, but its outputs or inputs are not as declared.
pub(crate) const NOT_AS_DECLARED: u8 = 123;
/// The command ran out of time.
pub(crate) const TIMED_OUT: u8 = 124;
/// We failed.
pub(crate) const FAILED: u8 = 125;

/// How the program ends when it has wrapped a command.
#[derive(Debug, Clone, Copy)]
pub(crate) enum End {
    Code(u8),
    Signal(i32),
}

impl End {
    /// As the command did.
    pub(crate) fn of(exit: Exit) -> Self {
        match exit {
            Exit::Exited(code) => Self::Code(code),
            Exit::Signalled { signal, .. } => Self::Signal(signal),
            Exit::TimedOut => Self::Code(TIMED_OUT),
        }
    }

    /// As a shell has it.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Code(code) => code,
            Self::Signal(signal) => 128u8.saturating_add(signal as u8),
        }
    }

    /// Ends like that. Nothing may be left behind by now.
    pub(crate) fn finish(self) -> ExitCode {
        if let Self::Signal(signal) = self {
            signals::die_of(signal);
        }
        ExitCode::from(self.code())
    }
}

/// Prints why there is no command whose end could be ours.
pub(crate) fn failed(error: &anyhow::Error) -> End {
    report(error);
    let code = error
        .downcast_ref()
        .and_then(transom_sandbox::Error::shell_exit_code);
    End::Code(code.unwrap_or(FAILED))
}

/// Prints an error with all its causes.
pub(crate) fn report(error: &anyhow::Error) -> ExitCode {
    tell(&with_causes(error));
    ExitCode::from(FAILED)
}

/// Prints a message of ours, which may have several lines. Whatever is in it,
/// it does nothing to the terminal.
pub(crate) fn tell(message: &str) {
    let lines = message.split('\n').map(harmless);
    let message = lines.collect::<Vec<_>>().join("\n");
    streams::complain(format_args!("{RED}transom:{RED:#} {message}\n"));
}

/// Names are [`shown`](transom_projection::shown) where messages are made. This
/// is for what came from elsewhere.
pub(crate) fn harmless(line: &str) -> String {
    let mut text = String::with_capacity(line.len());
    for character in line.chars() {
        if character.is_control() {
            text.extend(character.escape_default());
        } else {
            text.push(character);
        }
    }
    text
}

/// The messages of an error and its causes, without those that the one before
/// tells already.
pub(crate) fn with_causes(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for message in error.chain().map(ToString::to_string) {
        if text.is_empty() {
            text = message;
        } else if !text.contains(&message) {
            text = format!("{text}: {message}");
        }
    }
    text
}

/// Prints what is wrong with the arguments, or the help that they ask for.
///
/// The usual code 2 could be the command's.
pub(crate) fn usage(error: &clap::Error) -> ExitCode {
    // Nobody is left to be told that this could not be printed.
    let _ = error.print();
    ExitCode::from(if error.use_stderr() { FAILED } else { 0 })
}

/// How our own messages begin.
const RED: anstyle::Style = anstyle::AnsiColor::Red.on_default().bold();

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    #[test]
    fn messages_do_nothing_to_the_terminal() {
        assert_eq!(
            harmless("a\x1b[31mb `c` \u{f6}"),
            "a\\u{1b}[31mb `c` \u{f6}"
        );
    }

    #[test]
    fn a_cause_is_told_once() {
        let error = anyhow!("Permission denied").context("cannot open `a`: Permission denied");
        assert_eq!(with_causes(&error), "cannot open `a`: Permission denied");
        let error = anyhow!("Permission denied").context("cannot open `a`");
        assert_eq!(with_causes(&error), "cannot open `a`: Permission denied");
    }
}
