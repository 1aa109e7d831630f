use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};

use rustix::fs::FileType;

use crate::error::{Error, Result, host};

/// The open files an action begins with.
#[derive(Debug)]
pub struct Stdio {
    /// Number 0.
    pub stdin: OwnedFd,
    /// Number 1.
    pub stdout: OwnedFd,
    /// Number 2.
    pub stderr: OwnedFd,
    /// Further ones.
    pub passed: Vec<PassedFile>,
}

/// An open file handed to an action under a number of its own.
#[derive(Debug)]
pub struct PassedFile {
    /// The open file.
    pub file: OwnedFd,
    /// Its number in the action, above 2.
    pub number: RawFd,
}

impl Stdio {
    /// Our own standard files.
    pub fn inherit() -> Result<Self> {
        let copy = |file: BorrowedFd<'_>, name| {
            // Above the standard numbers, even if some of those are closed.
            rustix::io::fcntl_dupfd_cloexec(file, 3).map_err(host("cannot share", name))
        };
        Ok(Self {
            stdin: copy(rustix::stdio::stdin(), "standard input")?,
            stdout: copy(rustix::stdio::stdout(), "standard output")?,
            stderr: copy(rustix::stdio::stderr(), "standard error")?,
            passed: Vec::new(),
        })
    }

    /// Refuses directories: `openat(0, "..")` would walk from one through the
    /// host, whatever the action's root is.
    pub(crate) fn check(&self) -> Result<()> {
        let standard = [(&self.stdin, 0), (&self.stdout, 1), (&self.stderr, 2)];
        let passed = self
            .passed
            .iter()
            .map(|passed| (&passed.file, passed.number));
        for (file, number) in standard.into_iter().chain(passed) {
            let stat = rustix::fs::fstat(file.as_fd())
                .map_err(host("cannot examine", format_args!("open file {number}")))?;
            if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
                return Err(Error::DirectoryPassed { number });
            }
        }
        let mut numbers: Vec<RawFd> = self.passed.iter().map(|passed| passed.number).collect();
        numbers.sort_unstable();
        let clash = numbers.windows(2).find(|pair| pair[0] == pair[1]);
        let taken = clash.map(|pair| pair[0]).or_else(|| {
            let reserved = |number: &RawFd| *number < 3;
            numbers.into_iter().find(reserved)
        });
        taken.map_or(Ok(()), |number| Err(Error::NumberTaken { number }))
    }
}
