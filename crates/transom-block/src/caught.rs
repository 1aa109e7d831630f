use std::panic::{self, AssertUnwindSafe};

use transom_module::{Errno, Result};

/// Calls a block volume. The operator is told of failures that have a message;
/// a panic is an error of this one call.
pub(crate) fn caught<T>(call: impl FnOnce() -> Result<T>) -> std::result::Result<T, Errno> {
    // What a panic leaves behind in a volume is the volume's own.
    let done = panic::catch_unwind(AssertUnwindSafe(call));
    done.unwrap_or_else(|_| Err(Errno::EIO.into()))
        .map_err(|error| {
            if error.is_notable() {
                tracing::warn!(%error, "a block volume failed");
            }
            error.errno()
        })
}
