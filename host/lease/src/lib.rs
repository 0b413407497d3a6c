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
//! **Where outcomes are kept.** Of most, nothing is to be known but that there was one more success: each thread counts its
//! own, in a stripe. Where the component asks for their latencies, or for when they were settled, a stripe has slots for
//! those, and outcomes of several stripes are merged by their times. Scores have a bound at each of them, in order of arrival, so
//! those who bring one meet in one ring.
//!
//! **One step.** An outcome is kept by counting up one word, which names the lease and says whether it is over. That step
//! succeeds only if nothing of the lease has changed since the thread looked at its terms.
//!
//! **How many.** The terms' bound is a pool from which counters draw some at a time, so that one busy thread may have it all.

#![forbid(unsafe_code)]

mod batch;
mod counter;
mod scores;
mod stripe;
mod sync;
mod terms;
mod threads;

pub use batch::Batch;
pub use terms::Terms;
#[cfg(loom)]
pub use threads::set_thread_number;
pub use threads::thread_number;

use batch::Asks;
use crossbeam_utils::CachePadded;
use scores::Scores;
use stripe::Stripe;
use sync::{AtomicU32, AtomicU64, Ordering};
use terms::Held;

/// Stripes at most: beyond, threads share them.
const STRIPES_MAX: usize = 16;

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
    /// A score of a call that was settled before, in units of 10^-9.
    Late(i64),
}

/// What may be asked of a success.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Detail {
    pub(crate) settled_at: u64,
    pub(crate) latency: u64,
    /// Its place among its stripe's, where some of them lie among the scores: times may be equal.
    pub(crate) sequence: u64,
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
    /// The scores of all threads.
    scores: CachePadded<Scores>,
    stripes: Box<[CachePadded<Stripe>]>,
}

/// A thread's part of a lease, found once for a call. In another thread it does the same, and meets the first.
#[derive(Clone, Copy, Debug)]
pub struct Part<'l> {
    lease: &'l Lease,
    stripe: &'l Stripe,
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
            scores: CachePadded::new(Scores::new()),
            stripes: (0..stripes).map(|_| CachePadded::new(Stripe::new())).collect(),
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

    /// This thread's part, for a call that begins and ends in it.
    #[inline(always)]
    #[must_use]
    pub fn part(&self) -> Part<'_> {
        Part { lease: self, stripe: self.stripe() }
    }

    /// Keeps what has happened under a permit, where that is benign: the terms' tag. `None`: record it at once, after what was
    /// kept.
    #[inline(always)]
    #[must_use]
    pub fn keep(&self, permit: u64, at: u64, entry: Entry) -> Option<u32> {
        self.part().keep(permit, at, entry)
    }

    #[inline]
    fn keep_any(&self, stripe: &Stripe, permit: u64, at: u64, entry: Entry) -> Option<u32> {
        let at = stripe.latest_with(at);
        loop {
            let seen = stripe.counter.look()?;
            let benign = self.held.benign(permit, at, entry)?;
            let kept = if let Some(score) = benign.score {
                self.keep_score(stripe, seen.epoch(), score, at, entry)?
            } else if let Entry::Late(_) = entry {
                // Nobody looks at scores, so that there is nothing to keep, as long as the terms still stand.
                stripe.counter.look()?.epoch() == seen.epoch()
            } else {
                let has_room = stripe.counter.has_room(seen, &self.pool, self.counters())
                    && (!benign.details || stripe.has_slot(seen));
                if !has_room {
                    return None;
                }
                let kept = stripe.counter.reserve(seen);
                if kept
                    && benign.details
                    && let Entry::Success { latency, .. } = entry
                {
                    stripe.fill(seen, Detail { settled_at: at, latency, sequence: stripe.next() });
                }
                kept
            };
            if kept {
                stripe.note(at);
                return Some(benign.tag);
            }
        }
    }

    /// Whether a score was kept; if not, something has changed since it was looked at. `None`: it isn't benign.
    #[inline]
    fn keep_score(&self, stripe: &Stripe, epoch: u64, score: i64, at: u64, entry: Entry) -> Option<bool> {
        // The terms that were read are those of this lease only if the scores are still open under it.
        let seen = self.scores.counter.look()?;
        if seen.epoch() != epoch {
            return Some(false);
        }
        let place = self.scores.place(seen, score, &self.held)?;
        if !self.scores.counter.has_room(seen, &self.pool, self.counters()) {
            return None;
        }
        let (late, detail) = match entry {
            Entry::Success { latency, .. } => {
                let wanted = self.held.wants_details();
                (false, wanted.then(|| Detail { settled_at: at, latency, sequence: stripe.next() }))
            }
            Entry::Late(_) => (true, None),
        };
        Some(self.scores.put(place, score, late, detail))
    }

    /// Whether a success that wasn't kept may be recorded together with what waits, as the last of it: there is no room for
    /// it, or its score is not benign any more. Only while nobody else may take or open the lease.
    #[must_use]
    pub fn goes_together(&self, _owner: &Owner, permit: u64, at: u64, latency: u64) -> bool {
        self.held.fits(permit, at, latency)
    }

    /// How many counters draw from the pool.
    #[inline]
    fn counters(&self) -> usize {
        self.stripes.len() + 1
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
        let (details, scores_last) = (self.held.wants_details(), self.held.scores_last());
        batch.asks = Asks { scores_last, details, missing_score: self.held.missing_score() };
        let mut parts = 0;
        if let Some(closed) = self.scores.counter.close()
            && closed.count() > 0
        {
            let details = details.then_some(&mut batch.details);
            let lates = self.scores.read(closed, scores_last, &mut batch.scores, details);
            batch.lates = lates;
            batch.successes += closed.count() - lates;
            parts += 1;
        }
        for stripe in &self.stripes {
            batch.refused += stripe.take_refused();
            if let Some(closed) = stripe.counter.close()
                && closed.count() > 0
            {
                batch.successes += closed.count();
                if details {
                    stripe.read(closed, &mut batch.details);
                }
                parts += 1;
            }
        }
        batch.order(parts > 1);
    }

    /// Whether anything was kept or refused that the component doesn't know of.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        self.scores.counter.is_waiting() || self.stripes.iter().any(|stripe| stripe.is_waiting())
    }

    /// Opens the lease that was [taken](Self::take), with new terms: calls are admitted with their permit.
    pub fn open(&self, owner: &mut Owner, terms: &Terms<'_>) {
        owner.epoch += 1;
        self.held.set(terms);
        let room = terms.room();
        self.pool.store(room, Ordering::Relaxed);
        if room > 0 {
            // First, since who has seen a stripe open expects the scores to be.
            if terms.wants_scores() {
                self.scores.make_slots();
                self.scores.counter.open(owner.epoch);
            }
            for stripe in &self.stripes {
                if terms.details {
                    stripe.make_slots();
                }
                stripe.counter.open(owner.epoch);
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

    #[inline]
    fn stripe(&self) -> &Stripe {
        // There are 2^n of them.
        &self.stripes[thread_number().unwrap_or(0) & (self.stripes.len() - 1)]
    }
}

impl Part<'_> {
    /// The permit of a call that is admitted; none where the component must be asked, or calls are refused, which isn't
    /// counted here.
    #[inline(always)]
    #[must_use]
    pub fn admitted(self, now: u64) -> Option<u64> {
        let permit = self.lease.admission.load(Ordering::Acquire).checked_sub(ADMIT)?;
        self.stripe.note(self.stripe.latest_with(now));
        Some(permit)
    }

    /// [`Lease::keep`].
    #[inline(always)]
    #[must_use]
    pub fn keep(self, permit: u64, at: u64, entry: Entry) -> Option<u32> {
        let Entry::Success { latency, score, pending } = entry else {
            return self.lease.keep_any(self.stripe, permit, at, entry);
        };
        let kept = match score {
            Some(score) if self.lease.held.wants_scores() => self.keep_scored(permit, at, latency, score),
            _ => self.keep_counted(permit, at, latency, score.is_some()),
        };
        kept.or_else(|| self.keep_success(permit, at, latency, score, pending))
    }

    /// It takes one by one what goes in registers: an entry that was just written would have to be waited for.
    #[inline(never)]
    fn keep_success(self, permit: u64, at: u64, latency: u64, score: Option<i64>, pending: bool) -> Option<u32> {
        self.lease.keep_any(self.stripe, permit, at, Entry::Success { latency, score, pending })
    }

    /// Keeps a success of which nothing is to be known but that it was, which is what most calls are: in few steps that fit
    /// into their caller. `None`: it isn't such a one, or the counter must draw, or others were faster.
    #[inline(always)]
    fn keep_counted(self, permit: u64, at: u64, latency: u64, is_scored: bool) -> Option<u32> {
        let Self { lease, stripe } = self;
        let at = stripe.latest_with(at);
        let seen = stripe.counter.look_for_room()?;
        let tag = lease.held.counted(permit, at, latency, is_scored)?;
        stripe.counter.reserve(seen).then(|| {
            stripe.note(at);
            tag
        })
    }

    /// Keeps a success of which nothing is to be known but its score. `None`: it isn't such a one, or isn't benign, or the counter
    /// must draw, or others were faster. The scores' counter says whether the terms still stand, so that no stripe's is asked.
    #[inline(never)]
    fn keep_scored(self, permit: u64, at: u64, latency: u64, score: i64) -> Option<u32> {
        let Self { lease: Lease { held, scores, .. }, stripe } = self;
        let at = stripe.latest_with(at);
        let seen = scores.counter.look_for_room()?;
        let tag = held.scored(permit, at, latency)?;
        let place = scores.place(seen, score, held)?;
        scores.put(place, score, false, None).then(|| {
            stripe.note(at);
            tag
        })
    }
}
