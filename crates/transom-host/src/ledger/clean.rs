//! Removing what was left. Nothing of it may still be there, and something else
//! may have taken its place.

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixStream;
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};
use transom_block::detach_abandoned;
use transom_module::{Errno, Error, Result};

use super::Leftover;
use crate::Attachment;

pub(super) fn clean(leftover: &Leftover) -> Result<()> {
    match leftover {
        Leftover::Mount(attachment) => unmount(attachment),
        Leftover::Loop(device) => detach_abandoned(device).map(drop),
        Leftover::Scratch(path) => remove_scratch(path),
        Leftover::Socket(path) => remove_socket(path),
    }
}

fn failed(path: &Path, error: io::Error) -> Error {
    Error::from_host(error, format!("cannot remove `{}`", path.display()))
}

fn is_gone(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

fn unmount(attachment: &Attachment) -> Result<()> {
    let failed = |error| failed(attachment.path(), error);
    if attachment.is_there() {
        return attachment.detach().map_err(failed);
    }
    let is_attached = transom_sys::mount::is_attached(attachment.id());
    if !is_attached.map_err(|error| failed(error.into()))? {
        return Ok(());
    }
    let message = format!(
        "cannot unmount `{}`: another mount lies on it, or it was moved",
        attachment.path().display()
    );
    Err(Error::new(Errno::EBUSY, message))
}

fn remove_scratch(path: &Path) -> Result<()> {
    let failed = |error| failed(path, error);
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(Errno::EINVAL.into());
    };
    // A link on the way would lead to somebody else's.
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let parent = rustix::fs::openat2(CWD, parent, flags, Mode::empty(), ResolveFlags::NO_SYMLINKS);
    let parent = match parent.map_err(io::Error::from) {
        Err(error) if is_gone(&error) => return Ok(()),
        other => other.map_err(failed)?,
    };
    if let Some(mount) = mount_below(path).map_err(failed)? {
        let message = format!(
            "cannot remove `{}` with the mount {mount} in it; unmount that first",
            path.display()
        );
        return Err(Error::new(Errno::EBUSY, message));
    }
    let name = CString::new(name.as_bytes()).map_err(|error| failed(error.into()))?;
    transom_sys::unlink::remove(parent, &name).map_err(|error| failed(error.into()))
}

/// A mount at a path or below it, as the kernel writes it.
fn mount_below(path: &Path) -> io::Result<Option<String>> {
    let mut escaped = Vec::new();
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b' ' | b'\t' | b'\n' | b'\\' => escaped.extend(format!("\\{byte:03o}").bytes()),
            _ => escaped.push(*byte),
        }
    }
    let mounts = fs::read("/proc/self/mountinfo")?;
    let mut points = mounts.split(|byte| *byte == b'\n').filter_map(|line| {
        let point = line.split(|byte| *byte == b' ').nth(4)?;
        let below = point.strip_prefix(&escaped[..])?;
        let is_below = below.is_empty() || below.starts_with(b"/");
        is_below.then(|| String::from_utf8_lossy(point).into_owned())
    });
    Ok(points.next())
}

fn remove_socket(path: &Path) -> Result<()> {
    match fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => return Ok(()),
        Ok(_) => {}
        Err(error) if is_gone(&error) => return Ok(()),
        Err(error) => return Err(failed(path, error)),
    }
    match UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(|error| failed(path, error))
        }
        // Somebody listens there, or it is of another kind.
        _ => Ok(()),
    }
}
