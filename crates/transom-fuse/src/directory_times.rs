//! Attributes of directories that are on their way to the kernel while the
//! directory changes.
//!
//! When an entry is made or removed, the kernel by itself no longer believes the
//! times, size and link count that it knows of the directory. But if one thread
//! asks for them just before another changes an entry, the answer to the first
//! may be taken in last, and then what was before is believed from then on. The
//! kernel orders answers against notifications, not against such changes: after
//! a notification it ignores every answer to a question from before.
//!
//! So it is noted who was told a directory's attributes, and when somebody else
//! changes an entry the kernel is notified, which costs a third of a request. A
//! thread that changes what it alone was told has taken in the answer long ago.
//! What is asked and changed at the very same time is told for no time at all.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Who was told the attributes of one directory since an entry was changed.
#[derive(Debug, Default)]
pub(crate) struct ToldTo(AtomicU32);

const NOBODY: u32 = 0;
const SEVERAL: u32 = u32::MAX;

/// Counts the changes of entries in all directories.
#[derive(Debug, Default)]
pub(crate) struct Changes(AtomicU64);

/// Something that was read after this is at least as new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moment(u64);

impl ToldTo {
    /// A thread is going to be told, 0 if it is not known which.
    pub(crate) fn tell(&self, thread: u32) {
        let thread = if thread == 0 { SEVERAL } else { thread };
        let add = |told| match told {
            NOBODY => Some(thread),
            told if told == thread => None,
            _ => Some(SEVERAL),
        };
        let _ = self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, add);
    }

    /// A thread has changed an entry. Whether anybody else was told what was
    /// before.
    pub(crate) fn is_outdated_by(&self, thread: u32) -> bool {
        let told = self.0.swap(NOBODY, Ordering::SeqCst);
        told != NOBODY && told != thread
    }
}

impl Moment {
    /// The same for somebody who has changed one entry since.
    pub(crate) fn after_own_change(self) -> Self {
        Self(self.0.wrapping_add(1))
    }
}

impl Changes {
    pub(crate) fn now(&self) -> Moment {
        Moment(self.0.load(Ordering::SeqCst))
    }

    /// An entry was changed. To be called before it is asked who was told.
    pub(crate) fn note(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_others_were_told_is_outdated() {
        let told = ToldTo::default();
        assert!(!told.is_outdated_by(1));
        told.tell(1);
        told.tell(1);
        assert!(!told.is_outdated_by(1));
        told.tell(1);
        assert!(told.is_outdated_by(2));
        assert!(!told.is_outdated_by(2), "nobody was told since");
        told.tell(1);
        told.tell(2);
        assert!(told.is_outdated_by(2));
        told.tell(0);
        assert!(told.is_outdated_by(1));
    }

    #[test]
    fn changes_make_moments_differ() {
        let changes = Changes::default();
        let before = changes.now();
        assert_eq!(before, changes.now());
        changes.note();
        assert_ne!(before, changes.now());
        assert_eq!(before.after_own_change(), changes.now());
    }
}
