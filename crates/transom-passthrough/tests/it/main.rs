//! The passthrough module, mounted. Everything here needs to mount.

mod concurrency;
mod hostile_backing;
mod killed;
mod mounted;
mod operations;
mod random;
mod watched;

use std::time::Duration;

/// Long enough for any loaded machine, short enough for a test.
const PATIENCE: Duration = Duration::from_secs(30);
