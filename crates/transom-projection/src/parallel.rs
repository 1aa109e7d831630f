use std::ops::Range;

/// How many threads look at host files at once.
const THREADS: usize = 2;

/// Below this many files a second thread costs more than it saves.
const FILES_PER_THREAD_MIN: usize = 1024;

/// Splits `0..count` into ranges, runs `job` on each, on threads that are gone
/// when this returns, and gives back the results in order.
pub(crate) fn in_ranges<T: Send>(count: usize, job: impl Fn(Range<usize>) -> T + Sync) -> Vec<T> {
    let threads = THREADS.min(count / FILES_PER_THREAD_MIN).max(1);
    let start = |part| count * part / threads;
    let ranges: Vec<_> = (0..threads)
        .map(|part| start(part)..start(part + 1))
        .collect();
    if let [range] = &ranges[..] {
        return vec![job(range.clone())];
    }
    let job = &job;
    std::thread::scope(|scope| {
        let running: Vec<_> = ranges
            .into_iter()
            .map(|range| scope.spawn(move || job(range)))
            .collect();
        running
            .into_iter()
            .map(|thread| {
                thread
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            })
            .collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_index_once_and_in_order() {
        for count in [0, 1, 1024, 2048, 5001] {
            let parts = in_ranges(count, Vec::from_iter);
            assert_eq!(parts.concat(), (0..count).collect::<Vec<_>>());
        }
    }
}
