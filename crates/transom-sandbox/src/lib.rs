//! Runs one action inside a view.
