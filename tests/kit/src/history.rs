//! Random histories: calls in order and out of it, scores late and bad, clocks that run backwards, hostile permits.

use crate::{Ending, FAILURES, NEUTRAL, SUCCESS, Seen, SignalIn, StatusSeen, Subject};
use proptest::prelude::*;

const MS: u64 = 1_000_000;
/// Permits that a history remembers; older ones are forgotten, as by a caller that is gone.
const PERMITS_MAX: usize = 64;

/// One step of a history.
#[derive(Clone, Debug)]
pub enum Op {
    /// A call that is settled before anything else happens, so many times.
    Calls(u8, Ending),
    /// Asks for a permit and keeps it.
    Before,
    /// Settles a kept permit, or one that was settled already.
    Settle(u8, Ending),
    /// A late score, or none; for a kept or settled permit.
    Report(u8, Option<f64>),
    /// A permit out of thin air.
    Hostile(u64, Ending),
    /// Whether a call would be refused.
    WouldRefuse,
    /// Time goes by.
    Advance(u64),
    /// The clock is read by a thread that was held up.
    Back(u64),
    /// `reset`.
    Reset,
    /// An operator's state.
    Operator(u8),
    /// A trip by the host.
    Trip(Option<u64>),
    /// Snapshot and restore, this long after.
    Reincarnate(u64),
}

/// What was seen in a history.
#[derive(Debug, Default, PartialEq)]
pub struct Observed {
    /// Every answer.
    pub answers: Vec<Seen>,
    /// The status at the end, and wherever the circuit changed its state.
    pub statuses: Vec<StatusSeen>,
}

impl Observed {
    /// How often the circuit opened.
    pub fn trips(&self) -> usize {
        self.answers.iter().filter(|seen| seen.event.as_ref().is_some_and(|event| event.kind == "tripped")).count()
    }
}

fn ending(verdicts: usize) -> impl Strategy<Value = Ending> {
    let kind =
        prop_oneof![6 => Just(SUCCESS), 4 => prop::sample::select(&FAILURES), 1 => prop::sample::select(&NEUTRAL)];
    let latency = prop_oneof![4 => 0..15 * MS, 2 => 0..40 * MS, 1 => Just(5 * MS), 1 => any::<u64>()];
    let signal = prop_oneof![
        3 => Just(SignalIn::None),
        5 => score().prop_map(SignalIn::Score),
        1 => Just(SignalIn::Pending),
    ];
    let retry_after = prop_oneof![8 => Just(None), 1 => (0..300 * MS).prop_map(Some), 1 => any::<u64>().prop_map(Some)];
    let verdict = prop_oneof![4 => Just(None), 1 => Just(Some(String::from("the host says so")))];
    let verdicts = prop_oneof![
        30 => prop::collection::vec(verdict, verdicts),
        1 => Just(vec![None; verdicts + 1]),
    ];
    (kind, latency, signal, retry_after, verdicts).prop_map(|(kind, latency, signal, retry_after, verdicts)| Ending {
        kind,
        latency,
        signal,
        retry_after,
        verdicts,
    })
}

fn score() -> impl Strategy<Value = f64> {
    prop_oneof![
        8 => 0.4..1.0f64,
        3 => 0.0..0.6f64,
        2 => prop::sample::select(vec![0.7, 0.5, 1.0, 0.0]),
        1 => prop::sample::select(vec![f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e6, -1e6, 2e6, 1e300, -0.0]),
    ]
}

fn op(verdicts: usize) -> impl Strategy<Value = Op> {
    prop_oneof![
        12 => (1..12u8, ending(verdicts)).prop_map(|(times, ending)| Op::Calls(times, ending)),
        6 => Just(Op::Before),
        6 => (any::<u8>(), ending(verdicts)).prop_map(|(which, ending)| Op::Settle(which, ending)),
        4 => (any::<u8>(), prop::option::weighted(0.9, score())).prop_map(|(which, score)| Op::Report(which, score)),
        1 => (hostile(), ending(verdicts)).prop_map(|(bits, ending)| Op::Hostile(bits, ending)),
        1 => Just(Op::WouldRefuse),
        8 => (0..150 * MS).prop_map(Op::Advance),
        1 => prop::sample::select(vec![60_000 * MS, u64::MAX, 500 * MS, 20 * MS, 100 * MS]).prop_map(Op::Advance),
        1 => any::<u64>().prop_map(Op::Back),
        1 => Just(Op::Reset),
        1 => (0..3u8).prop_map(Op::Operator),
        1 => prop::option::of(0..400 * MS).prop_map(Op::Trip),
        1 => (0..200 * MS).prop_map(Op::Reincarnate),
    ]
}

/// Numbers near those that are given out, and others.
fn hostile() -> impl Strategy<Value = u64> {
    prop_oneof![any::<u64>(), (0..12u64, 0..6u64).prop_map(|(generation, probe)| generation << 32 | probe)]
}

/// A history of up to `ops_max` steps, for a policy with so many host conditions.
pub fn history(ops_max: usize, verdicts: usize) -> impl Strategy<Value = Vec<Op>> {
    prop::collection::vec(op(verdicts), 1..ops_max)
}

struct Run {
    now: u64,
    permits: Vec<u64>,
    observed: Observed,
}

/// Drives a subject through a history.
pub fn run(ops: &[Op], subject: &mut dyn Subject) -> Observed {
    let mut run = Run { now: 0, permits: Vec::new(), observed: Observed::default() };
    for op in ops {
        run.step(op, subject);
    }
    run.observed.statuses.push(subject.status(run.now));
    run.observed
}

impl Run {
    fn step(&mut self, op: &Op, subject: &mut dyn Subject) {
        let now = self.now;
        match op {
            Op::Calls(times, ending) => {
                for _ in 0..*times {
                    let before = subject.before(self.now);
                    let permit = before.permit;
                    self.note(before, subject);
                    let Some(permit) = permit else { break };
                    // Latencies may be absurd; the clock goes on by a little.
                    self.now = self.now.saturating_add(ending.latency.min(20 * MS));
                    let settled = subject.settle(permit, ending, self.now);
                    self.note(settled, subject);
                    self.keep(permit);
                }
            }
            Op::Before => {
                let before = subject.before(now);
                if let Some(permit) = before.permit {
                    self.keep(permit);
                }
                self.note(before, subject);
            }
            Op::Settle(which, ending) => {
                if let Some(permit) = self.pick(*which) {
                    let settled = subject.settle(permit, ending, now);
                    self.note(settled, subject);
                }
            }
            Op::Report(which, score) => {
                if let Some(permit) = self.pick(*which) {
                    let reported = subject.report(permit, *score, now);
                    self.note(reported, subject);
                }
            }
            Op::Hostile(bits, ending) => {
                let settled = subject.settle(*bits, ending, now);
                self.note(settled, subject);
                let reported = subject.report(*bits, Some(0.1), now);
                self.note(reported, subject);
            }
            Op::WouldRefuse => {
                let answer = subject.would_refuse(now);
                self.note(answer, subject);
            }
            Op::Advance(span) => self.now = now.saturating_add(*span),
            Op::Back(back) => {
                let before = subject.before(now.saturating_sub(*back));
                self.note(before, subject);
            }
            Op::Reset => {
                let reset = subject.reset(now);
                self.note(reset, subject);
            }
            Op::Operator(which) => {
                let set = subject.operator(["forced-open", "disabled", "metrics-only"][usize::from(*which % 3)], now);
                self.note(set, subject);
            }
            Op::Trip(open_for) => {
                let tripped = subject.trip("the host wants it", *open_for, now);
                self.note(tripped, subject);
            }
            Op::Reincarnate(away) => {
                self.now = now.saturating_add(*away);
                subject.reincarnate(now, self.now, *away);
            }
        }
    }

    fn note(&mut self, seen: Seen, subject: &mut dyn Subject) {
        if seen.event.is_some() {
            self.observed.statuses.push(subject.status(self.now));
        }
        self.observed.answers.push(seen);
    }

    fn keep(&mut self, permit: u64) {
        if self.permits.len() == PERMITS_MAX {
            self.permits.remove(0);
        }
        self.permits.push(permit);
    }

    /// A kept permit, the newest first, since those are the ones that count.
    fn pick(&self, which: u8) -> Option<u64> {
        let back = usize::from(which) % self.permits.len().max(1);
        self.permits.iter().rev().nth(back / 8).copied()
    }
}
