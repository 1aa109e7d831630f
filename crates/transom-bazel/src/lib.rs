//! Sandboxes for Bazel, over the protocols it has for that: one process, one
//! stream in, one stream out.
//!
//! [`sandboxfs`] is what Bazel 3 to 6 speaks with the program of that name,
//! [`backend`] what later ones are going to.

pub mod backend;
pub mod sandboxfs;
