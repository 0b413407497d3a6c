//! Drives a breaker step by step and checks after each what must hold of any breaker: refusals that were foretold, errors
//! that change nothing, events that agree with the state, probes within their bounds.

mod batch;

use crate::ops::{Ending, Op, Span, Which};
use softfuse_core::time::Instant;
use softfuse_core::{
    Breaker, Effect, Event, EventReason, LEASE_OUTCOMES_MAX, Lease, OperatorState, Outcome, Permit, QualityReport,
    RecordError, Settlement, Standing, State, Status, TRANSITIONS_MAX,
};

/// Permits that are remembered; older ones are forgotten, as by a caller that is gone.
const PERMITS_MAX: usize = 64;
/// Beyond this span instants may saturate, and a restored breaker's ages with them.
const SATURATING: i64 = 1 << 61;

/// The numbers of a policy that bound its probes.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Most probes at once.
    pub probes_max: u32,
    /// Passes that close the circuit.
    pub passes_needed: u32,
}

/// What a breaker went through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Calls that were admitted.
    pub admitted: u32,
    /// Calls that were refused.
    pub refused: u32,
    /// Openings.
    pub trips: u32,
    /// Recoveries by probes.
    pub recoveries: u32,
    /// Openings that `metrics-only` withheld.
    pub withheld: u32,
    /// Probes' outcomes.
    pub probed: u32,
    /// Outcomes that came too late.
    pub stale: u32,
    /// Outcomes and reports that were refused with an error.
    pub errors: u32,
    /// Restores.
    pub restored: u32,
    /// Leases to admit or to refuse.
    pub leases: u32,
}

/// A breaker, its clock, and the permits that were given.
#[derive(Debug)]
pub struct Driver {
    breaker: Breaker,
    bounds: Bounds,
    now: u64,
    permits: Vec<Permit>,
    /// Whether instants may have saturated, so that ages are no longer exact.
    saturated: bool,
    /// Counted on the way.
    pub tally: Tally,
}

impl Driver {
    /// Of a fresh breaker, at 0.
    pub fn new(breaker: Breaker, bounds: Bounds) -> Self {
        Self { breaker, bounds, now: 0, permits: Vec::new(), saturated: false, tally: Tally::default() }
    }

    /// Of a breaker that was restored from a hostile snapshot.
    pub fn restored(breaker: Breaker, bounds: Bounds, now: u64) -> Self {
        let driver = Self { now, saturated: true, ..Self::new(breaker, bounds) };
        driver.check_status(&driver.status());
        driver
    }

    /// One step with all its checks.
    ///
    /// # Panics
    /// Where something doesn't hold.
    pub fn step(&mut self, op: &Op) {
        match op {
            Op::Before => {
                self.before(self.now);
            }
            Op::Calls(times, ending) => {
                for _ in 0..*times % 8 + 1 {
                    let Some(permit) = self.before(self.now) else { break };
                    self.now = self.now.saturating_add(ending.latency.nanos().min(1_000_000_000));
                    self.settle(permit, ending);
                }
            }
            Op::Settle(which, ending) => {
                let permit = self.pick(*which);
                self.settle(permit, ending);
            }
            Op::Report(which, report) => {
                let permit = self.pick(*which);
                self.report(permit, report.report());
            }
            Op::Advance(span) => self.now = self.now.saturating_add(span.nanos()),
            Op::Back(span) => {
                self.before(self.now.saturating_sub(span.nanos()));
            }
            Op::Reset => {
                let was = self.breaker.state();
                let event = self.breaker.reset(self.now);
                self.check_event(was, Some(&event));
                assert_eq!((event.new, event.trip_count), (State::Closed, 0), "after a reset");
            }
            Op::Operator(which) => self.operator(*which),
            Op::Trip(open_for) => {
                let was = self.breaker.state();
                let event = self.breaker.trip("the host wants it".into(), open_for.map(Span::nanos), self.now);
                self.check_event(was, event.as_deref());
            }
            Op::Reincarnate(away_ms) => {
                let away = Span::Millis(*away_ms).nanos();
                self.reincarnate(self.now.saturating_add(away), away);
            }
            Op::Elsewhere(clock, away) => {
                self.saturated = true;
                self.reincarnate(clock.nanos(), away.nanos());
            }
            Op::Lease => self.lease(),
            Op::Batch(which, step, refused, entries) => self.batch(*which, *step, *refused, entries),
        }
        self.check_status(&self.status());
    }

    fn status(&self) -> Status {
        self.breaker.status(self.now)
    }

    fn pick(&self, which: Which) -> Permit {
        let newest = |back: usize| self.permits.iter().rev().nth(back).copied();
        let generation = u64::from(self.status().generation);
        match which {
            Which::Newest => newest(0).unwrap_or(Permit::from_bits(0)),
            Which::Given(back) => newest(usize::from(back) % self.permits.len().max(1)).unwrap_or(Permit::from_bits(0)),
            Which::Near(back, probe) => {
                // From one generation ahead to so many behind.
                let generation = (generation + 1).saturating_sub(u64::from(back % 8));
                Permit::from_bits(generation << 32 | u64::from(probe % 8))
            }
            Which::Bits(bits) => Permit::from_bits(bits),
        }
    }

    /// Asks for a permit; whether it is refused, and how, `would_refuse` has told before.
    fn before(&mut self, at: u64) -> Option<Permit> {
        let was = self.breaker.state();
        let rejections = self.status().totals.rejections;
        let foretold = format!("{:?}", self.breaker.would_refuse(at));
        let answer = self.breaker.before_call(at);
        let (told, given) = match answer {
            Ok(admission) => ("None".to_owned(), Some(admission)),
            Err(rejection) => (format!("{:?}", Some(rejection)), None),
        };
        assert_eq!(foretold, told, "what `would_refuse` told, and what `before_call` did");
        let Some(admission) = given else {
            self.tally.refused += 1;
            assert_eq!(self.status().totals.rejections, rejections.saturating_add(1), "a refusal is counted");
            assert_eq!(self.breaker.state(), was, "a refusal changes no state");
            return None;
        };
        self.tally.admitted += 1;
        self.check_event(was, admission.event.as_deref());
        let standing = self.breaker.permit_standing(admission.permit, at);
        let expected = if self.breaker.state() == State::HalfOpen { Standing::Probe } else { Standing::Current };
        // A probe that began when time was at its end has a deadline that has passed.
        if self.now < SATURATING as u64 && !self.saturated {
            assert_eq!(standing, expected, "of a permit just given");
        }
        if self.permits.len() == PERMITS_MAX {
            self.permits.remove(0);
        }
        self.permits.push(admission.permit);
        Some(admission.permit)
    }

    fn settle(&mut self, permit: Permit, ending: &Ending) {
        let wanted = self.breaker.policy().host_conditions().len() + usize::from(ending.verdicts >> 7);
        let verdict =
            |index: usize| (ending.verdicts >> (index % 7) & 1 == 1).then(|| String::from("so says the host"));
        let verdicts: Vec<Option<String>> = (0..wanted).map(verdict).collect();
        let outcome = Outcome {
            kind: ending.kind(),
            latency: ending.latency.nanos(),
            signal: ending.signal.signal(),
            retry_after: ending.retry_after.map(Span::nanos),
            verdicts: &verdicts,
        };
        let was = self.status();
        let standing = self.breaker.permit_standing(permit, self.now);
        let settled = self.breaker.record_outcome(permit, &outcome, self.now);
        let now = self.status();
        let Some(settlement) = self.check_settled(&was, &now, standing, settled) else { return };
        // A hostile snapshot's totals may be at their end, where they stay.
        if was.totals.calls() < u64::MAX / 2 {
            assert_eq!(now.totals.calls(), was.totals.calls() + 1, "one call more");
        }
        let stale = u64::from(standing == Standing::Stale);
        assert_eq!(now.totals.stale, was.totals.stale.saturating_add(stale), "stale calls are counted");
        match standing {
            Standing::Stale => assert_eq!(settlement.effect, Effect::Stale),
            Standing::Probe if permit.generation() == now.generation => {
                let again = self.breaker.permit_standing(permit, self.now);
                assert_eq!(again, Standing::Stale, "a probe is settled once");
            }
            _ => {}
        }
    }

    fn report(&mut self, permit: Permit, report: QualityReport) {
        let was = self.status();
        let standing = self.breaker.permit_standing(permit, self.now);
        let reported = self.breaker.report_quality(permit, report, self.now);
        let now = self.status();
        self.check_settled(&was, &now, standing, reported);
        assert_eq!(now.totals, was.totals, "a late score is no call");
    }

    /// What holds of every settlement, and of every error: it changes nothing.
    fn check_settled(
        &mut self,
        was: &Status,
        now: &Status,
        standing: Standing,
        settled: Result<Settlement, RecordError>,
    ) -> Option<Settlement> {
        match settled {
            Err(error) => {
                self.tally.errors += 1;
                assert!(same(was, now), "{error:?} changed something: {was:#?}\n{now:#?}");
                assert!(standing != Standing::Unknown || error != RecordError::Stale, "an unknown permit is not stale");
                None
            }
            Ok(settlement) => {
                assert_ne!(standing, Standing::Unknown, "an unknown permit was taken");
                self.tally.stale += u32::from(settlement.effect == Effect::Stale);
                self.tally.probed += u32::from(settlement.effect == Effect::Probed);
                self.check_event(was.state, settlement.event.as_deref());
                Some(settlement)
            }
        }
    }

    fn operator(&mut self, which: u8) {
        let (state, name) = match which % 3 {
            0 => (OperatorState::ForcedOpen, State::ForcedOpen),
            1 => (OperatorState::Disabled, State::Disabled),
            _ => (OperatorState::MetricsOnly, State::MetricsOnly),
        };
        let was = self.breaker.state();
        let event = self.breaker.set_operator_state(state, self.now);
        assert_eq!(event.is_none(), was == name, "an event unless it is in that state already");
        self.check_event(was, event.as_deref());
        assert_eq!(self.breaker.state(), name);
    }

    /// Saves, restores, and compares.
    fn reincarnate(&mut self, then: u64, away: u64) {
        let was = self.status();
        let snapshot = self.breaker.snapshot(self.now);
        let restore = |now: u64, away: u64| {
            Breaker::restore(self.breaker.policy().clone(), &snapshot, now, away)
                .unwrap_or_else(|error| panic!("a breaker's own snapshot is refused: {error:?}"))
        };
        if !self.saturated && self.now < SATURATING as u64 {
            let twin = restore(self.now, 0);
            let status = twin.status(self.now);
            assert!(same(&was, &status), "restoring changed something: {was:#?}\n{status:#?}");
            assert_eq!(twin.snapshot(self.now), snapshot, "a restored breaker's snapshot differs");
        }
        self.breaker = restore(then, away);
        self.now = then;
        self.tally.restored += 1;
        assert_eq!(self.breaker.state(), was.state, "restoring changed the state");
        assert_eq!(self.status().totals, was.totals, "restoring changed the totals");
    }

    /// A lease agrees with what asking would have said.
    fn lease(&mut self) {
        let refusal = self.breaker.would_refuse(self.now);
        match self.breaker.grant_lease(self.now) {
            Lease::Ask => {}
            Lease::Admit { permit, terms } => {
                self.tally.leases += 1;
                assert_eq!(refusal, None, "a lease to admit what would be refused");
                assert_eq!(self.breaker.permit_standing(permit, self.now), Standing::Current, "of a leased permit");
                assert!(terms.outcomes_max <= LEASE_OUTCOMES_MAX, "a lease for ever");
                self.permits.push(permit);
            }
            Lease::Refuse { until, rejection } => {
                self.tally.leases += 1;
                assert_eq!(format!("{refusal:?}"), format!("{:?}", Some(rejection)), "a lease refuses as asking does");
                // The time that counts is the latest seen.
                let passed = until.is_some_and(|until| until <= Instant::from_host(self.now));
                assert!(!passed, "a lease to refuse whose time has passed");
            }
        }
    }

    /// An event agrees with what it tells of; without one, nothing has changed.
    fn check_event(&mut self, was: State, event: Option<&Event>) {
        let status = self.status();
        let Some(event) = event else {
            assert_eq!(status.state, was, "the state changed without an event");
            return;
        };
        self.note(event);
        assert_eq!((event.old, event.new), (was, status.state), "an event's states");
        assert_eq!(event.generation, status.generation, "an event's generation");
        assert_eq!(event.trip_count, status.trip_count, "an event's trip count");
        assert_eq!(event.open_until.is_some(), status.state == State::Open, "an event's open period");
        assert!(!event.reason.to_string().is_empty(), "an event without a reason");
    }

    fn note(&mut self, event: &Event) {
        match event.reason {
            EventReason::Tripped(_) => self.tally.trips += 1,
            EventReason::WouldHaveTripped(_) => self.tally.withheld += 1,
            EventReason::Recovered => self.tally.recoveries += 1,
            EventReason::OpenPeriodOver | EventReason::Reset | EventReason::Operator => {}
        }
    }

    fn check_status(&self, status: &Status) {
        let Bounds { probes_max, passes_needed } = self.bounds;
        let (live, passed) = (status.live_probes, status.passed_probes);
        assert!(live <= probes_max, "{live} probes at once, {probes_max} at most");
        assert!(live.saturating_add(passed) <= passes_needed, "{live} probes, {passed} passes, {passes_needed} needed");
        assert!(status.state == State::HalfOpen || (live, passed) == (0, 0), "probes while {:?}", status.state);
        assert!(status.transitions.len() <= TRANSITIONS_MAX, "{} transitions", status.transitions.len());
        assert_eq!(status.would_refuse, self.breaker.would_refuse(self.now).is_some(), "the status tells of a refusal");
        assert_eq!(status.retry_after.is_some(), status.state == State::Open, "a wait is told while open");
        for reading in &status.conditions {
            let finite = reading.limit.is_finite() && reading.value.is_none_or(f64::is_finite);
            assert!(finite, "a reading that is no number: {reading:?}");
        }
        assert!(same(status, &self.status()), "asking for the status changed it");
    }
}

/// Equal, NaNs included: a hostile snapshot's last trip may tell of one.
fn same(a: &Status, b: &Status) -> bool {
    a == b || format!("{a:?}") == format!("{b:?}")
}
