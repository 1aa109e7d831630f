//! One container's cache and its limit.

use std::panic::{self, AssertUnwindSafe};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use transom_module::{Cache, ContainerId};

use super::BudgetStatus;

pub(super) struct OneBudget {
    pub(super) container: ContainerId,
    /// It goes with its container, and does not keep it.
    cache: Weak<dyn Cache + Send + Sync>,
    limits: Mutex<Limits>,
    /// Nobody is telling it a limit any more.
    told: Condvar,
}

/// In bytes.
struct Limits {
    declared: Option<u64>,
    share: u64,
    limit: u64,
    /// The limit that the cache knows.
    applied: Option<u64>,
    /// Somebody is about to tell it the limit.
    is_applying: bool,
}

impl OneBudget {
    /// To be [applied](Self::apply) by who made it.
    pub(super) fn new(
        container: ContainerId,
        cache: Weak<dyn Cache + Send + Sync>,
        declared: Option<u64>,
    ) -> Self {
        Self {
            container,
            cache,
            limits: Mutex::new(Limits {
                declared,
                share: 0,
                limit: 0,
                applied: None,
                is_applying: true,
            }),
            told: Condvar::new(),
        }
    }

    /// Whether there still is a cache.
    pub(super) fn exists(&self) -> bool {
        self.cache.strong_count() > 0
    }

    pub(super) fn declared(&self) -> Option<u64> {
        self.limits().declared
    }

    /// Has no effect until it is [set](Self::set).
    pub(super) fn declare(&self, bytes: Option<u64>) {
        self.limits().declared = bytes;
    }

    pub(super) fn limit(&self) -> u64 {
        self.limits().limit
    }

    pub(super) fn status(&self) -> Option<BudgetStatus> {
        let cache = self.cache.upgrade()?;
        let (used, wanted) = (cache.used(), cache.wanted());
        let limits = self.limits();
        Some(BudgetStatus {
            container: self.container,
            declared: limits.declared,
            share: limits.share,
            limit: limits.limit,
            used,
            wanted,
        })
    }

    /// Changes the limit, of which the cache hears on a thread of its own.
    pub(super) fn set(self: &Arc<Self>, share: u64, limit: u64) {
        let mut limits = self.limits();
        (limits.share, limits.limit) = (share, limit);
        if limits.is_applying || limits.applied == Some(limit) {
            return;
        }
        limits.is_applying = true;
        drop(limits);
        let budget = Arc::clone(self);
        let thread = thread::Builder::new().name("cache-limit".into());
        if thread.spawn(move || budget.apply()).is_err() {
            // Without memory for a thread: the next change tries again.
            self.limits().is_applying = false;
        }
    }

    /// Tells the cache its limit, until it is the newest.
    pub(super) fn apply(&self) {
        loop {
            let limit = {
                let mut limits = self.limits();
                if limits.applied == Some(limits.limit) {
                    limits.is_applying = false;
                    self.told.notify_all();
                    return;
                }
                limits.limit
            };
            if let Some(cache) = self.cache.upgrade() {
                // A panic is the module's; the next limit is told all the same.
                _ = panic::catch_unwind(AssertUnwindSafe(|| cache.limit(limit)));
            }
            self.limits().applied = Some(limit);
        }
    }

    /// Waits until nobody tells it a limit, or no longer than `patience`.
    pub(super) fn wait_until_told(&self, patience: Duration) {
        let is_applying = |limits: &mut Limits| limits.is_applying;
        drop(
            self.told
                .wait_timeout_while(self.limits(), patience, is_applying),
        );
    }

    fn limits(&self) -> MutexGuard<'_, Limits> {
        self.limits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
