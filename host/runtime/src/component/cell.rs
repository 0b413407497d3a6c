//! A breaker's place in the component, as its host keeps it: where it sits, and the snapshot that it would come back from.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use super::room::Claim;
use std::time::Duration;

use crate::bindings::breaker as wit;
use crate::policy::Policy;
use crate::text::shortened;
use crate::types::{StateChange, Time, span_nanos};

/// A breaker's place in the slot, kept by the breaker under its own lock.
pub(crate) struct Cell {
    /// Tells it from all others of the process.
    pub(crate) uid: u64,
    /// Which of its home's instances it sits in.
    pub(super) slot: usize,
    pub(crate) name: Arc<str>,
    pub(crate) policy: Policy,
    pub(crate) salt: u64,
    /// What it may take of that instance, until it leaves.
    pub(super) claim: Option<Claim>,
    pub(super) seat: Option<Seat>,
    pub(super) saved: Option<Saved>,
    /// The component failed at its snapshot, which was given up.
    pub(super) snapshot_failed: bool,
    /// It has opened since `saved`, and couldn't be saved again.
    opening: Option<Opening>,
    /// Records since `saved`: what a failure would lose.
    pub(crate) unsaved: u64,
    /// It is to be saved whatever has passed since.
    pub(crate) due: bool,
    /// The latest time that it was called with.
    pub(super) last_now: Arc<AtomicI64>,
}

/// How a circuit opened.
struct Opening {
    until: Time,
    reason: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Seat {
    pub(super) incarnation: u64,
    pub(super) id: u32,
}

#[derive(Clone)]
pub(super) struct Saved {
    pub(super) bytes: Arc<[u8]>,
    pub(super) at: Time,
}

impl Cell {
    pub(super) fn new(slot: usize, claim: Claim, name: Arc<str>, policy: Policy, salt: u64) -> Self {
        static UIDS: AtomicU64 = AtomicU64::new(1);
        let uid = UIDS.fetch_add(1, Ordering::Relaxed);
        let last_now = Arc::new(AtomicI64::new(0));
        Self {
            uid,
            slot,
            name,
            policy,
            salt,
            claim: Some(claim),
            seat: None,
            saved: None,
            snapshot_failed: false,
            opening: None,
            unsaved: 0,
            due: false,
            last_now,
        }
    }

    /// Makes it come back from a snapshot that was taken at `at`, on its own clock.
    pub(crate) fn set_saved(&mut self, bytes: Arc<[u8]>, at: Time) {
        self.saved = Some(Saved { bytes, at });
        self.opening = None;
    }

    /// Its component failed at saving it after this event. Where the circuit has opened by it, it stays open when the breaker
    /// comes back from an older snapshot.
    pub(crate) fn note_unsaved(&mut self, event: Option<&wit::Event>) {
        if let Some(event) = event {
            let change = StateChange::from_wit(event.clone());
            let opening = |until| Opening { until, reason: shortened(&change.reason.to_string()).into_owned() };
            self.opening = change.open_until.map(opening);
        }
    }

    /// What it takes to open the circuit again as it was: the reason, and what is left of the open period at `now`, in
    /// nanoseconds. 0 where it is over: the next call is then a probe.
    pub(crate) fn unsaved_opening(&self, now: Time) -> Option<(String, u64)> {
        let Opening { until, reason } = self.opening.as_ref()?;
        Some((reason.clone(), span_nanos(until.saturating_since(now))))
    }

    /// Whether it is to be saved now: it must be, or so many records have come, and so long has passed, since it was.
    pub(crate) fn is_due(&self, records: u64, interval: Duration, now: Time) -> bool {
        let long_ago = || self.saved.as_ref().is_none_or(|saved| now.saturating_since(saved.at) >= interval);
        self.due || self.unsaved >= records && long_ago()
    }

    /// The last snapshot and when it was taken.
    pub(crate) fn saved(&self) -> Option<(Arc<[u8]>, Time)> {
        self.saved.as_ref().map(|saved| (Arc::clone(&saved.bytes), saved.at))
    }

    /// The incarnation that it sits in.
    pub(crate) fn incarnation(&self) -> u64 {
        self.seat.map_or(0, |seat| seat.incarnation)
    }

    pub(crate) fn last_now(&self) -> Time {
        Time::from_nanos(self.last_now.load(Ordering::Relaxed))
    }
}
