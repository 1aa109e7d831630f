use std::fs;
use std::io;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Serialize;

/// What a process takes up, seen from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) struct Footprint {
    /// Memory of its own that is resident, in bytes: `RssAnon` of proc(5).
    pub(super) memory: u64,
    pub(super) counts: Counts,
}

/// What has to be the same again when everything was given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) struct Counts {
    pub(super) descriptors: usize,
    pub(super) threads: usize,
    /// In its mount namespace.
    pub(super) mounts: usize,
    /// That it says it has.
    pub(super) views: u64,
}

/// How often descriptors and threads are counted, and how long after each other.
/// What has just been asked has a connection and a thread that are about to end.
const LOOKS: u32 = 20;
const LOOK_EVERY: Duration = Duration::from_millis(20);

impl Footprint {
    /// Of a process that says it has so many views. Of descriptors and threads,
    /// the fewest that it has for a while.
    pub(super) fn of(pid: u32, views: u64) -> Result<Self> {
        let entries = |name: &str| -> io::Result<usize> {
            let count = || -> io::Result<usize> {
                Ok(fs::read_dir(format!("/proc/{pid}/{name}"))?.count())
            };
            let mut fewest = count()?;
            for _ in 1..LOOKS {
                thread::sleep(LOOK_EVERY);
                fewest = fewest.min(count()?);
            }
            Ok(fewest)
        };
        let mounts = fs::read_to_string(format!("/proc/{pid}/mountinfo"))?;
        Ok(Self {
            memory: anonymous_bytes(pid)?,
            counts: Counts {
                descriptors: entries("fd")?,
                threads: entries("task")?,
                mounts: mounts.lines().count(),
                views,
            },
        })
    }

    /// How many bytes more than before; none if there are fewer.
    pub(super) fn memory_more_than(self, before: Self) -> u64 {
        self.memory.saturating_sub(before.memory)
    }
}

impl Counts {
    /// What is not as it was, in words.
    pub(super) fn differences(self, before: Self) -> Vec<String> {
        let number = |count: usize| count as u64;
        [
            (
                "descriptors",
                number(before.descriptors),
                number(self.descriptors),
            ),
            ("threads", number(before.threads), number(self.threads)),
            ("mounts", number(before.mounts), number(self.mounts)),
            ("views", before.views, self.views),
        ]
        .into_iter()
        .filter(|(_, before, now)| before != now)
        .map(|(what, before, now)| format!("{before} {what} at first, and {now} at the end"))
        .collect()
    }
}

fn anonymous_bytes(pid: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"));
    let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
    let kibibytes: u64 = kibibytes
        .and_then(|number| number.parse().ok())
        .context("the kernel does not tell RssAnon")?;
    Ok(kibibytes << 10)
}
