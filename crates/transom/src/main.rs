//! The `transom` program.
fn main() {}
