//! Renaming outputs into place, all or none.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, RenameFlags};
use rustix::io::Errno;
use transom_sys::unlink;

use crate::error::{Result, host};
use crate::{Output, OutputKind, scratch, walk};

/// Publishes all of `outputs`, which exist below `root`.
pub(super) fn all(root: BorrowedFd<'_>, outputs: &[&Output]) -> Result<()> {
    let staged: Vec<Staged<'_>> = outputs
        .iter()
        .map(|output| Staged::new(root, output))
        .collect::<Result<_>>()?;
    let mut done = Vec::with_capacity(staged.len());
    for output in &staged {
        match output.publish() {
            Ok(how) => done.push((output, how)),
            Err(error) => {
                for (output, how) in done.iter().rev() {
                    output.undo(how);
                }
                let destination = output.output.destination.display();
                return Err(host("cannot publish", destination)(error));
            }
        }
    }
    for (output, how) in &done {
        output.remove_old(how);
    }
    Ok(())
}

/// An output one rename away from its destination.
struct Staged<'a> {
    output: &'a Output,
    from: OwnedFd,
    from_name: CString,
    to: OwnedFd,
    to_name: CString,
    /// Whether `from` is a temporary copy beside the destination.
    is_copy: bool,
}

/// How an output came to its destination.
enum How {
    /// Nothing was there.
    New,
    /// What was there is now where the output was.
    Exchanged,
    /// What was there is gone: a file system without `RENAME_EXCHANGE`.
    Replaced,
    /// What was there now has this name beside it.
    SetAside(CString),
}

impl<'a> Staged<'a> {
    fn new(root: BorrowedFd<'_>, output: &'a Output) -> Result<Self> {
        let destination = &output.destination;
        let fail = |verb| host(verb, destination.display());
        let (parent, name) = match (destination.parent(), destination.file_name()) {
            (Some(parent), Some(name)) if parent.as_os_str().is_empty() => (Path::new("."), name),
            (Some(parent), Some(name)) => (parent, name),
            _ => return Err(fail("cannot publish to")(Errno::INVAL)),
        };
        std::fs::create_dir_all(parent).map_err(|error| {
            fail("cannot make the directory of")(Errno::from_io_error(&error).unwrap_or(Errno::IO))
        })?;
        let directory = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let to = rustix::fs::openat(CWD, parent, directory, Mode::empty())
            .map_err(fail("cannot open the directory of"))?;
        let to_name =
            CString::new(name.as_bytes()).map_err(|_| fail("cannot publish to")(Errno::INVAL))?;

        let in_scratch = |error| host("cannot find in scratch", &output.path)(error);
        let from = walk::open_directory(root, &output.path.parent().unwrap_or_default())
            .map_err(in_scratch)?;
        let from_name = output.path.file_name().unwrap_or_default();
        let from_name = CString::new(from_name.as_bytes()).map_err(|_| in_scratch(Errno::INVAL))?;

        if is_one_volume(&from, &to).map_err(fail("cannot examine the directory of"))? {
            return Ok(Self {
                output,
                from,
                from_name,
                to,
                to_name,
                is_copy: false,
            });
        }
        let beside = |to: &OwnedFd| {
            to.try_clone()
                .map_err(|_| fail("cannot copy to")(Errno::MFILE))
        };
        let staged = Self {
            output,
            from: beside(&to)?,
            from_name: scratch::unique_name(".transom-"),
            to,
            to_name,
            is_copy: true,
        };
        super::copy::tree(
            from.as_fd(),
            &from_name,
            staged.from.as_fd(),
            &staged.from_name,
        )
        .map_err(fail("cannot copy to"))?;
        Ok(staged)
    }

    fn publish(&self) -> rustix::io::Result<How> {
        match self.rename(RenameFlags::NOREPLACE) {
            Ok(()) => return Ok(How::New),
            Err(Errno::EXIST) => {}
            Err(Errno::INVAL) => return self.publish_without_exchange(),
            Err(error) => return Err(error),
        }
        match self.rename(RenameFlags::EXCHANGE) {
            Ok(()) => Ok(How::Exchanged),
            Err(Errno::INVAL) => self.publish_without_exchange(),
            Err(error) => Err(error),
        }
    }

    /// For file systems that know only the plain rename, which replaces files
    /// atomically but not directories that hold something.
    fn publish_without_exchange(&self) -> rustix::io::Result<How> {
        if self.output.kind == OutputKind::File {
            self.rename(RenameFlags::empty())?;
            return Ok(How::Replaced);
        }
        let aside = scratch::unique_name(".transom-old-");
        match rustix::fs::renameat(&self.to, &*self.to_name, &self.to, &*aside) {
            Ok(()) => {}
            Err(Errno::NOENT) => {
                self.rename(RenameFlags::empty())?;
                return Ok(How::New);
            }
            Err(error) => return Err(error),
        }
        if let Err(error) = self.rename(RenameFlags::empty()) {
            self.undo_rename(&aside);
            return Err(error);
        }
        Ok(How::SetAside(aside))
    }

    fn rename(&self, flags: RenameFlags) -> rustix::io::Result<()> {
        rustix::fs::renameat_with(
            &self.from,
            &*self.from_name,
            &self.to,
            &*self.to_name,
            flags,
        )
    }

    fn undo(&self, how: &How) {
        let undone = match how {
            How::New => {
                rustix::fs::renameat(&self.to, &*self.to_name, &self.from, &*self.from_name)
            }
            How::Exchanged => self.rename(RenameFlags::EXCHANGE),
            How::Replaced => Ok(()),
            How::SetAside(aside) => {
                let back =
                    rustix::fs::renameat(&self.to, &*self.to_name, &self.from, &*self.from_name);
                self.undo_rename(aside);
                back
            }
        };
        self.warn("cannot undo the publication of an output", undone);
    }

    fn undo_rename(&self, aside: &CStr) {
        let undone = rustix::fs::renameat(&self.to, aside, &self.to, &*self.to_name);
        self.warn("cannot put an old output back", undone);
    }

    fn remove_old(&self, how: &How) {
        let removed = match how {
            How::New | How::Replaced => Ok(()),
            How::Exchanged => unlink::remove(&self.from, &self.from_name),
            How::SetAside(aside) => unlink::remove(&self.to, aside),
        };
        self.warn("cannot remove an old output", removed);
    }

    fn warn(&self, message: &'static str, result: rustix::io::Result<()>) {
        if let Err(error) = result {
            let destination = self.output.destination.display();
            tracing::warn!(%destination, %error, "{message}");
        }
    }
}

impl Drop for Staged<'_> {
    fn drop(&mut self) {
        if self.is_copy {
            // There is nothing any more if it was published.
            self.warn(
                "cannot remove a temporary copy",
                unlink::remove(&self.from, &self.from_name),
            );
        }
    }
}

/// Whether a rename can go from one directory to the other: one mount, and one
/// device, which the subvolumes of btrfs are not.
fn is_one_volume(from: &OwnedFd, to: &OwnedFd) -> rustix::io::Result<bool> {
    let (from, to) = (walk::stat(from, c"")?, walk::stat(to, c"")?);
    let device = |stat: &rustix::fs::Statx| (stat.stx_dev_major, stat.stx_dev_minor);
    Ok(from.stx_mnt_id == to.stx_mnt_id && device(&from) == device(&to))
}
