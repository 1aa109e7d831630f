//! Benchmarks against native and against peers.
