//! Who looks at what it lists.
//!
//! For the first part of every directory the kernel asks for attributes along
//! with the names, which spares a request for each name that is looked at next
//! and wastes the work of finding it otherwise. The kernel cannot know better:
//! it decides by what happened in the same directory, and most are listed once.
//! But a thread that has listed one directory without looking at its files is
//! likely to go on like that (`find` by name, a pattern of the shell, the search
//! for untracked files of git), and one that looked at them, too (`ls -l`, `rm
//! -r`, `du`).
//!
//! So the first directory that a thread lists is told in full, and the next
//! without attributes. If the thread then looks up a file there, which the
//! kernel has to ask for, this and all further ones are told in full. What is
//! remembered may be lost or another thread's: it decides about work, not about
//! answers.

use std::sync::atomic::{AtomicU64, Ordering};

/// Threads that are remembered. One takes the place of another.
const THREADS_MAX: usize = 256;

/// The latest listing of some threads, packed: see [`Latest`].
#[derive(Debug)]
pub(crate) struct ListingHabits([AtomicU64; THREADS_MAX]);

/// The latest listing of a thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Latest {
    thread: u32,
    /// The low bits of the directory's number.
    directory: u32,
    habit: Habit,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Habit {
    /// It has listed only this directory.
    Unknown = 0,
    /// It was told only names and kinds.
    TakesNames = 1,
    /// It looked at a file that it was told only the name of.
    LooksAtFiles = 2,
}

const DIRECTORY_MASK: u32 = u32::MAX >> 2;

impl ListingHabits {
    pub(crate) fn new() -> Self {
        Self(std::array::from_fn(|_| AtomicU64::new(0)))
    }

    /// The thread lists a directory. Whether it is likely to look at the files.
    pub(crate) fn lists(&self, thread: u32, directory: u64) -> bool {
        let directory = directory as u32 & DIRECTORY_MASK;
        let habit = match self.latest(thread) {
            None => Habit::Unknown,
            Some(latest) if latest.habit == Habit::LooksAtFiles => return true,
            Some(latest) if latest.directory == directory => latest.habit,
            Some(_) => Habit::TakesNames,
        };
        self.remember(Latest {
            thread,
            directory,
            habit,
        });
        habit == Habit::Unknown
    }

    /// The thread looks up a file that is there.
    pub(crate) fn looks_up(&self, thread: u32, directory: u64) {
        let directory = directory as u32 & DIRECTORY_MASK;
        if let Some(latest) = self.latest(thread)
            && latest.directory == directory
            && latest.habit == Habit::TakesNames
        {
            self.remember(Latest {
                habit: Habit::LooksAtFiles,
                ..latest
            });
        }
    }

    fn latest(&self, thread: u32) -> Option<Latest> {
        let packed = self.slot(thread).load(Ordering::Relaxed);
        let latest = Latest {
            thread: (packed >> 32) as u32,
            directory: packed as u32 >> 2,
            habit: match packed & 3 {
                0 => Habit::Unknown,
                1 => Habit::TakesNames,
                _ => Habit::LooksAtFiles,
            },
        };
        // Nobody's number is 0, not even that of an empty slot.
        (thread != 0 && latest.thread == thread).then_some(latest)
    }

    fn remember(&self, latest: Latest) {
        let packed =
            u64::from(latest.thread) << 32 | u64::from(latest.directory) << 2 | latest.habit as u64;
        self.slot(latest.thread).store(packed, Ordering::Relaxed);
    }

    fn slot(&self, thread: u32) -> &AtomicU64 {
        &self.0[thread as usize % THREADS_MAX]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const THREAD: u32 = 4711;

    #[test]
    fn names_alone_after_the_first_directory() {
        let habits = ListingHabits::new();
        assert!(habits.lists(THREAD, 10));
        assert!(habits.lists(THREAD, 10), "its second part");
        assert!(!habits.lists(THREAD, 11));
        habits.looks_up(THREAD, 10);
        assert!(!habits.lists(THREAD, 11));
        assert!(!habits.lists(THREAD, 10), "listed again");
    }

    #[test]
    fn in_full_once_a_file_was_looked_at() {
        let habits = ListingHabits::new();
        habits.lists(THREAD, 10);
        habits.looks_up(THREAD, 10);
        assert!(!habits.lists(THREAD, 11));
        habits.looks_up(THREAD, 11);
        assert!(habits.lists(THREAD, 11));
        assert!(habits.lists(THREAD, 12));
    }

    #[test]
    fn threads_take_the_places_of_others() {
        let habits = ListingHabits::new();
        let other = THREAD + THREADS_MAX as u32;
        habits.lists(THREAD, 10);
        assert!(habits.lists(other, 11));
        assert!(habits.lists(THREAD, 12));
        assert!(habits.lists(0, 10) && habits.lists(0, 11), "nobody's");
    }
}
