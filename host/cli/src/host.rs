//! The breaker component, set up for a program that brings its own time, and policies read from files.

use std::io::Read;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use anyhow::Context;
use softfuse::{Event, FailureMode, ManualClock, POLICY_BYTES_MAX, Registry, Time};

use crate::fail::wrong;

/// A replay is the same every time, jitter included.
const SALT: u64 = 0;

/// Sets up a registry: the program's own component, or one from a file.
///
/// # Errors
/// Where the file can't be read or is no breaker component.
pub(crate) fn registry(breaker: Option<&Path>) -> anyhow::Result<Registry> {
    let builder = Registry::builder()
        .clock(ManualClock::new(Time::ZERO))
        .salt(SALT)
        .failure_mode(FailureMode::Closed)
        // A component that fails ends the program (see `Failures`), so there is nothing to come back for.
        .snapshot_every(u64::MAX);
    match breaker {
        None => Ok(builder.build()?),
        Some(path) => {
            let bytes = std::fs::read(path).with_context(|| format!("can't read the breaker {}", path.display()))?;
            builder
                .component_bytes(&path.display().to_string(), bytes)
                .build()
                .map_err(|error| wrong(error.to_string()))
        }
    }
}

/// Watches for failures of the breaker component. The registry carries on after one, as a service has to; whoever wants to
/// know what a breaker would have done must not.
#[derive(Clone, Debug, Default)]
pub(crate) struct Failures(Arc<OnceLock<String>>);

impl Failures {
    /// Watches a registry from now on.
    pub(crate) fn of(registry: &Registry) -> Self {
        let failures = Self::default();
        let first = Arc::clone(&failures.0);
        registry.on_event(move |event| {
            let said = match event {
                Event::ComponentFailed { failure, .. } => failure.to_string(),
                Event::BreakerRestored { records_lost, .. } => {
                    format!("the breaker component failed, and lost {records_lost} records")
                }
                _ => return,
            };
            // Later ones follow from the first.
            let _ = first.set(said);
        });
        failures
    }

    /// The first failure, in words.
    pub(crate) fn first(&self) -> Option<&str> {
        self.0.get().map(String::as_str)
    }
}

/// A policy's text with the name that messages give it.
pub(crate) struct PolicyText {
    pub(crate) name: String,
    pub(crate) text: String,
}

impl PolicyText {
    /// Reads a file, or standard input where the path is `-`.
    ///
    /// # Errors
    /// Where it can't be read, is too long, or is no UTF-8.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let stdin = path == Path::new("-");
        let name = if stdin { "<stdin>".to_owned() } else { path.display().to_string() };
        let mut bytes = Vec::new();
        // One byte more than it may have, so that a longer one is told from a longest one.
        let limit = POLICY_BYTES_MAX as u64 + 1;
        let read = if stdin {
            std::io::stdin().lock().take(limit).read_to_end(&mut bytes)
        } else {
            std::fs::File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes))
        };
        read.with_context(|| format!("can't read the policy {name}"))?;
        if bytes.len() > POLICY_BYTES_MAX {
            return Err(wrong(format!(
                "{name}: the file has more than {POLICY_BYTES_MAX} bytes, the most of a policy"
            )));
        }
        let text = String::from_utf8(bytes).map_err(|error| {
            wrong(format!("{name}: the file is no UTF-8 from byte {} on", error.utf8_error().valid_up_to()))
        })?;
        Ok(Self { name, text })
    }
}
