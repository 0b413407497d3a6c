//! What the fuzzers check, one function a target, so that `fuzz/` only calls them and `cargo test` runs them over the
//! committed corpora with the stable compiler.
//!
//! Each function takes any bytes, panics where something doesn't hold, and otherwise says what it reached, so that a test
//! can tell a corpus that exercises the code from one that bounces off it.

pub mod drive;
pub mod history;
pub mod ops;
pub mod policies;
pub mod policy;
pub mod snapshot;
pub mod trace;
