//! Reads traces of calls: JSON lines of this format or of any other log, plain or compressed by gzip or Zstandard, in
//! constant memory and in the order in which the calls began.
//!
//! ```
//! use softfuse_trace::{Error, MapArg, Mapping, Reader, Source};
//!
//! let log = r#"{"time": "2026-01-31T12:00:00Z", "took": 0.34, "status": 200, "answer": "Paris"}
//! {"time": "2026-01-31T12:00:01Z", "took": "slow", "status": 503}"#;
//! let map: MapArg = "at_ms=time,latency_ms=took:s,outcome=status,response=answer".parse()?;
//! let mut reader = Reader::new(Source::new("gateway.log", log.as_bytes())?, Mapping::new(&[map]));
//!
//! // Lines without a score may be given one: here, answers by their length.
//! let mut score = |parsed: &softfuse_trace::Parsed<'_>| {
//!     parsed.exchange.as_ref().map(|exchange| f64::from(exchange.response.get().len() > 5))
//! };
//! // The second line is bad, which is told when it is read; the first waits to be put in order.
//! let Err(Error::Line(error)) = reader.next(&mut score) else { unreachable!() };
//! assert_eq!(
//!     error.to_string(),
//!     "gateway.log:2: latency_ms (took): expected a number of seconds from 0 to 30 days, or a text such as \"1.5s\", \
//!      found \"slow\""
//! );
//! let call = reader.next(&mut score)?.expect("the first line's call");
//! assert_eq!((call.line, call.latency, call.score), (1, 340_000_000, Some(1.0)));
//! assert_eq!(reader.next(&mut score)?, None);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The format itself is described with the program `softfuse`, which replays traces through a breaker. This library knows
//! no breaker: it is for whoever reads such files.
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test may fail loudly"))]

mod call;
mod error;
mod fields;
mod mapping;
mod order;
mod reader;
mod source;
mod value;
pub mod words;
mod zstandard;

pub use call::{Call, Exchange, LATE_SCORES_MAX, LateScore, Parsed, SCORE_MAX, VERDICTS_MAX};
pub use error::{Error, Fault, LineError, LineProblem};
pub use fields::Fields;
pub use mapping::{ENTRIES_MAX, Field, MapArg, MapError, Mapping, PATH_BYTES_MAX, PATHS_MAX, Paths, Unused};
pub use order::{REORDERED_BYTES_MAX, REORDERED_LINES_MAX};
pub use reader::Reader;
pub use softfuse_outcome::OutcomeKind;
pub use source::{LINE_BYTES_MAX, Line, Source};

#[cfg(test)]
mod tests;
