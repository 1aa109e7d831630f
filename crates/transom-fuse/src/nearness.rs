//! A worker that runs where its caller runs.
//!
//! A request wakes a worker and its answer wakes the caller. When the two are
//! on different processors, each of these is an interrupt to a processor that
//! has gone idle, and takes several times as long as a switch on the same one
//! (on a virtual machine 60 against 8 microseconds). The scheduler does not
//! bring them together by itself: both processors look free to it, since one
//! of the two always waits.
//!
//! So as long as one thread alone asks, the worker stays on the processor of
//! that thread, which is free while the thread waits for the answer. As soon as
//! another one asks, the worker may run anywhere again. While another processor
//! is idle the scheduler may wake the thread there; then the worker follows.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Requests in a row from one thread before its processor is looked up.
const STREAK: u32 = 8;
/// Requests from that thread after which it is looked up again, since it may
/// have moved: at first, and at most. A look costs as much as a request, so
/// each that finds the thread where it was makes the next one twice as far.
const LOOK_AGAIN: u32 = 16;
const LOOK_AGAIN_MAX: u32 = 256;

/// Where one worker thread may run.
#[derive(Debug)]
pub(crate) struct Nearness {
    caller: u32,
    streak: u32,
    /// Length of the streak at which to look again, and how long that was.
    next_look: u32,
    interval: u32,
    /// The processor the worker is bound to.
    bound: Option<usize>,
    /// Where it may run at all; learnt when it is first bound.
    anywhere: Option<CpuSet>,
}

impl Nearness {
    pub(crate) fn new() -> Self {
        Self {
            caller: 0,
            streak: 0,
            next_look: STREAK,
            interval: LOOK_AGAIN,
            bound: None,
            anywhere: None,
        }
    }

    /// The worker, on its own thread, has a request of the thread `caller`.
    pub(crate) fn note(&mut self, caller: u32) {
        if caller == 0 {
            return;
        }
        if caller != self.caller {
            self.caller = caller;
            self.streak = 0;
            self.next_look = STREAK;
            self.interval = LOOK_AGAIN;
            self.unbind();
            return;
        }
        self.streak = self.streak.saturating_add(1);
        if self.streak == self.next_look {
            let before = self.bound;
            self.bind_to(processor_of(caller));
            self.interval = if self.bound == before {
                (self.interval * 2).min(LOOK_AGAIN_MAX)
            } else {
                LOOK_AGAIN
            };
            self.next_look = self.streak.saturating_add(self.interval);
        }
    }

    fn bind_to(&mut self, processor: Option<usize>) {
        let Some(processor) = processor.filter(|processor| *processor < CpuSet::MAX_CPU) else {
            return;
        };
        if self.bound == Some(processor) {
            return;
        }
        if self.anywhere.is_none() {
            self.anywhere = sched_getaffinity(None).ok();
        }
        // Only where we may run at all, and may run again later.
        if self
            .anywhere
            .is_some_and(|anywhere| anywhere.is_set(processor))
        {
            let mut only = CpuSet::new();
            only.set(processor);
            self.bound = sched_setaffinity(None, &only).is_ok().then_some(processor);
        }
    }

    fn unbind(&mut self) {
        if self.bound.take().is_some()
            && let Some(anywhere) = &self.anywhere
            && let Err(error) = sched_setaffinity(None, anywhere)
        {
            tracing::warn!(%error, "a worker stays bound to one processor");
        }
    }
}

/// The processor a thread last ran on (`processor`, field 39 of
/// `/proc/PID/stat`).
fn processor_of(thread: u32) -> Option<usize> {
    let stat = std::fs::read_to_string(format!("/proc/{thread}/stat")).ok()?;
    // The second field is a name in parentheses and may hold anything.
    let after_name = stat.rsplit_once(')')?.1;
    after_name
        .split_ascii_whitespace()
        .nth(39 - 3)?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bound_while_one_thread_asks() {
        let before = sched_getaffinity(None).unwrap();
        let own = rustix::thread::gettid()
            .as_raw_nonzero()
            .get()
            .cast_unsigned();
        let mut nearness = Nearness::new();
        for _ in 0..=STREAK {
            assert_eq!(nearness.bound, None);
            nearness.note(own);
        }
        let bound = nearness.bound.unwrap();
        assert_eq!(sched_getaffinity(None).unwrap().count(), 1);
        assert_eq!(processor_of(own), Some(bound));

        let looks = |nearness: &mut Nearness, requests: u32| {
            let looked = |nearness: &mut Nearness| {
                let before = nearness.next_look;
                nearness.note(own);
                nearness.next_look != before
            };
            (0..requests).filter(|_| looked(nearness)).count()
        };
        assert_eq!(looks(&mut nearness, 16 + 32 + 64 + 128), 4);
        assert_eq!(looks(&mut nearness, 1024), 4);

        nearness.note(0);
        assert!(nearness.bound.is_some(), "the kernel itself asked");
        nearness.note(own + 1);
        assert_eq!(nearness.bound, None);
        assert_eq!(sched_getaffinity(None).unwrap(), before);
    }

    #[test]
    fn threads_that_are_gone_have_no_processor() {
        assert_eq!(processor_of(u32::MAX), None);
    }
}
