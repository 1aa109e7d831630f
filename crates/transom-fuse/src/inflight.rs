//! Requests under way, and who answers them.
//!
//! Usually the worker that read a request answers it. But its handler may
//! hang, in a host file system that does not respond or a provider that does
//! not deliver; then two others may want to answer in its place:
//!
//! * *Interrupts.* A process that is killed while it waits for us stays in an
//!   uninterruptible sleep until the request is answered. The kernel tells us
//!   with INTERRUPT, but it does so for every signal, also for those that the
//!   program handles and that must not turn a `stat` into `EINTR`. So an
//!   interrupted request is answered with `EINTR` only if its caller has a
//!   fatal signal pending (then `SIGKILL` is pending on each of its threads)
//!   or is gone.
//! * *Deadlines.* A request that takes too long is answered with `ETIMEDOUT`.
//!
//! Each worker has a slot with the number of its request. Whoever changes the
//! slot from "under way" to "answered" by compare-and-swap may send; everybody
//! else must not. No lock is taken and nothing is allocated per request.
//!
//! An interrupt can be read by one worker before another, which has just read
//! the request itself, has published it. Such *early* interrupts are kept for
//! a moment: who interrupts first notes the interrupt and then looks through
//! the slots; who begins first publishes the request and then looks through
//! the notes; with sequentially consistent order one of them sees the other.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use transom_module::Errno;
use transom_sys::fuse_abi::UNIQUE_INTERRUPT;

use crate::queue::answer_error;

/// Most early interrupts kept; the oldest gives way.
const EARLY_MAX: usize = 64;
/// How long an early interrupt is kept, in milliseconds. Its request, if there
/// still is one, begins within microseconds.
const EARLY_KEPT_MS: u64 = 1000;

/// A slot's state when its worker has no request.
const IDLE: u64 = 0;
/// Set in a slot's state when its request has been answered by another. Real
/// requests have this bit clear.
const ANSWERED: u64 = UNIQUE_INTERRUPT;

/// What one worker is at.
#[derive(Debug)]
pub(crate) struct Slot {
    /// [`IDLE`], the request's `unique`, or that with [`ANSWERED`].
    state: AtomicU64,
    /// Milliseconds from the session's start to the request's.
    started_ms: AtomicU64,
    /// The caller's thread, 0 if the kernel did not say.
    caller: AtomicU64,
    /// The request waits for another process: a lock.
    waits: AtomicBool,
    /// The kernel asked to interrupt the request.
    interrupted: AtomicBool,
    /// Tells the handler that its answer is not wanted any more.
    pub(crate) cancelled: AtomicBool,
    /// The slot belongs to a worker.
    taken: AtomicBool,
    /// Where the worker's requests are answered.
    connection: Mutex<Option<Arc<OwnedFd>>>,
}

/// A request under way, as others see it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pending {
    pub(crate) unique: u64,
    pub(crate) started_ms: u64,
    pub(crate) caller: u64,
    pub(crate) waits: bool,
    pub(crate) interrupted: bool,
}

impl Slot {
    fn begin(&self, unique: u64, caller: u32, waits: bool, now_ms: u64) {
        self.started_ms.store(now_ms, Ordering::Relaxed);
        self.caller.store(u64::from(caller), Ordering::Relaxed);
        self.waits.store(waits, Ordering::Relaxed);
        self.interrupted.store(false, Ordering::Relaxed);
        self.cancelled.store(false, Ordering::Relaxed);
        // SeqCst: ordered against the monitor's decision to sleep, see
        // `crate::workers`.
        self.state.store(unique, Ordering::SeqCst);
    }

    /// The worker is done. True if it is the one to answer.
    pub(crate) fn finish(&self) -> bool {
        self.state.swap(IDLE, Ordering::AcqRel) & ANSWERED == 0
    }

    /// What is under way and not yet answered.
    pub(crate) fn pending(&self) -> Option<Pending> {
        let unique = self.state.load(Ordering::SeqCst);
        (unique != IDLE && unique & ANSWERED == 0).then(|| Pending {
            unique,
            started_ms: self.started_ms.load(Ordering::Relaxed),
            caller: self.caller.load(Ordering::Relaxed),
            waits: self.waits.load(Ordering::Relaxed),
            interrupted: self.interrupted.load(Ordering::Relaxed),
        })
    }

    /// When the current or latest request began.
    pub(crate) fn started_ms(&self) -> u64 {
        self.started_ms.load(Ordering::Relaxed)
    }

    /// Whether the worker is in a handler, and since when.
    pub(crate) fn busy_since_ms(&self) -> Option<u64> {
        (self.state.load(Ordering::SeqCst) != IDLE).then(|| self.started_ms())
    }

    /// Takes the right to answer `unique` from the worker. False if it has
    /// answered already.
    pub(crate) fn take_over(&self, unique: u64) -> bool {
        let taken = self
            .state
            .compare_exchange(
                unique,
                unique | ANSWERED,
                Ordering::AcqRel,
                Ordering::Relaxed,
            )
            .is_ok();
        if taken {
            self.cancelled.store(true, Ordering::Relaxed);
        }
        taken
    }

    /// Names the descriptor that the worker of this slot reads from.
    pub(crate) fn answer_on(&self, connection: Option<Arc<OwnedFd>>) {
        *self
            .connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = connection;
    }

    /// Answers in the worker's place, after [`take_over`](Self::take_over).
    pub(crate) fn send_error(&self, unique: u64, errno: Errno) -> io::Result<()> {
        match &*self
            .connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
        {
            Some(connection) => answer_error(connection, unique, errno),
            None => Ok(()),
        }
    }
}

/// The slots of all workers.
#[derive(Debug)]
pub(crate) struct Slots {
    slots: Box<[Slot]>,
    origin: Instant,
    /// Interrupted requests that nobody has begun, with the time.
    early: Mutex<Vec<(u64, u64)>>,
    /// Length of `early`, to look at without its lock.
    early_count: AtomicUsize,
}

impl Slots {
    pub(crate) fn new(count: usize) -> Self {
        let slot = || Slot {
            state: AtomicU64::new(IDLE),
            started_ms: AtomicU64::new(0),
            caller: AtomicU64::new(0),
            waits: AtomicBool::new(false),
            interrupted: AtomicBool::new(false),
            cancelled: AtomicBool::new(false),
            taken: AtomicBool::new(false),
            connection: Mutex::default(),
        };
        Self {
            slots: (0..count).map(|_| slot()).collect(),
            origin: Instant::now(),
            early: Mutex::default(),
            early_count: AtomicUsize::new(0),
        }
    }

    /// Milliseconds since the session's start.
    pub(crate) fn now_ms(&self) -> u64 {
        self.origin.elapsed().as_millis() as u64
    }

    /// A slot for a new worker, `None` if all are taken.
    pub(crate) fn take(&self) -> Option<usize> {
        self.slots
            .iter()
            .position(|slot| !slot.taken.swap(true, Ordering::AcqRel))
    }

    pub(crate) fn give_back(&self, index: usize) {
        self.slots[index].answer_on(None);
        self.slots[index].taken.store(false, Ordering::Release);
    }

    pub(crate) fn get(&self, index: usize) -> &Slot {
        &self.slots[index]
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Slot> {
        self.slots.iter()
    }

    /// A worker begins a request.
    pub(crate) fn begin(&self, slot: &Slot, unique: u64, caller: u32, waits: bool) {
        slot.begin(unique, caller, waits, self.now_ms());
        if self.early_count.load(Ordering::SeqCst) > 0 && self.remove_early(unique) {
            slot.interrupted.store(true, Ordering::Relaxed);
        }
    }

    /// The kernel wants `unique` interrupted.
    pub(crate) fn interrupt(&self, unique: u64) {
        {
            let mut early = self.early.lock().unwrap_or_else(PoisonError::into_inner);
            if early.len() == EARLY_MAX {
                early.remove(0);
            }
            early.push((unique, self.now_ms()));
            self.early_count.store(early.len(), Ordering::SeqCst);
        }
        if let Some(slot) = self
            .slots
            .iter()
            .find(|slot| slot.state.load(Ordering::SeqCst) & !ANSWERED == unique)
        {
            slot.interrupted.store(true, Ordering::Relaxed);
            self.remove_early(unique);
        }
    }

    /// Forgets early interrupts whose request was answered before they came.
    pub(crate) fn forget_early_interrupts(&self) {
        if self.early_count.load(Ordering::Relaxed) > 0 {
            let now_ms = self.now_ms();
            self.retain_early(|(_, noted_ms)| now_ms < noted_ms + EARLY_KEPT_MS);
        }
    }

    fn remove_early(&self, unique: u64) -> bool {
        self.retain_early(|(noted, _)| noted != unique)
    }

    /// True if any was removed.
    fn retain_early(&self, keep: impl Fn((u64, u64)) -> bool) -> bool {
        let mut early = self.early.lock().unwrap_or_else(PoisonError::into_inner);
        let before = early.len();
        early.retain(|noted| keep(*noted));
        self.early_count.store(early.len(), Ordering::SeqCst);
        early.len() < before
    }
}

/// Whether a thread is about to die or already gone.
///
/// For a signal that ends a process the kernel makes `SIGKILL` pending on each
/// of its threads (`complete_signal()`), which `/proc` shows.
pub(crate) fn is_dying(thread: u64) -> bool {
    const SIGKILL: u64 = 1 << 8;
    let Ok(status) = std::fs::read_to_string(format!("/proc/{thread}/status")) else {
        return true;
    };
    ["SigPnd:", "ShdPnd:"].iter().any(|field| {
        status
            .lines()
            .find_map(|line| line.strip_prefix(field))
            .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
            .is_some_and(|mask| mask & SIGKILL != 0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_one_answers() {
        let slots = Slots::new(1);
        let slot = slots.get(slots.take().unwrap());
        slot.begin(8, 0, false, 0);
        assert!(slot.take_over(8));
        assert!(!slot.take_over(8));
        assert!(slot.cancelled.load(Ordering::Relaxed));
        assert!(!slot.finish());

        slot.begin(10, 0, false, 0);
        assert!(!slot.take_over(8));
        assert!(slot.finish());
        assert!(slot.pending().is_none());
    }

    #[test]
    fn interrupts_find_their_request() {
        let slots = Slots::new(2);
        assert_eq!(
            (slots.take(), slots.take(), slots.take()),
            (Some(0), Some(1), None)
        );
        let slot = slots.get(1);
        slots.begin(slot, 12, 77, false);
        slots.interrupt(14);
        assert!(!slot.pending().unwrap().interrupted);
        slots.interrupt(12);
        let pending = slot.pending().unwrap();
        assert!(pending.interrupted);
        assert_eq!(pending.caller, 77);

        assert!(slot.finish());
        slots.begin(slot, 14, 77, false);
        assert!(
            slot.pending().unwrap().interrupted,
            "the interrupt that came early"
        );
        assert!(slot.finish());
        slots.begin(slot, 16, 77, false);
        assert!(!slot.pending().unwrap().interrupted);
        slots.give_back(0);
        assert_eq!(slots.take(), Some(0));
    }

    #[test]
    fn who_is_dying() {
        assert!(!is_dying(u64::from(std::process::id())));
        assert!(is_dying(u64::MAX));
    }
}
