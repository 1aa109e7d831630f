//! The host's root as the root of an action.
//!
//! The order is what matters: what is writable may be a directory above the
//! view, which would hide a view that was there before; and it may be one in
//! the view, which has to be there. What is hidden comes last.

use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::MountAttrFlags;
use transom_projection::shown;
use transom_sys::mount::{self, Change, Reach};

use crate::compose::host_tree;
use crate::error::{Error, Result, host, mounting};
use crate::private_directories::PrivateDirectories;
use crate::sandbox::open_in_root;
use crate::{Exceptions, HostMount, graft, walk};

/// The host's root, cloned and read-only but for the `exceptions`, with `view`
/// at `mount_at`.
pub(crate) fn around(view: &OwnedFd, mount_at: &Path, exceptions: &Exceptions) -> Result<OwnedFd> {
    let root = host_tree()?;
    let (inside, outside): (Vec<_>, Vec<_>) = exceptions
        .writable
        .iter()
        .partition(|writable| writable.mount_at.starts_with(mount_at));
    for writable in outside {
        attach_writable(&root, writable)?;
    }
    open_in_root(&root, mount_at.as_os_str(), OFlags::DIRECTORY)
        .and_then(|directory| mount::attach(view, directory, c""))
        .map_err(|source| Error::NoViewMountPoint {
            path: mount_at.to_owned(),
            source,
        })?;
    for writable in inside {
        attach_writable(&root, writable)?;
    }
    hide(&root, &exceptions.hidden)?;
    Ok(root)
}

fn attach_writable(root: &OwnedFd, writable: &HostMount) -> Result<()> {
    let HostMount { source, mount_at } = writable;
    let mounting = mounting(shown(source));
    let source = match rustix::fs::open(source, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()) {
        Err(Errno::NOENT) => return Ok(()),
        opened => opened,
    };
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
    source
        .and_then(|source| mount::clone(source, c"", Reach::Tree))
        .and_then(|mount| {
            mount::change(&mount, Reach::Tree, Change::private(attributes))?;
            mount::attach(
                mount,
                open_in_root(root, mount_at.as_os_str(), OFlags::empty())?,
                c"",
            )
        })
        .map_err(mounting)
}

/// Mounts something empty on each of the paths that exist.
fn hide(root: &OwnedFd, hidden: &[impl AsRef<Path>]) -> Result<()> {
    if hidden.is_empty() {
        return Ok(());
    }
    let private = PrivateDirectories::new()?;
    let nothing = private.directory(c"hidden")?;
    graft::make_stub(&nothing, c"file").map_err(host("cannot make", "an empty file"))?;
    rustix::fs::mkdirat(&nothing, c"directory", Mode::empty())
        .and_then(|()| rustix::fs::chmodat(&nothing, c"file", Mode::empty(), AtFlags::empty()))
        .map_err(host("cannot make", "an empty directory"))?;
    for path in hidden {
        let mounting = mounting(shown(path.as_ref()));
        let target = match open_in_root(root, path.as_ref().as_os_str(), OFlags::empty()) {
            Err(Errno::NOENT | Errno::NOTDIR) => continue,
            opened => opened,
        };
        target
            .and_then(|target| {
                let name = match walk::kind_of(&walk::stat(&target, c"")?) {
                    FileType::Directory => c"directory",
                    _ => c"file",
                };
                let cover = mount::clone(&nothing, name, Reach::Mount)?;
                let attributes = Change::private(MountAttrFlags::MOUNT_ATTR_RDONLY);
                mount::change(&cover, Reach::Mount, attributes)?;
                mount::attach(cover, target, c"")
            })
            .map_err(mounting)?;
    }
    Ok(())
}
