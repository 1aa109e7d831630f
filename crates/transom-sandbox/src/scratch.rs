//! The host directory of one action: what it writes lies here until it is
//! collected or thrown away.
//!
//! ```text
//! <base>/.transom/run-<pid>-<random>/      locked with flock as long as we, or the
//!                    root/                 action's init, live
//!                    root/out/...          the writable directory `out` of the view
//!                    tmp/                  /tmp, if it is to be here
//! ```
//!
//! If our process dies, the action's init removes the directory. If both die,
//! the next [`Scratch::sweep`] finds it unlocked and removes it. Between making
//! a directory and locking it, its maker holds a shared lock on `.transom`;
//! a sweep takes that lock exclusively, or gives up.

use std::ffi::{CString, OsStr};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use transom_projection::ViewPath;
use transom_sys::launch::Orphan;
use transom_sys::unlink;

use crate::error::{Result, host};
use crate::walk;

const HOME: &str = ".transom";
const RUN_PREFIX: &str = "run-";
const KEPT_PREFIX: &str = "kept-";
/// How often a name or a directory that vanished is tried again.
const ATTEMPTS_MAX: usize = 16;

/// The scratch of one action. Dropping it removes it.
#[derive(Debug)]
pub struct Scratch {
    base: OwnedFd,
    home_name: CString,
    home: OwnedFd,
    name: CString,
    directory: OwnedFd,
    root: OwnedFd,
    path: PathBuf,
    stubs: Vec<Stub>,
    kept: bool,
}

/// Something that is in scratch only because an input is mounted on it.
#[derive(Debug)]
pub(crate) struct Stub {
    pub(crate) path: ViewPath,
    pub(crate) kind: FileType,
}

impl Scratch {
    /// Makes a scratch directory below `base`, which exists. Outputs whose
    /// destinations lie on the same volume are moved there without a copy.
    pub fn new(base: &Path) -> Result<Self> {
        let home_name = home_name(base)?;
        let home_path = base.join(OsStr::from_bytes(home_name.as_bytes()));
        let explain = || format!("scratch below {}", home_path.display());
        let base = open_base(base)?;
        let mut last = Errno::NOENT;
        for _ in 0..ATTEMPTS_MAX {
            match Self::try_new(&base, &home_name) {
                Ok((home, name, directory, root)) => {
                    let path = home_path.join(OsStr::from_bytes(name.as_bytes()));
                    return Ok(Self {
                        base,
                        home_name,
                        home,
                        name,
                        directory,
                        root,
                        path,
                        stubs: Vec::new(),
                        kept: false,
                    });
                }
                // The last user of `.transom` has just removed it, or the name
                // is taken.
                Err(error @ (Errno::NOENT | Errno::EXIST)) => last = error,
                Err(error) => return Err(host("cannot make", explain())(error)),
            }
        }
        Err(host("cannot make", explain())(last))
    }

    fn try_new(
        base: &OwnedFd,
        home_name: &CString,
    ) -> rustix::io::Result<(OwnedFd, CString, OwnedFd, OwnedFd)> {
        match rustix::fs::mkdirat(base, &**home_name, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error),
        }
        let home = walk::open_subdirectory(base, home_name)?;
        if rustix::fs::fstat(&home)?.st_uid != rustix::process::geteuid().as_raw() {
            // Whoever made it could replace what we put there.
            return Err(Errno::PERM);
        }
        rustix::fs::flock(&home, FlockOperation::LockShared)?;
        let name = unique_name(RUN_PREFIX);
        rustix::fs::mkdirat(&home, &*name, Mode::RWXU)?;
        let directory = walk::open_subdirectory(&home, &name)?;
        rustix::fs::flock(&directory, FlockOperation::NonBlockingLockExclusive)?;
        rustix::fs::flock(&home, FlockOperation::Unlock)?;
        rustix::fs::mkdirat(&directory, c"root", Mode::from_raw_mode(0o755))?;
        let root = walk::open_subdirectory(&directory, c"root")?;
        Ok((home, name, directory, root))
    }

    /// Removes what runs that were killed have left below `base`, and says how
    /// many. Directories of living runs and kept ones are left alone.
    pub fn sweep(base: &Path) -> Result<usize> {
        let home_name = home_name(base)?;
        let base_directory = open_base(base)?;
        let home = match walk::open_subdirectory(&base_directory, &home_name) {
            Ok(home) => home,
            Err(Errno::NOENT) => return Ok(0),
            Err(error) => return Err(host("cannot sweep", base.display())(error)),
        };
        if rustix::fs::flock(&home, FlockOperation::NonBlockingLockExclusive).is_err() {
            return Ok(0);
        }
        let mut removed = 0;
        for entry in walk::entries(&home).map_err(host("cannot sweep", base.display()))? {
            if !entry.name.to_bytes().starts_with(RUN_PREFIX.as_bytes()) {
                continue;
            }
            let Ok(directory) = walk::open_subdirectory(&home, &entry.name) else {
                continue;
            };
            if rustix::fs::flock(&directory, FlockOperation::NonBlockingLockExclusive).is_ok() {
                unlink::remove(&home, &entry.name)
                    .map_err(host("cannot remove", entry.name().display()))?;
                removed += 1;
            }
        }
        // Succeeds if it is empty now.
        _ = rustix::fs::unlinkat(&base_directory, &*home_name, AtFlags::REMOVEDIR);
        Ok(removed)
    }

    /// Leaves the directory where it is, for inspection, out of reach of a
    /// sweep. Returns the path of the directory whose names are those of the
    /// view.
    pub fn keep(mut self) -> Result<PathBuf> {
        let kept = unique_name(KEPT_PREFIX);
        rustix::fs::renameat(&self.home, &*self.name, &self.home, &*kept)
            .map_err(host("cannot keep", self.path.display()))?;
        self.kept = true;
        let path = self.path.with_file_name(OsStr::from_bytes(kept.as_bytes()));
        Ok(path.join("root"))
    }

    /// Where the directory is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The directory whose names are those of the view.
    pub(crate) fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// A detached directory for temporary files, outside of the view.
    pub(crate) fn temporary_directory(&self) -> rustix::io::Result<OwnedFd> {
        rustix::fs::mkdirat(&self.directory, c"tmp", Mode::RWXU)?;
        let mode = Mode::RWXU | Mode::RWXG | Mode::RWXO | Mode::SVTX;
        rustix::fs::chmodat(&self.directory, c"tmp", mode, AtFlags::empty())?;
        walk::open_subdirectory(&self.directory, c"tmp")
    }

    pub(crate) fn add_stub(&mut self, stub: Stub) {
        self.stubs.push(stub);
    }

    /// Removes the stubs: what is left was made by the action. A stub that the
    /// action has put something else in the place of is left.
    pub(crate) fn remove_stubs(&self) -> Result<()> {
        // What a directory holds was added after the directory.
        for Stub { path, kind } in self.stubs.iter().rev() {
            let flags = match kind {
                FileType::Directory => AtFlags::REMOVEDIR,
                _ => AtFlags::empty(),
            };
            let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
                continue;
            };
            let removed = walk::open_directory(&self.root, &parent)
                .and_then(|parent| rustix::fs::unlinkat(parent, name, flags));
            match removed {
                Ok(()) | Err(Errno::NOENT | Errno::NOTDIR | Errno::ISDIR | Errno::NOTEMPTY) => {}
                Err(error) => return Err(host("cannot remove the stub of", path)(error)),
            }
        }
        Ok(())
    }

    /// What the action's init removes if we die.
    pub(crate) fn orphan(&self) -> Result<Orphan> {
        let copy = |file: &OwnedFd| {
            file.try_clone().map_err(|error| {
                let errno = Errno::from_io_error(&error).unwrap_or(Errno::IO);
                host("cannot share", self.path.display())(errno)
            })
        };
        Ok(Orphan {
            directory: copy(&self.directory)?,
            names: vec![
                (copy(&self.home)?, self.name.clone()),
                (copy(&self.base)?, self.home_name.clone()),
            ],
        })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        let removed = unlink::remove_contents(&self.directory)
            .and_then(|()| rustix::fs::unlinkat(&self.home, &*self.name, AtFlags::REMOVEDIR));
        if let Err(error) = removed {
            tracing::warn!(path = %self.path.display(), %error, "cannot remove scratch");
        }
        // Succeeds for the last of its users.
        _ = rustix::fs::unlinkat(&self.base, &*self.home_name, AtFlags::REMOVEDIR);
    }
}

/// `.transom`, or in a directory that everybody may write to, such as `/tmp`,
/// one for every user.
fn home_name(base: &Path) -> Result<CString> {
    let stat = rustix::fs::stat(base).map_err(host("cannot use for scratch", base.display()))?;
    let name = if Mode::from_raw_mode(stat.st_mode).contains(Mode::WOTH) {
        format!("{HOME}-{}", rustix::process::geteuid().as_raw())
    } else {
        HOME.to_owned()
    };
    Ok(c_string(&name))
}

fn open_base(base: &Path) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(CWD, base, flags, Mode::empty())
        .map_err(host("cannot use for scratch", base.display()))
}

/// A name that no other run uses, for reasons of chance.
pub(crate) fn unique_name(prefix: &str) -> CString {
    // Each `RandomState` has keys of its own.
    let random = RandomState::new().build_hasher().finish();
    c_string(&format!("{prefix}{}-{random:016x}", std::process::id()))
}

fn c_string(text: &str) -> CString {
    CString::new(text).expect("names made here contain no NUL")
}
