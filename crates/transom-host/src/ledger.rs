//! What must be removed from the host, also after this process was killed.
//!
//! Most of what the host makes goes with the process: descriptors, detached
//! mounts, threads. What is entered here does not: mounts that were attached, loop
//! devices, directories and sockets. The rule is the usual one of a ledger:
//!
//! ```text
//!   enter ─► do ─► ... ─► undo ─► done        at any point killed: `abandoned` has it
//! ```
//!
//! An entry says what *may* be there. Whoever cleans up finds out whether it is,
//! and removes nothing else that has taken its place since: a mount is known by a
//! number that is used once in the life of a machine, and a loop device by the
//! name of the file behind it. After the machine was booted anew, mounts and loop devices are gone
//! with certainty, and numbers mean nothing; so such entries are of one boot.
//!
//! Entries are cleaned in the reverse order of theirs, because what was made later
//! may lie on what was made before. What fails is tried once more after the others,
//! as it may be reached only when they are gone.
//!
//! One process has a ledger at a time: a lock on the directory says so, and the
//! kernel releases it however the process ends.

mod clean;
mod leftover;
#[cfg(test)]
mod tests;

use std::fmt;
use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use transom_module::{Errno, Error, Result};

use crate::random;
use crate::records::{Records, Survives};

pub use leftover::Leftover;

/// How many entries a ledger has.
pub const LEFTOVERS_MAX: usize = 1 << 16;

/// A ledger in a directory of its own.
#[derive(Clone)]
pub struct Ledger(Arc<Book>);

struct Book {
    directory: PathBuf,
    records: Records,
    boot: String,
    next: AtomicU64,
    entries: AtomicUsize,
    abandoned: Mutex<Vec<Abandoned>>,
    damaged: Vec<String>,
    /// Open for as long as the directory is ours.
    _lock: File,
}

/// What an earlier process has left, perhaps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Abandoned {
    number: u64,
    /// What it is.
    pub leftover: Leftover,
}

impl Ledger {
    /// Takes the ledger in `directory`, which is made if it does not exist.
    ///
    /// `EBUSY` while another process has it.
    pub fn open(directory: &Path) -> Result<Self> {
        let failed = |error| {
            let message = format!("cannot open the ledger in `{}`", directory.display());
            Error::from_host(error, message)
        };
        let records = Records::open(directory.join("leftovers"), ".left").map_err(failed)?;
        let lock = lock(directory)?;
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").map_err(failed)?;
        let mut book = Book {
            directory: directory.into(),
            records,
            boot: boot.trim().into(),
            next: AtomicU64::new(1),
            entries: AtomicUsize::new(0),
            abandoned: Mutex::default(),
            damaged: Vec::new(),
            _lock: lock,
        };
        book.read().map_err(failed)?;
        Ok(Self(Arc::new(book)))
    }

    /// Enters what is about to be made. `ENOSPC` if there are [`LEFTOVERS_MAX`]
    /// entries.
    pub fn enter(&self, leftover: &Leftover) -> Result<Entry> {
        let book = &self.0;
        // The guard takes it out again whatever happens.
        let entry = Entry {
            book: Arc::clone(book),
            number: book.next.fetch_add(1, Ordering::Relaxed),
            is_kept: false,
        };
        if book.entries.fetch_add(1, Ordering::Relaxed) >= LEFTOVERS_MAX {
            let message = format!("the ledger in `{}` is full", book.directory.display());
            return Err(Error::new(Errno::ENOSPC, message));
        }
        let bytes = leftover.encode(&book.boot)?;
        let written = book
            .records
            .write(&name(entry.number), &bytes, survives(leftover));
        written.map_err(|error| {
            let message = format!(
                "cannot write to the ledger in `{}`",
                book.directory.display()
            );
            Error::from_host(error, message)
        })?;
        Ok(entry)
    }

    /// What earlier processes have left and nobody has cleaned up, oldest first.
    #[must_use]
    pub fn abandoned(&self) -> Vec<Abandoned> {
        self.0.abandoned().clone()
    }

    /// Entries that cannot be understood, in sentences for people. They stay.
    #[must_use]
    pub fn damaged(&self) -> &[String] {
        &self.0.damaged
    }

    /// Removes what an earlier process has left, if it is still there, and then the
    /// entry.
    pub fn clean(&self, abandoned: &Abandoned) -> Result<()> {
        clean::clean(&abandoned.leftover)?;
        self.0.take_out(abandoned.number);
        let mut all = self.0.abandoned();
        all.retain(|other| other.number != abandoned.number);
        Ok(())
    }

    /// Removes all that was left. Returns what was removed, what could not be and
    /// why, and which entries cannot be understood, in sentences for people.
    #[must_use]
    pub fn clean_up(&self) -> Vec<String> {
        let before = self.abandoned();
        let failed = self.clean_all();
        let is_removed =
            |abandoned: &&Abandoned| !failed.iter().any(|(left, _)| left == *abandoned);
        let removed = before.iter().filter(is_removed);
        let removed = removed.map(|abandoned| format!("removed {}", abandoned.leftover));
        let failed = failed
            .iter()
            .map(|(left, error)| format!("{} stays: {error}", left.leftover));
        let damaged = self.damaged().iter().cloned();
        removed.chain(failed).chain(damaged).collect()
    }

    /// Removes all that was left; returns what could not be, and why.
    pub fn clean_all(&self) -> Vec<(Abandoned, Error)> {
        let mut left = self.abandoned();
        left.reverse();
        let failed = |abandoned: Abandoned| {
            let error = self.clean(&abandoned).err()?;
            Some((abandoned, error))
        };
        let first: Vec<_> = left.into_iter().filter_map(failed).collect();
        let again = first.into_iter().map(|(abandoned, _)| abandoned);
        again.filter_map(failed).collect()
    }
}

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ledger")
            .field("directory", &self.0.directory)
            .finish_non_exhaustive()
    }
}

impl Book {
    /// Reads what is there already.
    fn read(&mut self) -> io::Result<()> {
        let mut abandoned = Vec::new();
        for name in self.records.names()? {
            let bytes = self.records.read(&name)?;
            let number = random::read_hex(&name).ok_or("it is not named after a number");
            let last = number
                .unwrap_or(0)
                .max(self.next.load(Ordering::Relaxed) - 1);
            self.next = AtomicU64::new(last + 1);
            let decoded = Leftover::decode(&bytes);
            match number
                .map_err(str::to_owned)
                .and_then(|number| Ok((number, decoded?)))
            {
                Ok((number, (boot, leftover))) if boot == self.boot || leftover.outlives_boot() => {
                    abandoned.push(Abandoned { number, leftover });
                }
                // Of an earlier boot, or of the moment when that one ended.
                Ok(_) => self.records.remove(&name, Survives::Process)?,
                Err(_) if bytes.is_empty() => self.records.remove(&name, Survives::Process)?,
                Err(wrong) => self.damaged.push(format!(
                    "cannot understand `{}`, which says what to clean up: {wrong}; \
                     see what it was and remove it",
                    self.records.file(&name).display()
                )),
            }
        }
        self.entries = AtomicUsize::new(abandoned.len() + self.damaged.len());
        self.abandoned = Mutex::new(abandoned);
        Ok(())
    }

    /// Removes an entry. If that fails, the next process finds that nothing is left
    /// of what it says.
    fn take_out(&self, number: u64) {
        _ = self.records.remove(&name(number), Survives::Process);
        self.entries.fetch_sub(1, Ordering::Relaxed);
    }

    fn abandoned(&self) -> MutexGuard<'_, Vec<Abandoned>> {
        self.abandoned
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Something that was made, or is about to be: dropped when it is undone.
#[must_use = "when it is dropped, what it stands for has to be undone"]
pub struct Entry {
    book: Arc<Book>,
    number: u64,
    is_kept: bool,
}

impl Entry {
    /// It is undone. The same as dropping.
    pub fn done(self) {}

    /// It cannot be undone now: leaves it to the next process.
    pub fn keep(mut self) {
        self.is_kept = true;
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        if !self.is_kept {
            self.book.take_out(self.number);
        }
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry")
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}

/// Names in the order of their numbers.
fn name(number: u64) -> String {
    format!("{number:016x}")
}

fn survives(leftover: &Leftover) -> Survives {
    match leftover.outlives_boot() {
        true => Survives::Machine,
        false => Survives::Process,
    }
}

fn lock(directory: &Path) -> Result<File> {
    let path = directory.join("lock");
    let failed = |error| {
        let message = format!("cannot lock `{}`", path.display());
        Error::from_host(error, message)
    };
    let mut options = File::options();
    options.read(true).write(true).create(true).truncate(false);
    let mut lock = options.open(&path).map_err(failed)?;
    match lock.try_lock() {
        Ok(()) => {
            lock.set_len(0).map_err(failed)?;
            writeln!(lock, "{}", std::process::id()).map_err(failed)?;
            Ok(lock)
        }
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            _ = lock.read_to_string(&mut holder);
            let message = format!(
                "`{}` is in use by process {}",
                directory.display(),
                holder.trim()
            );
            Err(Error::new(Errno::EBUSY, message))
        }
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}
