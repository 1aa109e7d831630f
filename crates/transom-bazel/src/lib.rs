//! Transom as a sandbox of Bazel: the protocols by which Bazel has sandboxes
//! made, each with the file system that answers it.
//!
//! [`sandboxfs`] is what Bazel 3 to 6 speaks with the program of that name.

pub mod sandboxfs;
