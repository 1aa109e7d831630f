//! How much may be pinned by those who are limited together.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Limits on views and on their names: those that are declared, and those that
/// were found below whole directories. What a view takes, it gives back when
/// nobody refers to it any more, which may be long after it was discarded: as
/// long as somebody keeps a mount of it, it takes memory.
#[derive(Debug)]
pub struct Allowance {
    views: Limited,
    names: Limited,
}

/// A limit, how it is called, and how much of it is taken.
#[derive(Debug)]
struct Limited {
    taken: AtomicUsize,
    max: usize,
    what: &'static str,
    rule: String,
}

/// More than a limit allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exhausted {
    /// Which limit, as whoever set it calls it.
    pub rule: String,
    /// How much it allows.
    pub max: usize,
    what: &'static str,
}

/// What one view takes of every allowance that it is limited by.
#[derive(Debug, Default)]
pub struct Charge {
    allowances: Vec<Arc<Allowance>>,
    names: AtomicUsize,
}

impl Allowance {
    /// At most so many views with so many names. Each limit comes with what it
    /// is called where it was set.
    #[must_use]
    pub fn new(views: (usize, String), names: (usize, String)) -> Self {
        let limited = |(max, rule), what| Limited {
            taken: AtomicUsize::new(0),
            max,
            what,
            rule,
        };
        Self {
            views: limited(views, "views"),
            names: limited(names, "names"),
        }
    }
}

impl Limited {
    fn take(&self, count: usize) -> Result<(), Exhausted> {
        let add = |taken: usize| taken.checked_add(count).filter(|sum| *sum <= self.max);
        self.taken
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, add)
            .map(drop)
            .map_err(|_| Exhausted {
                rule: self.rule.clone(),
                max: self.max,
                what: self.what,
            })
    }

    fn give_back(&self, count: usize) {
        self.taken.fetch_sub(count, Ordering::Relaxed);
    }
}

impl Charge {
    /// Takes one view with `names` names of every one of `allowances`, or
    /// nothing of any.
    pub fn take(
        allowances: impl IntoIterator<Item = Arc<Allowance>>,
        names: usize,
    ) -> Result<Self, Exhausted> {
        let mut charge = Self::default();
        for allowance in allowances {
            allowance.views.take(1)?;
            // From here on, dropping the charge gives it back.
            charge.allowances.push(allowance);
        }
        charge.add_names(names)?;
        Ok(charge)
    }

    /// Takes `count` names more of every one, or nothing of any.
    pub(crate) fn add_names(&self, count: usize) -> Result<(), Exhausted> {
        for (index, allowance) in self.allowances.iter().enumerate() {
            if let Err(exhausted) = allowance.names.take(count) {
                for taken in &self.allowances[..index] {
                    taken.names.give_back(count);
                }
                return Err(exhausted);
            }
        }
        self.names.fetch_add(count, Ordering::Relaxed);
        Ok(())
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        for allowance in &self.allowances {
            allowance.views.give_back(1);
            allowance.names.give_back(*self.names.get_mut());
        }
    }
}

impl fmt::Display for Exhausted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rule, max, what } = self;
        write!(f, "that would be more than {max} {what} ({rule})")
    }
}

impl std::error::Error for Exhausted {}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowance(views: usize, names: usize) -> Arc<Allowance> {
        Arc::new(Allowance::new(
            (views, "views".into()),
            (names, "names".into()),
        ))
    }

    #[test]
    fn what_is_refused_takes_nothing_and_what_ends_gives_back() {
        let (large, small) = (allowance(10, 100), allowance(2, 10));
        let both = || [large.clone(), small.clone()];
        let one = Charge::take(both(), 4).unwrap();
        let other = Charge::take(both(), 4).unwrap();
        assert_eq!(Charge::take(both(), 0).unwrap_err().rule, "views");
        assert_eq!(other.add_names(3).unwrap_err().rule, "names");
        other.add_names(2).unwrap();
        drop(one);
        assert_eq!(Charge::take(both(), 5).unwrap_err().max, 10);
        drop(Charge::take(both(), 4).unwrap());
        drop(other);
        for allowance in both() {
            assert_eq!(allowance.views.taken.load(Ordering::Relaxed), 0);
            assert_eq!(allowance.names.taken.load(Ordering::Relaxed), 0);
        }
    }
}
