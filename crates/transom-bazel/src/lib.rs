//! Sandboxes for Bazel, over the protocols it has for that: one process, one
//! stream in, one stream out.

pub mod backend;
