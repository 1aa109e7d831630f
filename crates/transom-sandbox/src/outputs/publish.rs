//! Renaming outputs into place, all or none.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{AtFlags, CWD, FileType, OFlags, RenameFlags, ResolveFlags};
use rustix::io::Errno;
use transom_projection::shown;

use super::destination::Destination;
use super::problem::{self, Problem};
use super::{Unacceptable, copy, mark};
use crate::error::{Error, Result, host};
use crate::walk::{self, Volume};
use crate::{Output, OutputKind, Scratch, scratch};

/// Publishes all of `outputs`, which exist in `scratch`; what they replace is
/// there afterwards. With `replace`, directories that no action has made are replaced too.
pub(super) fn all(
    scratch: &Scratch,
    outputs: &[(&Output, &Destination)],
    replace: bool,
) -> Result<()> {
    let staged: Vec<Staged<'_>> = outputs
        .iter()
        .map(|(output, destination)| Staged::new(scratch, output, destination))
        .collect::<Result<_>>()?;
    let mut done = Vec::with_capacity(staged.len());
    let published = staged
        .iter()
        .try_for_each(|output| {
            let how = output.publish(replace)?;
            done.push((output, how));
            Ok(())
        })
        .and_then(|()| staged.iter().try_for_each(Staged::check_in_place));
    if let Err(error) = published {
        for (output, how) in done.iter().rev() {
            output.undo(how);
        }
        return Err(error);
    }
    Ok(())
}

/// An output one rename away from its destination.
struct Staged<'a> {
    output: &'a Output,
    destination: &'a Destination,
    from: OwnedFd,
    from_name: CString,
    to: OwnedFd,
    to_name: CString,
}

/// How an output came to its destination.
enum How {
    /// Nothing was there.
    New,
    /// What was there is now where the output was.
    Exchanged,
    /// What was there is gone: a file system without `RENAME_EXCHANGE`.
    Replaced,
    /// What was there now has this name beside where the output was.
    SetAside(CString),
}

impl<'a> Staged<'a> {
    fn new(scratch: &Scratch, output: &'a Output, destination: &'a Destination) -> Result<Self> {
        let fail = |verb| host(verb, problem::Named::from(output));
        let directory = &destination.directory.path;
        std::fs::create_dir_all(directory).map_err(|error| {
            fail("cannot make the directory of")(Errno::from_io_error(&error).unwrap_or(Errno::IO))
        })?;
        let to = walk::resolve(
            CWD,
            directory.as_os_str(),
            OFlags::PATH | OFlags::DIRECTORY,
            ResolveFlags::NO_SYMLINKS,
        )
        .map_err(fail("cannot open the directory of"))?;
        let to_name = CString::new(destination.name.as_bytes())
            .map_err(|_| fail("cannot publish to")(Errno::INVAL))?;

        let in_scratch = |error| host("cannot find in scratch", &output.path)(error);
        let from = walk::open_directory(scratch.root(), &output.path.parent().unwrap_or_default())
            .map_err(in_scratch)?;
        let from_name = output.path.file_name().unwrap_or_default();
        let from_name = CString::new(from_name.as_bytes()).map_err(|_| in_scratch(Errno::INVAL))?;

        let mut staged = Self {
            output,
            destination,
            from,
            from_name,
            to,
            to_name,
        };
        let volume = |directory| Volume::of(directory).map_err(fail("cannot examine"));
        if volume(&staged.from)? != volume(&staged.to)? {
            let staging = scratch.staging(&staged.to)?;
            let staging = staging.ok_or_else(|| unacceptable(staged.disturbed()))?;
            let copied = scratch::unique_name("copy-");
            copy::tree(staged.from.as_fd(), &staged.from_name, staging, &copied)
                .map_err(fail("cannot copy to"))?;
            staged.from = walk::open_subdirectory(staging, c".").map_err(fail("cannot copy to"))?;
            staged.from_name = copied;
        }
        staged.mark();
        Ok(staged)
    }

    /// Lets the next run know that this one made the directory.
    fn mark(&self) {
        if self.output.kind == OutputKind::Directory {
            let marked = walk::open_subdirectory(&self.from, &self.from_name)
                .and_then(|directory| mark::set(directory.as_fd()));
            self.warn("cannot mark as an output", marked);
        }
    }

    fn publish(&self, replace: bool) -> Result<How> {
        let fail = host("cannot publish", problem::Named::from(self.output));
        let how = match self.rename_into_place() {
            Ok(how) => how,
            Err(error) => return Err(fail(error)),
        };
        let old = match &how {
            How::New | How::Replaced => return Ok(how),
            How::Exchanged => self.check_replaceable(&self.from, &self.from_name, replace),
            How::SetAside(aside) => self.check_replaceable(&self.from, aside, replace),
        };
        if let Err(problem) = old {
            self.undo(&how);
            return Err(unacceptable(problem));
        }
        Ok(how)
    }

    fn rename_into_place(&self) -> rustix::io::Result<How> {
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

    /// Looks at what was at the destination, now that it is called `name` in
    /// `directory`.
    fn check_replaceable(
        &self,
        directory: &OwnedFd,
        name: &CStr,
        replace: bool,
    ) -> std::result::Result<(), Problem> {
        let output = || problem::Named::from(self.output);
        let unreadable = |source: Errno| Problem::NoDestination {
            output: output(),
            why: source.to_string(),
        };
        let stat = walk::stat(directory, name).map_err(unreadable)?;
        let found = walk::kind_of(&stat);
        if (found == FileType::Directory) != (self.output.kind == OutputKind::Directory) {
            return Err(Problem::DestinationKind {
                output: output(),
                found: walk::noun(found),
            });
        }
        let replaceable = replace
            || found != FileType::Directory
            || walk::open_subdirectory(directory, name)
                .and_then(mark::is_replaceable)
                .map_err(unreadable)?;
        if replaceable {
            return Ok(());
        }
        Err(Problem::ForeignDirectory { output: output() })
    }

    /// Makes sure that the output is where it was declared to go: the directory
    /// that it was moved into may have been moved itself.
    fn check_in_place(&self) -> Result<()> {
        let by_path = rustix::fs::lstat(self.destination.path());
        let by_directory = rustix::fs::statat(&self.to, &*self.to_name, AtFlags::SYMLINK_NOFOLLOW);
        match (by_path, by_directory) {
            (Ok(a), Ok(b)) if (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino) => Ok(()),
            _ => Err(unacceptable(self.disturbed())),
        }
    }

    fn disturbed(&self) -> Problem {
        Problem::Disturbed {
            output: self.output.into(),
        }
    }

    /// For file systems that know only the plain rename, which replaces files
    /// atomically but not directories that hold something.
    fn publish_without_exchange(&self) -> rustix::io::Result<How> {
        if self.output.kind == OutputKind::File {
            self.rename(RenameFlags::empty())?;
            return Ok(How::Replaced);
        }
        let aside = scratch::unique_name("old-");
        match rustix::fs::renameat(&self.to, &*self.to_name, &self.from, &*aside) {
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
        let undone = rustix::fs::renameat(&self.from, aside, &self.to, &*self.to_name);
        self.warn("cannot put an old output back", undone);
    }

    fn warn(&self, message: &'static str, result: rustix::io::Result<()>) {
        if let Err(error) = result {
            let destination = shown(&self.output.destination);
            tracing::warn!(%destination, %error, "{message}");
        }
    }
}

fn unacceptable(problem: Problem) -> Error {
    let problems = vec![problem];
    Unacceptable { problems }.into()
}
