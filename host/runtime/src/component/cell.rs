//! A breaker's place in the component, as its host keeps it: where it sits, and the snapshot that it would come back from.
//!
//! There may be a million of them, so what its kin share isn't kept for each, and neither is what most never need.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use ecow::EcoString;

use super::room::Claim;
use crate::bindings::breaker as wit;
use crate::policy::Policy;
use crate::text::shortened;
use crate::types::{StateChange, Time, span_nanos};

/// What the breakers of a keyed family share; a named breaker has one of its own.
pub(crate) struct Who {
    pub(crate) policy: Policy,
    /// The family, where its breakers are named after it and their keys.
    pub(crate) family: Option<Arc<str>>,
    pub(crate) salt: u64,
}

impl Who {
    /// The whole name of the breaker with this key.
    pub(crate) fn name<'a>(&self, key: &'a str) -> Cow<'a, str> {
        name_of(self.family.as_ref(), key)
    }

    /// What a breaker claims that comes back from a snapshot of so many bytes, by what its policy said when it was loaded.
    pub(super) fn claim(&self, snapshot_bytes: usize) -> Claim {
        Claim::of(self.policy.info().breaker_bytes).or_snapshot(snapshot_bytes)
    }
}

pub(super) fn name_of<'a>(family: Option<&Arc<str>>, key: &'a str) -> Cow<'a, str> {
    family.map_or(Cow::Borrowed(key), |family| Cow::Owned(format!("{family}/{key}")))
}

/// Who asks for a seat: the breaker's key, or its whole name where it has no family.
#[derive(Clone, Copy)]
pub(crate) struct Guest<'a> {
    pub(crate) who: &'a Who,
    pub(crate) key: &'a EcoString,
}

impl Guest<'_> {
    /// Its whole name.
    pub(super) fn name(self) -> Arc<str> {
        self.who.name(self.key).into()
    }
}

/// A breaker's place in the slot, kept by the breaker under its own lock.
#[derive(Debug)]
pub(crate) struct Cell {
    pub(super) seat: Seat,
    /// Records since it was saved: what a failure would lose. It stops at its largest.
    unsaved: u32,
    /// Which of its home's instances it sits in: there are at most 256.
    pub(super) slot: u8,
    /// It has a place there, until it leaves.
    pub(super) placed: bool,
    /// It is to be saved whatever has passed since.
    pub(crate) due: bool,
    rare: Option<Box<Rare>>,
}

/// What a cell has that was saved, or couldn't be.
#[derive(Debug, Default)]
struct Rare {
    saved: Option<Saved>,
    /// The length of the snapshot with which it got its place.
    placed_with: usize,
    /// The component failed at its snapshot, which was given up.
    snapshot_failed: bool,
    /// It has opened since `saved`, and couldn't be saved again.
    opening: Option<Opening>,
}

/// How a circuit opened.
#[derive(Debug)]
struct Opening {
    until: Time,
    reason: String,
}

/// Where a breaker sits; in no incarnation, whose number is 0, where it never sat.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Seat {
    pub(super) incarnation: u32,
    /// The component's handle.
    pub(super) id: u32,
    /// Its place in the slot's list of those who sit there.
    pub(super) place: u32,
}

#[derive(Clone, Debug)]
pub(super) struct Saved {
    pub(super) bytes: Arc<[u8]>,
    pub(super) at: Time,
}

impl Cell {
    /// A place in a slot, for a breaker that comes back from `saved` where that is given.
    pub(super) fn new(slot: u8, saved: Option<(Arc<[u8]>, Time)>) -> Self {
        let rare = saved.map(|(bytes, at)| {
            let placed_with = bytes.len();
            Box::new(Rare { saved: Some(Saved { bytes, at }), placed_with, ..Rare::default() })
        });
        Self { seat: Seat::default(), unsaved: 0, slot, placed: true, due: false, rare }
    }

    pub(super) fn placed_with(&self) -> usize {
        self.rare.as_ref().map_or(0, |rare| rare.placed_with)
    }

    pub(super) fn last_saved(&self) -> Option<&Saved> {
        self.rare.as_ref()?.saved.as_ref()
    }

    /// Makes it come back from a snapshot that was taken at `at`, on its own clock.
    pub(super) fn set_saved(&mut self, bytes: Arc<[u8]>, at: Time) {
        let rare = self.rare.get_or_insert_default();
        rare.saved = Some(Saved { bytes, at });
        rare.opening = None;
        (self.unsaved, self.due) = (0, false);
    }

    /// The component has failed at its snapshot: it would each time.
    pub(super) fn give_up_snapshot(&mut self) {
        let rare = self.rare.get_or_insert_default();
        (rare.saved, rare.snapshot_failed) = (None, true);
    }

    /// Whether its snapshot was given up, once.
    pub(super) fn take_snapshot_failed(&mut self) -> bool {
        self.rare.as_mut().is_some_and(|rare| std::mem::take(&mut rare.snapshot_failed))
    }

    /// Its component failed at saving it after this event. Where the circuit has opened by it, it stays open when the breaker
    /// comes back from an older snapshot.
    pub(crate) fn note_unsaved(&mut self, event: Option<&wit::Event>) {
        if let Some(event) = event {
            let change = StateChange::from_wit(event.clone());
            let opening = |until| Opening { until, reason: shortened(&change.reason.to_string()).into_owned() };
            self.rare.get_or_insert_default().opening = change.open_until.map(opening);
        }
    }

    /// What it takes to open the circuit again as it was: the reason, and what is left of the open period at `now`, in
    /// nanoseconds. 0 where it is over: the next call is then a probe.
    pub(crate) fn unsaved_opening(&self, now: Time) -> Option<(String, u64)> {
        let Opening { until, reason } = self.rare.as_ref()?.opening.as_ref()?;
        Some((reason.clone(), span_nanos(until.saturating_since(now))))
    }

    /// So many records more that aren't saved.
    pub(crate) fn add_unsaved(&mut self, records: u64) {
        self.unsaved = self.unsaved.saturating_add(u32::try_from(records).unwrap_or(u32::MAX));
    }

    /// How many records a failure would lose; from now on, none.
    pub(super) fn take_unsaved(&mut self) -> u64 {
        u64::from(std::mem::take(&mut self.unsaved))
    }

    /// Whether it is to be saved now: it must be, or so many records have come, and so long has passed, since it was.
    pub(crate) fn is_due(&self, records: u64, interval: Duration, now: Time) -> bool {
        let long_ago = || self.last_saved().is_none_or(|saved| now.saturating_since(saved.at) >= interval);
        self.due || u64::from(self.unsaved) >= records && long_ago()
    }

    /// Whether nothing was recorded since it was made, or came back.
    pub(crate) const fn is_new(&self) -> bool {
        self.unsaved == 0 && self.rare.is_none()
    }

    /// The last snapshot and when it was taken.
    pub(crate) fn saved(&self) -> Option<(Arc<[u8]>, Time)> {
        self.last_saved().map(|saved| (Arc::clone(&saved.bytes), saved.at))
    }

    /// The incarnation that it sits in.
    pub(crate) fn incarnation(&self) -> u64 {
        u64::from(self.seat.incarnation)
    }
}
