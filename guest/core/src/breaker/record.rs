//! Settling permits, and scores that come late.

use super::{Breaker, Phase, Standing};
use crate::condition::Record;
use crate::event::{EventReason, MaybeEvent, TripReason};
use crate::outcome::{Class, Outcome, OutcomeKind, QualityReport, Signal};
use crate::permit::Permit;
use crate::score::{InvalidScore, Score};
use crate::time::{Instant, Nanos};

/// What became of a settled outcome or a late score.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It took its place in the windows.
    Recorded,
    /// A probe passed or failed by it.
    Probed,
    /// Totals changed, nothing else.
    Ignored,
    /// Totals changed, nothing else, since it came too late.
    Stale,
    /// Kept with its live probe: an outcome whose score is owed, or a score that came before its outcome.
    Pending,
}

/// An outcome or a late score was taken.
#[derive(Clone, Debug, PartialEq)]
pub struct Settlement {
    /// What became of it.
    pub effect: Effect,
    /// The change of state that it brought about.
    pub event: MaybeEvent,
}

impl From<Effect> for Settlement {
    fn from(effect: Effect) -> Self {
        Self { effect, event: None }
    }
}

/// Why nothing was taken. Nothing has changed then.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RecordError {
    /// Never given out by this breaker.
    UnknownPermit,
    /// A late score of an earlier generation, or of a probe that is gone.
    Stale,
    /// NaN, infinite or too large.
    InvalidScore(f64),
    /// The policy asks for this number of verdicts.
    InvalidVerdicts(u32),
}

impl From<InvalidScore> for RecordError {
    fn from(error: InvalidScore) -> Self {
        Self::InvalidScore(error.0)
    }
}

/// An outcome's signal, checked.
#[derive(Clone, Copy)]
pub(super) enum Checked {
    None,
    Score(Score),
    Pending,
}

impl Checked {
    pub(super) fn score(self) -> Option<Score> {
        if let Self::Score(score) = self { Some(score) } else { None }
    }
}

impl Breaker {
    /// Settles a permit.
    ///
    /// # Errors
    /// For permits that were never given out, bad scores, and a wrong number of verdicts; nothing has changed then.
    pub fn record_outcome(
        &mut self,
        permit: Permit,
        outcome: &Outcome<'_>,
        now: Nanos,
    ) -> Result<Settlement, RecordError> {
        let standing = self.permit_standing(permit, now);
        let signal = match outcome.signal {
            Signal::None => Checked::None,
            Signal::Score(score) => Checked::Score(Score::quantise(score)?),
            Signal::Pending => Checked::Pending,
        };
        let class = outcome.kind.class();
        let judged = class != Class::Neutral && matches!(standing, Standing::Current | Standing::Probe);
        match standing {
            Standing::Unknown => return Err(RecordError::UnknownPermit),
            _ if judged && outcome.verdicts.len() != self.policy.host_conditions.len() => {
                // At most CONDITIONS_MAX.
                return Err(RecordError::InvalidVerdicts(self.policy.host_conditions.len() as u32));
            }
            _ => {}
        }
        let now = self.see(now);
        self.take_hint(outcome.retry_after, standing, now);
        self.count(class, standing == Standing::Stale);
        Ok(match (standing, class) {
            (Standing::Stale, _) => Effect::Stale.into(),
            (_, Class::Neutral) => {
                if let Phase::HalfOpen(half_open) = &mut self.phase {
                    half_open.free(permit.probe());
                }
                Effect::Ignored.into()
            }
            (Standing::Probe, _) => self.record_probe(permit.probe(), outcome, signal, now),
            _ => {
                let failed = class == Class::Failure;
                let score = self.score_or_missing(signal, failed);
                let record = Record { failed, latency: outcome.latency, score, verdicts: outcome.verdicts };
                self.record_current(&record, outcome.kind, now)
            }
        })
    }

    /// Hands in a score after its outcome was settled, or a live probe's before.
    ///
    /// # Errors
    /// For permits that were never given out or are stale, and bad scores; nothing has changed then.
    pub fn report_quality(
        &mut self,
        permit: Permit,
        report: QualityReport,
        now: Nanos,
    ) -> Result<Settlement, RecordError> {
        let score = match report {
            QualityReport::Score(score) => Some(Score::quantise(score)?),
            QualityReport::Missing => self.policy.missing(),
        };
        match self.permit_standing(permit, now) {
            Standing::Unknown => Err(RecordError::UnknownPermit),
            Standing::Current => {
                let now = self.see(now);
                Ok(self.record_late(score, now))
            }
            // A probe that is settled is no longer a probe to settle, but its score may still count.
            Standing::Probe | Standing::Stale => {
                let seen = self.peek(now);
                let Phase::HalfOpen(half_open) = &mut self.phase else { return Err(RecordError::Stale) };
                if permit.generation() != self.generation {
                    return Err(RecordError::Stale);
                }
                let number = permit.probe();
                let passed = half_open.passed.contains(&number);
                let live = half_open.live(number).filter(|probe| seen < probe.deadline);
                match live {
                    Some(probe) => {
                        let owed = probe.owed.take();
                        if owed.is_none() && matches!(report, QualityReport::Score(_)) {
                            probe.score = score;
                        }
                        self.latest = seen;
                        Ok(owed.map_or(Effect::Pending.into(), |owed| self.pass(number, &owed.record(score), seen)))
                    }
                    None if passed => {
                        self.latest = seen;
                        Ok(self.add_probe_score(score, seen))
                    }
                    None => Err(RecordError::Stale),
                }
            }
        }
    }

    /// A record of a closed or metrics-only circuit; a disabled one looks away.
    pub(super) fn record_current(&mut self, record: &Record<'_>, kind: OutcomeKind, now: Instant) -> Settlement {
        if matches!(self.phase, Phase::Disabled) {
            return Effect::Ignored.into();
        }
        self.take_place(record, kind, now);
        Settlement { effect: Effect::Recorded, event: self.evaluate(now) }
    }

    /// A record takes its place: in the streaks, the load and every condition's window.
    fn take_place(&mut self, record: &Record<'_>, kind: OutcomeKind, now: Instant) {
        self.count_settled(record.failed, kind, now);
        self.show(record, now);
    }

    /// Shows a record to every condition's window.
    pub(super) fn show(&mut self, record: &Record<'_>, now: Instant) {
        let since_origin = self.origin.distance(now);
        self.tree.record(&self.policy.leaves, record, since_origin);
    }

    /// Shows a late score to the windows of scores.
    pub(super) fn show_late(&mut self, score: Score, now: Instant) {
        let since_origin = self.origin.distance(now);
        self.tree.record_late(&self.policy.leaves, score, since_origin);
    }

    /// A settled outcome counts in the streaks and the load, whether or not it comes to the windows.
    pub(super) fn count_settled(&mut self, failed: bool, kind: OutcomeKind, now: Instant) {
        if failed {
            self.count_failure(kind, now);
        } else {
            self.count_successes(1);
        }
        self.note_load(now);
    }

    /// A late score of a closed or metrics-only circuit.
    pub(super) fn record_late(&mut self, score: Option<Score>, now: Instant) -> Settlement {
        let Some(score) = score else { return Effect::Ignored.into() };
        if matches!(self.phase, Phase::Disabled) {
            return Effect::Ignored.into();
        }
        self.show_late(score, now);
        Settlement { effect: Effect::Recorded, event: self.evaluate(now) }
    }

    /// Trips where the policy's tree holds.
    pub(super) fn evaluate(&mut self, now: Instant) -> MaybeEvent {
        let failures = self.failures_limit(now);
        let leaves = &self.policy.leaves;
        if !self.policy.tree.holds(&|index| self.tree.leaf_holds(leaves, index, failures)) {
            return None;
        }
        let reason = TripReason::Conditions(self.tree.causes(&self.policy.tree, leaves, failures));
        Some(self.trip_or_say(reason, None, now))
    }

    /// Opens; or, while metrics-only, says so and starts afresh.
    pub(super) fn trip_or_say(
        &mut self,
        reason: TripReason,
        open_for: Option<Nanos>,
        now: Instant,
    ) -> alloc::boxed::Box<crate::event::Event> {
        if matches!(self.phase, Phase::MetricsOnly) {
            self.refresh_windows();
            self.event(now, self.state(), EventReason::WouldHaveTripped(reason))
        } else {
            self.open(reason, open_for, now)
        }
    }

    /// A success without a score counts as the policy's missing score, unless its score is owed.
    pub(super) fn score_or_missing(&self, signal: Checked, failed: bool) -> Option<Score> {
        match signal {
            Checked::Score(score) => Some(score),
            Checked::None if !failed => self.policy.missing(),
            Checked::None | Checked::Pending => None,
        }
    }

    /// `Retry-After` extends an open period. Otherwise it is kept for the trip of its generation; a stale one isn't.
    fn take_hint(&mut self, retry_after: Option<Nanos>, standing: Standing, now: Instant) {
        let Some(retry_after) = retry_after else { return };
        let hint = now.plus(retry_after.min(self.policy.retry_after_max));
        match &mut self.phase {
            Phase::Open { until } => **until = hint.max(**until),
            _ if standing == Standing::Stale => {}
            _ => {
                let kept = &mut self.rare_mut().hint_until;
                *kept = Some(kept.map_or(hint, |kept| kept.max(hint)));
            }
        }
    }

    pub(super) fn count(&mut self, class: Class, stale: bool) {
        let counter = match class {
            Class::Success => &mut self.successes,
            Class::Failure => &mut self.failures,
            Class::Neutral => &mut self.rare_mut().neutral,
        };
        *counter = counter.saturating_add(1);
        self.count_stale(u64::from(stale));
    }
}
