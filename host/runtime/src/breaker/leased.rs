//! Leases: calls that are admitted, refused and recorded without asking the component, as it has allowed beforehand.
//!
//! What a lease keeps lies in [`softfuse_lease`], where threads meet without a lock. Here is the owner's part, under the
//! breaker's lock: to hand what was kept to the component before anything else, and to ask for a lease anew when that pays.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use softfuse_lease::{Admission, Batch, Entry, Lease, Owner, Terms};

use super::Shared;
use crate::bindings::breaker as wit;
use crate::component::Seated;
use crate::error::{ComponentFailure, Rejected};
use crate::metrics::BreakerMeters;
use crate::types::{Effect, Outcome, OutcomeKind, Score, Signal, State, Time, span_nanos};

/// A lease that kept fewer outcomes than this didn't pay: its terms cost the component more than recording at once.
const KEPT_MIN: usize = 4;
/// Outcomes that are recorded at once, at most, before another lease is tried.
const PAUSE_MAX: u32 = 64;

/// [`Terms::tag`]: what becomes of an outcome that is kept.
const RECORDED: u32 = 0;
/// The circuit is disabled, and looks away.
const IGNORED: u32 = 1;

/// What all threads see of a breaker's lease.
#[derive(Debug, Default)]
pub(super) struct Leased {
    lease: std::sync::OnceLock<Lease>,
    /// The latest time that the component has seen.
    told: AtomicU64,
    /// The incarnation in which it was granted.
    incarnation: AtomicU64,
    /// How calls are refused under it.
    refusal: ArcSwapOption<Refusal>,
}

#[derive(Debug)]
struct Refusal {
    state: State,
    reason: Option<Arc<str>>,
    trip_count: u64,
    until: Option<u64>,
}

/// The owner's part.
#[derive(Debug, Default)]
pub(crate) struct Leasing {
    owner: Option<Owner>,
    batch: Batch,
    /// Outcomes may be kept.
    open: bool,
    permit: u64,
    /// What became of a success that was recorded together with what was kept; none where the component never heard of it.
    pub(super) together: Option<Effect>,
    /// The lease that came with it.
    next: Option<wit::Lease>,
    /// Permits that the component was asked for, while no buffer is lent.
    asked: u32,
    /// Outcomes that are recorded at once after a lease that didn't pay, and how many are left.
    pause: u32,
    paused: u32,
}

impl Leased {
    /// A call's admission or refusal, where the component has allowed it beforehand.
    #[inline]
    pub(super) fn admit(&self, now: Time) -> (Admission, u64) {
        // Read first: should the lease be of a later one, a permit that is unknown is taken for lost, not for nonsense.
        let incarnation = self.incarnation.load(Ordering::Acquire);
        let admission = self.lease.get().map_or(Admission::Ask, |lease| lease.admit(now.nanos()));
        (admission, incarnation)
    }

    /// How a call that was refused under the lease is refused.
    pub(super) fn rejected(&self, name: &Arc<str>, now: u64) -> Option<Rejected> {
        let refusal = self.refusal.load();
        let refusal = refusal.as_ref()?;
        Some(Rejected {
            breaker: Arc::clone(name),
            state: refusal.state,
            reason: refusal.reason.clone(),
            trip_count: refusal.trip_count,
            retry_after: refusal.until.map(|until| Duration::from_nanos(until.saturating_sub(now))),
            component_failure: None,
        })
    }

    /// Keeps an outcome for later, where that is benign.
    #[inline]
    pub(super) fn keep(&self, permit: u64, outcome: &Outcome, latency: Duration, now: Time) -> Option<Effect> {
        let lease = self.lease.get()?;
        lease.keep(permit, now.nanos(), entry(outcome, latency)?).map(effect)
    }

    /// Keeps a late score, where that is benign. One that won't come is left to the component: it knows what that counts as.
    pub(super) fn keep_late(&self, permit: u64, score: Score, now: Time) -> Option<Effect> {
        self.lease.get()?.keep(permit, now.nanos(), Entry::Late(Some(score.units()))).map(effect)
    }

    /// The time that counts: time never runs backwards, and the component wasn't told of every call.
    pub(super) fn seen(&self, now: Time) -> Time {
        let latest = self.lease.get().map_or(0, Lease::latest);
        // What was noted came from a time.
        now.max(Time::from_nanos(i64::try_from(latest).unwrap_or(i64::MAX)))
    }

    /// The component has seen this time.
    pub(super) fn note(&self, now: Time) {
        if let Some(lease) = self.lease.get() {
            lease.note(now.nanos());
            self.told.fetch_max(now.nanos(), Ordering::Relaxed);
        }
    }

    /// Whether anything was kept that the component doesn't know of.
    pub(super) fn is_waiting(&self) -> bool {
        self.lease.get().is_some_and(Lease::is_waiting)
    }
}

/// An outcome as what may wait; none for what never may.
#[inline]
fn entry(outcome: &Outcome, latency: Duration) -> Option<Entry> {
    if outcome.kind != OutcomeKind::Success || outcome.retry_after.is_some() {
        return None;
    }
    let (score, pending) = match outcome.signal {
        Signal::None => (None, false),
        Signal::Score(score) => (Some(score.units()), false),
        Signal::Pending => (None, true),
    };
    Some(Entry::Success { latency: span_nanos(latency), score, pending })
}

fn effect(tag: u32) -> Effect {
    if tag == IGNORED { Effect::Ignored } else { Effect::Recorded }
}

impl Leasing {
    /// Takes what was kept, and counts it. Nothing more is kept until the next lease.
    fn take(&mut self, leased: &Leased, meters: &BreakerMeters) {
        self.open = false;
        if let (Some(lease), Some(owner)) = (leased.lease.get(), self.owner.as_mut()) {
            lease.take(owner, &mut self.batch);
            if !self.batch.is_empty() {
                meters.tally().leased(&self.batch);
            }
        }
    }

    /// A lease has ended by an outcome: whether the next is worth its price at once.
    fn set_pace(&mut self) {
        self.pause = if self.batch.len() >= KEPT_MIN { 0 } else { (2 * self.pause).clamp(1, PAUSE_MAX) };
        self.paused = self.pause;
    }

    /// A success for which the lease has no room left, or that isn't benign any more: it may be recorded together with what
    /// was kept, as the last of them.
    pub(super) fn goes_together(&self, permit: u64, outcome: &Outcome, latency: Duration) -> Option<Entry> {
        entry(outcome, latency).filter(|_| self.open && self.permit == permit)
    }

    /// Ends every permission, in every thread: the state has changed, or may have.
    pub(super) fn revoke(&mut self, leased: &Leased) {
        if let (Some(lease), Some(owner)) = (leased.lease.get(), self.owner.as_mut()) {
            lease.ask(owner);
        }
        leased.refusal.store(None);
    }
}

impl Shared {
    /// Ends the lease, and throws away what it kept: how many outcomes the component never heard of. They are counted as
    /// calls, which they were.
    pub(super) fn lose_leased(&self, leasing: &mut Leasing) -> u64 {
        leasing.take(&self.leased, &self.meters);
        leasing.revoke(&self.leased);
        leasing.batch.len() as u64
    }

    /// Hands what was kept to the component, before anything else is asked of it. The changes of state that it made; none,
    /// where the component kept to its lease.
    pub(super) fn record_leased(
        &self,
        leasing: &mut Leasing,
        seated: &mut Seated<'_>,
        asked: Asked,
    ) -> Result<Vec<wit::Event>, ComponentFailure> {
        let was_open = leasing.open;
        (leasing.together, leasing.next) = (None, None);
        leasing.take(&self.leased, &self.meters);
        if was_open && matches!(asked, Asked::Record | Asked::Together(..)) {
            leasing.set_pace();
        }
        let mut latest = self.leased.lease.get().map_or(0, Lease::latest);
        if let Asked::Together(entry, at) = asked {
            latest = latest.max(at);
            leasing.batch.append(entry, at);
            leasing.together = Some(Effect::Lost);
        }
        let renew = matches!(asked, Asked::Together(..)) && leasing.paused == 0;
        let batch = &leasing.batch;
        // What asks sees the latest time by itself; what only looks doesn't.
        let unseen = asked == Asked::Nothing && latest > self.leased.told.load(Ordering::Relaxed);
        if batch.is_empty() && !unseen {
            return Ok(Vec::new());
        }
        let permit = if batch.marks.is_empty() { 0 } else { leasing.permit };
        seated.cell().unsaved += batch.len() as u64;
        let answer = seated.ask(|guest, store, id| {
            let Batch { marks, settled_at, latencies, scores, refused, .. } = batch;
            guest.call_record_leased(store, id, permit, marks, settled_at, latencies, scores, *refused, latest, renew)
        })?;
        self.leased.told.fetch_max(latest, Ordering::Relaxed);
        match answer {
            Ok(settlement) => {
                if matches!(asked, Asked::Together(..)) {
                    let looks_away = self.known_state() == State::Disabled;
                    leasing.together = Some(match settlement.stale {
                        0 if looks_away => Effect::Ignored,
                        0 => Effect::Recorded,
                        _ => Effect::Stale,
                    });
                    leasing.next = settlement.lease;
                }
                Ok(settlement.events)
            }
            Err(error) => Err(seated.nonsense(&format!("what it leased was refused: {error:?}"))),
        }
    }

    /// Asks for a lease where it pays, or where calls wouldn't be admitted without one.
    pub(super) fn renew_lease(
        &self,
        leasing: &mut Leasing,
        seated: &mut Seated<'_>,
        asked: Asked,
        now: Time,
    ) -> Result<(), ComponentFailure> {
        match asked {
            Asked::Nothing | Asked::Change => return Ok(()),
            Asked::Permit if leasing.owner.is_none() => {
                leasing.asked = leasing.asked.saturating_add(1);
                if leasing.asked <= self.home.lease_after {
                    return Ok(());
                }
                let (lease, owner) = Lease::new(self.home.cores);
                if self.leased.lease.set(lease).is_ok() {
                    leasing.owner = Some(owner);
                }
            }
            Asked::Record | Asked::Together(..) if leasing.paused > 0 => {
                leasing.paused -= 1;
                return Ok(());
            }
            Asked::Permit | Asked::Record | Asked::Together(..) => {}
        }
        match (self.known_state(), asked) {
            // Each probe is asked for.
            (State::HalfOpen, _) => {
                leasing.revoke(&self.leased);
                return Ok(());
            }
            // What comes too late to count may bring a time that the component doesn't see: the next call asks.
            (State::Open | State::ForcedOpen, Asked::Record) => return Ok(()),
            _ => {}
        }
        let next = leasing.next.take();
        let (Some(lease), Some(owner)) = (self.leased.lease.get(), leasing.owner.as_mut()) else { return Ok(()) };
        let granted = match next {
            Some(next) => Some(next),
            None => seated.ask(|guest, store, id| guest.call_grant_lease(store, id, now.nanos()))?,
        };
        self.leased.incarnation.store(seated.cell().incarnation(), Ordering::Release);
        match granted {
            Some(wit::Lease::Admit(terms)) => {
                leasing.permit = terms.permit;
                let tag = if self.known_state() == State::Disabled { IGNORED } else { RECORDED };
                let terms = Terms {
                    permit: terms.permit,
                    outcomes_max: terms.outcomes_max,
                    until: terms.until,
                    latency_max: terms.latency_max,
                    missing_score: terms.missing_score,
                    score_sums_min: terms.score_sums_min.as_deref(),
                    tag,
                };
                lease.open(owner, &terms);
                leasing.open = terms.outcomes_max > 0;
            }
            Some(wit::Lease::Refuse(terms)) => {
                let rejection = terms.rejection;
                // What the component has seen may be later than what this lease was told of.
                if let (Some(until), Some(left)) = (terms.until, rejection.retry_after) {
                    lease.note(until.saturating_sub(left));
                }
                self.leased.refusal.store(Some(Arc::new(Refusal {
                    state: State::from_wit(rejection.state),
                    reason: rejection.reason.map(Into::into),
                    trip_count: rejection.trip_count,
                    until: terms.until,
                })));
                lease.refuse(owner, terms.until.unwrap_or(u64::MAX));
            }
            Some(wit::Lease::Ask) | None => lease.ask(owner),
        }
        Ok(())
    }
}

/// What an operation was, as far as leases go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// What changes nothing.
    Nothing,
    /// What may change the state.
    Change,
    Permit,
    Record,
    /// A success that goes together with what was kept, and when.
    Together(Entry, u64),
}
