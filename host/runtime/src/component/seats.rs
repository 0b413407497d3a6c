//! Who sits in an instance, for a hot upgrade: a few bytes for each of perhaps a million.

use std::collections::HashMap;
use std::sync::Arc;

use ecow::EcoString;

use super::cell::{Guest, name_of};
use super::room::{Claim, Room};
use crate::policy::Policy;

/// [`Seated::kind`] of a place that is free, and whose `id` is the next such.
const FREE: u32 = u32::MAX;
/// [`Seated::kind`] of somebody whom a hot upgrade didn't bring along. The place is theirs until they come and see.
const LOST: u32 = u32::MAX - 1;
/// A place that nobody has.
pub(super) const NO_PLACE: u32 = u32::MAX;

/// A breaker that sits in the instance.
struct Seated {
    key: EcoString,
    id: u32,
    kind: u32,
}

/// What breakers that sit there have in common.
struct Kind {
    policy: Policy,
    family: Option<Arc<str>>,
    claim: Claim,
    /// How many there are; what nobody is of is free.
    breakers: usize,
}

/// Who sits in an instance, by place.
pub(super) struct Seats {
    seats: Vec<Seated>,
    free: u32,
    kinds: Vec<Kind>,
    /// By policy, length of the snapshot on the way, and whether there is a family.
    kinds_by: HashMap<(u64, u64, bool), u32>,
    room: Room,
    taken: usize,
}

impl Default for Seats {
    fn default() -> Self {
        let (kinds_by, room) = (HashMap::new(), Room::default());
        Self { seats: Vec::new(), free: NO_PLACE, kinds: Vec::new(), kinds_by, room, taken: 0 }
    }
}

impl Seats {
    /// How many breakers sit here.
    pub(super) const fn count(&self) -> usize {
        self.taken
    }

    /// The claims on the instance, with one more.
    pub(super) fn with(&self, claim: Claim) -> u64 {
        self.room.with(claim)
    }

    /// A place for a breaker, which the component knows by `id`.
    pub(super) fn add(&mut self, guest: Guest<'_>, id: u32, claim: Claim) -> u32 {
        let kind = self.kind(&guest.who.policy, guest.who.family.as_ref(), claim);
        let seated = Seated { key: guest.key.clone(), id, kind };
        self.count_in(kind);
        if let Some(place) = self.seats.get_mut(self.free as usize) {
            let at = std::mem::replace(&mut self.free, place.id);
            *place = seated;
            return at;
        }
        self.seats.push(seated);
        // The component has fewer than 2^32 breakers, and has fewer lost ones.
        (self.seats.len() - 1) as u32
    }

    /// The handle of whoever sits in a place that was given.
    pub(super) fn id(&self, place: u32) -> Option<u32> {
        self.seats.get(place as usize).filter(|seated| seated.kind < LOST).map(|seated| seated.id)
    }

    /// Frees a place that was given: the handle of who sat there.
    pub(super) fn remove(&mut self, place: u32) -> Option<u32> {
        let seated = self.seats.get_mut(place as usize).filter(|seated| seated.kind != FREE)?;
        let left = std::mem::replace(seated, Seated { key: EcoString::new(), id: self.free, kind: FREE });
        self.free = place;
        if left.kind == LOST {
            return None;
        }
        self.taken -= 1;
        let kind = self.kinds.get_mut(left.kind as usize)?;
        kind.breakers -= 1;
        self.room.remove(kind.claim);
        if kind.breakers == 0 {
            self.kinds_by.remove(&(kind.policy.uid(), kind.claim.transit(), kind.family.is_some()));
        }
        Some(left.id)
    }

    /// The places again, with nobody there: those who come along take theirs, the others are lost.
    pub(super) fn successor(&self) -> Self {
        let emptied = |seated: &Seated| match seated.kind {
            FREE => Seated { key: EcoString::new(), id: seated.id, kind: FREE },
            _ => Seated { key: EcoString::new(), id: 0, kind: LOST },
        };
        Self { seats: self.seats.iter().map(emptied).collect(), free: self.free, ..Self::default() }
    }

    /// Everybody who sits here: place, handle, name and policy.
    pub(super) fn iter(&self) -> impl Iterator<Item = Occupant<'_>> {
        (0..).zip(&self.seats).filter_map(|(place, seated)| {
            let kind = self.kinds.get(seated.kind as usize)?;
            Some(Occupant { place, id: seated.id, key: &seated.key, kind })
        })
    }

    /// Seats one who comes along from where it sat.
    pub(super) fn bring(&mut self, old: &Occupant<'_>, id: u32, claim: Claim) {
        let kind = self.kind(&old.kind.policy, old.kind.family.as_ref(), claim);
        if let Some(seated) = self.seats.get_mut(old.place as usize) {
            *seated = Seated { key: old.key.clone(), id, kind };
            self.count_in(kind);
        }
    }

    fn count_in(&mut self, kind: u32) {
        if let Some(kind) = self.kinds.get_mut(kind as usize) {
            kind.breakers += 1;
            self.room.add(kind.claim);
            self.taken += 1;
        }
    }

    fn kind(&mut self, policy: &Policy, family: Option<&Arc<str>>, claim: Claim) -> u32 {
        let by = (policy.uid(), claim.transit(), family.is_some());
        if let Some(kind) = self.kinds_by.get(&by) {
            return *kind;
        }
        let kind = Kind { policy: policy.clone(), family: family.cloned(), claim, breakers: 0 };
        // At most one for each breaker, of which there are fewer than 2^32.
        let at = match self.kinds.iter().position(|kind| kind.breakers == 0) {
            Some(free) => {
                self.kinds[free] = kind;
                free as u32
            }
            None => {
                self.kinds.push(kind);
                (self.kinds.len() - 1) as u32
            }
        };
        self.kinds_by.insert(by, at);
        at
    }
}

/// A breaker that sits in an instance.
pub(super) struct Occupant<'a> {
    place: u32,
    pub(super) id: u32,
    key: &'a EcoString,
    kind: &'a Kind,
}

impl Occupant<'_> {
    pub(super) fn name(&self) -> Arc<str> {
        name_of(self.kind.family.as_ref(), self.key).into()
    }

    pub(super) const fn policy(&self) -> &Policy {
        &self.kind.policy
    }
}
