use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// Inputs from which on opening them takes long enough to be told about.
const WORTH_TELLING: usize = 50_000;

/// A line on the terminal that moves while something takes long, and leaves no
/// trace. Nothing without a terminal.
pub(crate) struct Progress(Option<ProgressBar>);

impl Progress {
    /// Tells that so many inputs are being opened, if that is worth it.
    pub(crate) fn of_opening(inputs: usize) -> Self {
        if inputs < WORTH_TELLING || !std::io::stderr().is_terminal() {
            return Self(None);
        }
        let style = ProgressStyle::with_template("{spinner} {msg} {elapsed}");
        let bar = ProgressBar::new_spinner().with_message(format!("opening {inputs} inputs"));
        let bar = match style {
            Ok(style) => bar.with_style(style),
            Err(_) => bar,
        };
        bar.enable_steady_tick(Duration::from_millis(100));
        Self(Some(bar))
    }

    /// Shows a task that the daemon does.
    pub(crate) fn of_task(kind: &str) -> Self {
        if !std::io::stderr().is_terminal() {
            return Self(None);
        }
        let bar = ProgressBar::no_length().with_message(kind.to_owned());
        let style = "{msg} {wide_bar} {percent}% {elapsed} (left: {eta})";
        Self(Some(match ProgressStyle::with_template(style) {
            Ok(style) => bar.with_style(style),
            Err(_) => bar,
        }))
    }

    /// So much of so much is done.
    pub(crate) fn set(&self, done: u64, of: u64, is_paused: bool) {
        if let Some(bar) = &self.0 {
            if of > 0 {
                bar.set_length(of);
            }
            bar.set_position(done);
            bar.set_prefix(if is_paused { "paused" } else { "" });
        }
    }

    /// Does something that writes to the terminal.
    pub(crate) fn suspend<T>(&self, write: impl FnOnce() -> T) -> T {
        match &self.0 {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}
