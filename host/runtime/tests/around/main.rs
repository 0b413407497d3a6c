//! What stands around breakers, used as users use it: bulkheads, chains of providers, a registry's health.
#![allow(clippy::unwrap_used, reason = "a test may fail loudly")]

mod bulkhead;
mod chain;
#[path = "../common/mod.rs"]
mod common;
mod health;
