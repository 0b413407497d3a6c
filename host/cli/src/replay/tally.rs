//! What happened to one breaker in a replay, in bounded space.

use softfuse::{Cause, EventReason, State, StateChange, TripReason};
use softfuse_trace::{Call, OutcomeKind};

use super::bands::Bands;

/// How many openings are kept in full; all are counted.
pub(crate) const TRIPS_KEPT_MAX: usize = 10_000;

/// What happened.
pub(crate) struct Tally {
    pub(crate) admitted: Group,
    pub(crate) refused: Group,
    pub(crate) first_refused: Option<Place>,
    pub(crate) last_refused: Option<Place>,
    /// Of those refused, how many while half-open.
    pub(crate) refused_half_open: u64,
    pub(crate) trips: Vec<Trip>,
    /// Openings from closed.
    pub(crate) trip_count: u64,
    /// Openings from half-open, since the probes failed.
    pub(crate) reopen_count: u64,
    pub(crate) recovered_count: u64,
    pub(crate) bands: Bands,
    spans: [u64; State::ALL.len()],
    state: State,
    since: i64,
    last_at: i64,
}

/// A place in the trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) at: i64,
    pub(crate) line: u64,
}

/// Calls that have something in common.
#[derive(Clone, Debug, Default)]
pub(crate) struct Group {
    pub(crate) calls: u64,
    kinds: [u64; OutcomeKind::ALL.len()],
    scored: u64,
    score_sum: f64,
    latency_ms_sum: f64,
}

/// An opening, and what became of it.
#[derive(Clone, Debug)]
pub(crate) struct Trip {
    /// From 1.
    pub(crate) number: u64,
    pub(crate) at: i64,
    /// The line whose outcome or late score opened it.
    pub(crate) line: u64,
    /// From half-open.
    pub(crate) reopened: bool,
    pub(crate) reason: String,
    pub(crate) causes: Vec<Cause>,
    /// When the open period ends, unless a `Retry-After` extends it.
    pub(crate) open_until: Option<i64>,
    pub(crate) half_open_at: Option<i64>,
    pub(crate) closed_at: Option<i64>,
    /// Calls refused from this opening to the next, or to closing.
    pub(crate) refused: u64,
}

impl Group {
    fn add(&mut self, call: &Call) {
        self.calls += 1;
        if let Some(place) = OutcomeKind::ALL.iter().position(|kind| *kind == call.kind) {
            self.kinds[place] += 1;
        }
        self.latency_ms_sum += call.latency as f64 / 1e6;
        if let Some(score) = call.score.filter(|_| !call.kind.is_neutral()) {
            self.scored += 1;
            self.score_sum += score;
        }
    }

    /// How many ended in each way, those that none ended in left out.
    pub(crate) fn kinds(&self) -> impl Iterator<Item = (OutcomeKind, u64)> {
        OutcomeKind::ALL.into_iter().zip(self.kinds).filter(|(_, count)| *count > 0)
    }

    /// How many failed.
    pub(crate) fn failures(&self) -> u64 {
        self.kinds().filter(|(kind, _)| kind.is_failure()).map(|(_, count)| count).sum()
    }

    /// The mean score of those that have one.
    pub(crate) fn mean_score(&self) -> Option<f64> {
        (self.scored > 0).then(|| self.score_sum / self.scored as f64)
    }

    /// The mean latency.
    pub(crate) fn mean_latency_ms(&self) -> Option<f64> {
        (self.calls > 0).then(|| self.latency_ms_sum / self.calls as f64)
    }
}

impl Tally {
    pub(crate) fn new(origin: i64) -> Self {
        Self {
            admitted: Group::default(),
            refused: Group::default(),
            first_refused: None,
            last_refused: None,
            refused_half_open: 0,
            trips: Vec::new(),
            trip_count: 0,
            reopen_count: 0,
            recovered_count: 0,
            bands: Bands::new(origin),
            spans: [0; State::ALL.len()],
            state: State::Closed,
            since: origin,
            last_at: origin,
        }
    }

    pub(crate) fn admitted(&mut self, call: &Call) {
        self.passed(call.at);
        self.admitted.add(call);
    }

    pub(crate) fn refused(&mut self, call: &Call, state: State) {
        self.passed(call.at);
        self.refused.add(call);
        let place = Place { at: call.at, line: call.line };
        self.first_refused.get_or_insert(place);
        self.last_refused = Some(place);
        self.refused_half_open += u64::from(state == State::HalfOpen);
        if let Some(trip) = self.current() {
            trip.refused += 1;
        }
    }

    pub(crate) fn settled(&mut self, call: &Call) {
        self.passed(call.at.saturating_add_unsigned(call.latency));
    }

    /// Takes note of the time.
    pub(crate) fn passed(&mut self, at: i64) {
        self.last_at = self.last_at.max(at);
    }

    /// A call found the open period over, if the circuit wasn't half-open already.
    pub(crate) fn half_opened(&mut self, at: i64) {
        if self.state != State::HalfOpen {
            self.enter(State::HalfOpen, at);
            if let Some(trip) = self.current() {
                trip.half_open_at = Some(at);
            }
        }
    }

    /// A settled call or a late score changed the state.
    pub(crate) fn changed(&mut self, at: i64, line: u64, change: StateChange, open_until: Option<i64>) {
        match change.reason {
            EventReason::Tripped(reason) => {
                let reopened = change.old == State::HalfOpen;
                let count = if reopened { &mut self.reopen_count } else { &mut self.trip_count };
                *count += 1;
                self.opened(at, line, reopened, reason, open_until);
            }
            EventReason::Recovered => {
                self.recovered_count += 1;
                if let Some(trip) = self.current() {
                    trip.closed_at = Some(at);
                }
            }
            _ => {}
        }
        self.enter(change.new, at);
    }

    fn opened(&mut self, at: i64, line: u64, reopened: bool, reason: TripReason, open_until: Option<i64>) {
        if self.trips.len() >= TRIPS_KEPT_MAX {
            return;
        }
        let number = self.trip_count + self.reopen_count;
        let text = reason.to_string();
        let causes = match reason {
            TripReason::Conditions(causes) | TripReason::ProbeConditions(causes) => causes,
            TripReason::ProbeFailed(_) | TripReason::Host(_) => Vec::new(),
        };
        self.trips.push(Trip {
            number,
            at,
            line,
            reopened,
            reason: text,
            causes,
            open_until,
            half_open_at: None,
            closed_at: None,
            refused: 0,
        });
    }

    /// The opening under way, if it is one of those that are kept.
    fn current(&mut self) -> Option<&mut Trip> {
        let number = self.trip_count + self.reopen_count;
        self.trips.last_mut().filter(|trip| trip.number == number)
    }

    fn enter(&mut self, state: State, at: i64) {
        self.passed(at);
        self.account(at);
        self.state = state;
        self.bands.enter(state, at);
    }

    fn account(&mut self, at: i64) {
        self.spans[usize::from(self.state.as_metric())] += u64::try_from(at.saturating_sub(self.since)).unwrap_or(0);
        self.since = at;
    }

    /// Nothing more happens.
    pub(crate) fn finish(&mut self) {
        self.account(self.last_at);
    }

    /// How long the circuit was in a state, in nanoseconds.
    pub(crate) fn span_in(&self, state: State) -> u64 {
        self.spans[usize::from(state.as_metric())]
    }

    /// The state at the end.
    pub(crate) fn state(&self) -> State {
        self.state
    }

    /// The last instant at which something happened.
    pub(crate) fn ended_at(&self) -> i64 {
        self.last_at
    }
}
