//! Removing a directory tree that somebody else made and may still be in
//! awkward shape: without following symbolic links, at any depth, and without
//! allocation, so that it can also be done between `fork` and `_exit`.
//!
//! The walk recurses, and every level costs a descriptor and a buffer on the
//! stack; so it goes only a fixed number of levels down. A directory below that is
//! moved up to the top under a name of its own and is walked in the next
//! round, until a round moves nothing.

use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawDir, RenameFlags};
use rustix::io::{Errno, Result};

/// Levels that one round goes down.
const DEPTH_MAX: usize = 16;
const BUFFER_BYTES: usize = 4096;

/// Removes everything inside `top`, but not `top` itself.
///
/// Directories that forbid it are made writable first, as far as we own them.
/// Goes on after an error and returns the first.
pub fn remove_contents(top: impl AsFd) -> Result<()> {
    let top = top.as_fd();
    let mut moved = 0_u32;
    loop {
        let before = moved;
        let mut walk = Walk {
            top,
            moved,
            first_error: None,
        };
        walk.empty(top, 0);
        moved = walk.moved;
        match walk.first_error {
            Some(error) => return Err(error),
            None if moved == before => return Ok(()),
            None => {}
        }
    }
}

/// Removes `name` in `parent`, whatever it is. No error if there is nothing.
pub fn remove(parent: impl AsFd, name: &CStr) -> Result<()> {
    let parent = parent.as_fd();
    match rustix::fs::unlinkat(parent, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(Errno::ISDIR) => {}
        Err(error) => return Err(error),
    }
    remove_contents(open_directory(parent, name)?)?;
    match rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR) {
        Err(Errno::NOENT) => Ok(()),
        other => other,
    }
}

struct Walk<'top> {
    top: BorrowedFd<'top>,
    /// Directories moved up to the top so far, in all rounds.
    moved: u32,
    first_error: Option<Errno>,
}

impl Walk<'_> {
    fn empty(&mut self, directory: BorrowedFd<'_>, depth: usize) {
        // Removing entries while they are listed may make the kernel skip
        // some; so list again until a whole pass finds nothing to remove.
        while self.pass(directory, depth) {
            if rustix::fs::seek(directory, rustix::fs::SeekFrom::Start(0)).is_err() {
                return;
            }
        }
    }

    /// Lists the directory once and says whether it removed anything.
    fn pass(&mut self, directory: BorrowedFd<'_>, depth: usize) -> bool {
        let mut removed = false;
        let mut buffer = [MaybeUninit::uninit(); BUFFER_BYTES];
        let mut entries = RawDir::new(directory, &mut buffer);
        while let Some(entry) = entries.next() {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => {
                    self.note(error);
                    break;
                }
            };
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            let result = match entry.file_type() {
                FileType::Directory => self.remove_directory(directory, name, depth),
                _ => match rustix::fs::unlinkat(directory, name, AtFlags::empty()) {
                    // Some file systems do not say what an entry is.
                    Err(Errno::ISDIR) => self.remove_directory(directory, name, depth),
                    other => other,
                },
            };
            match result {
                Ok(()) => removed = true,
                Err(Errno::NOENT) => {}
                Err(error) => self.note(error),
            }
        }
        removed
    }

    fn remove_directory(
        &mut self,
        parent: BorrowedFd<'_>,
        name: &CStr,
        depth: usize,
    ) -> Result<()> {
        if depth >= DEPTH_MAX {
            return self.move_up(parent, name);
        }
        let directory = open_directory(parent, name)?;
        self.empty(directory.as_fd(), depth + 1);
        rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR)
    }

    fn move_up(&mut self, parent: BorrowedFd<'_>, name: &CStr) -> Result<()> {
        loop {
            let mut unique = *b"transom-deep-00000000\0";
            let mut number = self.moved;
            for digit in unique.iter_mut().skip(13).take(8).rev() {
                *digit = b"0123456789abcdef"[(number % 16) as usize];
                number /= 16;
            }
            self.moved = self.moved.wrapping_add(1);
            let Ok(unique) = CStr::from_bytes_with_nul(&unique) else {
                return Err(Errno::INVAL);
            };
            match rustix::fs::renameat_with(parent, name, self.top, unique, RenameFlags::NOREPLACE)
            {
                Err(Errno::EXIST) => {}
                other => return other,
            }
        }
    }

    fn note(&mut self, error: Errno) {
        self.first_error.get_or_insert(error);
    }
}

/// Opens a directory to list and empty it.
fn open_directory(parent: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    // Search, list and write are all needed to empty it, and its maker may
    // have taken any of them away.
    let directory = match rustix::fs::openat(parent, name, flags, Mode::empty()) {
        Err(Errno::ACCESS) => {
            chmod_no_follow(parent, name, Mode::RWXU)?;
            rustix::fs::openat(parent, name, flags, Mode::empty())?
        }
        other => other?,
    };
    let mode = Mode::from_raw_mode(rustix::fs::fstat(&directory)?.st_mode);
    if !mode.contains(Mode::RWXU) {
        // Only its owner may; anyone else has to hope that it is not needed.
        _ = rustix::fs::fchmod(&directory, mode | Mode::RWXU);
    }
    Ok(directory)
}

/// `fchmodat2(2)`, which unlike its predecessors need not follow a symbolic
/// link.
fn chmod_no_follow(parent: BorrowedFd<'_>, name: &CStr, mode: Mode) -> Result<()> {
    // SAFETY: the kernel reads the C string, which lives until the call
    // returns.
    let returned = unsafe {
        libc::syscall(
            libc::SYS_fchmodat2,
            parent.as_raw_fd(),
            name.as_ptr(),
            mode.as_raw_mode(),
            libc::AT_SYMLINK_NOFOLLOW,
        )
    };
    if returned < 0 {
        return Err(crate::mount::last_errno());
    }
    Ok(())
}
