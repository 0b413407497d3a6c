//! A registry's health, as a load balancer or a person asks for it: how many circuits would admit a call now.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::ser::{Serialize, Serializer};

use crate::breaker::Breaker;
use crate::registry::{Keyed, Registry};
use crate::types::{State, Time};

/// A registry's health at a moment. It is healthy while fewer than half of its circuits are open; exactly half is unhealthy,
/// and an empty registry is healthy.
///
/// A circuit is open here if it would refuse a call *now*. One whose open period has passed is available, or it would stay
/// out of the load balancer's sight for ever, and nobody would probe it. One that is half-open with all its probes under way
/// refuses.
///
/// **A keyed family counts as one circuit**, however many keys it has: a service's health is not that of its tenants, and a
/// thousand keys would outvote every named circuit. It is available by the same rule, applied to its own breakers: while fewer than half
/// of those at work would refuse a call. Retired keys don't count, since nobody has called them for long; the overflow
/// breaker does, once it has been called. Keys are named nowhere, since they may be tenants, and health pages are public.
///
/// There is no web server in this library; hand [`status_code`](Self::status_code) and [`to_json`](Self::to_json) to yours.
///
/// ```
/// let registry = softfuse::Registry::new()?;
/// let policy = registry.policy("example", "trip_on = { consecutive_failures = 5 }")?;
/// for name in ["chat", "embeddings", "rerank", "moderation"] {
///     registry.breaker(name, &policy)?;
/// }
/// registry.get("rerank").ok_or("gone")?.trip("maintenance", None)?;
///
/// let health = registry.health();
/// assert_eq!((health.status_code(), health.to_string().as_str()), (200, "3/4 circuits healthy"));
/// assert!(health.to_json().starts_with(r#"{"status":"healthy","summary":"3/4 circuits healthy","#));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Health {
    /// Every named circuit, by name.
    pub circuits: Vec<CircuitHealth>,
    /// Every keyed family, by name.
    pub families: Vec<FamilyHealth>,
}

/// A named circuit's part in its registry's health.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct CircuitHealth {
    /// Its name.
    #[serde(serialize_with = "as_text")]
    pub name: Arc<str>,
    /// Where it stands; `open` until somebody calls, though it may be available.
    #[serde(serialize_with = "as_text")]
    pub state: State,
    /// Whether it would admit a call now.
    pub available: bool,
    /// Failed calls by those that succeeded or failed, between 0 and 1, since the breaker was made: neutral outcomes and
    /// refusals are not among them. What a window holds now is in [`Breaker::status`]. `None` where no call counts yet, or the
    /// breaker component failed.
    pub failure_rate: Option<f64>,
    /// How often it has opened since it was made or last reset. `None` where the breaker component failed.
    pub trip_count: Option<u64>,
    /// While open: what is left of the open period. In JSON in seconds.
    #[serde(rename = "retry_after_seconds", serialize_with = "as_seconds")]
    pub retry_after: Option<Duration>,
    /// Unless it is closed: why it last opened, in words.
    pub reason: Option<String>,
    /// How the breaker component failed, where it did. The state is then the last that is known, and whether it is available
    /// is as the registry's [`FailureMode`](crate::FailureMode) says.
    pub component_failure: Option<String>,
}

/// A keyed family's part in its registry's health.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct FamilyHealth {
    /// Its name.
    #[serde(serialize_with = "as_text")]
    pub name: Arc<str>,
    /// Whether fewer than half of its breakers at work would refuse a call now, or none is at work.
    pub available: bool,
    /// Breakers at work; the overflow breaker among them, once it has been called.
    pub at_work: usize,
    /// Those of them that would refuse a call now.
    pub refusing: usize,
}

impl Registry {
    /// Its health: how many circuits would admit a call now. Asking changes nothing, and takes no probe. The component is
    /// asked for each named breaker, and for those of keyed families that aren't closed.
    #[must_use]
    pub fn health(&self) -> Health {
        self.health_at(self.now())
    }

    /// [`health`](Self::health), as of `now`.
    #[must_use]
    pub fn health_at(&self, now: Time) -> Health {
        Health {
            circuits: self.list().iter().map(|breaker| CircuitHealth::of(breaker, now)).collect(),
            families: self.list_keyed().iter().map(|family| FamilyHealth::of(family, now)).collect(),
        }
    }
}

/// The rule, for circuits and for a family's breakers: fewer than half of them are open, or there are none.
const fn fewer_than_half(open: usize, total: usize) -> bool {
    // As `open * 2 < total`, which might overflow.
    total == 0 || open < total - open
}

impl Health {
    /// Whether fewer than half of the circuits are open, or there are none.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        let total = self.total();
        fewer_than_half(total - self.available(), total)
    }

    /// The HTTP status for it: 200 where it is healthy, else 503.
    #[must_use]
    pub fn status_code(&self) -> u16 {
        if self.is_healthy() { 200 } else { 503 }
    }

    /// Named circuits and families.
    #[must_use]
    pub fn total(&self) -> usize {
        self.circuits.len() + self.families.len()
    }

    /// Those of them that are available.
    #[must_use]
    pub fn available(&self) -> usize {
        self.circuits.iter().filter(|circuit| circuit.available).count()
            + self.families.iter().filter(|family| family.available).count()
    }

    /// An object as JSON: `status` (`healthy` or `unhealthy`), `summary`, `available`, `total`, `circuits` and `families`.
    /// [`Serialize`] gives the same.
    #[must_use]
    pub fn to_json(&self) -> String {
        // It doesn't fail: its keys are texts, and nothing in it has a serialiser that fails.
        serde_json::to_string(self).unwrap_or_else(|_| "{}".to_owned())
    }
}

impl fmt::Display for Health {
    /// As in `3/4 circuits healthy`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{} circuits healthy", self.available(), self.total())
    }
}

/// What a health page shows, in its order.
#[derive(serde::Serialize)]
struct Page<'h> {
    status: &'static str,
    summary: String,
    available: usize,
    total: usize,
    circuits: &'h [CircuitHealth],
    families: &'h [FamilyHealth],
}

impl Serialize for Health {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let page = Page {
            status: if self.is_healthy() { "healthy" } else { "unhealthy" },
            summary: self.to_string(),
            available: self.available(),
            total: self.total(),
            circuits: &self.circuits,
            families: &self.families,
        };
        page.serialize(serializer)
    }
}

fn as_text<T: fmt::Display, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

fn as_seconds<S: Serializer>(span: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    span.map(|span| span.as_secs_f64()).serialize(serializer)
}

impl CircuitHealth {
    fn of(breaker: &Breaker, now: Time) -> Self {
        let name = Arc::clone(breaker.name());
        let status = match breaker.status_at(now) {
            Ok(status) => status,
            Err(failure) => {
                let (state, available) = (breaker.state(), !breaker.is_open_at(now));
                let component_failure = Some(failure.to_string());
                let (failure_rate, trip_count, retry_after, reason) = (None, None, None, None);
                return Self {
                    name,
                    state,
                    available,
                    failure_rate,
                    trip_count,
                    retry_after,
                    reason,
                    component_failure,
                };
            }
        };
        let counted = status.totals.successes.saturating_add(status.totals.failures);
        let reason = status.last_trip.filter(|_| status.state != State::Closed).map(|trip| trip.text);
        Self {
            name,
            state: status.state,
            available: !status.would_refuse,
            failure_rate: (counted > 0).then(|| status.totals.failures as f64 / counted as f64),
            trip_count: Some(status.trip_count),
            retry_after: status.retry_after,
            reason,
            component_failure: None,
        }
    }
}

impl FamilyHealth {
    fn of(family: &Keyed, now: Time) -> Self {
        let (mut at_work, not_closed) = family.standing();
        let mut refusing = not_closed.iter().filter(|breaker| breaker.is_open_at(now)).count();
        // Those that have become closed meanwhile are among those at work, as they should be.
        let overflow = family.overflow();
        let served = overflow.status_at(now).is_ok_and(|status| {
            let totals = status.totals;
            totals.calls > 0 || totals.rejections > 0 || status.state != State::Closed
        });
        if served {
            at_work += 1;
            refusing += usize::from(overflow.is_open_at(now));
        }
        let name = Arc::clone(family.name());
        Self { name, available: fewer_than_half(refusing, at_work), at_work, refusing }
    }
}
