//! What was kept under a lease, in order, as the columns in which it crosses to the component.

use crate::Entry;
use crate::stripe::Kept;

/// What an entry is, by the contract's bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks(u8);

impl Marks {
    /// A late score, of a call that was settled before; otherwise a success.
    pub const LATE: Self = Self(1);
    /// It has a score.
    pub const SCORED: Self = Self(2);
    /// A success whose score is owed.
    pub const PENDING: Self = Self(4);

    /// The marks, a bit for each.
    #[must_use]
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// Whether all of these are set.
    #[must_use]
    pub const fn contains(self, marks: Self) -> bool {
        self.0 & marks.0 == marks.0
    }

    /// The marks of these bits.
    #[must_use]
    pub const fn from_bits(bits: u8) -> Self {
        Self(bits)
    }

    /// An entry's marks, its latency and its score.
    #[inline]
    pub(crate) fn of(entry: Entry) -> (Self, u64, i64) {
        let (mut marks, latency, score) = match entry {
            Entry::Success { latency, score, pending } => (if pending { Self::PENDING.0 } else { 0 }, latency, score),
            Entry::Late(score) => (Self::LATE.0, 0, score),
        };
        if score.is_some() {
            marks |= Self::SCORED.0;
        }
        (Self(marks), latency, score.unwrap_or(0))
    }
}

/// What was kept, in columns of equal length. It is made once and filled again and again.
#[derive(Debug, Default)]
pub struct Batch {
    kept: Vec<Kept>,
    /// How many stripes had anything, and what the last of them began with.
    stripes: u32,
    stripe_at: usize,
    /// What each entry is: [`Marks`], a byte for each, as they cross.
    pub marks: Vec<u8>,
    /// When each was settled, in nanoseconds.
    pub settled_at: Vec<u64>,
    /// How long each took, in nanoseconds; 0 for late scores.
    pub latencies: Vec<u64>,
    /// Each one's score, in units of 10^-9, where it has one.
    pub scores: Vec<i64>,
    /// How many calls were refused.
    pub refused: u64,
}

impl Batch {
    /// How many entries there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.marks.len()
    }

    /// Whether there is neither an entry nor a refusal.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.marks.is_empty() && self.refused == 0
    }

    /// Adds what comes after all that was kept.
    pub fn append(&mut self, entry: Entry, at: u64) {
        let (marks, latency, score) = Marks::of(entry);
        self.marks.push(marks.bits());
        self.settled_at.push(at);
        self.latencies.push(latency);
        self.scores.push(score);
    }

    pub(crate) fn clear(&mut self) {
        self.kept.clear();
        self.marks.clear();
        self.settled_at.clear();
        self.latencies.clear();
        self.scores.clear();
        (self.stripes, self.stripe_at, self.refused) = (0, 0, 0);
    }

    pub(crate) fn push(&mut self, mut kept: Kept) {
        // Times of a stripe don't run backwards, though its threads may have raced for its slots.
        if let Some(before) = self.kept[self.stripe_at..].last() {
            kept.at = kept.at.max(before.at);
        }
        self.kept.push(kept);
    }

    pub(crate) fn end_stripe(&mut self) {
        self.stripes += u32::from(self.kept.len() > self.stripe_at);
        self.stripe_at = self.kept.len();
    }

    /// Puts all in order: by their tickets, where they drew some, otherwise by time, each stripe's own order kept.
    pub(crate) fn order(&mut self, by_ticket: bool) {
        if by_ticket {
            self.kept.sort_unstable_by_key(|kept| kept.ticket);
        } else if self.stripes > 1 {
            self.kept.sort_by_key(|kept| kept.at);
        }
        for kept in &self.kept {
            self.marks.push(kept.marks.bits());
            self.settled_at.push(kept.at);
            self.latencies.push(kept.latency);
            self.scores.push(kept.score);
        }
    }
}
