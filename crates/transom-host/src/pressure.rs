//! Seeing that memory becomes scarce, and having caches give way.
//!
//! Three things say so. Any of them is enough:
//!
//! * Little is left of what a control group may have, ours or one above it, or of
//!   the machine's memory: less than an eighth, and less than 256 MiB. Then the
//!   caches give back until twice that is left.
//! * Tasks of our control group wait for memory (`memory.pressure`): then a quarter
//!   of what caches use.
//! * Tasks of the machine do (`/proc/pressure/memory`), and less than an eighth of
//!   its memory is left. Without that it would not be our affair: another group
//!   that has reached its limit waits too.
//!
//! When none has been true for a while, and there is room, caches may grow again,
//! by one step at a time.
//!
//! **It sleeps as long as it can.** The kernel tells of waiting tasks, but not of a
//! group that comes near its limit: a group's memory may grow to the last byte
//! without anybody waiting, and then somebody is killed. So that is looked at: every
//! 10 seconds while nothing limits us and nothing is held back, every second while
//! something does, and 10 times a second while less than twice the reserve is left
//! and caches have something to give. Looking takes five small files.

mod cgroup;
mod stall;
#[cfg(test)]
mod tests;

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec};

use self::cgroup::{Level, Levels};
use self::stall::Stall;
use crate::{Budgets, LEVEL_MAX, LEVEL_MIN};

/// What is to be left of a limit, as a part of it, and in bytes at most.
const RESERVE_PART: u64 = 8;
const RESERVE_BYTES_MAX: u64 = 256 << 20;
/// The part of what caches use that they give back when tasks wait for memory.
const GIVEN_PART: u64 = 4;

/// In bytes, how much memory this process can have at most: what the machine has,
/// or its control group allows. `None` if that cannot be found out.
#[must_use]
pub fn memory_bytes() -> Option<u64> {
    let groups = Levels::find().ok().and_then(|levels| levels.of_groups());
    let limits = groups.into_iter().chain(cgroup::of_machine());
    limits.map(|level| level.limit).min()
}

/// How often it looks, in the absence of news.
#[derive(Debug, Clone, Copy)]
struct Pace {
    idle: Duration,
    limited: Duration,
    near: Duration,
    /// How long there must be no pressure until a step is taken back.
    raise: Duration,
}

const PACE: Pace = Pace {
    idle: Duration::from_secs(10),
    limited: Duration::from_secs(1),
    near: Duration::from_millis(100),
    raise: Duration::from_secs(10),
};

/// A thread that has caches give way while memory is scarce. Dropping it ends the
/// thread.
#[derive(Debug)]
pub struct Pressure {
    stop: Arc<OwnedFd>,
    thread: Option<JoinHandle<()>>,
}

impl Pressure {
    /// Begins to look. Where the kernel does not tell of waiting tasks, it is only
    /// looked at what is left.
    pub fn watch(budgets: Budgets) -> io::Result<Self> {
        Self::watch_at(budgets, PACE)
    }

    fn watch_at(budgets: Budgets, pace: Pace) -> io::Result<Self> {
        let levels = Levels::find()?;
        let stop = Arc::new(rustix::event::eventfd(0, EventfdFlags::CLOEXEC)?);
        let own = levels
            .own_pressure
            .as_deref()
            .map(|file| (Whose::Own, file));
        let machine = (Whose::Machine, Path::new(stall::MACHINE));
        let told_of = own.into_iter().chain([machine]);
        let stalls = told_of.filter_map(|(whose, file)| Some((whose, Stall::watch(file).ok()?)));
        let mut watch = Watch {
            stalls: stalls.collect(),
            levels,
            budgets,
            pace,
            stop: Arc::clone(&stop),
            calm_since: Instant::now(),
        };
        let builder = thread::Builder::new().name("memory".into());
        let thread = Some(builder.spawn(move || watch.run())?);
        Ok(Self { stop, thread })
    }
}

impl Drop for Pressure {
    fn drop(&mut self) {
        _ = rustix::io::write(&self.stop, &1_u64.to_ne_bytes());
        if let Some(thread) = self.thread.take() {
            _ = thread.join();
        }
    }
}

struct Watch {
    levels: Levels,
    stalls: Vec<(Whose, Stall)>,
    budgets: Budgets,
    pace: Pace,
    stop: Arc<OwnedFd>,
    /// When there was pressure, or a step was taken back.
    calm_since: Instant,
}

/// Whose tasks wait for memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whose {
    /// Our control group's.
    Own,
    Machine,
}

/// What was told while it slept.
#[derive(Debug, Default)]
struct News {
    stop: bool,
    waiting: Vec<Whose>,
}

impl Watch {
    fn run(&mut self) {
        let mut news = News::default();
        while !news.stop {
            let period = self.turn(&news);
            news = self.sleep(period);
        }
    }

    /// Looks, does what there is to do, and says when to look again.
    fn turn(&mut self, news: &News) -> Duration {
        let groups = self.levels.of_groups();
        let machine = cgroup::of_machine();
        let levels: Vec<_> = groups.iter().chain(&machine).collect();
        let used = self.budgets.used();
        let machine_is_short = machine.is_some_and(|level| level.free < level.limit / RESERVE_PART);
        let is_waiting = news.waiting.contains(&Whose::Own)
            || news.waiting.contains(&Whose::Machine) && machine_is_short;
        let missing = levels.iter().map(|level| level.missing()).max();
        let waited_for = if is_waiting { used / GIVEN_PART } else { 0 };
        let wanted = missing.unwrap_or(0).max(waited_for);
        if wanted > 0 {
            self.budgets.give_way(wanted);
            self.calm_since = Instant::now();
        } else if self.calm_since.elapsed() >= self.pace.raise
            && levels
                .iter()
                .all(|level| level.has_room_for(self.budgets.step()))
        {
            self.budgets.recover();
            self.calm_since = Instant::now();
        }
        let level = self.budgets.level();
        let is_near = !levels.iter().all(|level| level.has_room_for(0));
        let is_told = self
            .stalls
            .iter()
            .any(|(whose, _)| *whose == Whose::Machine);
        if is_near && used > 0 && level > LEVEL_MIN {
            self.pace.near
        } else if groups.is_some() || level < LEVEL_MAX || !is_told {
            self.pace.limited
        } else {
            self.pace.idle
        }
    }

    /// Sleeps no longer than that.
    fn sleep(&mut self, period: Duration) -> News {
        let mut polled = vec![PollFd::new(&self.stop, PollFlags::IN)];
        let stalls = self.stalls.iter().map(|(_, stall)| stall);
        polled.extend(stalls.map(|stall| PollFd::new(stall, PollFlags::PRI)));
        let period = Timespec::try_from(period).ok();
        if rustix::event::poll(&mut polled, period.as_ref()).is_err() {
            // A signal is as good a reason to look as any.
            return News::default();
        }
        let told: Vec<_> = polled.iter().map(PollFd::revents).collect();
        let (stop, told) = (!told[0].is_empty(), &told[1..]);
        let told_of = |flag| {
            let whose = self.stalls.iter().zip(told);
            let told = whose.filter(move |(_, told)| told.contains(flag));
            told.map(|((whose, _), _)| *whose).collect::<Vec<_>>()
        };
        let waiting = told_of(PollFlags::PRI);
        // The group is gone, and would be told of for ever.
        let gone = told_of(PollFlags::ERR);
        self.stalls.retain(|(whose, _)| !gone.contains(whose));
        News { stop, waiting }
    }
}

impl Level {
    /// What is to be left of it, in bytes.
    fn reserve(self) -> u64 {
        (self.limit / RESERVE_PART).min(RESERVE_BYTES_MAX)
    }

    /// How much has to be given back, in bytes.
    fn missing(self) -> u64 {
        match self.free < self.reserve() {
            true => 2 * self.reserve() - self.free,
            false => 0,
        }
    }

    /// Whether so much more could be used without coming near the reserve.
    fn has_room_for(self, bytes: u64) -> bool {
        self.free >= bytes.saturating_add(2 * self.reserve())
    }
}
