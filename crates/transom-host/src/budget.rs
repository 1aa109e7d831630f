//! How much memory the caches of containers may use.
//!
//! The host has a budget, of which each container has a share: what was declared
//! for it, or an equal part of what is left. All shares together are never more
//! than the host's; if more was declared, all of them shrink in proportion.
//!
//! ```text
//!   host's budget ─► share of each container ── level ──► limit of its cache
//!                                                 ▲
//!                             lowered by pressure, raised in its absence
//! ```
//!
//! **The level** is the part of its share that each cache may use: all of it, as
//! long as memory is no matter. Under pressure it is lowered until the caches
//! have to give back what is needed, of what they *use*: to lower the limit of
//! an empty cache helps nobody. It goes down at once and as far as it takes, but
//! not below a sixteenth ([`LEVEL_MIN`]), and up again in small steps, so that a
//! cache that was too large does not at once become so again.
//!
//! **Caches belong to modules**, which may take their time to give back. So a
//! limit is applied on a thread that exists for that, one for each cache at most,
//! and a cache that does not return from it holds nobody else up.

mod one;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use transom_module::{Cache, ContainerId};

use self::one::OneBudget;
use crate::{EventKind, Events};

/// The level of a host with memory enough: each cache may use its share.
pub const LEVEL_MAX: u32 = 1024;
/// The lowest level.
pub const LEVEL_MIN: u32 = LEVEL_MAX / 16;
/// How much the level is raised at once.
const LEVEL_STEP: u32 = LEVEL_MAX / 16;

/// How long is waited for a cache that gives back, when its container is unloaded.
const LEAVE_PATIENCE: Duration = Duration::from_secs(2);

/// What the caches of all containers may use.
#[derive(Clone)]
pub struct Budgets(Arc<Shared>);

struct Shared {
    /// In bytes.
    total: u64,
    events: Events,
    table: Mutex<Table>,
}

struct Table {
    level: u32,
    budgets: Vec<Arc<OneBudget>>,
}

/// What there is to say of a container's cache, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BudgetStatus {
    /// Whose cache it is.
    pub container: ContainerId,
    /// What was declared for it.
    pub declared: Option<u64>,
    /// Its share of the host's budget.
    pub share: u64,
    /// What it may use at this moment.
    pub limit: u64,
    /// What it uses.
    pub used: u64,
    /// What it would use if memory were no matter.
    pub wanted: u64,
}

impl Budgets {
    /// A budget for the host of so many bytes.
    #[must_use]
    pub fn new(total: u64, events: Events) -> Self {
        let table = Mutex::new(Table {
            level: LEVEL_MAX,
            budgets: Vec::new(),
        });
        Self(Arc::new(Shared {
            total,
            events,
            table,
        }))
    }

    /// In bytes, what all caches together may use when memory is no matter.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.total
    }

    /// How much of its share each cache may use, of [`LEVEL_MAX`].
    #[must_use]
    pub fn level(&self) -> u32 {
        self.table().level
    }

    /// Gives a container a share, with so many bytes if that is declared. Its
    /// cache is limited before this returns. What others have becomes less.
    pub fn enter(
        &self,
        container: ContainerId,
        cache: &Arc<dyn Cache + Send + Sync>,
        declared: Option<u64>,
    ) {
        let budget = Arc::new(OneBudget::new(container, Arc::downgrade(cache), declared));
        let mut table = self.table();
        table.budgets.push(Arc::clone(&budget));
        self.settle(&mut table);
        drop(table);
        budget.apply();
    }

    /// A container is unloaded: others may have what was its share. Waits a little
    /// while its cache is just told a limit, since whoever tells it keeps it.
    pub fn leave(&self, container: ContainerId) {
        let mut table = self.table();
        let is_it = |budget: &mut Arc<OneBudget>| budget.container == container;
        let left: Vec<_> = table.budgets.extract_if(.., is_it).collect();
        self.settle(&mut table);
        drop(table);
        for budget in left {
            budget.wait_until_told(LEAVE_PATIENCE);
        }
    }

    /// Declares something else for a container, or nothing any more. False if it
    /// has no share.
    pub fn declare(&self, container: ContainerId, bytes: Option<u64>) -> bool {
        let mut table = self.table();
        let mut budgets = table.budgets.iter();
        let Some(budget) = budgets.find(|budget| budget.container == container) else {
            return false;
        };
        budget.declare(bytes);
        self.settle(&mut table);
        true
    }

    /// What one container may use and uses; `None` if it has no share.
    #[must_use]
    pub fn status_of(&self, container: ContainerId) -> Option<BudgetStatus> {
        let budget = {
            let table = self.table();
            let mut budgets = table.budgets.iter();
            Arc::clone(budgets.find(|budget| budget.container == container)?)
        };
        budget.status()
    }

    /// What each container may use and uses, in the order in which they came.
    #[must_use]
    pub fn status(&self) -> Vec<BudgetStatus> {
        let budgets = self.table().budgets.clone();
        // Modules are asked without the lock.
        budgets
            .iter()
            .filter_map(|budget| budget.status())
            .collect()
    }

    /// Lowers the level until the caches have to give back so many bytes of what
    /// they use, or until it cannot be lowered any more. True if it was lowered.
    /// Does not wait until they have.
    pub(crate) fn give_way(&self, bytes: u64) -> bool {
        let status = self.status();
        let mut table = self.table();
        let before = table.level;
        while table.level > LEVEL_MIN && freed(&status, table.level) < bytes {
            table.level -= 1;
        }
        let is_lowered = table.level < before;
        if is_lowered {
            self.settle(&mut table);
            self.tell(&table);
        }
        is_lowered
    }

    /// Raises the level a little. True if it was raised.
    pub(crate) fn recover(&self) -> bool {
        let mut table = self.table();
        if table.level == LEVEL_MAX {
            return false;
        }
        table.level = (table.level + LEVEL_STEP).min(LEVEL_MAX);
        self.settle(&mut table);
        if table.level == LEVEL_MAX {
            self.tell(&table);
        }
        true
    }

    /// By how many bytes all limits together grow when the level is raised.
    pub(crate) fn step(&self) -> u64 {
        part(self.0.total, LEVEL_STEP)
    }

    /// What the caches use, in bytes.
    pub(crate) fn used(&self) -> u64 {
        self.status().iter().map(|budget| budget.used).sum()
    }

    /// Gives each what it may have at this level.
    fn settle(&self, table: &mut Table) {
        table.budgets.retain(|budget| budget.exists());
        let declared: Vec<_> = table
            .budgets
            .iter()
            .map(|budget| budget.declared())
            .collect();
        let shares = shares(self.0.total, &declared);
        for (budget, share) in table.budgets.iter().zip(shares) {
            budget.set(share, part(share, table.level));
        }
    }

    fn tell(&self, table: &Table) {
        for budget in &table.budgets {
            let bytes = budget.limit();
            self.0.events.tell(
                Some(budget.container),
                EventKind::CacheLimited { bytes },
                format!("the cache may use {} KiB", bytes / 1024),
            );
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Budgets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Budgets")
            .field("total", &self.0.total)
            .finish_non_exhaustive()
    }
}

/// The shares of containers for which so much was declared.
fn shares(total: u64, declared: &[Option<u64>]) -> Vec<u64> {
    let count = declared.len().max(1) as u64;
    let undeclared = declared.iter().filter(|bytes| bytes.is_none()).count();
    let reserved = declared
        .iter()
        .flatten()
        .fold(0, |sum: u64, bytes| sum.saturating_add(*bytes));
    // Whatever others have declared, there is a little for each.
    let equal = total.saturating_sub(reserved) / (undeclared.max(1) as u64);
    let equal = equal.max(total / count / 4);
    let asked: Vec<_> = declared
        .iter()
        .map(|bytes| bytes.unwrap_or(equal))
        .collect();
    let sum: u128 = asked.iter().copied().map(u128::from).sum();
    let shrunk =
        |bytes: u64| u128::from(bytes) * u128::from(total) / sum.max(u128::from(total)).max(1);
    let shares = asked.into_iter().map(shrunk);
    shares
        .map(|share| u64::try_from(share).unwrap_or(u64::MAX))
        .collect()
}

/// What may be used of a share at a level.
fn part(share: u64, level: u32) -> u64 {
    let part = u128::from(share) * u128::from(level) / u128::from(LEVEL_MAX);
    u64::try_from(part).unwrap_or(u64::MAX)
}

/// What the caches would have to give back at a level.
fn freed(status: &[BudgetStatus], level: u32) -> u64 {
    let freed = status
        .iter()
        .map(|budget| budget.used.saturating_sub(part(budget.share, level)));
    freed.sum()
}
