//! Eager against leased: the same history, recorded at once and under leases, gives the same decisions.
//!
//! The host's half of a lease is written here as plainly as the contract says it: a permit to hand out, integers to count
//! down, a buffer. Services are healthy and failing alike; a run that never trips would prove nothing, so trips are
//! counted.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use softfuse_core::{
    AdmitTerms, Breaker, Event, Lease, LeasedBatch, LeasedError, Outcome, OutcomeKind, Permit, Policy, QualityReport,
    Score, Signal, Standing, Status,
};
use softfuse_testkit::policies::policy;
use std::cell::Cell;
use std::sync::Arc;

const MS: u64 = 1_000_000;
const HISTORIES: u32 = 20_000;

/// What happens to the call of a number.
#[derive(Clone, Copy, Debug)]
enum Happening {
    Begins,
    Ends,
    /// None for a score that won't come.
    ReportedLate(Option<f64>),
    /// Somebody looks at the status.
    Looked,
}

#[derive(Clone, Debug)]
struct Call {
    pause: u64,
    outcome: Outcome<'static>,
    late: Option<Option<f64>>,
    /// Ends only after so many others have begun.
    held: usize,
    looked: bool,
}

/// A service of its own for each history: how often it fails, how good its answers are, how slow it is.
#[derive(Clone, Copy, Debug)]
struct Service {
    failing_percent: u32,
    mean: f64,
    slow_ms: u64,
    scored_percent: u32,
    held_max: usize,
}

fn service() -> impl Strategy<Value = Service> {
    let failing = prop_oneof![2 => 0..4u32, 2 => 0..60u32];
    (failing, 0.55..0.95f64, 1..30u64, 0..101u32, 0..4usize).prop_map(
        |(failing_percent, mean, slow_ms, scored_percent, held_max)| Service {
            failing_percent,
            mean,
            slow_ms,
            scored_percent,
            held_max,
        },
    )
}

fn call(service: Service) -> impl Strategy<Value = Call> {
    let score = move || (-0.3..0.3f64).prop_map(move |wobble| (service.mean + wobble).clamp(0.0, 1.0));
    // Now and then the load of the last minute is gone.
    let pause = prop_oneof![160 => 0..8 * MS, 20 => 0..120 * MS, 1 => Just(61_000 * MS)];
    let latency = 0..service.slow_ms * MS;
    let signal = (0..100u32, 0..20u8, score());
    let late = prop::option::weighted(0.2, prop::option::weighted(0.8, score()));
    (pause, 0..100u32, latency, signal, late, 0..=service.held_max, prop::bool::weighted(0.02)).prop_map(
        move |(pause, fate, latency, (has_score, pends, score), late, held, looked)| {
            let (kind, retry_after) = match fate {
                fate if fate < service.failing_percent => (OutcomeKind::Error, None),
                99 => (OutcomeKind::Cancelled, None),
                98 => (OutcomeKind::RateLimited, Some(200 * MS)),
                97 => (OutcomeKind::Success, Some(100 * MS)),
                _ => (OutcomeKind::Success, None),
            };
            let signal = match (has_score < service.scored_percent, pends) {
                (true, _) => Signal::Score(score),
                (false, 0) => Signal::Pending,
                (false, _) => Signal::None,
            };
            Call { pause, outcome: Outcome { kind, latency, signal, retry_after, verdicts: &[] }, late, held, looked }
        },
    )
}

/// What happens, in order of time.
fn timeline(calls: &[Call]) -> Vec<(u64, usize, Happening)> {
    let mut timeline = Vec::new();
    let mut under_way: Vec<(usize, usize)> = Vec::new();
    let mut now = 0;
    for (number, call) in calls.iter().enumerate() {
        now += call.pause;
        timeline.push((now, number, Happening::Begins));
        under_way.push((number, call.held));
        let (ending, rest): (Vec<_>, Vec<_>) = under_way.iter().partition(|(_, left)| *left == 0);
        under_way = rest.into_iter().map(|(number, left)| (number, left - 1)).collect();
        for (ending, _) in ending {
            now += MS / 4;
            timeline.push((now, ending, Happening::Ends));
            if let Some(score) = calls[ending].late {
                now += MS / 8;
                timeline.push((now, ending, Happening::ReportedLate(score)));
            }
        }
        if call.looked {
            timeline.push((now, number, Happening::Looked));
        }
    }
    timeline
}

/// What a run decided: everything but when it was recorded.
#[derive(Debug, Default, PartialEq)]
struct Decisions {
    /// By call: the rejection's wait, where it was refused.
    refused: Vec<(usize, Option<u64>)>,
    /// At the timeline's place.
    events: Vec<(usize, Event)>,
    statuses: Vec<Status>,
    stale_scores: Vec<usize>,
}

trait Host {
    fn begin(&mut self, now: u64) -> Result<Permit, Option<u64>>;
    fn end(&mut self, permit: Permit, outcome: &Outcome<'_>, now: u64) -> Option<Event>;
    /// None for a score that came too late.
    fn late(&mut self, permit: Permit, score: Option<f64>, now: u64) -> Option<Option<Event>>;
    fn status(&mut self, now: u64) -> Status;
    /// The events that asking brought about.
    fn asked(&mut self) -> Option<Event>;
}

fn drive(host: &mut dyn Host, calls: &[Call]) -> Decisions {
    let mut decisions = Decisions::default();
    let mut permits: Vec<Option<Permit>> = vec![None; calls.len()];
    let timeline = timeline(calls);
    for (place, (now, number, happening)) in timeline.iter().enumerate() {
        let event = match happening {
            Happening::Begins => {
                match host.begin(*now) {
                    Ok(permit) => permits[*number] = Some(permit),
                    Err(wait) => decisions.refused.push((*number, wait)),
                }
                host.asked()
            }
            Happening::Ends => permits[*number].and_then(|permit| host.end(permit, &calls[*number].outcome, *now)),
            Happening::ReportedLate(score) => match permits[*number].map(|permit| host.late(permit, *score, *now)) {
                Some(None) => {
                    decisions.stale_scores.push(*number);
                    None
                }
                Some(Some(event)) => event,
                None => None,
            },
            Happening::Looked => {
                decisions.statuses.push(host.status(*now));
                None
            }
        };
        decisions.events.extend(event.map(|event| (place, event)));
    }
    let end = timeline.last().map_or(0, |(now, ..)| *now);
    decisions.statuses.push(host.status(end));
    decisions
}

struct Eager {
    breaker: Breaker,
    asked: Option<Event>,
}

impl Host for Eager {
    fn begin(&mut self, now: u64) -> Result<Permit, Option<u64>> {
        let admission = self.breaker.before_call(now).map_err(|rejection| rejection.retry_after)?;
        self.asked = admission.event.map(|event| *event);
        Ok(admission.permit)
    }

    fn end(&mut self, permit: Permit, outcome: &Outcome<'_>, now: u64) -> Option<Event> {
        let settled = self.breaker.record_outcome(permit, outcome, now).expect("a permit that was given");
        settled.event.map(|event| *event)
    }

    fn late(&mut self, permit: Permit, score: Option<f64>, now: u64) -> Option<Option<Event>> {
        let settled = self
            .breaker
            .report_quality(permit, score.map_or(QualityReport::Missing, QualityReport::Score), now)
            .ok()?;
        Some(settled.event.map(|event| *event))
    }

    fn status(&mut self, now: u64) -> Status {
        self.breaker.status(now)
    }

    fn asked(&mut self) -> Option<Event> {
        self.asked.take()
    }
}

/// What a host holds of a lease.
enum Held {
    Ask,
    Admit { permit: Permit, terms: AdmitTerms },
    Refuse { until: Option<u64> },
}

/// What waits to be recorded.
#[derive(Default)]
struct Waiting {
    outcomes: u32,
    successes: u32,
    settled_at: Vec<u64>,
    latencies: Vec<u64>,
    scores: Vec<Score>,
    refused: u64,
}

struct Leased {
    eager: Eager,
    held: Held,
    waiting: Waiting,
    latest: u64,
    /// How many outcomes never asked.
    unasked: u64,
}

impl Leased {
    fn drain(&mut self) {
        let waiting = std::mem::take(&mut self.waiting);
        if waiting.outcomes > 0 || waiting.refused > 0 {
            let permit = match &self.held {
                Held::Admit { permit, .. } => *permit,
                _ => Permit::from_bits(0),
            };
            let scores_last = match &self.held {
                Held::Admit { terms, .. } => terms.scores_last as usize,
                _ => 0,
            };
            let batch = LeasedBatch {
                successes: waiting.successes,
                settled_at: &waiting.settled_at,
                latencies: &waiting.latencies,
                scores: &waiting.scores[waiting.scores.len().saturating_sub(scores_last)..],
                refused: waiting.refused,
            };
            let settled = self.eager.breaker.record_leased(permit, batch, self.latest);
            let settled = settled.expect("a permit that was leased");
            assert_eq!((settled.event, settled.stale), (None, false), "a lease that was kept changes nothing");
        }
        self.held = Held::Ask;
    }

    fn grant(&mut self, now: u64) {
        self.held = match self.eager.breaker.grant_lease(now) {
            Lease::Ask => Held::Ask,
            Lease::Admit { permit, terms } => Held::Admit { permit, terms },
            Lease::Refuse { until, .. } => Held::Refuse { until: until.map(|at| at.as_nanos().unsigned_abs()) },
        };
    }

    /// Keeps a success (how long it took), or a late score, for later, where it is benign.
    fn keep(&mut self, of: Permit, success: Option<u64>, score: Option<Score>, now: u64) -> bool {
        let Held::Admit { permit, terms } = &self.held else { return false };
        let waiting = &mut self.waiting;
        let benign = of == *permit
            && waiting.outcomes < terms.outcomes_max
            && terms.until.is_none_or(|until| (now as i64) < until.as_nanos())
            && terms.latency_max.is_none_or(|most| success.is_none_or(|latency| latency <= most));
        if !benign {
            return false;
        }
        if let Some(score) = score {
            waiting.scores.push(score);
            if !keeps_sums(terms, &waiting.scores) {
                waiting.scores.pop();
                return false;
            }
        }
        if let Some(latency) = success {
            waiting.successes += 1;
            waiting.settled_at.extend(terms.details.settled_at.then_some(now));
            waiting.latencies.extend(terms.details.latency.then_some(latency));
        }
        waiting.outcomes += 1;
        self.unasked += 1;
        true
    }
}

/// Whether the last of these scores is benign.
fn keeps_sums(terms: &AdmitTerms, scores: &[Score]) -> bool {
    let Some(sums_min) = &terms.score_sums_min else { return true };
    let sum = |scores: &[Score]| scores.iter().map(|score| score.units()).sum::<i64>();
    match sums_min.get(scores.len() - 1) {
        Some(least) => sum(scores) >= *least,
        None if terms.scores_roll => {
            let rolled = sum(&scores[scores.len() - sums_min.len()..]);
            sums_min.last().is_some_and(|least| rolled >= *least)
        }
        None => false,
    }
}

impl Host for Leased {
    fn begin(&mut self, now: u64) -> Result<Permit, Option<u64>> {
        self.latest = now;
        match &self.held {
            Held::Admit { permit, .. } => return Ok(*permit),
            Held::Refuse { until } if until.is_none_or(|until| now < until) => {
                self.waiting.refused += 1;
                return Err(until.map(|until| until - now));
            }
            Held::Refuse { .. } | Held::Ask => {}
        }
        self.drain();
        let answer = self.eager.begin(now);
        self.grant(now);
        answer
    }

    fn end(&mut self, permit: Permit, outcome: &Outcome<'_>, now: u64) -> Option<Event> {
        let success = outcome.kind == OutcomeKind::Success && outcome.retry_after.is_none();
        if success && let Held::Admit { terms, .. } = &self.held {
            let score = match outcome.signal {
                Signal::Score(score) => Some(Score::quantise(score).expect("a score")),
                Signal::Pending => None,
                Signal::None => terms.missing_score,
            };
            if self.keep(permit, Some(outcome.latency), score, now) {
                return None;
            }
        }
        let admitting = match &self.held {
            Held::Admit { permit, .. } => Some(*permit),
            Held::Ask | Held::Refuse { .. } => None,
        };
        self.drain();
        let event = self.eager.end(permit, outcome, now);
        match (&event, admitting) {
            // The permit is good until an event ends its generation: a host need not ask for new terms at once.
            (None, Some(permit)) if !success => {
                self.held = Held::Admit { permit, terms: AdmitTerms::admit_only(None) };
            }
            _ => self.grant(now),
        }
        event
    }

    fn late(&mut self, permit: Permit, score: Option<f64>, now: u64) -> Option<Option<Event>> {
        if let Some(score) = score
            && self.keep(permit, None, Some(Score::quantise(score).expect("a score")), now)
        {
            return Some(None);
        }
        self.drain();
        let event = self.eager.late(permit, score, now);
        self.grant(now);
        event
    }

    fn status(&mut self, now: u64) -> Status {
        self.drain();
        let status = self.eager.status(now);
        self.grant(now);
        status
    }

    fn asked(&mut self) -> Option<Event> {
        self.eager.asked()
    }
}

fn eager(policy: &Arc<Policy>) -> Eager {
    Eager { breaker: Breaker::new(policy.clone(), "test", 0, 0), asked: None }
}

#[test]
fn a_leased_host_decides_as_an_eager_one() {
    let (trips, tripped, settled, unasked) = (Cell::new(0u64), Cell::new(0u64), Cell::new(0u64), Cell::new(0u64));
    let histories = (policy(false), service().prop_flat_map(|service| prop::collection::vec(call(service), 1..150)));
    let config = Config { cases: HISTORIES, failure_persistence: None, ..Config::default() };
    let outcome = TestRunner::new(config).run(&histories, |(text, calls)| {
        let policy = Arc::new(Policy::parse(&text).map_err(|problems| TestCaseError::fail(format!("{problems:?}")))?);
        let expected = drive(&mut eager(&policy), &calls);
        let mut leased =
            Leased { eager: eager(&policy), held: Held::Ask, waiting: Waiting::default(), latest: 0, unasked: 0 };
        let found = drive(&mut leased, &calls);
        prop_assert_eq!(&expected, &found, "{}", text);
        let opened = expected.events.iter().filter(|(_, event)| event.open_until.is_some()).count() as u64;
        trips.set(trips.get() + opened);
        tripped.set(tripped.get() + u64::from(opened > 0));
        settled.set(settled.get() + expected.statuses.last().map_or(0, |status| status.totals.calls()));
        unasked.set(unasked.get() + leased.unasked);
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
    let share = unasked.get() as f64 / settled.get() as f64;
    println!(
        "{HISTORIES} histories, {} trips in {} of them, {:.0} % of {} outcomes recorded late",
        trips.get(),
        tripped.get(),
        share * 100.0,
        settled.get()
    );
    assert!(tripped.get() > u64::from(HISTORIES) / 10, "a test that never trips proves nothing");
    assert!(share > 0.2, "a host that always asks proves nothing");
}

#[test]
fn outcomes_that_a_hosts_own_condition_must_see_never_wait() {
    let text = "trip_on = { all_of = [{ host_condition = \"mine\" }, { consecutive_failures = 3 }] }";
    let policy = Arc::new(Policy::parse(text).expect("a good policy"));
    let granted = eager(&policy).breaker;
    let Lease::Admit { permit, terms } = granted.grant_lease(0) else { panic!("a closed circuit admits") };
    assert_eq!((permit, terms.outcomes_max), (Permit::from_bits(0), 0));
}

#[test]
fn an_ended_lease_records_nothing_but_totals() {
    let policy = Arc::new(Policy::parse("trip_on = { consecutive_failures = 1 }").expect("a good policy"));
    let mut breaker = Breaker::new(policy, "test", 0, 0);
    let Lease::Admit { permit, .. } = breaker.grant_lease(0) else { panic!("a closed circuit leases") };
    breaker.record_outcome(permit, &Outcome::new(OutcomeKind::Error, MS), 1).expect("a permit that was given");
    assert_eq!(breaker.permit_standing(permit, 2), Standing::Stale);
    let scores = [Score::quantise(0.5).expect("a score")];
    let batch = LeasedBatch { successes: 1, scores: &scores, refused: 4, ..LeasedBatch::default() };
    let settled = breaker.record_leased(permit, batch, 3).expect("a permit that was given");
    assert_eq!((settled.stale, settled.event), (true, None));
    let totals = breaker.status(3).totals;
    assert_eq!((totals.successes, totals.stale, totals.rejections), (1, 1, 4));
    let never = Permit::from_bits(9 << 32);
    assert_eq!(breaker.record_leased(never, batch, 3), Err(LeasedError::UnknownPermit));
    let uneven = LeasedBatch { successes: 2, latencies: &[1], ..LeasedBatch::default() };
    assert_eq!(breaker.record_leased(permit, uneven, 3), Err(LeasedError::UnequalColumns));
    assert_eq!(breaker.status(3).totals, totals);
    // What hands in nothing needs no permit.
    assert!(breaker.record_leased(never, LeasedBatch::default(), 3).is_ok());
}
