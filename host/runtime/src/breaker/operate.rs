//! How a breaker calls its component: lock, take the seat, call, keep a snapshot, tell what happened, unlock, deliver.

use std::mem::discriminant;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::leased::{Asked, Leasing};
use super::{Home, Inner, Rare, Shared};
use crate::bindings::breaker as wit;
use crate::component::{Restored, Seated};
use crate::condition::CallRecord;
use crate::error::ComponentFailure;
use crate::limits::Limits;
use crate::types::{Effect, Event, EventReason, Outcome, State, StateChange, Time};

type Store = wasmtime::Store<Limits>;

/// What recording came to: what became of it, and the change that it made.
pub(crate) type Recorded = (Effect, Option<Box<StateChange>>);

impl Shared {
    /// Asks the component and changes nothing but what it says that it changes.
    pub(super) fn operate<T>(
        &self,
        asked: Asked,
        now: Time,
        operation: impl FnOnce(&mut Seated<'_>) -> Result<(T, Option<wit::Event>), ComponentFailure>,
    ) -> Result<(T, Option<Box<StateChange>>), ComponentFailure> {
        let mut inner = self.inner.lock();
        let result = self.operate_locked(&mut inner, asked, now, operation);
        self.publish(inner);
        result
    }

    /// [`operate`](Self::operate) under the lock that the caller holds, and after which it publishes.
    pub(super) fn operate_locked<T>(
        &self,
        inner: &mut Inner,
        asked: Asked,
        now: Time,
        operation: impl FnOnce(&mut Seated<'_>) -> Result<(T, Option<wit::Event>), ComponentFailure>,
    ) -> Result<(T, Option<Box<StateChange>>), ComponentFailure> {
        let Inner { cell, rare } = inner;
        let mut not_lent = Leasing::default();
        let (leasing, mut known) = match rare.as_deref_mut() {
            Some(Rare { leasing, conditions, outbox, failing }) => (leasing, Some((conditions, outbox, failing))),
            None => (&mut not_lent, None),
        };
        // Of this operation. There is hardly ever something to tell.
        let told = &mut Vec::new();
        let Home { snapshot_every, snapshot_interval, .. } = &*self.home;
        // Whether the windows have become fresh. Conditions are reset when the instance is free: they are the host's own code.
        let mut fresh = false;
        let result = self.home.slots.of(cell).seat(cell, self.guest(), now).and_then(|mut seated| {
            let mut asked = asked;
            if let Some(restored) = seated.restored() {
                if matches!(asked, Asked::Together(..)) {
                    // What it was to go together with is lost, and its permit may be unknown now.
                    asked = Asked::Nothing;
                }
                let lost = self.lose_leased(leasing);
                fresh |= self.welcome_back(&mut seated, restored, lost, now, told)?;
            }
            // None, unless what came last was no longer benign, or the component doesn't keep to its lease.
            let by_lease = self.record_leased(leasing, &mut seated, asked)?;
            let (answer, event) = operation(&mut seated)?;
            let events = [by_lease, event];
            let latest = events.iter().flatten().next_back();
            // The answer stands, even if the component fails at what follows; what wasn't saved is then lost.
            let save = latest.is_some() || seated.cell().is_due(*snapshot_every, *snapshot_interval, now);
            let saved = if save { seated.save() } else { Ok(()) };
            if saved.is_err() {
                seated.cell().note_unsaved(latest);
            }
            let mut change = None;
            for event in events.into_iter().flatten() {
                let happened = StateChange::from_wit(event);
                fresh |= self.changed(&happened, told);
                change = Some(Box::new(happened));
            }
            // An open period may have become longer, without an event.
            let refusing = asked == Asked::Record && matches!(self.known_state(), State::Open | State::ForcedOpen);
            if change.is_some() || refusing || asked == Asked::Change {
                leasing.revoke(&self.leased);
            }
            let failure = saved.and_then(|()| self.renew_lease(leasing, &mut seated, asked, now)).err();
            Ok((answer, change, failure))
        });
        if fresh && let Some((conditions, ..)) = &mut known {
            conditions.reset(self.name(), told);
        }
        let (answer, failure) = match result {
            Ok((answer, change, failure)) => (Ok((answer, change)), failure),
            Err(failure) => (Err(failure.clone()), Some(failure)),
        };
        if let Some(failure) = &failure {
            cell.add_unsaved(self.lose_leased(leasing));
            // Told once, not with every call while it lasts.
            let failing = known.as_ref().and_then(|(.., failing)| **failing);
            if failing != Some(discriminant(failure)) && !matches!(failure, ComponentFailure::Resting { .. }) {
                let (breaker, failure) = (Arc::clone(self.name()), failure.clone());
                told.push(Event::ComponentFailed { breaker, failure });
            }
        }
        let failing = failure.as_ref().map(discriminant);
        match known {
            Some((_, outbox, known)) => {
                outbox.append(told);
                *known = failing;
            }
            None if failing.is_some() || !told.is_empty() || not_lent.is_lent() => {
                let rare = Rare::of(rare);
                (rare.leasing, rare.failing) = (not_lent, failing);
                rare.outbox.append(told);
            }
            None => {}
        }
        answer
    }

    /// The state has changed: what the host knows follows, and it is told. Whether the windows are fresh.
    fn changed(&self, change: &StateChange, outbox: &mut Vec<Event>) -> bool {
        self.leased.set_state(change.new);
        self.set_trip_count(change.trip_count);
        self.meters.changed(change.old, change.new, change.is_trip());
        outbox.push(Event::StateChanged { breaker: Arc::clone(self.name()), change: change.clone() });
        // A trip leaves the windows as they are till half-open; everything else makes them fresh.
        !matches!(change.reason, EventReason::Tripped(_))
    }

    /// A breaker came back after its instance had failed: in the state of its snapshot, or closed. What the host knows of it
    /// follows. Whether its windows are not those that they were.
    fn welcome_back(
        &self,
        seated: &mut Seated<'_>,
        restored: Restored,
        leased_lost: u64,
        now: Time,
        outbox: &mut Vec<Event>,
    ) -> Result<bool, ComponentFailure> {
        let Restored { records_lost, from_snapshot } = restored;
        let records_lost = records_lost + leased_lost;
        self.home.metrics.component().records_lost.fetch_add(leased_lost, Ordering::Relaxed);
        let known = self.known_state();
        // That it is open was told, and couldn't be saved.
        if let Some((reason, open_for)) = seated.cell().unsaved_opening(now) {
            seated.ask(|guest, store, id| guest.call_trip(store, id, &reason, Some(open_for), now.nanos()))?;
        }
        // A component that can't say leaves it at what is known.
        self.note_status(seated, now)?;
        let state = self.known_state();
        let breaker = Arc::clone(self.name());
        outbox.push(Event::BreakerRestored { breaker, state, records_lost, from_snapshot });
        Ok(!from_snapshot || state != known)
    }

    /// Asks where the breaker stands, and takes note of it: whether the component said.
    fn note_status(&self, seated: &mut Seated<'_>, now: Time) -> Result<bool, ComponentFailure> {
        let status = seated.ask(|guest, store, id| guest.call_status(store, id, now.nanos()))?;
        if let Some(status) = &status {
            self.note(State::from_wit(status.state), status.trip_count);
        }
        Ok(status.is_some())
    }

    /// Learns where the breaker stands.
    pub(crate) fn learn(&self, now: Time) -> Result<(), ComponentFailure> {
        self.plain(now, |seated| match self.note_status(seated, now)? {
            true => Ok(()),
            false => Err(seated.nonsense("no status of a breaker that it made")),
        })
    }

    /// Queues what there is to tell, unlocks, and hands it out.
    fn publish(&self, mut inner: parking_lot::MutexGuard<'_, Inner>) {
        match &mut inner.rare {
            Some(rare) if !rare.outbox.is_empty() => self.home.hub.queue(&mut rare.outbox),
            _ => return,
        }
        drop(inner);
        self.home.hub.deliver();
    }

    /// Asks what changes nothing.
    pub(super) fn plain<T>(
        &self,
        now: Time,
        ask: impl FnOnce(&mut Seated<'_>) -> Result<T, ComponentFailure>,
    ) -> Result<T, ComponentFailure> {
        self.operate(Asked::Nothing, now, |seated| Ok((ask(seated)?, None))).map(|(answer, _)| answer)
    }

    /// Asks what changes nothing, and which the component knows for every breaker that it made.
    pub(super) fn ask<T>(
        &self,
        now: Time,
        what: &str,
        call: impl FnOnce(&wit::Guest, &mut Store, u32) -> wasmtime::Result<Option<T>>,
    ) -> Result<T, ComponentFailure> {
        self.plain(now, |seated| match seated.ask(call)? {
            Some(answer) => Ok(answer),
            None => Err(seated.nonsense(&format!("no {what} of a breaker that it made"))),
        })
    }

    /// Calls a function that may change the state. As it may change it without an event, a snapshot is taken in any case.
    pub(super) fn change(
        &self,
        now: Time,
        call: impl FnOnce(&wit::Guest, &mut Store, u32) -> wasmtime::Result<Option<wit::Event>>,
    ) -> Result<Option<StateChange>, ComponentFailure> {
        let changed = self.operate(Asked::Change, now, |seated| {
            let event = seated.ask(call)?;
            self.leased.note(now);
            seated.cell().due = true;
            Ok(((), event))
        });
        changed.map(|((), change)| change.map(|change| *change))
    }

    /// Settles a permit that the component gave.
    #[cold]
    pub(super) fn record(
        &self,
        permit: u64,
        incarnation: u64,
        outcome: &Outcome,
        latency_nanos: u64,
        now: Time,
    ) -> Recorded {
        let now = self.leased.seen(now);
        let mut inner = self.inner.lock();
        // Whoever held the lock may have opened the next lease: of threads that find one full, the first hands it in, and the others
        // go on.
        if let Some(effect) = self.leased.keep(permit, outcome, latency_nanos, now) {
            return (effect, None);
        }
        let verdicts = match self.verdicts(&mut inner, permit, outcome, latency_nanos, now) {
            Ok(verdicts) => verdicts,
            Err(_) => {
                self.lose(&mut inner);
                self.publish(inner);
                return (Effect::Lost, None);
            }
        };
        if !inner.has_conditions()
            && let Some(entry) = self.goes_together(&mut inner, permit, outcome, latency_nanos, now)
        {
            let together = Asked::Together(entry, now.nanos());
            let settled = self.operate_locked(&mut inner, together, now, |_| Ok(((), None)));
            let together = inner.leasing().and_then(Leasing::take_together);
            if together.is_none() {
                // Not even handed in: otherwise it is counted with what it went with.
                self.lose(&mut inner);
            }
            let recorded = match (together, settled) {
                (Some(effect), Ok(((), change))) if effect != Effect::Lost => {
                    self.leased.note(now);
                    (effect, change)
                }
                _ => (Effect::Lost, None),
            };
            self.publish(inner);
            return recorded;
        }
        let outcome = outcome.to_wit(latency_nanos);
        let settled = self.operate_locked(&mut inner, Asked::Record, now, |seated| {
            let answer = seated.ask(|guest, store, id| match &verdicts[..] {
                [] => guest.call_record_outcome(store, id, permit, outcome, now.nanos()),
                verdicts => guest.call_record_judged_outcome(store, id, permit, outcome, verdicts, now.nanos()),
            })?;
            self.taken(seated, answer, incarnation, now)
        });
        let recorded = settled.unwrap_or_else(|_| {
            self.lose(&mut inner);
            (Effect::Lost, None)
        });
        self.publish(inner);
        recorded
    }

    /// Hands in a score after its outcome was settled.
    pub(super) fn report(&self, permit: u64, incarnation: u64, report: wit::QualityReport, now: Time) -> Recorded {
        let now = self.leased.seen(now);
        let settled = self.operate(Asked::Record, now, |seated| {
            let answer =
                seated.ask(|guest, store, id| guest.call_report_quality(store, id, permit, report, now.nanos()))?;
            self.taken(seated, answer, incarnation, now)
        });
        settled.unwrap_or((Effect::Lost, None))
    }

    /// One record more that the component never took.
    fn lose(&self, inner: &mut Inner) {
        // What is lost with the instance is counted when the breaker comes back; this one is counted with it.
        inner.cell.add_unsaved(1);
    }

    /// The verdicts of the host's own conditions on this record, none of which sees one that will not count.
    fn verdicts(
        &self,
        inner: &mut Inner,
        permit: u64,
        outcome: &Outcome,
        latency_nanos: u64,
        now: Time,
    ) -> Result<Vec<Option<String>>, ComponentFailure> {
        if !inner.has_conditions() {
            return Ok(Vec::new());
        }
        if outcome.kind.is_neutral() {
            return Ok(Rare::of(&mut inner.rare).conditions.none());
        }
        // Asked before, and not under the instance's lock: a condition may take its time.
        let (standing, _) = self.operate_locked(inner, Asked::Nothing, now, |seated| {
            let standing = seated.ask(|guest, store, id| guest.call_permit_standing(store, id, permit, now.nanos()))?;
            Ok((standing, None))
        })?;
        let Rare { conditions, outbox, .. } = Rare::of(&mut inner.rare);
        match standing {
            wit::Standing::Stale | wit::Standing::Unknown => return Ok(conditions.none()),
            wit::Standing::Probe => conditions.reset(self.name(), outbox),
            wit::Standing::Current => {}
        }
        let (score, latency) = (outcome.score(), std::time::Duration::from_nanos(latency_nanos));
        Ok(conditions.record(self.name(), &CallRecord { kind: outcome.kind, latency, score, at: now }, outbox))
    }

    /// Reads what the component says of a record.
    fn taken(
        &self,
        seated: &mut Seated<'_>,
        answer: Result<wit::Settlement, wit::RecordError>,
        incarnation: u64,
        now: Time,
    ) -> Result<(Effect, Option<wit::Event>), ComponentFailure> {
        match answer {
            Ok(wit::Settlement { effect, event }) => {
                seated.cell().add_unsaved(1);
                self.leased.note(now);
                Ok((Effect::from_wit(effect), event))
            }
            Err(wit::RecordError::Stale) => Ok((Effect::Stale, None)),
            // A probe that was given after the snapshot from which the breaker came back.
            Err(wit::RecordError::UnknownPermit) if seated.cell().incarnation() != incarnation => {
                Ok((Effect::Lost, None))
            }
            Err(wit::RecordError::UnknownPermit) => Err(seated.nonsense("a permit that it gave is unknown to it")),
            Err(wit::RecordError::UnknownBreaker) => Err(seated.nonsense("a breaker that it made is unknown to it")),
            Err(wit::RecordError::InvalidScore(score)) => Err(seated.nonsense(&format!("{score} is no score to it"))),
            Err(wit::RecordError::InvalidVerdicts(count)) => {
                Err(seated.nonsense(&format!("it wants {count} verdicts, not those of the policy's conditions")))
            }
            Err(wit::RecordError::Other(text)) => Err(seated.nonsense(&format!("a record was refused: {text}"))),
        }
    }
}
