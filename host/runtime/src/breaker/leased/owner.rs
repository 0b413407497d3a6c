//! The owner's part of a lease, under the breaker's lock: to hand what was kept to the component before anything else, to ask
//! for a lease anew when that pays, and to be lent a buffer at all.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwapOption;
use softfuse_lease::{Batch, Entry, Lease, Owner, Terms};

use super::super::shared::{Inner, Shared};
use super::{ADMIT, ASK, IGNORED, Leased, Lent, RECORDED, Refusing, UNTOLD, entry};
use crate::bindings::breaker as wit;
use crate::component::Seated;
use crate::error::ComponentFailure;
use crate::metrics::BreakerMeters;
use crate::types::{Effect, Outcome, State, Time, span_nanos};

/// A lease that kept fewer outcomes than this didn't pay: its terms cost the component more than recording at once.
const KEPT_MIN: u64 = 4;
/// Outcomes that are recorded at once, at most, before another lease is tried.
const PAUSE_MAX: u32 = 64;

/// The owner's part.
#[derive(Debug, Default)]
pub(in crate::breaker) struct Leasing {
    lending: Option<Box<Lending>>,
}

/// The owner's part of a buffer.
#[derive(Debug)]
struct Lending {
    owner: Owner,
    batch: Batch,
    /// Outcomes may be kept.
    open: bool,
    permit: u64,
    /// What became of a success that was recorded together with what was kept; none where the component never heard of it.
    together: Option<Effect>,
    /// The lease that came with it.
    next: Option<wit::Lease>,
    /// Outcomes that are recorded at once after a lease that didn't pay, and how many are left.
    pause: u32,
    paused: u32,
}

impl Lending {
    fn new(owner: Owner) -> Self {
        let batch = Batch::default();
        Self { owner, batch, open: false, permit: 0, together: None, next: None, pause: 0, paused: 0 }
    }

    /// Takes what was kept, and counts it. Nothing more is kept until the next lease.
    fn take(&mut self, leased: &Leased, meters: &BreakerMeters) {
        self.open = false;
        if let Some(lent) = leased.lent.get() {
            lent.lease.take(&mut self.owner, &mut self.batch);
            if !self.batch.is_empty() {
                meters.tallies.leased(&self.batch);
            }
        }
    }

    /// A lease has ended by an outcome: whether the next is worth its price at once.
    fn set_pace(&mut self) {
        self.pause = if self.batch.len() >= KEPT_MIN { 0 } else { (2 * self.pause).clamp(1, PAUSE_MAX) };
        self.paused = self.pause;
    }
}

impl Leasing {
    pub(in crate::breaker) const fn is_lent(&self) -> bool {
        self.lending.is_some()
    }

    /// What became of a success that went together with what was kept.
    pub(in crate::breaker) fn take_together(&mut self) -> Option<Effect> {
        self.lending.as_mut()?.together.take()
    }

    /// Ends every permission, in every thread: the state has changed, or may have.
    pub(in crate::breaker) fn revoke(&mut self, leased: &Leased) {
        leased.permit.store(ASK, Ordering::Release);
        if let (Some(lent), Some(lending)) = (leased.lent.get(), self.lending.as_mut()) {
            lent.lease.ask(&mut lending.owner);
            lent.refusing.store(None);
        }
    }
}

impl Shared {
    /// A success for which the lease has no room left, or whose score isn't benign any more: it may be recorded together with
    /// what was kept, as the last of it.
    pub(in crate::breaker) fn goes_together(
        &self,
        inner: &mut Inner,
        permit: u64,
        outcome: &Outcome,
        latency_nanos: u64,
        now: Time,
    ) -> Option<Entry> {
        let (lent, lending) = (self.leased.lent.get()?, inner.leasing()?.lending.as_ref()?);
        let entry = entry(outcome, latency_nanos)?;
        let fits = lending.open && lent.lease.goes_together(&lending.owner, permit, now.nanos(), latency_nanos);
        fits.then_some(entry)
    }

    /// Ends the lease, and throws away what it kept: how many outcomes the component never heard of. They are counted as
    /// calls, which they were.
    pub(in crate::breaker) fn lose_leased(&self, leasing: &mut Leasing) -> u64 {
        if let Some(lending) = &mut leasing.lending {
            lending.take(&self.leased, &self.meters);
        }
        leasing.revoke(&self.leased);
        leasing.lending.as_ref().map_or(0, |lending| lending.batch.len())
    }

    /// Hands what was kept to the component, before anything else is asked of it. The changes of state that it made; none,
    /// where the component kept to its lease.
    pub(in crate::breaker) fn record_leased(
        &self,
        leasing: &mut Leasing,
        seated: &mut Seated<'_>,
        asked: Asked,
    ) -> Result<Option<wit::Event>, ComponentFailure> {
        let (Some(lending), Some(lent)) = (&mut leasing.lending, self.leased.lent.get()) else {
            return self.tell_time(seated, asked).map(|()| None);
        };
        let was_open = lending.open;
        (lending.together, lending.next) = (None, None);
        lending.take(&self.leased, &self.meters);
        if was_open && matches!(asked, Asked::Record | Asked::Together(..)) {
            lending.set_pace();
        }
        let mut latest = lent.lease.latest();
        if let Asked::Together(entry, at) = asked {
            latest = latest.max(at);
            lending.batch.append(entry, at);
            lending.together = Some(Effect::Lost);
        }
        let renew = matches!(asked, Asked::Together(..)) && lending.paused == 0;
        // What asks sees the latest time by itself; what only looks doesn't.
        let unseen = asked == Asked::Nothing && latest > lent.told.load(Ordering::Relaxed);
        let (batch, permit) = (&lending.batch, lending.permit);
        if batch.is_empty() && !unseen {
            return Ok(None);
        }
        seated.cell().add_unsaved(batch.len());
        let Batch { successes, scores, settled_at, latencies, refused, .. } = batch;
        let (successes, refused) = (*successes, *refused);
        let answer = if scores.is_empty() && settled_at.is_empty() {
            seated.ask(|guest, store, id| {
                guest.call_record_leased(store, id, permit, successes, refused, latest, renew)
            })?
        } else {
            seated.ask(|guest, store, id| {
                guest.call_record_leased_details(
                    store, id, permit, successes, settled_at, latencies, scores, refused, latest, renew,
                )
            })?
        };
        lent.told.fetch_max(latest, Ordering::Relaxed);
        match answer {
            Ok(settlement) => {
                if matches!(asked, Asked::Together(..)) {
                    let looks_away = self.known_state() == State::Disabled;
                    lending.together = Some(match settlement.stale {
                        false if looks_away => Effect::Ignored,
                        false => Effect::Recorded,
                        true => Effect::Stale,
                    });
                    lending.next = settlement.lease;
                }
                Ok(settlement.event)
            }
            Err(error) => Err(seated.nonsense(&format!("what it leased was refused: {error:?}"))),
        }
    }

    /// Tells the component the latest time at which a call was admitted without asking, where it is only looked at: what
    /// asks or records tells it by itself.
    fn tell_time(&self, seated: &mut Seated<'_>, asked: Asked) -> Result<(), ComponentFailure> {
        if asked != Asked::Nothing || self.leased.state.fetch_and(!UNTOLD, Ordering::AcqRel) & UNTOLD == 0 {
            return Ok(());
        }
        let latest = self.leased.latest().nanos();
        let told = seated.ask(|guest, store, id| guest.call_record_leased(store, id, 0, 0, 0, latest, false))?;
        match told {
            Ok(_) => Ok(()),
            Err(error) => Err(seated.nonsense(&format!("the time was refused: {error:?}"))),
        }
    }

    /// Lends the breaker a buffer, where it is busy and its home has one.
    fn lend(&self, leasing: &mut Leasing, asked: u32) {
        if asked <= self.home.lease_after || asked == u32::from(u16::MAX) {
            return;
        }
        if !self.home.lendings.lend(&self.key) {
            // It may ask again after as many calls.
            self.leased.asked.store(0, Ordering::Relaxed);
            return;
        }
        let (lease, owner) = Lease::new(self.home.cores);
        lease.note(self.leased.latest().nanos());
        let tallies = self.meters.tallies.clone();
        let lent = Lent { lease, told: AtomicU64::new(0), refusing: ArcSwapOption::empty(), tallies };
        if self.leased.lent.set(Box::new(lent)).is_ok() {
            leasing.lending = Some(Box::new(Lending::new(owner)));
        }
    }

    /// Asks for a lease where it pays, or where calls wouldn't be admitted without one.
    pub(in crate::breaker) fn renew_lease(
        &self,
        leasing: &mut Leasing,
        seated: &mut Seated<'_>,
        asked: Asked,
        now: Time,
    ) -> Result<(), ComponentFailure> {
        if matches!(asked, Asked::Nothing | Asked::Change) {
            return Ok(());
        }
        if !leasing.is_lent() {
            let standing = self.leased.permit.load(Ordering::Relaxed) != ASK;
            // Records of calls that the component was asked for are counted already.
            if asked == Asked::Permit || standing {
                self.lend(leasing, self.leased.count_asked());
            }
            // One that was used once may never be used again.
            if !leasing.is_lent() && (asked != Asked::Permit || seated.cell().is_new()) {
                return Ok(());
            }
        }
        if let (Asked::Record | Asked::Together(..), Some(lending)) = (asked, &mut leasing.lending)
            && lending.paused > 0
        {
            lending.paused -= 1;
            return Ok(());
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
        let granted = match leasing.lending.as_mut().and_then(|lending| lending.next.take()) {
            Some(next) => Some(next),
            None => seated.ask(|guest, store, id| guest.call_grant_lease(store, id, now.nanos()))?,
        };
        // At most 2^32 incarnations.
        self.leased.incarnation.store(seated.cell().incarnation() as u32, Ordering::Release);
        match (leasing.lending.as_deref_mut(), self.leased.lent.get()) {
            (Some(lending), Some(lent)) => self.grant(lending, lent, granted, now),
            _ => {
                let permit = match granted {
                    Some(wit::Lease::Admit(terms)) => terms.permit.checked_add(ADMIT),
                    _ => None,
                };
                self.leased.permit.store(permit.unwrap_or(ASK), Ordering::Release);
            }
        }
        Ok(())
    }

    /// What the component grants to a breaker with a buffer.
    fn grant(&self, lending: &mut Lending, lent: &Lent, granted: Option<wit::Lease>, now: Time) {
        let (lease, owner) = (&lent.lease, &mut lending.owner);
        match granted {
            Some(wit::Lease::Admit(granted)) => {
                let terms = self.terms(&granted, now);
                lending.permit = terms.permit;
                lease.open(owner, &terms);
                lending.open = terms.outcomes_max > 0;
            }
            Some(wit::Lease::Refuse(terms)) => {
                let rejection = terms.rejection;
                // What the component has seen may be later than what this lease was told of.
                if let (Some(until), Some(left)) = (terms.until, rejection.retry_after) {
                    lease.note(until.saturating_sub(left));
                }
                let wit::Rejection { state, reason, trip_count, .. } = rejection;
                let refusal = self.refusal(State::from_wit(state), reason.map(Into::into), trip_count);
                let refusing = Refusing { refusal: Arc::new(refusal), until: terms.until };
                lent.refusing.store(Some(Arc::new(refusing)));
                lease.refuse(owner, terms.until.unwrap_or(u64::MAX));
            }
            Some(wit::Lease::Ask) | None => lease.ask(owner),
        }
    }

    /// Terms to admit calls, and to keep outcomes for as long as they may be lost.
    fn terms<'t>(&self, granted: &'t wit::AdmitTerms, now: Time) -> Terms<'t> {
        let home = &self.home;
        let mut terms = Terms {
            permit: granted.permit,
            outcomes_max: granted.outcomes_max,
            until: granted.until,
            latency_max: granted.latency_max,
            missing_score: granted.missing_score,
            score_sums_min: granted.score_sums_min.as_deref(),
            scores_roll: granted.scores_roll,
            scores_last: granted.scores_last,
            details: granted.details != wit::Details::empty(),
            tag: if self.known_state() == State::Disabled { IGNORED } else { RECORDED },
        };
        // What is kept is as good as lost if the component fails, so that a lease lasts no longer than a snapshot.
        if home.snapshot_interval.is_zero() {
            let records = u32::try_from(home.snapshot_every).unwrap_or(u32::MAX);
            terms.outcomes_max = terms.outcomes_max.min(records);
        } else {
            let until = now.nanos().saturating_add(span_nanos(home.snapshot_interval));
            terms.until = Some(terms.until.map_or(until, |granted| granted.min(until)));
        }
        terms
    }
}

/// What an operation was, as far as leases go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::breaker) enum Asked {
    /// What changes nothing.
    Nothing,
    /// What may change the state.
    Change,
    Permit,
    Record,
    /// A success that goes together with what was kept, and when.
    Together(Entry, u64),
}
