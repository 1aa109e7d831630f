//! The mount, and the place it is put in.

use std::io;
use std::path::Path;

use anyhow::Context;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::UnmountFlags;
use transom_bazel::sandboxfs::Sandboxes;
use transom_fuse::{Options, Session};
use transom_host::{Attachment, Target};
use transom_sandbox::privilege::Privilege;

use super::Allow;
use crate::fusermount;
use crate::mounting::items_max;

/// How many dead mounts are taken away from one place, one below the other.
const DEAD_MAX: usize = 16;

/// Shown as the source of the mount.
const SOURCE: &str = "transom-sandboxfs";

/// Takes away what a server has left that was killed: a mount that answers
/// nothing any more.
pub(super) fn clear(mount_point: &Path) -> anyhow::Result<()> {
    for _ in 0..DEAD_MAX {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        match rustix::fs::open(mount_point, flags, Mode::empty()) {
            Err(Errno::NOTCONN) => take_away(mount_point).with_context(|| {
                format!(
                    "cannot take the dead mount at `{}` away",
                    mount_point.display()
                )
            })?,
            // What else may be wrong is told by mounting there.
            _ => break,
        }
    }
    Ok(())
}

/// Mounts, by ourselves or with the help of fusermount3.
pub(super) fn mount(
    sandboxes: &Sandboxes,
    target: Target,
    privilege: Privilege,
    allow: Allow,
) -> anyhow::Result<(Session<Sandboxes>, Attachment)> {
    let options = Options {
        source: SOURCE.into(),
        read_only: false,
        items_max: items_max() / 2,
        ..Options::default()
    };
    let definition = sandboxes.definition();
    if privilege != Privilege::None {
        let mut session = Session::start(definition, &options)?;
        let mount = session
            .take_mount()
            .context("a new session has its mount")?;
        return Ok((session, target.attach(mount)?));
    }
    let allow = match allow {
        Allow::Own => "",
        Allow::Root | Allow::Other => ",allow_other",
    };
    let wanted =
        format!("rw,nosuid,nodev,default_permissions,fsname={SOURCE},subtype=transom{allow}");
    let connection = fusermount::mount(target.path(), &wanted)?;
    let session = Session::on_connection(definition, connection, &options)?;
    Ok((session, Attachment::at(target.path().to_owned())?))
}

/// Unmounts, unless it is not there any more.
pub(super) fn unmount(mounted: &Attachment) -> io::Result<()> {
    or_with_help(mounted.detach(), mounted.path())
}

/// Takes away whatever is mounted there on top.
fn take_away(mount_point: &Path) -> io::Result<()> {
    let flags = UnmountFlags::DETACH | UnmountFlags::NOFOLLOW;
    let unmounted = rustix::mount::unmount(mount_point, flags);
    or_with_help(unmounted.map_err(io::Error::from), mount_point)
}

fn or_with_help(unmounted: io::Result<()>, mount_point: &Path) -> io::Result<()> {
    match unmounted {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            fusermount::unmount(mount_point)
        }
        done => done,
    }
}
