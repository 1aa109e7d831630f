//! The client that every arm serves: what an action does to its inputs, in
//! one thread and with nothing else in between.
//!
//! Two things that look like details decide what is measured. The buffer is
//! aligned to pages, because the kernel copies to an unaligned one so slowly
//! that every file system looks as good as the best. And names are opened
//! relative to the root of the view, so that a long host path above the view
//! costs no arm anything.

use std::fs::File;
use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use transom_test::READ_BYTES_MAX;

/// What the client does, in order.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Script {
    pub(crate) steps: Vec<Step>,
}

/// One thing the client does.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Step {
    pub(crate) kind: StepKind,
    /// The volume that the file lies on when it is read natively.
    pub(crate) volume: usize,
    /// Relative to the root of the view, and of the volume.
    pub(crate) name: String,
}

/// The kinds of steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum StepKind {
    /// Open a file, ask for its size, read all of it, close it.
    Read,
    /// Ask for the attributes of a name that does not exist.
    Absent,
}

/// Where the client finds its files.
#[derive(Debug)]
pub(crate) enum Roots {
    /// All below one directory.
    View(OwnedFd),
    /// Each below the root of its volume: the host's files themselves.
    Volumes(Vec<OwnedFd>),
}

/// What the client did. Equal reports mean that the same bytes were read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Totals {
    pub(crate) files: u64,
    /// Calls of `read(2)`.
    pub(crate) reads: u64,
    pub(crate) bytes: u64,
    /// Names that were asked for and did not exist.
    pub(crate) absent: u64,
    /// Over the first bytes of every read: enough to notice a wrong file or a
    /// wrong range.
    pub(crate) checksum: u64,
}

/// What the client did, and when, in nanoseconds of the monotonic clock, which
/// is the same for all processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) began: u64,
    pub(crate) ended: u64,
    pub(crate) totals: Totals,
}

/// Nanoseconds of the monotonic clock.
pub(crate) fn now() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    let time = Duration::new(
        time.tv_sec.unsigned_abs(),
        time.tv_nsec.unsigned_abs() as u32,
    );
    time.as_nanos() as u64
}

impl Script {
    /// Does it.
    pub(crate) fn play(&self, roots: &Roots) -> Result<Report> {
        let mut buffer = Box::new(Buffer([0; READ_BYTES_MAX]));
        let mut totals = Totals::default();
        let began = now();
        for step in &self.steps {
            let root = roots.root_of(step.volume)?;
            match step.kind {
                StepKind::Read => read(root, &step.name, &mut buffer.0, &mut totals),
                StepKind::Absent => probe(root, &step.name, &mut totals),
            }
            .with_context(|| step.name.clone())?;
        }
        Ok(Report {
            began,
            ended: now(),
            totals,
        })
    }
}

impl Roots {
    /// Opens the root of a view, or the roots of several volumes.
    pub(crate) fn open(paths: &[PathBuf]) -> Result<Self> {
        let open = |path: &PathBuf| {
            let root = File::open(path).with_context(|| path.display().to_string())?;
            Ok(OwnedFd::from(root))
        };
        match paths {
            [view] => Ok(Self::View(open(view)?)),
            volumes => Ok(Self::Volumes(
                volumes.iter().map(open).collect::<Result<_>>()?,
            )),
        }
    }

    pub(crate) fn root_of(&self, volume: usize) -> Result<&OwnedFd> {
        match self {
            Self::View(root) => Ok(root),
            Self::Volumes(volumes) => volumes
                .get(volume)
                .with_context(|| format!("there is no volume {volume}")),
        }
    }
}

#[repr(align(4096))]
struct Buffer([u8; READ_BYTES_MAX]);

fn read(root: &OwnedFd, name: &str, buffer: &mut [u8], totals: &mut Totals) -> Result<()> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let file = rustix::fs::openat(root, name, flags, Mode::empty())?;
    totals.files += 1;
    let mut remaining = rustix::fs::fstat(&file)?.st_size.unsigned_abs();
    while remaining > 0 {
        let count = rustix::io::read(&file, &mut *buffer)?;
        ensure!(count > 0, "ends {remaining} bytes before its size");
        totals.reads += 1;
        totals.bytes += count as u64;
        for byte in &buffer[..count.min(8)] {
            totals.checksum = totals.checksum.rotate_left(8) ^ u64::from(*byte);
        }
        remaining = remaining.saturating_sub(count as u64);
    }
    Ok(())
}

fn probe(root: &OwnedFd, name: &str, totals: &mut Totals) -> Result<()> {
    match rustix::fs::statat(root, name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => totals.absent += 1,
        Err(error) => return Err(error.into()),
        Ok(_) => bail!(std::io::Error::new(
            ErrorKind::AlreadyExists,
            "exists, and should not"
        )),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn script(steps: &[(StepKind, &str)]) -> Script {
        let step = |(kind, name): &(StepKind, &str)| Step {
            kind: *kind,
            volume: 0,
            name: (*name).to_owned(),
        };
        Script {
            steps: steps.iter().map(step).collect(),
        }
    }

    #[test]
    fn the_client_reports_what_it_read() {
        let directory = transom_test::temp_dir().unwrap();
        let file = directory.path().join("file");
        fs::write(&file, vec![7; READ_BYTES_MAX + 1]).unwrap();
        let root = || Roots::open(&[directory.path().to_owned()]).unwrap();

        let script = script(&[(StepKind::Read, "file"), (StepKind::Absent, "other")]);
        let report = script.play(&root()).unwrap();
        assert!(report.began < report.ended);
        let totals = report.totals;
        assert_eq!((totals.files, totals.reads, totals.absent), (1, 2, 1));
        assert_eq!(totals.bytes, READ_BYTES_MAX as u64 + 1);

        fs::write(&file, vec![8; READ_BYTES_MAX + 1]).unwrap();
        let changed = script.play(&root()).unwrap().totals;
        assert_ne!(totals.checksum, changed.checksum);
    }

    #[test]
    fn a_name_that_should_be_absent_is_an_error() {
        let directory = transom_test::temp_dir().unwrap();
        fs::write(directory.path().join("there"), "").unwrap();
        let root = Roots::open(&[directory.path().to_owned()]).unwrap();
        let error = script(&[(StepKind::Absent, "there")])
            .play(&root)
            .unwrap_err();
        assert!(format!("{error:#}").starts_with("there: "), "{error:#}");
    }
}
