//! How a breaker calls its component: lock, take the seat, call, keep a snapshot, tell what happened, unlock, deliver.

use std::mem::discriminant;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{Inner, Shared};
use crate::bindings::breaker as wit;
use crate::component::{Restored, Seated};
use crate::condition::{CallRecord, Held};
use crate::error::ComponentFailure;
use crate::limits::Limits;
use crate::types::{Effect, Event, EventReason, Outcome, Signal, State, StateChange, Time};

type Store = wasmtime::Store<Limits>;

/// What recording came to: what became of it, and the change that it made.
pub(crate) type Recorded = (Effect, Option<StateChange>);

impl Shared {
    /// Asks the component and changes nothing but what it says that it changes.
    pub(super) fn operate<T>(
        &self,
        now: Time,
        operation: impl FnOnce(&mut Seated<'_>, u64) -> Result<(T, Option<wit::Event>), ComponentFailure>,
    ) -> Result<(T, Option<StateChange>), ComponentFailure> {
        let mut inner = self.inner.lock();
        let result = self.operate_locked(&mut inner, now, operation);
        self.publish(inner);
        result
    }

    /// [`operate`](Self::operate) under the lock that the caller holds, and after which it publishes.
    pub(super) fn operate_locked<T>(
        &self,
        inner: &mut Inner,
        now: Time,
        operation: impl FnOnce(&mut Seated<'_>, u64) -> Result<(T, Option<wit::Event>), ComponentFailure>,
    ) -> Result<(T, Option<StateChange>), ComponentFailure> {
        let Inner { cell, conditions, outbox, failing } = inner;
        let every = self.home.snapshot_every;
        let result = self.home.slots.of(cell).seat(cell, now).and_then(|mut seated| {
            if let Some(restored) = seated.restored() {
                self.welcome_back(&mut seated, restored, now, conditions, outbox)?;
            }
            let (answer, event) = operation(&mut seated, every)?;
            if event.is_some() || seated.cell().unsaved >= every {
                // The answer stands, even if the component fails at this; what wasn't saved is then lost.
                if let Err(failure) = seated.save() {
                    seated.cell().note_unsaved(event.as_ref());
                    return Ok((answer, event, Some(failure)));
                }
            }
            Ok((answer, event, None))
        });
        // Told once, not with every call while it lasts.
        let mut told = |failure: &ComponentFailure| {
            let kind = Some(discriminant(failure));
            if *failing != kind && !matches!(failure, ComponentFailure::Resting { .. }) {
                let (breaker, failure) = (Arc::clone(&self.name), failure.clone());
                outbox.push(Event::ComponentFailed { breaker, failure });
            }
            *failing = kind;
        };
        let (answer, event) = match result {
            Ok((answer, event, Some(failure))) => {
                told(&failure);
                (answer, event)
            }
            Ok((answer, event, None)) => {
                *failing = None;
                (answer, event)
            }
            Err(failure) => {
                told(&failure);
                return Err(failure);
            }
        };
        let change = event.map(StateChange::from_wit);
        if let Some(change) = &change {
            // A trip leaves the windows as they are till half-open; everything else makes them fresh.
            if !matches!(change.reason, EventReason::Tripped(_)) {
                conditions.reset(&self.name, outbox);
            }
            self.state.store(change.new.as_metric(), Ordering::Relaxed);
            self.trip_count.store(change.trip_count, Ordering::Relaxed);
            self.meters.changed(change.old, change.new, change.is_trip());
            outbox.push(Event::StateChanged { breaker: Arc::clone(&self.name), change: change.clone() });
        }
        Ok((answer, change))
    }

    /// A breaker came back after its instance had failed: in the state of its snapshot, or closed. What the host knows of it
    /// follows.
    fn welcome_back(
        &self,
        seated: &mut Seated<'_>,
        restored: Restored,
        now: Time,
        conditions: &mut Held,
        outbox: &mut Vec<Event>,
    ) -> Result<(), ComponentFailure> {
        let Restored { records_lost, from_snapshot } = restored;
        let known = self.known_state();
        // That it is open was told, and couldn't be saved.
        if let Some((reason, open_for)) = seated.cell().unsaved_opening(now) {
            seated.ask(|guest, store, id| guest.call_trip(store, id, &reason, Some(open_for), now.nanos()))?;
        }
        // A component that can't say leaves it at what is known.
        if let Some(status) = seated.ask(|guest, store, id| guest.call_status(store, id, now.nanos()))? {
            self.note(State::from_wit(status.state), status.trip_count);
        }
        let state = self.known_state();
        let breaker = Arc::clone(&self.name);
        outbox.push(Event::BreakerRestored { breaker, state, records_lost, from_snapshot });
        if !from_snapshot || state != known {
            conditions.reset(&self.name, outbox);
        }
        Ok(())
    }

    /// Queues what there is to tell, unlocks, and hands it out.
    fn publish(&self, mut inner: parking_lot::MutexGuard<'_, Inner>) {
        if inner.outbox.is_empty() {
            return;
        }
        self.home.hub.queue(&mut inner.outbox);
        drop(inner);
        self.home.hub.deliver();
    }

    /// Asks what changes nothing.
    pub(super) fn plain<T>(
        &self,
        now: Time,
        ask: impl FnOnce(&mut Seated<'_>) -> Result<T, ComponentFailure>,
    ) -> Result<T, ComponentFailure> {
        self.operate(now, |seated, _| Ok((ask(seated)?, None))).map(|(answer, _)| answer)
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
        let changed = self.operate(now, |seated, every| {
            let event = seated.ask(call)?;
            seated.cell().unsaved = every;
            Ok(((), event))
        });
        changed.map(|((), change)| change)
    }

    /// Settles a permit that the component gave.
    pub(super) fn record(
        &self,
        permit: u64,
        incarnation: u64,
        outcome: Outcome,
        latency: std::time::Duration,
        now: Time,
    ) -> Recorded {
        let mut inner = self.inner.lock();
        let verdicts = match self.verdicts(&mut inner, permit, outcome, latency, now) {
            Ok(verdicts) => verdicts,
            Err(_) => {
                self.lose(&mut inner);
                self.publish(inner);
                return (Effect::Lost, None);
            }
        };
        let outcome = outcome.to_wit(latency, verdicts);
        let settled = self.operate_locked(&mut inner, now, |seated, _| {
            let answer =
                seated.ask(|guest, store, id| guest.call_record_outcome(store, id, permit, &outcome, now.nanos()))?;
            taken(seated, answer, incarnation)
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
        let settled = self.operate(now, |seated, _| {
            let answer =
                seated.ask(|guest, store, id| guest.call_report_quality(store, id, permit, report, now.nanos()))?;
            taken(seated, answer, incarnation)
        });
        settled.unwrap_or((Effect::Lost, None))
    }

    /// One record more that the component never took.
    fn lose(&self, inner: &mut Inner) {
        // What is lost with the instance is counted when the breaker comes back; this one is counted with it.
        inner.cell.unsaved += 1;
    }

    /// The verdicts of the host's own conditions on this record, none of which sees one that will not count.
    fn verdicts(
        &self,
        inner: &mut Inner,
        permit: u64,
        outcome: Outcome,
        latency: std::time::Duration,
        now: Time,
    ) -> Result<Vec<Option<String>>, ComponentFailure> {
        if inner.conditions.is_empty() {
            return Ok(Vec::new());
        }
        if outcome.kind.is_neutral() {
            return Ok(inner.conditions.none());
        }
        // Asked before, and not under the instance's lock: a condition may take its time.
        let (standing, _) = self.operate_locked(inner, now, |seated, _| {
            let standing = seated.ask(|guest, store, id| guest.call_permit_standing(store, id, permit, now.nanos()))?;
            Ok((standing, None))
        })?;
        let Inner { conditions, outbox, .. } = inner;
        match standing {
            wit::Standing::Stale | wit::Standing::Unknown => return Ok(conditions.none()),
            wit::Standing::Probe => conditions.reset(&self.name, outbox),
            wit::Standing::Current => {}
        }
        let score = match outcome.signal {
            Signal::Score(score) => Some(score),
            Signal::None | Signal::Pending => None,
        };
        Ok(conditions.record(&self.name, &CallRecord { kind: outcome.kind, latency, score, at: now }, outbox))
    }
}

/// Reads what the component says of a record.
fn taken(
    seated: &mut Seated<'_>,
    answer: Result<wit::Settlement, wit::RecordError>,
    incarnation: u64,
) -> Result<(Effect, Option<wit::Event>), ComponentFailure> {
    match answer {
        Ok(wit::Settlement { effect, event }) => {
            seated.cell().unsaved += 1;
            Ok((Effect::from_wit(effect), event))
        }
        Err(wit::RecordError::Stale) => Ok((Effect::Stale, None)),
        // A probe that was given after the snapshot from which the breaker came back.
        Err(wit::RecordError::UnknownPermit) if seated.cell().incarnation() != incarnation => Ok((Effect::Lost, None)),
        Err(wit::RecordError::UnknownPermit) => Err(seated.nonsense("a permit that it gave is unknown to it")),
        Err(wit::RecordError::UnknownBreaker) => Err(seated.nonsense("a breaker that it made is unknown to it")),
        Err(wit::RecordError::InvalidScore(score)) => Err(seated.nonsense(&format!("{score} is no score to it"))),
        Err(wit::RecordError::InvalidVerdicts(count)) => {
            Err(seated.nonsense(&format!("it wants {count} verdicts, not those of the policy's conditions")))
        }
        Err(wit::RecordError::Other(text)) => Err(seated.nonsense(&format!("a record was refused: {text}"))),
    }
}
