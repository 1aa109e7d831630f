//! The passthrough module, mounted. Everything here needs to mount.

mod concurrency;
mod hostile_backing;
mod killed;
mod listing;
mod mounted;
mod operations;
mod random;
mod watched;

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// Long enough for any loaded machine, short enough for a test.
const PATIENCE: Duration = Duration::from_secs(30);

/// Runs `client` while `others` do something, again and again.
fn meanwhile(others: impl Fn() + Sync, client: impl FnOnce()) {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                others();
            }
        });
        // Also if the client panics: others would go on for ever.
        let _stop = Stop(&done);
        client();
    });
}

struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
