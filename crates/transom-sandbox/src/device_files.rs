use std::ffi::CStr;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::fs::{CWD, Mode};
use rustix::io::Errno;
use rustix::mount::MountAttrFlags;
use transom_sys::mount::{self, Change, Reach};

use crate::error::{Result, host, mounting};
use crate::graft;
use crate::private_directories::PrivateDirectories;

/// The host's devices that every program may expect and none can harm. The
/// console is nothing, unless the action has a [terminal](attach_terminal).
const DEVICES: &[(&CStr, &CStr)] = &[
    (c"console", c"/dev/null"),
    (c"full", c"/dev/full"),
    (c"null", c"/dev/null"),
    (c"random", c"/dev/random"),
    (c"tty", c"/dev/tty"),
    (c"urandom", c"/dev/urandom"),
    (c"zero", c"/dev/zero"),
];

const LINKS: &[(&CStr, &CStr)] = &[
    (c"fd", c"/proc/self/fd"),
    (c"ptmx", c"pts/ptmx"),
    (c"stderr", c"/proc/self/fd/2"),
    (c"stdin", c"/proc/self/fd/0"),
    (c"stdout", c"/proc/self/fd/1"),
];

/// A detached mount tree for `/dev`.
pub(crate) fn new(private: &PrivateDirectories) -> Result<OwnedFd> {
    let dev = private.directory(c"dev")?;
    for (name, device) in DEVICES {
        let what = device.to_string_lossy();
        graft::make_stub(&dev, name).map_err(host("cannot make", &what))?;
        mount::clone(CWD, device, Reach::Mount)
            .and_then(|device| {
                let harmless = MountAttrFlags::MOUNT_ATTR_NOSUID;
                mount::change(&device, Reach::Mount, Change::private(harmless))?;
                mount::attach(device, &dev, name)
            })
            .map_err(mounting(&what))?;
    }
    for (name, target) in LINKS {
        rustix::fs::symlinkat(*target, &dev, *name)
            .map_err(host("cannot make", name.to_string_lossy()))?;
    }
    attach_below(&dev, c"shm", private.shared_directory(c"shm")?)?;
    attach_below(&dev, c"pts", new_terminals()?)?;
    mount::change(
        &dev,
        Reach::Mount,
        Change::private(MountAttrFlags::MOUNT_ATTR_RDONLY),
    )
    .map_err(host("cannot make read-only", "/dev"))?;
    Ok(dev)
}

/// Gives the terminal that one of `files` is open on a name in the `/dev` of
/// `root`. Its own name belongs to the host's `/dev/pts`, which is not there;
/// the C library then looks for the device itself, below `/dev`.
///
/// A terminal works without a name, so that it cannot be given one is no error.
pub(crate) fn attach_terminal<'f>(root: &OwnedFd, files: impl IntoIterator<Item = BorrowedFd<'f>>) {
    let terminal = files.into_iter().find_map(|file| {
        let name = rustix::termios::ttyname(file, Vec::new()).ok()?;
        mount::clone(CWD, &name, Reach::Mount).ok()
    });
    if let Some(terminal) = terminal {
        let harmless = MountAttrFlags::MOUNT_ATTR_NOSUID;
        let attached = mount::change(&terminal, Reach::Mount, Change::private(harmless))
            .and_then(|()| mount::attach(terminal, root, c"dev/console"));
        if let Err(error) = attached {
            tracing::debug!(%error, "the terminal gets no name");
        }
    }
}

fn attach_below(dev: &OwnedFd, name: &CStr, mount: OwnedFd) -> Result<()> {
    let what = name.to_string_lossy();
    rustix::fs::mkdirat(dev, name, Mode::from_raw_mode(0o755))
        .and_then(|()| mount::attach(mount, dev, name))
        .map_err(mounting(&what))
}

/// Pseudo-terminals of its own.
fn new_terminals() -> Result<OwnedFd> {
    /// The group `tty`, in whose name terminals are written to. Most user
    /// namespaces do not know it.
    const TTY_GROUP: (&CStr, &CStr) = (c"gid", c"5");
    const OPTIONS: [(&CStr, &CStr); 2] = [(c"ptmxmode", c"0666"), (c"mode", c"0620")];

    let new = |options: &[(&CStr, &CStr)]| {
        let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NOEXEC;
        mount::new(c"devpts", options, attributes)
    };
    match new(&[OPTIONS[0], OPTIONS[1], TTY_GROUP]) {
        Err(Errno::INVAL) => new(&OPTIONS),
        other => other,
    }
    .map(mount::NewMount::finish)
    .map_err(mounting("/dev/pts"))
}
