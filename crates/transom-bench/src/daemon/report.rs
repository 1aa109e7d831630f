use std::collections::BTreeMap;
use std::io::{Write, stderr};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde::Serialize;

use super::footprint::Footprint;
use super::process::Daemon;
use crate::machine::Machine;
use crate::statistics::Distribution;
use crate::tables::new_table;

/// By how much memory may differ between the first tenth of the views that come
/// and go and the last: what an allocator keeps in hand. A leak of 50 bytes each
/// is more if there are 100,000.
const GROWTH_BYTES_MAX: u64 = 4 << 20;

/// Everything. Times are in milliseconds.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(super) machine: Machine,
    pub(super) stages: Vec<Stage>,
    /// Bytes of memory of the daemon's for each of them.
    pub(super) memory_of_view: u64,
    pub(super) memory_of_volume: u64,
    /// Of the views and volumes that stayed.
    pub(super) times: BTreeMap<&'static str, Distribution>,
    /// Of the views that came and went beside them.
    pub(super) times_beside: BTreeMap<&'static str, Distribution>,
    /// What must not be.
    pub(super) failures: Vec<String>,
}

/// The daemon at one moment.
#[derive(Debug, Serialize)]
pub(super) struct Stage {
    pub(super) name: String,
    #[serde(flatten)]
    pub(super) footprint: Footprint,
}

/// The daemon at all moments so far.
#[derive(Debug)]
pub(super) struct Stages<'d> {
    daemon: &'d Daemon,
    all: Vec<Stage>,
}

/// How long each of many things took.
#[derive(Debug, Default)]
pub(super) struct Times(BTreeMap<&'static str, Vec<Duration>>);

impl<'d> Stages<'d> {
    pub(super) fn new(daemon: &'d Daemon) -> Self {
        Self {
            daemon,
            all: Vec::new(),
        }
    }

    /// One more, told at once: the whole takes minutes.
    pub(super) fn add(&mut self, name: String) -> Result<Footprint> {
        let _ = writeln!(stderr(), "{name}");
        let footprint = self.daemon.footprint()?;
        self.all.push(Stage { name, footprint });
        Ok(footprint)
    }

    pub(super) fn into_inner(self) -> Vec<Stage> {
        self.all
    }
}

impl Times {
    /// Something that has ended now.
    pub(super) fn add(&mut self, what: &'static str, begun: Instant) {
        self.0.entry(what).or_default().push(begun.elapsed());
    }

    pub(super) fn into_distributions(self) -> BTreeMap<&'static str, Distribution> {
        let all = self.0.into_iter();
        all.filter_map(|(what, durations)| Some((what, Distribution::of(durations)?)))
            .collect()
    }
}

/// That memory has grown from the first sample to the last.
pub(super) fn growth(samples: &[Footprint]) -> Option<String> {
    let grown = samples.last()?.memory_more_than(*samples.first()?);
    (grown > GROWTH_BYTES_MAX).then(|| {
        format!("memory grew by {grown} bytes while views came and went, not {GROWTH_BYTES_MAX}")
    })
}

impl Report {
    /// For people.
    pub(crate) fn to_text(&self) -> String {
        let mut stages = new_table(&[
            "the daemon",
            "memory, KiB",
            "descriptors",
            "threads",
            "mounts",
            "views",
        ]);
        for Stage { name, footprint } in &self.stages {
            let Footprint { memory, counts } = footprint;
            stages.add_row([
                name.clone(),
                (memory >> 10).to_string(),
                counts.descriptors.to_string(),
                counts.threads.to_string(),
                counts.mounts.to_string(),
                counts.views.to_string(),
            ]);
        }
        let mut times = new_table(&["to", "times", "min", "median", "p99", "max"]);
        let beside = self.times_beside.iter();
        let beside = beside.map(|(what, times)| (format!("{what}, beside all"), times));
        let alone = self.times.iter();
        let alone = alone.map(|(what, times)| ((*what).to_owned(), times));
        for (what, distribution) in alone.chain(beside) {
            let Distribution {
                count,
                min,
                median,
                p99,
                max,
            } = distribution;
            let mut row = vec![what, count.to_string()];
            row.extend([min, median, p99, max].map(|time| format!("{:.0}", time * 1e3)));
            times.add_row(row);
        }
        format!(
            "{}\n{stages}\n\nA view takes {} bytes of memory, and a volume {}.\n\n{times}\n\nTimes in \
             microseconds.\n",
            self.machine.to_text(),
            self.memory_of_view,
            self.memory_of_volume,
        )
    }

    /// Whether everything is as it must be.
    pub(crate) fn check(&self) -> Result<()> {
        ensure!(self.failures.is_empty(), "{}", self.failures.join("\n"));
        Ok(())
    }
}
