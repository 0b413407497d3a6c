//! Leases: calls that are admitted, refused and recorded without asking the component, as it has allowed beforehand.
//!
//! What a lease keeps lies in [`softfuse_lease`], where threads meet without a lock. Here is the owner's part, under the
//! breaker's lock: to hand what was kept to the component before anything else, and to ask for a lease anew when that pays.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use once_cell::race::OnceBox;
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

/// [`Leased::permit`]: the component must be asked.
const ASK: u64 = 0;
/// [`Leased::permit`]: calls are admitted with the permit that is so much less.
const ADMIT: u64 = 1;

/// What all threads see of a breaker's lease. One that has been lent no buffer has little: its permit, which is good until an
/// event ends its generation, and the latest time that came.
#[derive(Debug, Default)]
pub(super) struct Leased {
    /// [`ASK`], or a permit and [`ADMIT`], while no buffer is lent.
    permit: AtomicU64,
    /// The latest time that a call or the component has seen, while no buffer is lent.
    seen: AtomicI64,
    /// The incarnation in which it was granted.
    incarnation: AtomicU32,
    /// Calls were admitted, while no buffer is lent, at times of which the component doesn't know.
    untold: AtomicBool,
    /// The breaker's state as of the last event: exact, since every change makes one. It is here, where it takes no more room.
    pub(super) state: AtomicU8,
    busy: Busy,
    lent: OnceBox<Lent>,
}

/// What all threads see of a buffer.
#[derive(Debug)]
struct Lent {
    lease: Lease,
    /// The latest time that the component has seen.
    told: AtomicU64,
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
    lending: Option<Box<Lending>>,
}

/// How busy a breaker is that has been lent no buffer: the permits that the component was asked for and the records that it was
/// handed, up to 65,535, and the age of its family in which they were counted.
#[derive(Debug, Default)]
struct Busy {
    asked: AtomicU16,
    age: AtomicU16,
}

impl Busy {
    fn count(&self) -> u32 {
        let asked = self.asked.load(Ordering::Relaxed).saturating_add(1);
        self.asked.store(asked, Ordering::Relaxed);
        u32::from(asked)
    }
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

impl Leased {
    /// A call's admission or refusal, where the component has allowed it beforehand.
    #[inline]
    pub(super) fn admit(&self, now: Time) -> (Admission, u64) {
        // Read first: should the lease be of a later one, a permit that is unknown is taken for lost, not for nonsense.
        let incarnation = u64::from(self.incarnation.load(Ordering::Acquire));
        let admission = match self.lent.get() {
            Some(lent) => lent.lease.admit(now.nanos()),
            None => match self.permit.load(Ordering::Acquire) {
                ASK => Admission::Ask,
                permit => {
                    self.see(now);
                    self.untold.store(true, Ordering::Release);
                    Admission::Admitted(permit - ADMIT)
                }
            },
        };
        (admission, incarnation)
    }

    /// How a call that was refused under the lease is refused.
    pub(super) fn rejected(&self, name: &Arc<str>, now: u64) -> Option<Rejected> {
        let refusal = self.lent.get()?.refusal.load();
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
        let lent = self.lent.get()?;
        lent.lease.keep(permit, now.nanos(), entry(outcome, latency)?).map(effect)
    }

    /// Keeps a late score, where that is benign. One that won't come is left to the component: it knows what that counts as.
    pub(super) fn keep_late(&self, permit: u64, score: Score, now: Time) -> Option<Effect> {
        self.lent.get()?.lease.keep(permit, now.nanos(), Entry::Late(Some(score.units()))).map(effect)
    }

    /// The latest time that a call or the component has seen.
    pub(super) fn latest(&self) -> Time {
        let seen = Time::from_nanos(self.seen.load(Ordering::Acquire));
        match self.lent.get() {
            // What was noted came from a time.
            Some(lent) => seen.max(Time::from_nanos(i64::try_from(lent.lease.latest()).unwrap_or(i64::MAX))),
            None => seen,
        }
    }

    /// The time that counts: time never runs backwards, and the component wasn't told of every call.
    pub(super) fn seen(&self, now: Time) -> Time {
        now.max(self.latest())
    }

    /// Sees a time.
    pub(super) fn see(&self, now: Time) {
        self.seen.fetch_max(now.as_nanos(), Ordering::AcqRel);
    }

    /// The component has seen this time.
    pub(super) fn note(&self, now: Time) {
        match self.lent.get() {
            Some(lent) => {
                lent.lease.note(now.nanos());
                lent.told.fetch_max(now.nanos(), Ordering::Relaxed);
            }
            None => self.see(now),
        }
    }

    /// Whether anything was kept that the component doesn't know of.
    pub(super) fn is_waiting(&self) -> bool {
        self.lent.get().is_some_and(|lent| lent.lease.is_waiting())
    }

    /// What was counted in an earlier age of the family says nothing of how busy this breaker is now.
    #[inline]
    pub(super) fn grow_older(&self, age: u16) {
        if self.busy.age.load(Ordering::Relaxed) != age {
            self.busy.age.store(age, Ordering::Relaxed);
            self.busy.asked.store(0, Ordering::Relaxed);
        }
    }

    /// Takes the buffer back, where nobody else is about: the component must be asked again.
    pub(super) fn take_back(&mut self) {
        let latest = self.latest();
        self.lent = OnceBox::new();
        *self.permit.get_mut() = ASK;
        *self.busy.asked.get_mut() = 0;
        *self.seen.get_mut() = latest.as_nanos();
        *self.untold.get_mut() = true;
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
                meters.tally().leased(&self.batch);
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
    pub(super) const fn is_lent(&self) -> bool {
        self.lending.is_some()
    }

    /// A success for which the lease has no room left, or that isn't benign any more: it may be recorded together with what
    /// was kept, as the last of them.
    pub(super) fn goes_together(&self, permit: u64, outcome: &Outcome, latency: Duration) -> Option<Entry> {
        self.lending.as_ref().filter(|lending| lending.open && lending.permit == permit)?;
        entry(outcome, latency)
    }

    /// What became of a success that went together with what was kept.
    pub(super) fn take_together(&mut self) -> Option<Effect> {
        self.lending.as_mut()?.together.take()
    }

    /// Ends every permission, in every thread: the state has changed, or may have.
    pub(super) fn revoke(&mut self, leased: &Leased) {
        leased.permit.store(ASK, Ordering::Release);
        if let (Some(lent), Some(lending)) = (leased.lent.get(), self.lending.as_mut()) {
            lent.lease.ask(&mut lending.owner);
            lent.refusal.store(None);
        }
    }
}

impl Shared {
    /// Ends the lease, and throws away what it kept: how many outcomes the component never heard of. They are counted as
    /// calls, which they were.
    pub(super) fn lose_leased(&self, leasing: &mut Leasing) -> u64 {
        if let Some(lending) = &mut leasing.lending {
            lending.take(&self.leased, &self.meters);
        }
        leasing.revoke(&self.leased);
        leasing.lending.as_ref().map_or(0, |lending| lending.batch.len() as u64)
    }

    /// Hands what was kept to the component, before anything else is asked of it. The changes of state that it made; none,
    /// where the component kept to its lease.
    pub(super) fn record_leased(
        &self,
        leasing: &mut Leasing,
        seated: &mut Seated<'_>,
        asked: Asked,
    ) -> Result<Vec<wit::Event>, ComponentFailure> {
        let (Some(lending), Some(lent)) = (&mut leasing.lending, self.leased.lent.get()) else {
            return self.tell_time(seated, asked).map(|()| Vec::new());
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
        let batch = &lending.batch;
        // What asks sees the latest time by itself; what only looks doesn't.
        let unseen = asked == Asked::Nothing && latest > lent.told.load(Ordering::Relaxed);
        if batch.is_empty() && !unseen {
            return Ok(Vec::new());
        }
        let permit = if batch.marks.is_empty() { 0 } else { lending.permit };
        seated.cell().add_unsaved(batch.len() as u64);
        let answer = seated.ask(|guest, store, id| {
            let Batch { marks, settled_at, latencies, scores, refused, .. } = batch;
            guest.call_record_leased(store, id, permit, marks, settled_at, latencies, scores, *refused, latest, renew)
        })?;
        lent.told.fetch_max(latest, Ordering::Relaxed);
        match answer {
            Ok(settlement) => {
                if matches!(asked, Asked::Together(..)) {
                    let looks_away = self.known_state() == State::Disabled;
                    lending.together = Some(match settlement.stale {
                        0 if looks_away => Effect::Ignored,
                        0 => Effect::Recorded,
                        _ => Effect::Stale,
                    });
                    lending.next = settlement.lease;
                }
                Ok(settlement.events)
            }
            Err(error) => Err(seated.nonsense(&format!("what it leased was refused: {error:?}"))),
        }
    }

    /// Tells the component the latest time at which a call was admitted without asking, where it is only looked at: what
    /// asks or records tells it by itself.
    fn tell_time(&self, seated: &mut Seated<'_>, asked: Asked) -> Result<(), ComponentFailure> {
        if asked != Asked::Nothing || !self.leased.untold.swap(false, Ordering::AcqRel) {
            return Ok(());
        }
        let latest = self.leased.latest().nanos();
        let told = seated
            .ask(|guest, store, id| guest.call_record_leased(store, id, 0, &[], &[], &[], &[], 0, latest, false))?;
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
            self.leased.busy.asked.store(0, Ordering::Relaxed);
            return;
        }
        let (lease, owner) = Lease::new(self.home.cores);
        lease.note(self.leased.latest().nanos());
        let lent = Lent { lease, told: AtomicU64::new(0), refusal: ArcSwapOption::empty() };
        if self.leased.lent.set(Box::new(lent)).is_ok() {
            leasing.lending = Some(Box::new(Lending::new(owner)));
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
        if matches!(asked, Asked::Nothing | Asked::Change) {
            return Ok(());
        }
        if !leasing.is_lent() {
            let standing = self.leased.permit.load(Ordering::Relaxed) != ASK;
            // Records of calls that the component was asked for are counted already.
            if asked == Asked::Permit || standing {
                self.lend(leasing, self.leased.busy.count());
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
            (Some(lending), Some(lent)) => self.grant(lending, lent, granted),
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
    fn grant(&self, lending: &mut Lending, lent: &Lent, granted: Option<wit::Lease>) {
        let (lease, owner) = (&lent.lease, &mut lending.owner);
        match granted {
            Some(wit::Lease::Admit(terms)) => {
                lending.permit = terms.permit;
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
                lending.open = terms.outcomes_max > 0;
            }
            Some(wit::Lease::Refuse(terms)) => {
                let rejection = terms.rejection;
                // What the component has seen may be later than what this lease was told of.
                if let (Some(until), Some(left)) = (terms.until, rejection.retry_after) {
                    lease.note(until.saturating_sub(left));
                }
                lent.refusal.store(Some(Arc::new(Refusal {
                    state: State::from_wit(rejection.state),
                    reason: rejection.reason.map(Into::into),
                    trip_count: rejection.trip_count,
                    until: terms.until,
                })));
                lease.refuse(owner, terms.until.unwrap_or(u64::MAX));
            }
            Some(wit::Lease::Ask) | None => lease.ask(owner),
        }
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
