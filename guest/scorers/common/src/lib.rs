//! What the built-in scorers share, so that each of them is only its formula.
//!
//! - [`exchange`]: what goes into a scorer and what comes out, as plain Rust types that native tests can build;
//! - [`config`]: TOML configuration that reports every problem at once, with line, key, value and what would be right;
//! - [`body`]: an answer's bytes, whole or in pieces, taken apart by content type, server-sent events included;
//! - [`completion`]: the envelope of OpenAI-style answers and of their chunks;
//! - [`json`]: JSON as model servers really send it, NaN and all;
//! - `glue` (WebAssembly only): from the types that wit-bindgen generates to those of this crate and back.
//!
//! It is `no_std` and imports nothing.
#![no_std]

extern crate alloc;

pub mod body;
pub mod completion;
pub mod config;
pub mod exchange;
#[cfg(target_family = "wasm")]
pub mod glue;
pub mod json;

pub use exchange::{AnswerStream, Body, ConfigProblem, End, Exchange, Head, ScoreError, Scorer, StreamScorer, Verdict};
