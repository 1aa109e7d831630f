//! A session on the real kernel. Everything here needs to mount.

mod backing_files;
mod foreign;
mod hanging;
mod killed;
mod memory;
mod names;
mod served_bytes;
mod shelf;
mod supervision;

use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::time::Duration;

use shelf::{Content, Shelf};
use transom_fuse::{Options, Session};
use transom_module::VolumeDefinition;

/// Long enough for any loaded machine, short enough for a test.
const PATIENCE: Duration = Duration::from_secs(20);

fn serve(files: &[(&str, Content)]) -> Session<Shelf> {
    serve_with(files, &Options::default())
}

fn serve_with(files: &[(&str, Content)], options: &Options) -> Session<Shelf> {
    let mut definition = VolumeDefinition::new(Shelf::new(files)).with_extended_attributes();
    definition.stateless_directories = true;
    Session::start(definition, options).unwrap()
}

/// A path of the session's detached mount that this process can use.
fn path_of(session: &Session<Shelf>, name: &str) -> PathBuf {
    PathBuf::from(format!(
        "/proc/self/fd/{}",
        session.mount().unwrap().as_raw_fd()
    ))
    .join(name)
}
