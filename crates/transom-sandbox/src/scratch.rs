//! The host directory of one action: what it writes lies here until it is
//! collected or thrown away.
//!
//! ```text
//! <base>/.transom/run-<pid>-<random>/      locked with flock as long as we live
//!                    root/                 its names are those of the view
//!                    root/out/...          the writable directory `out`
//!                    tmp/                  /tmp, if it is to be here
//! ```
//!
//! For each other volume that outputs go to there is a *staging* directory of
//! the same kind. It is made when outputs are copied there, and they are renamed
//! from it: so whatever is not at a destination is in one of these directories.
//!
//! If our process dies, a [`Caretaker`] removes them. If that dies too, the next
//! [`Scratch::sweep`] finds them unlocked and removes them. Between making a
//! directory and locking it, its maker holds a shared lock on `.transom`; a
//! sweep takes that lock exclusively, or gives up.

mod area;

use std::cell::OnceCell;
use std::ffi::CString;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode};
use rustix::io::Errno;
use transom_projection::{ViewPath, shown};
use transom_sys::launch::Caretaker;

use crate::error::{Result, host};
use crate::walk::{self, Volume};
use crate::{Output, outputs};
use area::Area;

/// The scratch of one action. Dropping it removes it.
#[derive(Debug)]
pub struct Scratch {
    area: Area,
    directory: OwnedFd,
    root: OwnedFd,
    stagings: Vec<Staging>,
    stubs: Vec<Stub>,
    kept: bool,
    _caretaker: Caretaker,
}

/// Where outputs are copied to, for one other volume.
#[derive(Debug)]
struct Staging {
    area: Area,
    volume: Volume,
    directory: OnceCell<OwnedFd>,
}

/// Something that is in scratch only because an input is mounted on it.
#[derive(Debug)]
pub(crate) struct Stub {
    pub(crate) path: ViewPath,
    pub(crate) kind: FileType,
}

impl Scratch {
    /// Makes a scratch directory below `base`, which exists, for an action with
    /// these `outputs`. Those whose destinations lie on the same volume are
    /// moved there without a copy.
    pub fn new(base: &Path, outputs: &[Output]) -> Result<Self> {
        let area = Area::plan(base)?;
        let mut stagings: Vec<Staging> = Vec::new();
        let here = Volume::of(area.base()).map_err(host("cannot examine", shown(base)))?;
        for directory in outputs::directories(outputs) {
            let Ok(volume) = Volume::at(&directory) else {
                // What cannot be looked at will be reported when it is used.
                continue;
            };
            if volume != here && stagings.iter().all(|staging| staging.volume != volume) {
                stagings.push(Staging {
                    area: Area::plan(&directory)?,
                    volume,
                    directory: OnceCell::new(),
                });
            }
        }
        let areas = stagings.iter().map(|staging| &staging.area);
        let areas = std::iter::once(&area).chain(areas);
        let orphans = areas.map(Area::orphan).collect::<Result<Vec<_>>>()?;
        let caretaker = Caretaker::start(&orphans).map_err(|error| {
            let errno = Errno::from_io_error(&error).unwrap_or(Errno::IO);
            host("cannot start", "the caretaker of scratch")(errno)
        })?;
        let directory = area.make()?;
        let root = rustix::fs::mkdirat(&directory, c"root", Mode::from_raw_mode(0o755))
            .and_then(|()| walk::open_subdirectory(&directory, c"root"));
        let root = root.map_err(host("cannot make scratch in", shown(area.path())))?;
        Ok(Self {
            area,
            directory,
            root,
            stagings,
            stubs: Vec::new(),
            kept: false,
            _caretaker: caretaker,
        })
    }

    /// Removes what runs that were killed have left below `base`, and says how
    /// many. Directories of living runs and kept ones are left alone.
    pub fn sweep(base: &Path) -> Result<usize> {
        Area::sweep(base)
    }

    /// Leaves the directory where it is, for inspection, out of reach of a
    /// sweep. Returns the path of the directory whose names are those of the
    /// view.
    pub fn keep(mut self) -> Result<PathBuf> {
        let path = self.area.keep()?;
        self.kept = true;
        Ok(path.join("root"))
    }

    /// Where the directory is.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.area.path()
    }

    /// The directory to copy outputs to that go to `directory`, which is on
    /// another volume. `None` if that was not to be expected.
    pub(crate) fn staging(&self, directory: &OwnedFd) -> Result<Option<BorrowedFd<'_>>> {
        let volume = Volume::of(directory).map_err(host("cannot examine", "a destination"))?;
        let mut stagings = self.stagings.iter();
        let Some(staging) = stagings.find(|staging| staging.volume == volume) else {
            return Ok(None);
        };
        if let Some(made) = staging.directory.get() {
            return Ok(Some(made.as_fd()));
        }
        staging.area.sweep_beside();
        let made = staging.area.make()?;
        Ok(Some(staging.directory.get_or_init(|| made).as_fd()))
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
}

impl Drop for Scratch {
    fn drop(&mut self) {
        for staging in &self.stagings {
            if staging.directory.get().is_some() {
                staging.area.remove();
            }
        }
        if !self.kept {
            self.area.remove();
        }
    }
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
