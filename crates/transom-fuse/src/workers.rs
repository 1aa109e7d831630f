//! The threads that serve a session.
//!
//! One reader is the fastest while handlers only look things up in memory: a
//! second one costs a wake-up on another processor for each request. But one
//! reader stands still when a handler hangs, and then everybody stands still.
//! So a small number of workers read (one per two processors), and a *monitor*
//! watches them: a worker that has been in one handler for longer than
//! [`STUCK_AFTER`] no longer counts, and another is started in its place, up to
//! [`WORKERS_MAX`]. A worker that comes back from such a handler and finds
//! enough others ends.
//!
//! The monitor looks every [`TICK`] while requests come, and sleeps when none
//! has come for [`SLEEP_AFTER_TICKS`]. A worker that begins a request wakes it:
//! the worker publishes its request and then looks whether the monitor sleeps;
//! the monitor publishes that it sleeps and then looks for requests; with
//! sequentially consistent order one of them sees the other.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{self, Thread};
use std::time::Duration;

use transom_module::Errno;

use crate::counters::{Counters, add};
use crate::inflight::{Slot, Slots, is_dying};
use crate::queue::{Handle, Queue, Turn};

/// Most worker threads of one session: as many handlers may hang at once.
pub(crate) const WORKERS_MAX: usize = 256;

/// How often the monitor looks.
const TICK: Duration = Duration::from_millis(10);
/// A worker that is in one handler for this long is replaced.
const STUCK_AFTER: Duration = Duration::from_millis(10);
/// A killed caller waits this long for its request to end by itself.
const INTERRUPT_GRACE: Duration = Duration::from_millis(20);
/// Ticks without a request after which the monitor sleeps.
const SLEEP_AFTER_TICKS: u32 = 50;

/// What a worker works with.
pub(crate) struct Kit {
    pub(crate) queue: Box<dyn Queue>,
    pub(crate) handler: Box<dyn Handle>,
    /// The descriptor the queue reads from. The kernel takes the answer to a
    /// request only on the descriptor it was read from.
    pub(crate) connection: Arc<OwnedFd>,
}

/// Makes the kit of the worker in that slot.
pub(crate) type Recruit = Box<dyn Fn(usize) -> io::Result<Kit> + Send + Sync>;

/// The workers of one session and their monitor, as all of them see it.
pub(crate) struct Crew {
    slots: Slots,
    counters: Arc<Counters>,
    readers: usize,
    deadline: Option<Duration>,
    /// Requests begun.
    turns: AtomicU64,
    monitor_sleeps: AtomicBool,
    monitor: OnceLock<Thread>,
    /// The connection is gone.
    closed: AtomicBool,
    workers: AtomicUsize,
    /// Threads that have not ended, the monitor included.
    threads: Mutex<usize>,
    thread_ended: Condvar,
}

impl Crew {
    pub(crate) fn new(readers: usize, deadline: Option<Duration>, counters: Arc<Counters>) -> Self {
        Self {
            slots: Slots::new(WORKERS_MAX),
            counters,
            readers: readers.clamp(1, WORKERS_MAX),
            deadline,
            turns: AtomicU64::new(0),
            monitor_sleeps: AtomicBool::new(false),
            monitor: OnceLock::new(),
            closed: AtomicBool::new(false),
            workers: AtomicUsize::new(0),
            threads: Mutex::new(0),
            thread_ended: Condvar::new(),
        }
    }

    /// Starts the workers and the monitor. `each_tick` is called while requests
    /// come, `at_end` when all workers have ended.
    pub(crate) fn start(
        self: &Arc<Self>,
        recruit: Recruit,
        each_tick: impl Fn() + Send + 'static,
        at_end: impl FnOnce() + Send + 'static,
    ) -> io::Result<()> {
        for _ in 0..self.readers {
            self.hire(&recruit)?;
        }
        let crew = Arc::clone(self);
        let monitor = self.spawn("fuse-monitor".into(), move || {
            crew.watch(&recruit, each_tick);
            at_end();
        })?;
        // The monitor is set once, here.
        let _ = self.monitor.set(monitor);
        Ok(())
    }

    /// Waits until all threads have ended, which they do once the volume is
    /// unmounted everywhere. False if that took longer than `patience`.
    pub(crate) fn wait(&self, patience: Duration) -> bool {
        let threads = self.threads();
        let (threads, _) = self
            .thread_ended
            .wait_timeout_while(threads, patience, |threads| *threads > 0)
            .unwrap_or_else(PoisonError::into_inner);
        *threads == 0
    }

    pub(crate) fn slot(&self, index: usize) -> &Slot {
        self.slots.get(index)
    }

    /// The worker in `slot` begins a request, which may take as long as it
    /// likes if it `waits` for another process.
    pub(crate) fn begin(&self, slot: &Slot, unique: u64, caller: u32, waits: bool) {
        self.turns.fetch_add(1, Ordering::Relaxed);
        self.slots.begin(slot, unique, caller, waits);
        if self.monitor_sleeps.load(Ordering::SeqCst) {
            self.wake_monitor();
        }
    }

    /// The kernel wants a request interrupted.
    pub(crate) fn interrupt(&self, unique: u64) {
        self.slots.interrupt(unique);
    }

    fn threads(&self) -> MutexGuard<'_, usize> {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the monitor look now.
    pub(crate) fn wake_monitor(&self) {
        if let Some(monitor) = self.monitor.get() {
            monitor.unpark();
        }
    }

    /// Starts a thread that is waited for.
    fn spawn(
        self: &Arc<Self>,
        name: String,
        body: impl FnOnce() + Send + 'static,
    ) -> io::Result<Thread> {
        let crew = Arc::clone(self);
        *self.threads() += 1;
        let started = thread::Builder::new().name(name).spawn(move || {
            body();
            *crew.threads() -= 1;
            crew.thread_ended.notify_all();
        });
        if started.is_err() {
            *self.threads() -= 1;
        }
        Ok(started?.thread().clone())
    }

    /// Starts a worker, unless all slots are taken.
    fn hire(self: &Arc<Self>, recruit: &Recruit) -> io::Result<()> {
        let Some(index) = self.slots.take() else {
            return Ok(());
        };
        let started = recruit(index).and_then(|kit| {
            self.slot(index)
                .answer_on(Some(Arc::clone(&kit.connection)));
            self.workers.fetch_add(1, Ordering::AcqRel);
            let crew = Arc::clone(self);
            self.spawn(format!("fuse-{index}"), move || crew.work(index, kit))
                .inspect_err(|_| {
                    self.workers.fetch_sub(1, Ordering::AcqRel);
                })
        });
        match started {
            Ok(_) => add(&self.counters.workers_started, 1),
            Err(_) => self.slots.give_back(index),
        }
        started.map(drop)
    }

    fn work(&self, index: usize, mut kit: Kit) {
        loop {
            match kit.queue.turn(&mut *kit.handler) {
                Ok(Turn::Continue) if self.is_surplus(index) => break,
                Ok(Turn::Continue) => {}
                Ok(Turn::Closed) => {
                    self.closed.store(true, Ordering::Release);
                    break;
                }
                Err(error) => {
                    tracing::error!(%error, "reading requests failed, a worker ends");
                    self.closed.store(true, Ordering::Release);
                    break;
                }
            }
        }
        // Before the slot can be taken again.
        drop(kit);
        self.slots.give_back(index);
        self.workers.fetch_sub(1, Ordering::AcqRel);
        self.wake_monitor();
    }

    /// Whether a worker that has just come back from a long handler is one too
    /// many.
    fn is_surplus(&self, index: usize) -> bool {
        let now_ms = self.slots.now_ms();
        let was_stuck = now_ms >= self.slot(index).started_ms() + STUCK_AFTER.as_millis() as u64;
        was_stuck && self.ready(now_ms) > self.readers
    }

    /// Workers that are not in a long handler.
    fn ready(&self, now_ms: u64) -> usize {
        let long = STUCK_AFTER.as_millis() as u64;
        let is_stuck = |slot: &&Slot| {
            slot.busy_since_ms()
                .is_some_and(|since| now_ms >= since + long)
        };
        let stuck = self.slots.iter().filter(is_stuck).count();
        self.workers.load(Ordering::Acquire).saturating_sub(stuck)
    }

    fn any_busy(&self) -> bool {
        self.slots.iter().any(|slot| slot.busy_since_ms().is_some())
    }

    fn watch(self: &Arc<Self>, recruit: &Recruit, each_tick: impl Fn()) {
        let mut seen = 0;
        let mut quiet_ticks = 0;
        let over =
            || self.closed.load(Ordering::Acquire) && self.workers.load(Ordering::Acquire) == 0;
        while !over() {
            let turns = self.turns.load(Ordering::Relaxed);
            quiet_ticks = if turns == seen && !self.any_busy() {
                quiet_ticks + 1
            } else {
                0
            };
            seen = turns;
            if quiet_ticks <= SLEEP_AFTER_TICKS {
                thread::park_timeout(TICK);
                self.tick(recruit);
                each_tick();
                continue;
            }
            self.monitor_sleeps.store(true, Ordering::SeqCst);
            if !self.any_busy() && !over() {
                thread::park();
            }
            self.monitor_sleeps.store(false, Ordering::SeqCst);
            quiet_ticks = 0;
        }
    }

    fn tick(self: &Arc<Self>, recruit: &Recruit) {
        let now_ms = self.slots.now_ms();
        self.slots.forget_early_interrupts();
        for slot in self.slots.iter() {
            let Some(pending) = slot.pending() else {
                continue;
            };
            if pending.interrupted && pending.waits {
                slot.cancelled.store(true, Ordering::Relaxed);
                continue;
            }
            let age = Duration::from_millis(now_ms.saturating_sub(pending.started_ms));
            let killed = || pending.caller == 0 || is_dying(pending.caller);
            let (errno, counter) = if pending.interrupted && age >= INTERRUPT_GRACE && killed() {
                (Errno::EINTR, &self.counters.interrupted)
            } else if !pending.waits && self.deadline.is_some_and(|deadline| age >= deadline) {
                (Errno::ETIMEDOUT, &self.counters.timed_out)
            } else {
                continue;
            };
            if slot.take_over(pending.unique) {
                add(counter, 1);
                if let Err(error) = slot.send_error(pending.unique, errno) {
                    tracing::debug!(%error, unique = pending.unique, "the request was gone already");
                }
            }
        }
        if self.ready(now_ms) < self.readers
            && !self.closed.load(Ordering::Acquire)
            && let Err(error) = self.hire(recruit)
        {
            tracing::warn!(%error, "no further worker could be started");
        }
    }
}
