use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt;

use tempfile::TempDir;

/// A temporary directory that everyone may look into, removed on drop.
///
/// Unlike that of the `tempfile` crate, which only its owner can enter: a test
/// that runs as root often hands its files to a command that does not.
pub fn temp_dir() -> io::Result<TempDir> {
    tempfile::Builder::new()
        .prefix("transom-test-")
        .permissions(Permissions::from_mode(0o755))
        .tempdir()
}
