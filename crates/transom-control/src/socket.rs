//! Sockets to listen at.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt, chown};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use rustix::net::sockopt;
use rustix::net::{AddressFamily, SocketType};
use rustix::process::{Gid, geteuid};

/// A socket that listens. Dropping it closes it, and removes it from where it
/// was bound.
#[derive(Debug)]
pub struct Socket {
    pub(crate) listener: UnixListener,
    path: Option<PathBuf>,
}

/// Who has the permission to connect to a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permission {
    /// Our user, and root. The directory of the socket is for it alone, too.
    OurUser,
    /// Our user, and the members of a group.
    Group(Gid),
    /// Everybody.
    Everybody,
}

impl Socket {
    /// Listens at `path`. Its directory is made if need be; nobody else may be
    /// able to write it. Sockets of servers that were killed are removed from
    /// it; where one listens, the error is `AddrInUse`.
    pub fn bind(path: &Path, permission: Permission) -> io::Result<Self> {
        let (directory_mode, mode) = match permission {
            Permission::OurUser => (0o700, 0o600),
            Permission::Group(_) => (0o755, 0o660),
            Permission::Everybody => (0o755, 0o666),
        };
        let mut turn = None;
        if let Some(directory) = path.parent() {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(directory_mode)
                .create(directory)?;
            check_directory(directory)?;
            turn = Some(self::turn(directory)?);
            remove_abandoned(directory)?;
        }
        let socket = Self {
            listener: bind(path)?,
            path: Some(path.to_owned()),
        };
        drop(turn);
        socket.listener.set_nonblocking(true)?;
        if let Permission::Group(group) = permission {
            chown(path, None, Some(group.as_raw()))?;
        }
        fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
        Ok(socket)
    }

    /// Takes a socket that listens already, such as systemd hands out.
    /// `InvalidInput` if it is no such thing.
    pub fn listening(descriptor: OwnedFd) -> io::Result<Self> {
        let listens = sockopt::socket_acceptconn(&descriptor)?
            && sockopt::socket_domain(&descriptor)? == AddressFamily::UNIX
            && sockopt::socket_type(&descriptor)? == SocketType::STREAM;
        if !listens {
            let message = "the descriptor is not a Unix stream socket that listens";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        let listener = UnixListener::from(descriptor);
        listener.set_nonblocking(true)?;
        Ok(Self {
            listener,
            path: None,
        })
    }

    /// Where it was bound by us.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            // Failing means that somebody has removed it already.
            let _ = fs::remove_file(path);
        }
    }
}

/// Removes the sockets of servers that were killed from a directory of sockets.
///
/// One whose name is the number of a running process is taken to be that
/// process's, so that not everybody who sweeps knocks at every view.
pub fn sweep(directory: &Path) -> io::Result<()> {
    let _turn = turn(directory)?;
    remove_abandoned(directory)
}

/// Excludes others from binding and sweeping in that directory: a socket that
/// is bound and not listened at yet looks like an abandoned one.
fn turn(directory: &Path) -> io::Result<fs::File> {
    let directory = fs::File::open(directory)?;
    directory.lock()?;
    Ok(directory)
}

fn remove_abandoned(directory: &Path) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        let pid = name.to_str().and_then(|name| name.parse::<u32>().ok());
        let is_running = |pid: u32| Path::new("/proc").join(pid.to_string()).exists();
        if !pid.is_some_and(is_running) && is_abandoned(&entry.path()) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn bind(path: &Path) -> io::Result<UnixListener> {
    match UnixListener::bind(path) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && is_abandoned(path) => {
            fs::remove_file(path)?;
            UnixListener::bind(path)
        }
        other => other,
    }
}

/// Whether there is a socket at which nobody listens any more.
fn is_abandoned(path: &Path) -> bool {
    let is_socket = |metadata: fs::Metadata| metadata.file_type().is_socket();
    let is_refusal = |error: io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
    // Files of other kinds refuse connections too.
    fs::symlink_metadata(path).is_ok_and(is_socket)
        && UnixStream::connect(path).is_err_and(is_refusal)
}

/// Refuses a directory in which somebody else could put a socket of theirs.
pub fn check_directory(directory: &Path) -> io::Result<()> {
    let metadata = fs::symlink_metadata(directory)?;
    let is_ours = metadata.uid() == geteuid().as_raw() && metadata.mode() & 0o022 == 0;
    if metadata.is_dir() && is_ours {
        return Ok(());
    }
    let message = format!(
        "{} is not a directory that only this user can write; remove it or set XDG_RUNTIME_DIR",
        directory.display()
    );
    Err(io::Error::new(io::ErrorKind::PermissionDenied, message))
}
