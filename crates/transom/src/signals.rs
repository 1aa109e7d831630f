//! Signals while an action runs.
//!
//! The action stays in our process group and on our terminal, so Ctrl-C and
//! Ctrl-\ reach it directly, and Ctrl-Z stops both of us. What is sent to our
//! process alone is passed on. We end when the action has ended, never before:
//! otherwise nobody would collect its outputs. What was ignored when we were
//! started, as `nohup` does it, stays ignored, for us and for the action.

use std::io;
use std::os::fd::AsFd;
use std::thread;

use rustix::process::{Signal, getpgrp};
use rustix::termios::tcgetpgrp;
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::iterator::Signals;
use transom_sandbox::Remote;

/// Signals held back from the moment this is made until it is dropped.
pub(crate) struct HeldSignals(Signals);

impl HeldSignals {
    /// From here on these signals no longer end this process.
    pub(crate) fn hold() -> io::Result<Self> {
        let ignored = ignored_signals()?;
        let mut held = vec![SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2];
        held.retain(|signal| ignored & 1 << (signal - 1) == 0);
        Ok(Self(Signals::new(held)?))
    }

    /// Passes signals on to an action, also those that came before it ran.
    pub(crate) fn pass_on_to(mut self, action: Remote) -> io::Result<PassedOn> {
        let handle = self.0.handle();
        // Whatever sent these, the action was not there to be told.
        for number in self.0.pending() {
            pass_on(number, &action);
        }
        thread::Builder::new()
            .name("signals".into())
            .spawn(move || {
                for number in &mut self.0 {
                    let is_from_terminal = matches!(number, SIGINT | SIGQUIT);
                    if !(is_from_terminal && terminal_tells_the_action()) {
                        pass_on(number, &action);
                    }
                }
            })?;
        Ok(PassedOn(handle))
    }
}

/// The signals this process ignores: bit 0 is signal 1.
fn ignored_signals() -> io::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.ok_or_else(|| io::Error::other("/proc/self/status does not say which signals are ignored"))
}

fn pass_on(number: i32, action: &Remote) {
    let sent = Signal::from_named_raw(number).map(|signal| action.signal(signal));
    if let Some(Err(error)) = sent {
        tracing::warn!(%error, number, "a signal could not be passed on");
    }
}

/// Signals are passed on until this is dropped.
pub(crate) struct PassedOn(signal_hook::iterator::Handle);

impl Drop for PassedOn {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// Whether an interrupt from the terminal goes to the action as well: we are
/// in the terminal's foreground group, and the action is where we are.
fn terminal_tells_the_action() -> bool {
    let terminal = rustix::fs::open(
        "/dev/tty",
        rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::NOCTTY | rustix::fs::OFlags::CLOEXEC,
        rustix::fs::Mode::empty(),
    );
    terminal.is_ok_and(|terminal| tcgetpgrp(terminal.as_fd()).is_ok_and(|group| group == getpgrp()))
}

/// Ends this process as `signal` ended the action, so that whoever waits for
/// us sees the same. Returns if the signal does not end a process.
pub(crate) fn die_of(signal: i32) {
    // The core dump, if any, was the action's.
    let limit = rustix::process::getrlimit(rustix::process::Resource::Core);
    let none = rustix::process::Rlimit {
        current: Some(0),
        ..limit
    };
    let _ = rustix::process::setrlimit(rustix::process::Resource::Core, none);
    let _ = signal_hook::low_level::emulate_default_handler(signal);
}
