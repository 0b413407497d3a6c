//! The C ABI of Softfuse: the Rust host behind plain functions and plain structs, for C, for C++, and for every language that
//! can call a C library. The header is `include/softfuse.h`, generated from here; a test keeps it so.
//!
//! It converts, and decides nothing. What a pointer must be is said once, at the head of the header, and each `unsafe` block
//! says by which of those rules it is right. A panic never crosses: `fault::run` turns it into a code.

#![allow(non_camel_case_types, reason = "types and constants have the header's names")]
#![allow(
    clippy::missing_safety_doc,
    reason = "the header's head says what every pointer must be, once for all functions"
)]
#![deny(unsafe_op_in_unsafe_fn, clippy::undocumented_unsafe_blocks)]

mod breaker;
mod bulkhead;
mod call;
mod code;
mod condition;
mod event;
mod exchange;
mod fault;
mod keyed;
mod outcome;
mod permit;
mod policy;
mod providers;
mod registry;
mod scorer;
mod scoring;
mod settings;
mod sized;
mod status;
mod stream;
mod text;

pub use breaker::*;
pub use bulkhead::*;
pub use call::*;
pub use code::*;
pub use condition::*;
pub use event::*;
pub use exchange::*;
pub use fault::{
    sf_error, sf_error_code, sf_error_free, sf_error_message, sf_error_problem, sf_error_problem_count, sf_problem,
};
pub use keyed::*;
pub use outcome::*;
pub use permit::*;
pub use policy::*;
pub use providers::*;
pub use registry::*;
pub use scorer::*;
pub use scoring::*;
pub use settings::*;
pub use status::*;
pub use stream::*;
pub use text::{sf_bytes_free, sf_string_free};

use std::ffi::c_char;

/// The library's version, as in `0.1.0`: a string that lives for ever. Any thread.
#[unsafe(no_mangle)]
pub extern "C" fn sf_version() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}
