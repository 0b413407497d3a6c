//! Every sequence of up to six events, on policies small enough that they reach every state: the core is pure and
//! single-threaded, so nothing is left to chance.

use softfuse_core::{
    Breaker, Effect, Event, Outcome, OutcomeKind, Permit, Policy, QualityReport, RecordError, Signal, State,
};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

const MS: u64 = 1_000_000;
const DEPTH: usize = 6;

#[derive(Clone, Copy, Debug)]
enum Step {
    /// Asks for a permit and keeps it.
    Before,
    /// Settles the oldest kept permit.
    Good,
    Bad,
    Cancelled,
    /// A late score for the permit that was settled last.
    LateBad,
    /// Settles the oldest kept permit, its score owed.
    Pending,
    /// A call from start to end.
    GoodCall,
    BadCall,
    /// As long as the open period and the probes' deadline.
    Wait,
}

const ALPHABET: [Step; 9] = [
    Step::Before,
    Step::Good,
    Step::Bad,
    Step::Cancelled,
    Step::LateBad,
    Step::Pending,
    Step::GoodCall,
    Step::BadCall,
    Step::Wait,
];

const PERIOD: u64 = 100 * MS;

fn policies() -> Vec<Arc<Policy>> {
    let mut policies = Vec::new();
    for window in 1..=3 {
        for recovery in 1..=2 {
            for tree in [
                format!("{{ quality_below = {{ threshold = 0.5, window = {window} }} }}"),
                format!("{{ error_rate_above = {{ rate = 0.4, window = {window} }} }}"),
                format!(
                    "{{ any_of = [{{ consecutive_failures = 2 }}, {{ all_of = [{{ quality_below = {{ threshold = 0.5, \
                     window = {window} }} }}, {{ error_rate_above = {{ rate = 0.0, window = 2, minimum_calls = 1 }} }}] }}] }}"
                ),
            ] {
                let text = format!(
                    "trip_on = {tree}\nhalf_open_after = \"100ms\"\nprobe_timeout = \"100ms\"\nhalf_open_max_calls = 2\n\
                     recovery_threshold = {recovery}\n"
                );
                policies.push(Arc::new(Policy::parse(&text).expect("a good policy")));
            }
        }
    }
    policies
}

/// A breaker with what its host remembers.
#[derive(Clone)]
struct World {
    breaker: Breaker,
    now: u64,
    kept: Vec<Permit>,
    settled: Option<Permit>,
}

#[derive(Default)]
struct Reached {
    states: BTreeSet<&'static str>,
    sequences: u64,
    trips: u64,
    closings: u64,
    full: u64,
}

impl World {
    fn step(&mut self, step: Step, reached: &mut Reached) {
        match step {
            Step::Before => self.before(reached),
            Step::Good | Step::Bad | Step::Cancelled | Step::Pending => {
                if !self.kept.is_empty() {
                    let permit = self.kept.remove(0);
                    self.settle(permit, step, reached);
                }
            }
            Step::GoodCall | Step::BadCall => {
                let kept = self.kept.len();
                self.before(reached);
                if self.kept.len() > kept {
                    let permit = self.kept.remove(kept);
                    let ending = if matches!(step, Step::GoodCall) { Step::Good } else { Step::Bad };
                    self.settle(permit, ending, reached);
                }
            }
            Step::LateBad => {
                if let Some(permit) = self.settled {
                    let before = self.breaker.clone();
                    match self.breaker.report_quality(permit, QualityReport::Score(0.0), self.now) {
                        Ok(settled) => self.check_event(&before, settled.event.as_deref(), reached),
                        Err(error) => {
                            assert_eq!(error, RecordError::Stale, "of a permit that was given");
                            assert_eq!(before.status(self.now), self.breaker.status(self.now), "refused, yet changed");
                        }
                    }
                }
            }
            Step::Wait => self.now += PERIOD,
        }
        self.check_invariants();
    }

    fn before(&mut self, reached: &mut Reached) {
        let before = self.breaker.clone();
        let would_refuse = before.would_refuse(self.now).map(|r| (r.state, r.retry_after, r.trip_count));
        match self.breaker.before_call(self.now) {
            Ok(admission) => {
                assert_eq!(would_refuse, None, "admitted what it would refuse");
                self.kept.push(admission.permit);
                self.check_event(&before, admission.event.as_deref(), reached);
            }
            Err(rejection) => {
                let said = (rejection.state, rejection.retry_after, rejection.trip_count);
                assert_eq!(would_refuse, Some(said), "refused otherwise than it would");
                self.check_retry_after(&before, rejection_wait(said));
                if said.0 == State::HalfOpen {
                    reached.full += 1;
                }
            }
        }
    }

    /// Refused until exactly the promised instant.
    fn check_retry_after(&self, before: &Breaker, wait: Option<u64>) {
        let Some(wait) = wait else { return };
        assert!(wait > 0, "a wait of nothing is no wait");
        let mut early = before.clone();
        assert!(early.before_call(self.now + wait - 1).is_err(), "admitted 1 ns before the promised instant");
        assert!(early.before_call(self.now + wait).is_ok(), "refused at the promised instant");
    }

    fn settle(&mut self, permit: Permit, ending: Step, reached: &mut Reached) {
        let (kind, signal) = match ending {
            Step::Good => (OutcomeKind::Success, Signal::Score(0.9)),
            Step::Bad => (OutcomeKind::Error, Signal::Score(0.1)),
            Step::Pending => (OutcomeKind::Success, Signal::Pending),
            _ => (OutcomeKind::Cancelled, Signal::Score(0.0)),
        };
        let before = self.breaker.clone();
        let outcome = Outcome { signal, ..Outcome::new(kind, MS) };
        let settled = self.breaker.record_outcome(permit, &outcome, self.now).expect("a permit that was given");
        self.settled = Some(permit);
        if permit.generation() != before.status(self.now).generation {
            assert_eq!(settled.effect, Effect::Stale);
        }
        if settled.effect == Effect::Stale {
            assert_eq!(settled.event, None, "a stale permit moved a state");
            let (old, new) = (before.status(self.now), self.breaker.status(self.now));
            assert_eq!((old.conditions, old.consecutive_failures), (new.conditions, new.consecutive_failures));
            assert_eq!(old.totals.stale + 1, new.totals.stale);
        }
        self.check_event(&before, settled.event.as_deref(), reached);
    }

    fn check_event(&self, before: &Breaker, event: Option<&Event>, reached: &mut Reached) {
        let (old, new) = (before.state(), self.breaker.state());
        let Some(event) = event else {
            assert_eq!(old, new, "the state changed without an event");
            return;
        };
        assert_eq!((event.old, event.new), (old, new));
        assert_eq!(event.generation, before.status(self.now).generation + 1, "a transition begins a generation");
        match new {
            State::Open => reached.trips += 1,
            State::Closed => reached.closings += 1,
            _ => {}
        }
        if matches!(new, State::HalfOpen | State::Closed) {
            let fresh = self.breaker.status(self.now).conditions.iter().all(|reading| reading.filled == 0);
            assert!(fresh, "windows start fresh");
        }
    }

    fn check_invariants(&self) {
        let status = self.breaker.status(self.now);
        let needed = 2 - status.passed_probes.min(2);
        assert!(status.live_probes <= needed.min(2), "more live probes than passes are needed: {status:?}");
        assert_eq!(status.retry_after.is_some(), status.state == State::Open);
        if status.state == State::HalfOpen {
            let calls = status.conditions.iter().filter(|reading| reading.path.ends_with("error_rate_above"));
            let most = calls.map(|reading| reading.filled).max().unwrap_or(0);
            assert!(most <= status.passed_probes, "a probe that hasn't passed is in a window: {status:?}");
        }
        let bytes = self.breaker.snapshot(self.now);
        let restored = Breaker::restore(self.breaker.policy().clone(), &bytes, self.now, 0).expect("its own snapshot");
        assert_eq!(restored.status(self.now), status);
        assert_eq!(restored.snapshot(self.now), bytes, "a snapshot of the restored breaker is the same");
    }
}

fn rejection_wait((_, wait, _): (State, Option<u64>, u64)) -> Option<u64> {
    wait
}

/// All that a world's future depends on: sequences that lead to the same world needn't be followed twice.
fn key(world: &World) -> (Vec<u8>, u64, Vec<u64>, Option<u64>) {
    let kept = world.kept.iter().map(|permit| permit.bits()).collect();
    (world.breaker.snapshot(world.now), world.now, kept, world.settled.map(Permit::bits))
}

/// Every world that so many steps lead to, with the number of sequences that do.
fn walk(policy: &Arc<Policy>, reached: &mut Reached) {
    let world = World { breaker: Breaker::new(policy.clone(), "test", 0, 0), now: 0, kept: vec![], settled: None };
    let mut worlds = HashMap::from([(key(&world), (world, 1u64))]);
    for _ in 0..DEPTH {
        let mut next = HashMap::new();
        for (world, sequences) in worlds.into_values() {
            for step in ALPHABET {
                let mut after = world.clone();
                after.step(step, reached);
                reached.states.insert(after.breaker.state().name());
                next.entry(key(&after)).or_insert((after, 0)).1 += sequences;
            }
        }
        worlds = next;
    }
    reached.sequences += worlds.values().map(|(_, sequences)| sequences).sum::<u64>();
}

#[test]
fn every_short_sequence_keeps_the_invariants() {
    let mut all = Reached::default();
    let policies = policies();
    for policy in &policies {
        let mut reached = Reached::default();
        walk(policy, &mut reached);
        assert!(reached.trips > 0, "a test that never trips proves nothing");
        assert!(["closed", "half-open", "open"].iter().all(|state| reached.states.contains(state)));
        all.sequences += reached.sequences;
        all.closings += reached.closings;
        all.full += reached.full;
    }
    assert_eq!(all.sequences, (ALPHABET.len() as u64).pow(DEPTH as u32) * policies.len() as u64);
    assert!(all.closings > 0 && all.full > 0, "{} closings, {} refusals while half-open", all.closings, all.full);
}
