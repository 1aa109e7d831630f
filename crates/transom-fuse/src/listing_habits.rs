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
//! kernel has to ask for, this and the next are told in full, and then it is
//! tried again: each time after twice as many, for many programs do one thing
//! first and then another (git looks at its packs, and then lists the tree). What
//! is remembered may be lost or another thread's: it decides about work, not
//! about answers.

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
    /// How often in a row it looked at files when that was tried.
    confirmed: u32,
    /// Directories to be told in full before it is tried again.
    in_full: u32,
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

// Widths of what is packed behind the thread.
const HABIT_BITS: u32 = 2;
const CONFIRMED_BITS: u32 = 3;
const IN_FULL_BITS: u32 = 7;
const DIRECTORY_BITS: u32 = 32 - HABIT_BITS - CONFIRMED_BITS - IN_FULL_BITS;
const CONFIRMED_MAX: u32 = IN_FULL_BITS - 1;

impl ListingHabits {
    pub(crate) fn new() -> Self {
        Self(std::array::from_fn(|_| AtomicU64::new(0)))
    }

    /// The thread lists a directory. Whether it is likely to look at the files.
    pub(crate) fn lists(&self, thread: u32, directory: u64) -> bool {
        let directory = low_bits(directory);
        let mut latest = self.latest(thread).unwrap_or(Latest {
            thread,
            directory,
            habit: Habit::Unknown,
            confirmed: 0,
            in_full: 0,
        });
        if latest.directory != directory {
            latest.directory = directory;
            match latest.habit {
                Habit::LooksAtFiles if latest.in_full > 0 => latest.in_full -= 1,
                Habit::LooksAtFiles => latest.habit = Habit::TakesNames,
                Habit::Unknown | Habit::TakesNames => {
                    latest.habit = Habit::TakesNames;
                    latest.confirmed = 0;
                }
            }
        }
        self.remember(latest);
        latest.habit != Habit::TakesNames
    }

    /// The thread looks up a file that is there.
    pub(crate) fn looks_up(&self, thread: u32, directory: u64) {
        if let Some(latest) = self.latest(thread)
            && latest.directory == low_bits(directory)
            && latest.habit == Habit::TakesNames
        {
            self.remember(Latest {
                habit: Habit::LooksAtFiles,
                confirmed: (latest.confirmed + 1).min(CONFIRMED_MAX),
                in_full: 1 << latest.confirmed,
                ..latest
            });
        }
    }

    fn latest(&self, thread: u32) -> Option<Latest> {
        let packed = self.slot(thread).load(Ordering::Relaxed);
        let mut rest = packed as u32;
        let mut take = |bits: u32| {
            let value = rest & ((1 << bits) - 1);
            rest >>= bits;
            value
        };
        let latest = Latest {
            thread: (packed >> 32) as u32,
            habit: match take(HABIT_BITS) {
                0 => Habit::Unknown,
                1 => Habit::TakesNames,
                _ => Habit::LooksAtFiles,
            },
            confirmed: take(CONFIRMED_BITS),
            in_full: take(IN_FULL_BITS),
            directory: take(DIRECTORY_BITS),
        };
        // Nobody's number is 0, not even that of an empty slot.
        (thread != 0 && latest.thread == thread).then_some(latest)
    }

    fn remember(&self, latest: Latest) {
        let parts = [
            (latest.directory, IN_FULL_BITS),
            (latest.in_full, CONFIRMED_BITS),
            (latest.confirmed, HABIT_BITS),
            (latest.habit as u32, 0),
        ];
        let pack = |packed, (part, shift)| (packed | part) << shift;
        let rest = parts.into_iter().fold(0, pack);
        let packed = u64::from(latest.thread) << 32 | u64::from(rest);
        self.slot(latest.thread).store(packed, Ordering::Relaxed);
    }

    fn slot(&self, thread: u32) -> &AtomicU64 {
        &self.0[thread as usize % THREADS_MAX]
    }
}

fn low_bits(directory: u64) -> u32 {
    directory as u32 & ((1 << DIRECTORY_BITS) - 1)
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
    fn who_looked_at_files_is_tried_more_and_more_rarely() {
        let habits = ListingHabits::new();
        let tried: Vec<u64> = (0..300)
            .filter(|directory| {
                let in_full = habits.lists(THREAD, *directory);
                habits.looks_up(THREAD, *directory);
                assert!(in_full || habits.lists(THREAD, *directory), "from now on");
                !in_full
            })
            .collect();
        assert_eq!(tried, [1, 3, 6, 11, 20, 37, 70, 135, 200, 265]);
    }

    #[test]
    fn who_begins_to_take_names_alone_is_believed() {
        let habits = ListingHabits::new();
        habits.lists(THREAD, 10);
        assert!(!habits.lists(THREAD, 11));
        habits.looks_up(THREAD, 11);
        assert!(habits.lists(THREAD, 12));
        assert!((13..99).all(|directory| !habits.lists(THREAD, directory)));
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
