//! Leases: calls that are admitted, refused and recorded without asking the component, as it has allowed beforehand.
//!
//! What a lease keeps lies in [`softfuse_lease`], where threads meet without a lock. Here is what all threads see of it; the
//! owner's part, under the breaker's lock, is below.

mod owner;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering};

use arc_swap::ArcSwapOption;
use once_cell::race::OnceBox;
pub(super) use owner::{Asked, Leasing};
use softfuse_lease::{Admission, Entry, Lease, Part};

use crate::error::{Refusal, Rejected};
use crate::metrics::Tallies;
use crate::types::{Effect, Outcome, OutcomeKind, Score, Signal, State, Time};

/// [`Terms::tag`]: what becomes of an outcome that is kept.
const RECORDED: u32 = 0;
/// The circuit is disabled, and looks away.
const IGNORED: u32 = 1;

/// [`Leased::permit`]: the component must be asked.
const ASK: u64 = 0;
/// [`Leased::state`]: calls were admitted, while no buffer is lent, at times of which the component doesn't know.
const UNTOLD: u8 = 1 << 7;
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
    /// The breaker's state as of the last event: exact, since every change makes one. Beside it [`UNTOLD`], which ends with a
    /// change, since that has told the component.
    state: AtomicU8,
    /// How busy it is while it has been lent no buffer: permits that the component was asked for and records that it was handed,
    /// up to 65,535, and the age of its family in which they were counted.
    asked: AtomicU16,
    age: AtomicU8,
    lent: OnceBox<Lent>,
}

/// What all threads see of a buffer.
#[derive(Debug)]
struct Lent {
    lease: Lease,
    /// The latest time that the component has seen.
    told: AtomicU64,
    /// How calls are refused under it.
    refusing: ArcSwapOption<Refusing>,
    /// The breaker's, which its kin have too, from a place that is farther away.
    tallies: Tallies,
}

/// A call that was admitted under a buffer.
#[derive(Clone, Copy)]
pub(crate) struct Admitted<'l> {
    lent: &'l Lent,
    /// Its thread's.
    part: Part<'l>,
    permit: u64,
    /// In which the permit was granted.
    incarnation: u64,
}

impl Admitted<'_> {
    /// What a permit is made of: itself, and the incarnation in which it was granted.
    #[inline(always)]
    pub(crate) const fn granted(&self) -> (u64, u64) {
        (self.permit, self.incarnation)
    }

    /// Counts the call's success and keeps it, where that is benign: whether it did. For the thread that was admitted; it needn't
    /// look anything up.
    #[inline(always)]
    pub(super) fn keep_success(&self, latency: u64, score: Option<i64>, now: Time) -> bool {
        let entry = Entry::Success { latency, score, pending: false };
        let kept = self.part.keep(self.permit, now.nanos(), entry).is_some();
        if kept {
            self.lent.tallies.settled(OutcomeKind::Success, latency, score);
        }
        kept
    }
}

#[derive(Debug)]
struct Refusing {
    refusal: Arc<Refusal>,
    until: Option<u64>,
}

impl Leased {
    /// A call's admission or refusal, where the component has allowed it beforehand.
    #[inline(always)]
    pub(super) fn admit(&self, now: Time) -> (Admission, u64) {
        // Read first: should the lease be of a later one, a permit that is unknown is taken for lost, not for nonsense.
        let incarnation = u64::from(self.incarnation.load(Ordering::Acquire));
        let admission = match self.lent.get() {
            Some(lent) => lent.lease.admit(now.nanos()),
            None => match self.permit.load(Ordering::Acquire) {
                ASK => Admission::Ask,
                permit => {
                    self.see(now);
                    self.state.fetch_or(UNTOLD, Ordering::AcqRel);
                    Admission::Admitted(permit - ADMIT)
                }
            },
        };
        (admission, incarnation)
    }

    pub(super) fn state(&self) -> State {
        State::ALL[usize::from(self.state.load(Ordering::Relaxed) & !UNTOLD) % State::ALL.len()]
    }

    pub(super) fn set_state(&self, state: State) {
        self.state.store(state.as_metric(), Ordering::Relaxed);
    }

    /// A call that is admitted under a buffer.
    #[inline(always)]
    pub(super) fn admitted(&self, now: Time) -> Option<Admitted<'_>> {
        let incarnation = u64::from(self.incarnation.load(Ordering::Acquire));
        let lent = self.lent.get()?;
        let part = lent.lease.part();
        let permit = part.admitted(now.nanos())?;
        Some(Admitted { lent, part, permit, incarnation })
    }

    /// One more permit that the component was asked for, or record that it was handed: how many, up to 65,535.
    fn count_asked(&self) -> u32 {
        let asked = self.asked.load(Ordering::Relaxed).saturating_add(1);
        self.asked.store(asked, Ordering::Relaxed);
        u32::from(asked)
    }

    /// How a call that was refused under the lease is refused.
    #[inline]
    pub(super) fn rejected(&self, now: u64) -> Option<Rejected> {
        let refusing = self.lent.get()?.refusing.load();
        let Refusing { refusal, until } = &**refusing.as_ref()?;
        Some(Rejected::of_nanos(Arc::clone(refusal), until.map(|until| until.saturating_sub(now))))
    }

    /// Keeps an outcome for later, where that is benign.
    #[inline(always)]
    pub(super) fn keep(&self, permit: u64, outcome: &Outcome, latency_nanos: u64, now: Time) -> Option<Effect> {
        self.keep_entry(permit, entry(outcome, latency_nanos)?, now)
    }

    /// The breaker's tallies, where a buffer is lent.
    #[inline(always)]
    pub(super) fn tallies(&self) -> Option<&Tallies> {
        self.lent.get().map(|lent| &lent.tallies)
    }

    /// Keeps what may wait, where that is benign.
    #[inline(always)]
    pub(super) fn keep_entry(&self, permit: u64, entry: Entry, now: Time) -> Option<Effect> {
        self.lent.get()?.lease.keep(permit, now.nanos(), entry).map(effect)
    }

    /// Keeps a late score, where that is benign. One that won't come is left to the component: it knows what that counts as.
    pub(super) fn keep_late(&self, permit: u64, score: Score, now: Time) -> Option<Effect> {
        self.keep_entry(permit, Entry::Late(score.units()), now)
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
    pub(super) fn grow_older(&self, age: u8) {
        if self.age.load(Ordering::Relaxed) != age {
            self.age.store(age, Ordering::Relaxed);
            self.asked.store(0, Ordering::Relaxed);
        }
    }

    /// Takes the buffer back, where nobody else is about: the component must be asked again.
    pub(super) fn take_back(&mut self) {
        let latest = self.latest();
        self.lent = OnceBox::new();
        *self.permit.get_mut() = ASK;
        *self.asked.get_mut() = 0;
        *self.seen.get_mut() = latest.as_nanos();
        *self.state.get_mut() |= UNTOLD;
    }
}

/// An outcome as what may wait; none for what never may.
#[inline(always)]
fn entry(outcome: &Outcome, latency: u64) -> Option<Entry> {
    if outcome.kind != OutcomeKind::Success || outcome.retry_after.is_some() {
        return None;
    }
    let (score, pending) = match outcome.signal {
        Signal::None => (None, false),
        Signal::Score(score) => (Some(score.units()), false),
        Signal::Pending => (None, true),
    };
    Some(Entry::Success { latency, score, pending })
}

#[inline]
fn effect(tag: u32) -> Effect {
    if tag == IGNORED { Effect::Ignored } else { Effect::Recorded }
}
