//! Eager against leased: the same history, recorded at once and under leases, gives the same decisions.
//!
//! The host's half of a lease is written here as plainly as the contract says it: a permit to hand out, integers to count
//! down, a buffer. Services are healthy and failing alike; a run that never trips would prove nothing, so trips are
//! counted.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use softfuse_core::{
    AdmitTerms, Breaker, Entry, Event, Lease, Outcome, OutcomeKind, Permit, Policy, QualityReport, Score, Signal,
    Standing, Status,
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
    Admit { permit: Permit, terms: AdmitTerms, sum: i64, scores: usize },
    Refuse { until: Option<u64> },
}

struct Leased {
    eager: Eager,
    held: Held,
    waiting: Vec<(u64, Entry)>,
    refused: u64,
    latest: u64,
    /// How many outcomes never asked.
    unasked: u64,
}

impl Leased {
    fn drain(&mut self) {
        if !self.waiting.is_empty() || self.refused > 0 {
            let permit = match &self.held {
                Held::Admit { permit, .. } => *permit,
                _ => Permit::from_bits(0),
            };
            let settled = self.eager.breaker.record_leased(permit, self.waiting.drain(..), self.refused, self.latest);
            let settled = settled.expect("a permit that was leased");
            assert_eq!((settled.events, settled.stale), (vec![], 0), "a lease that was kept changes nothing");
            self.refused = 0;
        }
        self.held = Held::Ask;
    }

    fn grant(&mut self, now: u64) {
        self.held = match self.eager.breaker.grant_lease(now) {
            Lease::Ask => Held::Ask,
            Lease::Admit { permit, terms } => Held::Admit { permit, terms, sum: 0, scores: 0 },
            Lease::Refuse { until, .. } => Held::Refuse { until: until.map(|at| at.as_nanos().unsigned_abs()) },
        };
    }

    /// Keeps an entry for later, where it is benign.
    fn keep(&mut self, of: Permit, entry: Entry, now: u64) -> bool {
        let Held::Admit { permit, terms, sum, scores } = &mut self.held else { return false };
        let (latency, score) = match entry {
            Entry::Success { latency, score, pending } => {
                (latency, if pending { score } else { score.or(terms.missing_score) })
            }
            Entry::Late(score) => (0, score.or(terms.missing_score)),
        };
        let benign = of == *permit
            && self.waiting.len() < terms.outcomes_max as usize
            && terms.until.is_none_or(|until| (now as i64) < until.as_nanos())
            && terms.latency_max.is_none_or(|most| latency <= most);
        if !benign {
            return false;
        }
        if let (Some(score), Some(sums_min)) = (score, &terms.score_sums_min) {
            let after = *sum + score.units();
            if sums_min.get(*scores).is_none_or(|least| after < *least) {
                return false;
            }
            (*sum, *scores) = (after, *scores + 1);
        }
        self.waiting.push((now, entry));
        self.unasked += 1;
        true
    }
}

impl Host for Leased {
    fn begin(&mut self, now: u64) -> Result<Permit, Option<u64>> {
        self.latest = now;
        match &self.held {
            Held::Admit { permit, .. } => return Ok(*permit),
            Held::Refuse { until } if until.is_none_or(|until| now < until) => {
                self.refused += 1;
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
        let score = match outcome.signal {
            Signal::Score(score) => Some(Score::quantise(score).expect("a score")),
            _ => None,
        };
        let pending = outcome.signal == Signal::Pending;
        if success && self.keep(permit, Entry::Success { latency: outcome.latency, score, pending }, now) {
            return None;
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
                let (until, latency_max, missing_score, score_sums_min) = (None, None, None, None);
                let terms = AdmitTerms { outcomes_max: 0, until, latency_max, missing_score, score_sums_min };
                self.held = Held::Admit { permit, terms, sum: 0, scores: 0 };
            }
            _ => self.grant(now),
        }
        event
    }

    fn late(&mut self, permit: Permit, score: Option<f64>, now: u64) -> Option<Option<Event>> {
        let entry = Entry::Late(score.map(|score| Score::quantise(score).expect("a score")));
        if self.keep(permit, entry, now) {
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
            Leased { eager: eager(&policy), held: Held::Ask, waiting: vec![], refused: 0, latest: 0, unasked: 0 };
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
    let entries = [(2, Entry::Success { latency: MS, score: None, pending: false }), (3, Entry::Late(None))];
    let settled = breaker.record_leased(permit, entries, 4, 3).expect("a permit that was given");
    assert_eq!((settled.stale, settled.events.len()), (2, 0));
    let totals = breaker.status(3).totals;
    assert_eq!((totals.successes, totals.stale, totals.rejections), (1, 1, 4));
    let never = Permit::from_bits(9 << 32);
    assert!(breaker.record_leased(never, [], 0, 0).is_err());
}
