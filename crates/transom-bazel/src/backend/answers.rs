//! Answers, each in time.
//!
//! Bazel waits a minute for an answer, and then kills the backend with all
//! sandboxes. So a request that takes too long is answered before that, with
//! an error that says so; when its work is done after all, nobody is told, and
//! whoever did it has to undo it.

use std::collections::HashMap;
use std::io::Write;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::backend::framing;
use crate::backend::wire::{
    self, Answer, CreateOutcome, NegotiateOutcome, Operation, PlainOutcome,
};

/// The requests under way, and the stream that answers go to.
pub(crate) struct Answers<W> {
    output: Mutex<W>,
    pending: Mutex<Pending>,
    changed: Condvar,
    patience: Duration,
}

#[derive(Default)]
struct Pending {
    requests: HashMap<u64, (Instant, Answer)>,
    is_finished: bool,
}

impl<W: Write> Answers<W> {
    pub(crate) fn new(output: W, patience: Duration) -> Self {
        Self {
            output: Mutex::new(output),
            pending: Mutex::default(),
            changed: Condvar::new(),
            // Bazel's clock has been running for longer.
            patience: patience.mul_f64(0.9),
        }
    }

    /// Notes a request that has to be answered in time. False if there is one
    /// of that number.
    pub(crate) fn expect(&self, rid: u64, operation: &Operation) -> bool {
        let message = format!(
            "not done within {:.1} seconds; is a disk or a server not answering?",
            self.patience.as_secs_f64()
        );
        let too_late = failure(operation, message);
        let mut pending = self.pending();
        if pending.requests.contains_key(&rid) {
            return false;
        }
        pending.requests.insert(rid, (Instant::now(), too_late));
        self.changed.notify_all();
        true
    }

    /// Answers a request that was noted. False if it has been answered.
    pub(crate) fn answer(&self, rid: u64, answer: Option<Answer>) -> bool {
        let was_pending = self.pending().requests.remove(&rid).is_some();
        self.changed.notify_all();
        if was_pending {
            self.send(rid, answer);
        }
        was_pending
    }

    pub(crate) fn send(&self, rid: u64, result: Option<Answer>) {
        let response = wire::Response { rid, result };
        let mut output = self.output.lock().unwrap_or_else(PoisonError::into_inner);
        // Who does not listen any more will not ask any more either.
        if let Err(error) = framing::write(&mut *output, &response) {
            tracing::debug!(%error, "Bazel is gone");
        }
    }

    /// Answers what takes too long, until [`finish`](Self::finish) was called
    /// and everything is answered.
    pub(crate) fn watch(&self) {
        let mut pending = self.pending();
        loop {
            let now = Instant::now();
            let is_late = |since: Instant| now.duration_since(since) >= self.patience;
            let late: Vec<u64> = pending
                .requests
                .iter()
                .filter_map(|(rid, (since, _))| is_late(*since).then_some(*rid))
                .collect();
            for rid in late {
                if let Some((_, too_late)) = pending.requests.remove(&rid) {
                    self.send(rid, Some(too_late));
                }
            }
            if pending.is_finished && pending.requests.is_empty() {
                return;
            }
            let oldest = pending.requests.values().map(|(since, _)| *since).min();
            let wait = oldest.map_or(self.patience, |oldest| {
                self.patience.saturating_sub(now.duration_since(oldest))
            });
            pending = self
                .changed
                .wait_timeout(pending, wait)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// No more requests will come.
    pub(crate) fn finish(&self) {
        self.pending().is_finished = true;
        self.changed.notify_all();
    }

    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(crate) fn error(message: impl Into<String>) -> wire::Error {
    wire::Error {
        message: message.into(),
    }
}

pub(crate) fn plain(result: Result<(), String>) -> wire::PlainResult {
    let outcome = match result {
        Ok(()) => PlainOutcome::Ok(wire::Empty {}),
        Err(message) => PlainOutcome::Error(error(message)),
    };
    wire::PlainResult {
        outcome: Some(outcome),
    }
}

pub(crate) fn create_answer(outcome: CreateOutcome) -> Answer {
    Answer::Create(wire::CreateResult {
        outcome: Some(outcome),
    })
}

pub(crate) fn negotiate_answer(result: Result<(), String>) -> Answer {
    let outcome = match result {
        Ok(()) => NegotiateOutcome::Ok(wire::Negotiated {
            version: wire::Version::Version1 as i32,
        }),
        Err(message) => NegotiateOutcome::Error(error(message)),
    };
    Answer::Negotiate(wire::NegotiateResult {
        outcome: Some(outcome),
    })
}

/// The answer that `operation` failed.
pub(crate) fn failure(operation: &Operation, message: String) -> Answer {
    match operation {
        Operation::Create(_) => create_answer(CreateOutcome::Error(error(message))),
        Operation::Collect(_) => Answer::Collect(plain(Err(message))),
        Operation::Destroy(_) => Answer::Destroy(plain(Err(message))),
        Operation::Negotiate(_) | Operation::Push(_) => negotiate_answer(Err(message)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn destroy() -> Operation {
        Operation::Destroy(wire::Empty {})
    }

    fn answers_to(output: &[u8]) -> Vec<(u64, Option<Answer>)> {
        let mut rest = output;
        let mut all = Vec::new();
        while let Some(response) = framing::read::<wire::Response>(&mut rest).unwrap() {
            all.push((response.rid, response.result));
        }
        all
    }

    #[test]
    fn what_takes_too_long_is_answered_once_and_undone() {
        let answers = Answers::new(Vec::new(), Duration::ZERO);
        assert!(answers.expect(7, &destroy()));
        assert!(!answers.expect(7, &destroy()), "the number is in use");
        answers.finish();
        answers.watch();
        // The work is done after all, and nobody is told.
        assert!(!answers.answer(7, Some(Answer::Destroy(plain(Ok(()))))));
        let output = answers.output.into_inner().unwrap();
        let [(7, Some(Answer::Destroy(result)))] = &answers_to(&output)[..] else {
            panic!("{:?}", answers_to(&output));
        };
        let Some(PlainOutcome::Error(error)) = &result.outcome else {
            panic!("{result:?}");
        };
        assert!(error.message.starts_with("not done within "), "{error:?}");
    }

    #[test]
    fn answers_come_in_the_order_of_their_work() {
        let answers = Answers::new(Vec::new(), Duration::from_secs(3600));
        for rid in 1..=3 {
            assert!(answers.expect(rid, &destroy()));
        }
        for rid in [2, 3, 1] {
            assert!(answers.answer(rid, Some(Answer::Destroy(plain(Ok(()))))));
        }
        answers.finish();
        answers.watch();
        let output = answers.output.into_inner().unwrap();
        let order: Vec<u64> = answers_to(&output).iter().map(|(rid, _)| *rid).collect();
        assert_eq!(order, [2, 3, 1]);
    }
}
