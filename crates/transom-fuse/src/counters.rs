use std::sync::atomic::{AtomicU64, Ordering};

use transom_sys::fuse_abi::Opcode;

/// What a session has done so far. Every operation is counted.
#[derive(Debug)]
pub(crate) struct Counters {
    requests: [AtomicU64; Opcode::COUNT],
    pub(crate) passthrough_opens: AtomicU64,
    pub(crate) served_opens: AtomicU64,
    pub(crate) backing_refused: AtomicU64,
    pub(crate) bytes_read: AtomicU64,
    pub(crate) bytes_written: AtomicU64,
    pub(crate) malformed: AtomicU64,
    pub(crate) interrupted: AtomicU64,
    pub(crate) timed_out: AtomicU64,
    pub(crate) notifications: AtomicU64,
    pub(crate) workers_started: AtomicU64,
}

impl Counters {
    pub(crate) fn new() -> Self {
        let zero = || AtomicU64::new(0);
        Self {
            requests: std::array::from_fn(|_| zero()),
            passthrough_opens: zero(),
            served_opens: zero(),
            backing_refused: zero(),
            bytes_read: zero(),
            bytes_written: zero(),
            malformed: zero(),
            interrupted: zero(),
            timed_out: zero(),
            notifications: zero(),
            workers_started: zero(),
        }
    }

    pub(crate) fn count_request(&self, opcode: Opcode) {
        add(&self.requests[opcode as usize], 1);
    }

    pub(crate) fn snapshot(&self) -> Statistics {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Statistics {
            requests: Opcode::ALL
                .into_iter()
                .map(|opcode| (opcode, load(&self.requests[opcode as usize])))
                .filter(|(_, count)| *count > 0)
                .collect(),
            passthrough_opens: load(&self.passthrough_opens),
            served_opens: load(&self.served_opens),
            backing_refused: load(&self.backing_refused),
            bytes_read: load(&self.bytes_read),
            bytes_written: load(&self.bytes_written),
            malformed: load(&self.malformed),
            interrupted: load(&self.interrupted),
            timed_out: load(&self.timed_out),
            notifications: load(&self.notifications),
            workers_started: load(&self.workers_started),
        }
    }
}

pub(crate) fn add(counter: &AtomicU64, amount: u64) {
    counter.fetch_add(amount, Ordering::Relaxed);
}

/// The counters of a session at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statistics {
    /// Requests by opcode; opcodes that never came are left out.
    pub requests: Vec<(Opcode, u64)>,
    /// Opens whose bytes the kernel moves from and to the backing file.
    pub passthrough_opens: u64,
    /// Opens whose bytes pass through the server.
    pub served_opens: u64,
    /// Backing files the kernel refused to register; their bytes are read
    /// through the server.
    pub backing_refused: u64,
    /// Bytes that passed through the server to whoever read them.
    pub bytes_read: u64,
    /// Bytes that passed through the server from whoever wrote them.
    pub bytes_written: u64,
    /// Requests that could not be decoded.
    pub malformed: u64,
    /// Requests answered with `EINTR` because their caller was killed.
    pub interrupted: u64,
    /// Requests answered with `ETIMEDOUT` because of the deadline.
    pub timed_out: u64,
    /// Notifications sent to the kernel.
    pub notifications: u64,
    /// Worker threads started in all.
    pub workers_started: u64,
}

impl Statistics {
    /// How often one opcode came.
    #[must_use]
    pub fn count(&self, opcode: Opcode) -> u64 {
        self.requests
            .iter()
            .find(|(seen, _)| *seen == opcode)
            .map_or(0, |(_, count)| *count)
    }

    /// All requests.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.requests.iter().map(|(_, count)| count).sum()
    }
}
