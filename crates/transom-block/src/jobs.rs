//! Work that is done several pieces at a time, and not more.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

/// The most requests of one connection or device that are under way at a time.
pub const REQUESTS_MAX: usize = 16;
/// What those may take up in memory together, in bytes: the largest request of
/// all, or several small ones. Another one may wait to be taken.
pub const REQUEST_BYTES_MAX: usize = 32 << 20;

/// Hands jobs from one thread to others, of which there are as many as there
/// ever were jobs at the same time. So none waits for another.
pub(crate) struct Jobs<J> {
    state: Mutex<State<J>>,
    changed: Condvar,
}

struct State<J> {
    waiting: VecDeque<(J, usize)>,
    /// Those that wait or are being done.
    under_way: usize,
    bytes: usize,
    idle: usize,
    ended: bool,
}

impl<J: Send> Jobs<J> {
    /// Runs `give`, which is handed what takes jobs, and does them by `work` on
    /// other threads. Returns when all are done.
    pub(crate) fn run(work: impl Fn(J) + Sync, give: impl FnOnce(&dyn Fn(J, usize))) {
        let jobs = Self {
            state: Mutex::new(State {
                waiting: VecDeque::new(),
                under_way: 0,
                bytes: 0,
                idle: 0,
                ended: false,
            }),
            changed: Condvar::new(),
        };
        thread::scope(|scope| {
            // Also if what gives jobs panics: the threads would wait for ever.
            let _end = End(&jobs);
            give(&|job, bytes| {
                if !jobs.hand_over(job, bytes) {
                    return;
                }
                let worker = thread::Builder::new().name("block-worker".into());
                if worker.spawn_scoped(scope, || jobs.do_all(&work)).is_err() {
                    // There is none to be had: this one does it.
                    jobs.do_one(&work);
                }
            });
        });
    }

    /// Waits for room and takes a job. True if nobody is there to do it.
    fn hand_over(&self, job: J, bytes: usize) -> bool {
        let has_room = |state: &State<J>| {
            state.under_way < REQUESTS_MAX
                && (state.bytes == 0 || state.bytes + bytes <= REQUEST_BYTES_MAX)
        };
        let full = |state: &mut State<J>| !has_room(state);
        let mut state = self
            .changed
            .wait_while(self.lock(), full)
            .unwrap_or_else(PoisonError::into_inner);
        state.under_way += 1;
        state.bytes += bytes;
        state.waiting.push_back((job, bytes));
        let nobody = state.idle < state.waiting.len();
        drop(state);
        self.changed.notify_all();
        nobody
    }

    fn do_all(&self, work: &impl Fn(J)) {
        let mut state = self.lock();
        loop {
            if !state.waiting.is_empty() {
                drop(state);
                self.do_one(work);
                state = self.lock();
            } else if state.ended {
                return;
            } else {
                state.idle += 1;
                state = self
                    .changed
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
                state.idle -= 1;
            }
        }
    }

    fn do_one(&self, work: &impl Fn(J)) {
        let Some((job, bytes)) = self.lock().waiting.pop_front() else {
            return;
        };
        work(job);
        let mut state = self.lock();
        state.under_way -= 1;
        state.bytes -= bytes;
        drop(state);
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State<J>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct End<'a, J: Send>(&'a Jobs<J>);

impl<J: Send> Drop for End<'_, J> {
    fn drop(&mut self) {
        self.0.lock().ended = true;
        self.0.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;

    #[test]
    fn every_job_is_done_before_it_returns() {
        let done = AtomicUsize::new(0);
        Jobs::run(
            |job: usize| {
                done.fetch_add(job, Ordering::Relaxed);
            },
            |give| (1..=1000).for_each(|job| give(job, job)),
        );
        assert_eq!(done.into_inner(), 500_500);
    }

    #[test]
    fn as_many_as_there_may_be_are_done_at_the_same_time() {
        // They do not pass before all are there.
        let together = Barrier::new(REQUESTS_MAX);
        Jobs::run(
            |()| {
                together.wait();
            },
            |give| (0..REQUESTS_MAX).for_each(|_| give((), 1)),
        );
    }

    #[test]
    fn no_more_are_under_way_than_there_is_memory_for() {
        assert_eq!(most_at_a_time(REQUEST_BYTES_MAX / 2), 2);
        assert_eq!(most_at_a_time(REQUEST_BYTES_MAX), 1);
        assert!(most_at_a_time(1) <= REQUESTS_MAX);
    }

    fn most_at_a_time(bytes: usize) -> usize {
        let (now, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Jobs::run(
            |()| {
                let others = now.fetch_add(1, Ordering::Relaxed);
                most.fetch_max(others + 1, Ordering::Relaxed);
                thread::sleep(Duration::from_millis(5));
                now.fetch_sub(1, Ordering::Relaxed);
            },
            |give| (0..2 * REQUESTS_MAX).for_each(|_| give((), bytes)),
        );
        most.into_inner()
    }
}
