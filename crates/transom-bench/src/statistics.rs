//! What is said of repeated measurements: the best one, and the middle one.
//!
//! No averages. What disturbs a measurement only ever makes it longer, so the
//! minimum is nearest to the truth about the code, and the median is what a
//! user meets; an average is neither. Where somebody waits for each single one,
//! the worst are told, too.

use std::time::Duration;

use serde::Serialize;

/// Minimum and median of some durations, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Spread {
    pub(crate) min: f64,
    pub(crate) median: f64,
}

impl Spread {
    /// `None` if there are no durations.
    pub(crate) fn of(durations: impl IntoIterator<Item = Duration>) -> Option<Self> {
        let mut sorted: Vec<_> = durations
            .into_iter()
            .map(|duration| duration.as_secs_f64() * 1e3)
            .collect();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        let median = if sorted.len().is_multiple_of(2) {
            f64::midpoint(*sorted.get(middle.checked_sub(1)?)?, *sorted.get(middle)?)
        } else {
            *sorted.get(middle)?
        };
        Some(Self {
            min: *sorted.first()?,
            median,
        })
    }

    /// How many times as long as `base`: minimum to minimum and median to
    /// median.
    pub(crate) fn ratio_to(self, base: Self) -> Self {
        Self {
            min: self.min / base.min,
            median: self.median / base.median,
        }
    }
}

/// How long each of many things took, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Distribution {
    /// How many they are.
    pub(crate) count: usize,
    pub(crate) min: f64,
    pub(crate) median: f64,
    /// Of a hundred, 99 take no longer.
    pub(crate) p99: f64,
    pub(crate) max: f64,
}

impl Distribution {
    /// `None` if there are no durations.
    pub(crate) fn of(mut durations: Vec<Duration>) -> Option<Self> {
        durations.sort();
        let last = durations.len().checked_sub(1)?;
        let at = |percent: usize| durations[last * percent / 100].as_secs_f64() * 1e3;
        Some(Self {
            count: durations.len(),
            min: at(0),
            median: at(50),
            p99: at(99),
            max: at(100),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spread(milliseconds: &[u64]) -> Option<(f64, f64)> {
        let durations = milliseconds.iter().copied().map(Duration::from_millis);
        Spread::of(durations).map(|spread| (spread.min, spread.median))
    }

    #[test]
    fn the_middle_of_an_even_number_lies_between_two() {
        assert_eq!(spread(&[]), None);
        assert_eq!(spread(&[3]), Some((3.0, 3.0)));
        assert_eq!(spread(&[9, 1, 2]), Some((1.0, 2.0)));
        assert_eq!(spread(&[9, 1, 2, 4]), Some((1.0, 3.0)));
    }

    #[test]
    fn the_worst_are_told() {
        assert_eq!(Distribution::of(Vec::new()), None);
        let durations = (0..=200).rev().map(Duration::from_millis).collect();
        let expected = Distribution {
            count: 201,
            min: 0.0,
            median: 100.0,
            p99: 198.0,
            max: 200.0,
        };
        assert_eq!(Distribution::of(durations), Some(expected));
    }

    #[test]
    fn like_is_compared_with_like() {
        let ours = Spread {
            min: 4.0,
            median: 9.0,
        };
        let base = Spread {
            min: 2.0,
            median: 3.0,
        };
        assert_eq!(
            ours.ratio_to(base),
            Spread {
                min: 2.0,
                median: 3.0
            }
        );
    }
}
