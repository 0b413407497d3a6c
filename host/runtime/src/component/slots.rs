//! The instances of a registry, or of a keyed family. Breakers are spread over them, so that two cores serve two breakers
//! without meeting, and an instance that fails takes none with it but those that sit there.

use std::sync::Arc;

use parking_lot::Mutex;

use super::cell::{Saved, Who};
use super::live::{Live, Replaced, Taking};
use super::room::{Claim, Room};
use super::slot::{RestSettings, Slot};
use super::{BreakerComponent, Cell};
use crate::clock::RegistryClock;
use crate::error::{ComponentFailure, RestoreError};
use crate::metrics::ComponentMeters;
use crate::policy::Policy;
use crate::types::Time;

/// Instances, each made when the first breaker takes its seat there.
pub(crate) struct Slots {
    slots: Box<[Slot]>,
    places: Mutex<Places>,
}

/// Who has a place where.
struct Places {
    component: BreakerComponent,
    /// A slot's each.
    rooms: Box<[Room]>,
    /// The slot at which the next search begins.
    next: usize,
}

/// No instance has room for a breaker.
#[derive(Debug)]
pub(crate) struct NoPlace {
    /// What it would take.
    pub(crate) bytes: u64,
    /// What breakers may have of an instance.
    pub(crate) instance_bytes_max: u64,
    pub(crate) instances: usize,
    /// How many breakers like it empty instances have room for.
    pub(crate) fit: u64,
}

impl Slots {
    pub(crate) fn new(
        component: &BreakerComponent,
        instances: usize,
        clock: &RegistryClock,
        rest: RestSettings,
        meters: &Arc<ComponentMeters>,
    ) -> Self {
        let slot = |_| Slot::new(component.clone(), clock.clone(), rest, Arc::clone(meters));
        let slots: Box<[Slot]> = (0..instances.max(1)).map(slot).collect();
        let rooms = slots.iter().map(|_| Room::default()).collect();
        Self { slots, places: Mutex::new(Places { component: component.clone(), rooms, next: 0 }) }
    }

    /// A place for a breaker: in the instance that is asked for, where that has room; else in the one that is claimed least of,
    /// of several in turn. It comes back from `saved`, where that is given.
    ///
    /// # Errors
    /// Where no instance has room for it.
    pub(crate) fn place(
        &self,
        who: &Who,
        asked_for: Option<usize>,
        saved: Option<(Arc<[u8]>, Time)>,
    ) -> Result<Cell, NoPlace> {
        let claim = who.claim(saved.as_ref().map_or(0, |(bytes, _)| bytes.len()));
        let mut places = self.places.lock();
        let (count, next, max) = (self.slots.len(), places.next, places.component.breakers_bytes_max());
        let has_room = |slot: &usize| places.rooms.get(*slot).is_some_and(|room| room.with(claim) <= max);
        let slot = match asked_for.filter(has_room) {
            Some(slot) => slot,
            None => {
                let in_turn = (0..count).map(|step| (next + step) % count);
                let least = in_turn.min_by_key(|slot| places.rooms[*slot].with(claim)).unwrap_or(0);
                if !has_room(&least) {
                    return Err(self.no_place(claim, max));
                }
                places.next = (least + 1) % count;
                least
            }
        };
        places.rooms[slot].add(claim);
        drop(places);
        // There are at most 256.
        Ok(Cell::new(slot as u8, saved))
    }

    /// Whether so many breakers with this policy find a place, and nobody else.
    ///
    /// # Errors
    /// Where they don't.
    pub(crate) fn check_room(&self, policy: &Policy, breakers: usize) -> Result<(), NoPlace> {
        let max = self.places.lock().component.breakers_bytes_max();
        let no_place = self.no_place(Claim::of(policy.info().breaker_bytes), max);
        if breakers as u64 <= no_place.fit { Ok(()) } else { Err(no_place) }
    }

    fn no_place(&self, claim: Claim, instance_bytes_max: u64) -> NoPlace {
        let instances = self.slots.len();
        let fit = claim.fit(instance_bytes_max).saturating_mul(instances as u64);
        NoPlace { bytes: claim.bytes(), instance_bytes_max, instances, fit }
    }

    /// Takes a breaker out of the component, and its place back.
    pub(crate) fn unseat(&self, cell: &mut Cell, who: &Who) {
        let slot = usize::from(cell.slot);
        self.slots[slot].unseat(cell);
        if std::mem::take(&mut cell.placed) {
            self.places.lock().rooms[slot].remove(who.claim(cell.placed_with()));
        }
    }

    /// How many instances there are.
    pub(crate) fn count(&self) -> usize {
        self.slots.len()
    }

    /// Whether the component takes a snapshot under this policy: tried in an instance of its own, since bytes from elsewhere
    /// may make it fail, which must hurt nobody.
    ///
    /// # Errors
    /// Where it can't be tried.
    pub(crate) fn try_restore(
        &self,
        policy: &Policy,
        snapshot: &Arc<[u8]>,
        now: Time,
    ) -> Result<Result<(), RestoreError>, ComponentFailure> {
        let component = self.places.lock().component.clone();
        let mut scratch = Live::new(component.instantiate()?, 1);
        let saved = Saved { bytes: Arc::clone(snapshot), at: now };
        let tried = scratch
            .policy(|| Arc::clone(policy.source_name()), policy)
            .and_then(|known| scratch.restore(known, &saved, now));
        match tried {
            Ok(restored) => Ok(restored.map(|_| ())),
            Err(Taking::FailedAtSnapshot(failure)) => Ok(Err(RestoreError::Failed(failure))),
            Err(Taking::Refused(failure) | Taking::Failed(failure)) => Err(failure),
        }
    }

    /// Where a breaker sits.
    pub(crate) fn of(&self, cell: &Cell) -> &Slot {
        &self.slots[usize::from(cell.slot)]
    }

    /// One of them, for what any can answer.
    pub(crate) fn any(&self) -> &Slot {
        &self.slots[0]
    }
}

/// Puts a newer component in the place of the one at work, in all slots or in none, and brings along every breaker that
/// sits there.
///
/// # Errors
/// Where the new one doesn't start, has no room for a breaker, or fails while it takes one over: the old one then stays at
/// work.
pub(crate) fn replace<'a>(
    homes: impl Iterator<Item = &'a Slots> + Clone,
    component: &BreakerComponent,
) -> Result<Replaced, ComponentFailure> {
    // Whether it starts at all, where no breaker sits anywhere yet.
    drop(component.instantiate()?);
    let mut replaced = Replaced::default();
    let mut prepared = Vec::new();
    for home in homes.clone() {
        for slot in &home.slots {
            prepared.push(slot.prepare(component, &mut replaced)?);
        }
    }
    for slot in prepared {
        slot.commit(component);
    }
    for home in homes {
        home.places.lock().component = component.clone();
    }
    Ok(replaced)
}
