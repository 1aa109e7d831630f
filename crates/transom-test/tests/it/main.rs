//! Tests of the fixtures themselves.

mod skip;
mod volumes;
