//! The replay's report for other programs (`--json`).

use std::collections::BTreeMap;

use serde::Serialize;
use softfuse::State;

use super::tally::{Group, Place, TRIPS_KEPT_MAX, Trip};
use super::{Lane, Replayed, When};

/// The whole report. Times are in milliseconds from the trace's own origin, beside a date where the trace has dates.
#[derive(Serialize)]
pub(crate) struct Document {
    trace: TraceReport,
    scoring: ScoringReport,
    policies: Vec<PolicyReport>,
}

#[derive(Serialize)]
struct TraceReport {
    file: String,
    calls: u64,
    lines: u64,
    bad_lines: u64,
    begins: Instant,
    ends: Instant,
}

#[derive(Serialize)]
struct ScoringReport {
    /// Answers that got a score here; those with a score in the trace not among them.
    scored: u64,
    unscored: u64,
    scorers: BTreeMap<String, ScorerReport>,
}

#[derive(Serialize)]
struct ScorerReport {
    scored: u64,
    abstained: u64,
    failed: BTreeMap<&'static str, u64>,
    first_failure: Option<String>,
}

#[derive(Serialize)]
struct PolicyReport {
    policy: String,
    fingerprint: String,
    /// Openings from closed.
    trip_count: u64,
    /// Openings from half-open.
    reopen_count: u64,
    recovered_count: u64,
    state: &'static str,
    closed_ms: f64,
    open_ms: f64,
    half_open_ms: f64,
    admitted: GroupReport,
    refused: RefusedReport,
    /// Settled too late to count.
    stale: u64,
    /// Openings beyond those that are listed.
    trips_not_listed: u64,
    trips: Vec<TripReport>,
}

#[derive(Serialize)]
struct GroupReport {
    calls: u64,
    share: f64,
    outcomes: BTreeMap<&'static str, u64>,
    mean_score: Option<f64>,
    mean_latency_ms: Option<f64>,
}

#[derive(Serialize)]
struct RefusedReport {
    #[serde(flatten)]
    group: GroupReport,
    half_open: u64,
    first: Option<PlaceReport>,
    last: Option<PlaceReport>,
}

#[derive(Serialize)]
struct PlaceReport {
    line: u64,
    #[serde(flatten)]
    at: Instant,
}

#[derive(Serialize)]
struct Instant {
    at_ms: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<String>,
}

#[derive(Serialize)]
struct TripReport {
    number: u64,
    #[serde(flatten)]
    place: PlaceReport,
    reopened: bool,
    reason: String,
    causes: Vec<CauseReport>,
    open_for_ms: Option<f64>,
    half_open_at_ms: Option<f64>,
    closed_at_ms: Option<f64>,
    refused: u64,
}

#[derive(Serialize)]
struct CauseReport {
    path: String,
    value: f64,
    limit: f64,
    text: String,
}

/// Makes the report.
///
/// # Errors
/// Where the breaker component fails.
pub(crate) fn document(replayed: &Replayed) -> anyhow::Result<Document> {
    let when = replayed.when;
    let scorers = replayed.scoring.counts().map(|(name, counts)| {
        let counts = counts.clone();
        let report = ScorerReport {
            scored: counts.scored,
            abstained: counts.abstained,
            failed: counts.failed,
            first_failure: counts.first_failure,
        };
        (name.to_owned(), report)
    });
    Ok(Document {
        trace: TraceReport {
            file: replayed.trace.clone(),
            calls: replayed.calls,
            lines: replayed.lines,
            bad_lines: replayed.bad_lines,
            begins: instant(when, replayed.first_at),
            ends: instant(when, replayed.last_at),
        },
        scoring: ScoringReport {
            scored: replayed.scoring.scored,
            unscored: replayed.scoring.unscored,
            scorers: scorers.collect(),
        },
        policies: replayed.lanes.iter().map(|lane| policy(lane, when)).collect::<anyhow::Result<_>>()?,
    })
}

fn policy(lane: &Lane, when: When) -> anyhow::Result<PolicyReport> {
    let tally = &lane.tally;
    let calls = tally.admitted.calls + tally.refused.calls;
    Ok(PolicyReport {
        policy: lane.name().to_owned(),
        fingerprint: format!("{:016x}", lane.policy().info().fingerprint),
        trip_count: tally.trip_count,
        reopen_count: tally.reopen_count,
        recovered_count: tally.recovered_count,
        state: tally.state().as_str(),
        closed_ms: ms(tally.span_in(State::Closed)),
        open_ms: ms(tally.span_in(State::Open)),
        half_open_ms: ms(tally.span_in(State::HalfOpen)),
        admitted: group(&tally.admitted, calls),
        refused: RefusedReport {
            group: group(&tally.refused, calls),
            half_open: tally.refused_half_open,
            first: tally.first_refused.map(|at| place(when, at)),
            last: tally.last_refused.map(|at| place(when, at)),
        },
        stale: lane.status()?.totals.stale,
        trips_not_listed: (tally.trip_count + tally.reopen_count).saturating_sub(TRIPS_KEPT_MAX as u64),
        trips: tally.trips.iter().map(|trip| self::trip(when, trip)).collect(),
    })
}

fn group(group: &Group, calls: u64) -> GroupReport {
    GroupReport {
        calls: group.calls,
        share: if calls == 0 { 0.0 } else { group.calls as f64 / calls as f64 },
        outcomes: group.kinds().map(|(kind, count)| (kind.as_str(), count)).collect(),
        mean_score: group.mean_score(),
        mean_latency_ms: group.mean_latency_ms(),
    }
}

fn trip(when: When, trip: &Trip) -> TripReport {
    let causes = trip.causes.iter().map(|cause| CauseReport {
        path: cause.path.clone(),
        value: cause.value,
        limit: cause.limit,
        text: cause.text.clone(),
    });
    TripReport {
        number: trip.number,
        place: place(when, Place { at: trip.at, line: trip.line }),
        reopened: trip.reopened,
        reason: trip.reason.clone(),
        causes: causes.collect(),
        open_for_ms: trip.open_until.map(|until| ms(until.abs_diff(trip.at))),
        half_open_at_ms: trip.half_open_at.map(|at| at as f64 / 1e6),
        closed_at_ms: trip.closed_at.map(|at| at as f64 / 1e6),
        refused: trip.refused,
    }
}

fn place(when: When, place: Place) -> PlaceReport {
    PlaceReport { line: place.line, at: instant(when, place.at) }
}

fn instant(when: When, at: i64) -> Instant {
    Instant { at_ms: at as f64 / 1e6, at: when.rfc3339(at) }
}

fn ms(nanos: u64) -> f64 {
    nanos as f64 / 1e6
}
