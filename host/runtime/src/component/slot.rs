//! Keeps a component instance at work: makes it, replaces it when it fails or a newer one comes, and seats breakers in it.
//!
//! A breaker lives in the instance only as a handle, and outlives it by its snapshot. So after a failure nothing is
//! rebuilt at once: the next call of each breaker finds that its seat is gone and takes a new one.
//!
//! There is a circuit around the circuit. A component that fails again and again is not started for a while, and for
//! longer each time.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};

use super::BreakerComponent;
use super::cell::{Cell, Guest, Seat};
use super::live::{Live, Replaced, Taking};
use super::seats::NO_PLACE;
use crate::bindings::breaker as wit;
use crate::caught::caught;
use crate::clock::RegistryClock;
use crate::error::ComponentFailure;
use crate::metrics::ComponentMeters;
use crate::types::Time;

/// When a component that fails is let rest.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RestSettings {
    /// So many failures ...
    pub(crate) failures_max: u32,
    /// ... within this time.
    pub(crate) within: Duration,
    /// The first rest; each that follows is twice as long ...
    pub(crate) rest: Duration,
    /// ... up to this. An instance that has lived for as long makes the next rest the first again.
    pub(crate) rest_max: Duration,
}

/// The instance, and how it has fared.
pub(crate) struct Slot {
    inner: Mutex<Inner>,
    clock: RegistryClock,
    rest: RestSettings,
    meters: Arc<ComponentMeters>,
}

struct Inner {
    component: BreakerComponent,
    live: Option<Live>,
    /// Bumped with each instance, so that a seat in an earlier one is known for gone. The first is 1.
    incarnation: u32,
    /// The latest time that a breaker was called with which sits here.
    latest: Time,
    started_at: Time,
    failures: VecDeque<Time>,
    /// Rests since the component last lived long.
    rests: u32,
    resting: Option<Resting>,
}

struct Resting {
    until: Time,
    failures: u32,
    last: String,
}

/// A breaker in its seat: while this lives, the instance is locked.
pub(crate) struct Seated<'a> {
    slot: &'a Slot,
    inner: MutexGuard<'a, Inner>,
    cell: &'a mut Cell,
    id: u32,
    now: Time,
    restored: Option<Restored>,
}

/// A breaker was brought back after its instance had failed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Restored {
    pub(crate) records_lost: u64,
    pub(crate) from_snapshot: bool,
}

/// A slot with a newer instance that will take the place of the one at work.
pub(super) struct Prepared<'a> {
    slot: &'a Slot,
    inner: MutexGuard<'a, Inner>,
    next: Option<Live>,
}

impl Slot {
    pub(crate) fn new(
        component: BreakerComponent,
        clock: RegistryClock,
        rest: RestSettings,
        meters: Arc<ComponentMeters>,
    ) -> Self {
        let inner = Inner {
            component,
            live: None,
            incarnation: 0,
            latest: Time::ZERO,
            started_at: Time::ZERO,
            failures: VecDeque::new(),
            rests: 0,
            resting: None,
        };
        Self { inner: Mutex::new(inner), clock, rest, meters }
    }

    /// Seats a breaker, bringing it back if its last seat is gone.
    pub(crate) fn seat<'a>(
        &'a self,
        cell: &'a mut Cell,
        guest: Guest<'_>,
        now: Time,
    ) -> Result<Seated<'a>, ComponentFailure> {
        let mut inner = self.inner.lock();
        inner.latest = inner.latest.max(now);
        let (id, restored) = if cell.seat.incarnation == inner.incarnation && inner.live.is_some() {
            (cell.seat.id, None)
        } else {
            self.take_seat(&mut inner, cell, guest, now)?
        };
        Ok(Seated { slot: self, inner, cell, id, now, restored })
    }

    #[cold]
    fn take_seat(
        &self,
        inner: &mut Inner,
        cell: &mut Cell,
        guest: Guest<'_>,
        now: Time,
    ) -> Result<(u32, Option<Restored>), ComponentFailure> {
        self.start(inner)?;
        let incarnation = inner.incarnation;
        // `start` has just seen to it that there is one.
        let Some(live) = inner.live.as_mut() else { return Err(ComponentFailure::NotStarting(String::new())) };
        let came_back = cell.seat.incarnation != 0;
        if came_back && let Some(id) = live.brought(cell.seat) {
            // A hot upgrade brought it along. What it has seen since its last snapshot is still not saved.
            (cell.seat.incarnation, cell.seat.id) = (incarnation, id);
            return Ok((id, None));
        }
        // Whom it didn't bring along gives up the place that was kept.
        live.leave(cell.seat);
        cell.seat.place = NO_PLACE;
        let (id, place, from_snapshot) = match live.take(cell, guest, now) {
            Ok(taken) => taken,
            Err(Taking::Refused(failure)) => return Err(failure),
            Err(Taking::Failed(failure)) => return Err(self.fail(inner, failure)),
            Err(Taking::FailedAtSnapshot(failure)) => return Err(self.give_up_snapshot(inner, cell, guest, failure)),
        };
        let gave_up = cell.take_snapshot_failed();
        let unsaved = cell.take_unsaved();
        let restored = (came_back || gave_up || (cell.last_saved().is_some() && !from_snapshot)).then(|| {
            self.meters.records_lost.fetch_add(unsaved, Ordering::Relaxed);
            Restored { records_lost: unsaved, from_snapshot }
        });
        cell.seat = Seat { incarnation, id, place };
        Ok((id, restored))
    }

    /// The component has failed at a breaker's snapshot. Tried again, it would take down with it whoever sits here, every
    /// time.
    #[cold]
    fn give_up_snapshot(
        &self,
        inner: &mut Inner,
        cell: &mut Cell,
        guest: Guest<'_>,
        failure: ComponentFailure,
    ) -> ComponentFailure {
        cell.give_up_snapshot();
        let failure = self.fail(inner, failure);
        caught("a log", || {
            tracing::error!(
                breaker = %guest.who.name(guest.key), %failure,
                "the component failed at the breaker's snapshot, which is given up; the breaker starts afresh"
            );
        });
        failure
    }

    /// Makes an instance where there is none, unless the component rests.
    fn start(&self, inner: &mut Inner) -> Result<(), ComponentFailure> {
        if inner.live.is_some() {
            return Ok(());
        }
        let now = self.clock.now();
        if let Some(resting) = &inner.resting {
            if now < resting.until {
                let rest = resting.until.saturating_since(now);
                return Err(ComponentFailure::Resting { failures: resting.failures, rest, last: resting.last.clone() });
            }
            inner.resting = None;
        }
        match inner.component.instantiate() {
            Ok(instance) => {
                inner.incarnation += 1;
                if inner.incarnation > 1 {
                    self.meters.restarts.fetch_add(1, Ordering::Relaxed);
                }
                inner.started_at = now;
                inner.live = Some(Live::new(instance, inner.incarnation));
                Ok(())
            }
            Err(failure) => Err(self.fail(inner, failure)),
        }
    }

    /// Gives the instance up, and decides whether the next is made at once or after a rest.
    #[cold]
    fn fail(&self, inner: &mut Inner, failure: ComponentFailure) -> ComponentFailure {
        // First of all: logs and clocks are users' code, which may panic. What never started hasn't lived long, however long
        // ago the last one did.
        let lived = inner.live.take().is_some();
        self.meters.failed(&failure);
        let name = Arc::clone(inner.component.source_name());
        caught("a log", || tracing::error!(component = %name, %failure, "the breaker component failed"));
        let now = self.clock.now_unless_it_panics().unwrap_or(inner.started_at);
        if lived && now.saturating_since(inner.started_at) > self.rest.rest_max {
            inner.rests = 0;
        }
        inner.failures.push_back(now);
        while inner.failures.len() > self.rest.failures_max.max(1) as usize {
            inner.failures.pop_front();
        }
        let many = inner.failures.len() >= self.rest.failures_max.max(1) as usize
            && inner.failures.front().is_some_and(|first| now.saturating_since(*first) <= self.rest.within);
        // After a rest it has one try, not as many as at first.
        if many || inner.rests > 0 {
            let rest = self.rest.rest.saturating_mul(1 << inner.rests.min(20)).min(self.rest.rest_max);
            inner.rests += 1;
            let failures = self.rest.failures_max.max(1).saturating_add(inner.rests - 1);
            inner.resting = Some(Resting { until: now + rest, failures, last: failure.to_string() });
            inner.failures.clear();
            caught("a log", || tracing::error!(component = %name, ?rest, "the breaker component rests"));
        }
        failure
    }

    /// Compiles a policy in the component: what it says of itself, or what is wrong with it.
    pub(crate) fn load_policy(
        &self,
        uid: u64,
        text: &str,
    ) -> Result<Result<wit::PolicyInfo, Vec<wit::PolicyProblem>>, ComponentFailure> {
        let mut inner = self.inner.lock();
        self.start(&mut inner)?;
        let Some(live) = inner.live.as_mut() else { return Err(ComponentFailure::NotStarting(String::new())) };
        match live.load_policy(uid, text) {
            Ok(loaded) => Ok(loaded),
            Err(failure) => Err(self.fail(&mut inner, failure)),
        }
    }

    /// Takes a breaker out of the component.
    pub(crate) fn unseat(&self, cell: &mut Cell) {
        let seat = std::mem::take(&mut cell.seat);
        if seat.incarnation == 0 {
            return;
        }
        let mut inner = self.inner.lock();
        let Some(live) = inner.live.as_mut() else { return };
        let Some(id) = live.leave(seat) else { return };
        if let Err(failure) = live.instance.call(|guest, store| guest.call_drop_breaker(store, id)) {
            self.fail(&mut inner, failure);
        }
    }

    /// Makes an instance of a newer component, and brings every breaker that sits here into it. The one at work stays
    /// there, and is locked, until that is committed or dropped.
    ///
    /// # Errors
    /// Where the new one doesn't start, has no room for a breaker, or fails while it takes one over.
    pub(super) fn prepare(
        &self,
        component: &BreakerComponent,
        replaced: &mut Replaced,
    ) -> Result<Prepared<'_>, ComponentFailure> {
        let mut inner = self.inner.lock();
        let latest = inner.latest;
        let Some(old) = inner.live.as_mut() else { return Ok(Prepared { slot: self, inner, next: None }) };
        let mut next = Live::new(component.instantiate()?, old.since());
        if let Some(failure) = old.hand_over(&mut next, latest, replaced)? {
            self.fail(&mut inner, failure);
        }
        Ok(Prepared { slot: self, inner, next: Some(next) })
    }
}

impl Prepared<'_> {
    /// Puts the newer instance to work.
    pub(super) fn commit(mut self, component: &BreakerComponent) {
        let inner = &mut *self.inner;
        inner.component = component.clone();
        inner.live = self.next.take();
        // One that isn't at work yet begins its first incarnation when it is started.
        if inner.live.is_some() {
            inner.incarnation += 1;
            inner.started_at = self.slot.clock.now();
        }
        inner.failures.clear();
        inner.rests = 0;
        inner.resting = None;
    }
}

impl Seated<'_> {
    /// Calls the component for this breaker. After a failure the instance is gone.
    pub(crate) fn ask<T>(
        &mut self,
        call: impl FnOnce(&wit::Guest, &mut wasmtime::Store<crate::limits::Limits>, u32) -> wasmtime::Result<T>,
    ) -> Result<T, ComponentFailure> {
        let id = self.id;
        let Some(live) = self.inner.live.as_mut() else {
            return Err(ComponentFailure::NotStarting("it failed in the same call".to_owned()));
        };
        live.instance.call(|guest, store| call(guest, store, id)).map_err(|failure| self.fail(failure))
    }

    /// The component broke its contract: it isn't asked again.
    #[cold]
    pub(crate) fn nonsense(&mut self, what: &str) -> ComponentFailure {
        self.fail(ComponentFailure::Nonsense(what.to_owned()))
    }

    #[cold]
    fn fail(&mut self, failure: ComponentFailure) -> ComponentFailure {
        self.slot.fail(&mut self.inner, failure)
    }

    /// Whether the breaker was brought back for this call, and what that cost.
    pub(crate) const fn restored(&self) -> Option<Restored> {
        self.restored
    }

    /// The seat's breaker, to count records.
    pub(crate) fn cell(&mut self) -> &mut Cell {
        self.cell
    }

    /// Takes a snapshot, from which the breaker will come back.
    pub(crate) fn save(&mut self) -> Result<(), ComponentFailure> {
        let now = self.now;
        match self.ask(|guest, store, id| guest.call_snapshot(store, id, now.nanos()))? {
            Some(bytes) => {
                self.cell.set_saved(bytes.into(), now);
                Ok(())
            }
            None => Err(self.nonsense("a breaker that it made is unknown to it")),
        }
    }
}
