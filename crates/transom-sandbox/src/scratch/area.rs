use std::ffi::{CString, OsStr};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use transom_projection::shown;
use transom_sys::launch::Orphan;
use transom_sys::unlink;

use super::unique_name;
use crate::error::{Error, Result, host};
use crate::walk;

const HOME: &str = ".transom";
const RUN_PREFIX: &str = "run-";
const KEPT_PREFIX: &str = "kept-";
/// How often a directory that vanished is made again.
const ATTEMPTS_MAX: usize = 16;

/// The place of one directory of one run, whether it was made or not.
#[derive(Debug)]
pub(super) struct Area {
    base: OwnedFd,
    home_name: CString,
    name: CString,
    path: PathBuf,
}

impl Area {
    /// Chooses a name below `base`, which exists.
    pub(super) fn plan(base: &Path) -> Result<Self> {
        let home_name = home_name(base)?;
        let name = unique_name(RUN_PREFIX);
        let path = [&home_name, &name].map(|name| OsStr::from_bytes(name.as_bytes()));
        Ok(Self {
            base: open_base(base)?,
            path: base.join(path[0]).join(path[1]),
            home_name,
            name,
        })
    }

    /// Makes the directory. It is locked for as long as the descriptor is
    /// open.
    pub(super) fn make(&self) -> Result<OwnedFd> {
        let mut last = Errno::NOENT;
        for _ in 0..ATTEMPTS_MAX {
            match self.try_make() {
                Ok(directory) => return Ok(directory),
                // The last user of `.transom` has just removed it.
                Err(Errno::NOENT) => {}
                Err(error) => {
                    last = error;
                    break;
                }
            }
        }
        Err(Error::ScratchDirectory {
            path: self.path.clone(),
            source: last,
        })
    }

    fn try_make(&self) -> rustix::io::Result<OwnedFd> {
        match rustix::fs::mkdirat(&self.base, &*self.home_name, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error),
        }
        let home = self.home()?;
        if rustix::fs::fstat(&home)?.st_uid != rustix::process::geteuid().as_raw() {
            // Whoever made it could replace what we put there.
            return Err(Errno::PERM);
        }
        rustix::fs::flock(&home, FlockOperation::LockShared)?;
        rustix::fs::mkdirat(&home, &*self.name, Mode::RWXU)?;
        let directory = walk::open_subdirectory(&home, &self.name)?;
        rustix::fs::flock(&directory, FlockOperation::NonBlockingLockExclusive)?;
        Ok(directory)
    }

    /// Removes what other runs that were killed have left below `base`, and
    /// says how many.
    pub(super) fn sweep(base: &Path) -> Result<usize> {
        let home_name = home_name(base)?;
        let base_directory = open_base(base)?;
        let home = match walk::open_subdirectory(&base_directory, &home_name) {
            Ok(home) => home,
            Err(Errno::NOENT) => return Ok(0),
            Err(error) => return Err(host("cannot sweep", shown(base))(error)),
        };
        if rustix::fs::flock(&home, FlockOperation::NonBlockingLockExclusive).is_err() {
            return Ok(0);
        }
        let mut removed = 0;
        for entry in walk::entries(&home).map_err(host("cannot sweep", shown(base)))? {
            if !entry.name.to_bytes().starts_with(RUN_PREFIX.as_bytes()) {
                continue;
            }
            let Ok(directory) = walk::open_subdirectory(&home, &entry.name) else {
                continue;
            };
            if rustix::fs::flock(&directory, FlockOperation::NonBlockingLockExclusive).is_err() {
                continue;
            }
            match unlink::remove(&home, &entry.name) {
                Ok(()) => removed += 1,
                // The caretaker of a run that was killed just now is at it.
                Err(error) => {
                    let path = base.join(entry.name());
                    tracing::debug!(path = %shown(&path), %error, "cannot sweep");
                }
            }
        }
        // Succeeds if it is empty now.
        _ = rustix::fs::unlinkat(&base_directory, &*home_name, AtFlags::REMOVEDIR);
        Ok(removed)
    }

    /// The same for the base of this one.
    pub(super) fn sweep_beside(&self) {
        if let Some(base) = self.path.ancestors().nth(2) {
            // What cannot be removed is somebody else's loss.
            _ = Self::sweep(base);
        }
    }

    /// Renames the directory so that no sweep finds it, and returns its path.
    pub(super) fn keep(&self) -> Result<PathBuf> {
        let kept = unique_name(KEPT_PREFIX);
        self.home()
            .and_then(|home| rustix::fs::renameat(&home, &*self.name, &home, &*kept))
            .map_err(host("cannot keep", shown(&self.path)))?;
        Ok(self.path.with_file_name(OsStr::from_bytes(kept.as_bytes())))
    }

    /// Removes the directory, if there is one.
    pub(super) fn remove(&self) {
        let removed = match self.home() {
            Ok(home) => unlink::remove(&home, &self.name),
            Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(error),
        };
        if let Err(error) = removed {
            tracing::warn!(path = %shown(&self.path), %error, "cannot remove scratch");
        }
        // Succeeds for the last of its users.
        _ = rustix::fs::unlinkat(&self.base, &*self.home_name, AtFlags::REMOVEDIR);
    }

    /// What is to be removed if our process dies.
    pub(super) fn orphan(&self) -> Result<Orphan> {
        let base = self.base.try_clone().map_err(|error| {
            let errno = Errno::from_io_error(&error).unwrap_or(Errno::IO);
            host("cannot use for scratch", shown(&self.path))(errno)
        })?;
        Ok(Orphan {
            base,
            home: self.home_name.clone(),
            name: self.name.clone(),
        })
    }

    pub(super) fn base(&self) -> &OwnedFd {
        &self.base
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    fn home(&self) -> rustix::io::Result<OwnedFd> {
        walk::open_subdirectory(&self.base, &self.home_name)
    }
}

/// `.transom`, or in a directory that everybody may write to, such as `/tmp`,
/// one for every user.
fn home_name(base: &Path) -> Result<CString> {
    let stat = rustix::fs::stat(base).map_err(host("cannot use for scratch", shown(base)))?;
    let name = if Mode::from_raw_mode(stat.st_mode).contains(Mode::WOTH) {
        format!("{HOME}-{}", rustix::process::geteuid().as_raw())
    } else {
        HOME.to_owned()
    };
    Ok(super::c_string(&name))
}

fn open_base(base: &Path) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(CWD, base, flags, Mode::empty())
        .map_err(host("cannot use for scratch", shown(base)))
}
