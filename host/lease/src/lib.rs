//! The host's half of a lease: what the breaker component lets its host do without asking.
//!
//! A component hands out a permit that every call may carry, and terms under which benign outcomes may be recorded late. This
//! crate keeps both, so that threads admit calls and keep outcomes without a lock and, where that can be, without touching
//! what another core touches. It decides nothing: what isn't plainly within the terms goes to the component at once, after
//! what was kept, in order.
//!
//! One owner, whoever holds the breaker's lock, [takes](Lease::take) what was kept, hands it to the component, and
//! [opens](Lease::open) the lease again with the terms that the component grants then. All others [admit](Lease::admit) and
//! [keep](Lease::keep).
//!
//! **Where outcomes are kept.** Each thread has a stripe: a ring of slots that is filled by counting up one word. That one
//! step reserves a slot and holds the terms still: a lease that is taken waits for the slots that were reserved, so terms
//! never change under a thread that looks at them. Outcomes of several stripes are merged by their times.
//!
//! **How many.** The terms' bound is a pool from which stripes draw a few at a time, so that one busy thread may have it all.
//! Where scores have a bound, it is on the sum of all scores in order of arrival, so that those who bring a score meet in one
//! word, which also gives them their order.

#![forbid(unsafe_code)]

mod batch;
mod scores;
mod stripe;
mod sync;
mod terms;

pub use batch::{Batch, Marks};
#[cfg(loom)]
pub use sync::set_thread_number;
pub use terms::{OUTCOMES_MAX, Terms};

use crossbeam_utils::CachePadded;
use scores::Scores;
use stripe::{Pinned, Stripe};
use sync::{AtomicU32, AtomicU64, Ordering};
use terms::Held;

/// Outcomes that one stripe keeps at most.
const SLOTS: usize = if cfg!(loom) { 2 } else { 64 };
/// Stripes at most: beyond, threads share them.
const STRIPES_MAX: usize = 16;
/// How many outcomes a stripe draws from the pool at a time, at most.
const DRAW_MAX: u32 = 16;

/// [`Lease::admission`]: the component must be asked.
const ASK: u64 = 0;
/// [`Lease::admission`]: calls are refused until [`Lease::refuse_until`].
const REFUSE: u64 = 1;
/// [`Lease::admission`]: calls are admitted with the permit that is so much less.
const ADMIT: u64 = 2;

/// What a call gets without the component's being asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Nothing: ask the component.
    Ask,
    /// It may be made, with this permit.
    Admitted(u64),
    /// It may not. It is counted.
    Refused {
        /// The time that counts: what was handed in, or a later one that this thread has seen.
        now: u64,
    },
}

/// Something that may be recorded late.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A call succeeded.
    Success {
        /// How long it took, in nanoseconds.
        latency: u64,
        /// Its score, in units of 10^-9.
        score: Option<i64>,
        /// Its score comes later.
        pending: bool,
    },
    /// A score of a call that was settled before; none where none will come.
    Late(Option<i64>),
}

/// A breaker's lease, shared by all threads that use it.
#[derive(Debug)]
pub struct Lease {
    /// Read by every call, written when the state changes or new terms are granted.
    held: CachePadded<Held>,
    admission: CachePadded<AtomicU64>,
    refuse_until: AtomicU64,
    /// What the stripes may still draw.
    pool: CachePadded<AtomicU32>,
    scores: CachePadded<Scores>,
    stripes: Box<[CachePadded<Stripe>]>,
}

/// The right to take and to open a lease: there is one for each, and the breaker's lock keeps it.
#[derive(Debug)]
pub struct Owner {
    /// The lease's number.
    epoch: u64,
}

impl Lease {
    /// A lease that grants nothing yet, for a machine with so many cores.
    #[must_use]
    pub fn new(cores: usize) -> (Self, Owner) {
        let stripes = cores.clamp(1, STRIPES_MAX).next_power_of_two();
        let lease = Self {
            held: CachePadded::new(Held::default()),
            admission: CachePadded::new(AtomicU64::new(ASK)),
            refuse_until: AtomicU64::new(0),
            pool: CachePadded::new(AtomicU32::new(0)),
            scores: CachePadded::new(Scores::default()),
            stripes: (0..stripes).map(|_| CachePadded::new(Stripe::new(SLOTS))).collect(),
        };
        (lease, Owner { epoch: 0 })
    }

    /// Asks for a call's admission.
    #[inline]
    #[must_use]
    pub fn admit(&self, now: u64) -> Admission {
        match self.admission.load(Ordering::Acquire) {
            ASK => Admission::Ask,
            REFUSE => {
                let stripe = self.stripe();
                let now = stripe.latest_with(now);
                if now >= self.refuse_until.load(Ordering::Acquire) {
                    return Admission::Ask;
                }
                stripe.note(now);
                stripe.count_refused();
                Admission::Refused { now }
            }
            word => {
                self.note(now);
                Admission::Admitted(word - ADMIT)
            }
        }
    }

    /// Keeps what has happened under a permit, where that is benign: the terms' tag. `None`: record it at once, after what was
    /// kept.
    #[inline]
    #[must_use]
    pub fn keep(&self, permit: u64, at: u64, entry: Entry) -> Option<u32> {
        let stripe = self.stripe();
        let at = stripe.latest_with(at);
        let pinned = stripe.pin()?;
        // From here on until it is filled the terms hold still.
        let kept = self.held.benign(permit, at, entry).and_then(|score| {
            let ticket = match self.held.score_sums_min() {
                Some(sums) => self.scores.add(score, sums, self.held.outcomes_max())?,
                None => self.has_room(stripe, &pinned).then_some(0)?,
            };
            Some((ticket, self.held.tag()))
        });
        let Some((ticket, tag)) = kept else {
            pinned.leave_empty();
            return None;
        };
        stripe.note(at);
        pinned.fill(ticket, at, entry);
        Some(tag)
    }

    /// Whether the pool has a place for this slot.
    #[inline]
    fn has_room(&self, stripe: &Stripe, pinned: &Pinned<'_>) -> bool {
        let share = |left: u32| (left / (2 * self.stripes.len() as u32)).clamp(1, DRAW_MAX);
        while pinned.index() >= stripe.limit() {
            let drawn =
                self.pool.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(share(left)));
            let Ok(before) = drawn else { return false };
            stripe.raise_limit(share(before));
        }
        true
    }

    /// The latest time that any thread has come with.
    #[must_use]
    pub fn latest(&self) -> u64 {
        self.stripes.iter().map(|stripe| stripe.latest()).max().unwrap_or(0)
    }

    /// Sees a time that the component has seen, since time never runs backwards.
    #[inline]
    pub fn note(&self, now: u64) {
        let stripe = self.stripe();
        stripe.note(stripe.latest_with(now));
    }

    /// Ends the recording lease and takes what was kept under it, in an order that every thread's own and the times agree
    /// with. Calls are admitted or refused as before.
    pub fn take(&self, _owner: &mut Owner, batch: &mut Batch) {
        batch.clear();
        let by_ticket = self.held.score_sums_min().is_some();
        for stripe in &self.stripes {
            batch.refused += stripe.take_refused();
            stripe.close(|kept| batch.push(kept));
            batch.end_stripe();
        }
        batch.order(by_ticket);
    }

    /// Whether anything was kept or refused that the component doesn't know of.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        self.stripes.iter().any(|stripe| stripe.is_waiting())
    }

    /// Opens the lease that was [taken](Self::take), with new terms: calls are admitted with their permit.
    pub fn open(&self, owner: &mut Owner, terms: &Terms<'_>) {
        owner.epoch += 1;
        self.held.set(terms);
        self.pool.store(terms.outcomes_max, Ordering::Relaxed);
        self.scores.reset();
        if terms.outcomes_max > 0 {
            for stripe in &self.stripes {
                stripe.open(owner.epoch);
            }
        }
        match terms.permit.checked_add(ADMIT) {
            Some(word) => self.admission.store(word, Ordering::Release),
            // No component gives such a permit.
            None => self.ask(owner),
        }
    }

    /// Refuses calls until a time: for ever, where it is `u64::MAX`.
    pub fn refuse(&self, _owner: &mut Owner, until: u64) {
        self.refuse_until.store(until, Ordering::Release);
        self.admission.store(REFUSE, Ordering::Release);
    }

    /// Has the component asked for every call, in every thread, from now on.
    pub fn ask(&self, _owner: &mut Owner) {
        self.admission.store(ASK, Ordering::Release);
    }

    fn stripe(&self) -> &Stripe {
        // There are 2^n of them.
        &self.stripes[sync::thread_number() & (self.stripes.len() - 1)]
    }
}
