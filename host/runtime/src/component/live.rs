//! An instance at work: takes policies and breakers in, from snapshots where there are some, and hands them over to its
//! successor.

use std::num::NonZeroUsize;
use std::sync::Arc;

use lru::LruCache;

use super::Instance;
use super::cell::{Cell, Guest, Saved, Seat};
use super::room::Claim;
use super::seats::{Occupant, Seats};
use crate::bindings::breaker as wit;
use crate::error::{ComponentFailure, RestoreError};
use crate::policy::Policy;
use crate::text::beginning;
use crate::types::{Time, span_nanos};

/// Compiled policies that an instance keeps; beyond, the least recently used is compiled again when it is needed.
const POLICIES_MAX: NonZeroUsize = NonZeroUsize::new(256).expect("it isn't zero");

/// What a hot upgrade did with the breakers that were at work.
#[derive(Debug, Default)]
pub(crate) struct Replaced {
    /// Names of those that came along with their state.
    pub(crate) restored: Vec<Arc<str>>,
    /// Names of those whose state the new component refuses, and why.
    pub(crate) refused: Vec<(Arc<str>, String)>,
    /// Names of those whose state the old component didn't give.
    pub(crate) lost: Vec<Arc<str>>,
}

/// An instance at work, its policies, and who sits in it.
pub(super) struct Live {
    pub(super) instance: Instance,
    policies: LruCache<u64, Known>,
    /// Who sits here, for a hot upgrade.
    seats: Seats,
    /// The incarnation since which places are kept: hot upgrades keep them, failures don't.
    since: u32,
}

/// A policy that the instance has compiled.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Known {
    id: u32,
    /// What this component says that a breaker of it takes.
    breaker_bytes: u64,
}

impl Live {
    pub(super) fn new(instance: Instance, since: u32) -> Self {
        Self { instance, policies: LruCache::new(POLICIES_MAX), seats: Seats::default(), since }
    }

    /// The incarnation since which places are kept.
    pub(super) const fn since(&self) -> u32 {
        self.since
    }
}

/// Why a breaker got no seat.
pub(super) enum Taking {
    /// The component said no. It is at work still.
    Refused(ComponentFailure),
    /// The component failed.
    Failed(ComponentFailure),
    /// It failed at the snapshot.
    FailedAtSnapshot(ComponentFailure),
}

impl From<ComponentFailure> for Taking {
    fn from(failure: ComponentFailure) -> Self {
        Self::Failed(failure)
    }
}

impl Live {
    pub(super) fn load_policy(
        &mut self,
        uid: u64,
        text: &str,
    ) -> Result<Result<wit::PolicyInfo, Vec<wit::PolicyProblem>>, ComponentFailure> {
        let loaded = self.instance.call(|guest, store| guest.call_load_policy(store, text))?;
        if let Ok(info) = &loaded
            && let Some((_, old)) = self.policies.push(uid, Known { id: info.id, breaker_bytes: info.breaker_bytes })
            && old.id != info.id
        {
            self.instance.call(|guest, store| guest.call_drop_policy(store, old.id))?;
        }
        Ok(loaded)
    }

    pub(super) fn policy(&mut self, name: impl FnOnce() -> Arc<str>, policy: &Policy) -> Result<Known, Taking> {
        if let Some(known) = self.policies.get(&policy.uid()) {
            return Ok(*known);
        }
        match self.load_policy(policy.uid(), policy.text())? {
            Ok(info) => Ok(Known { id: info.id, breaker_bytes: info.breaker_bytes }),
            Err(problems) => Err(Taking::Refused(ComponentFailure::PolicyRefused {
                breaker: name(),
                message: problems.first().map_or_else(String::new, |problem| problem.message.clone()),
            })),
        }
    }

    /// The seat of a breaker that a hot upgrade brought along.
    pub(super) fn brought(&self, seat: Seat) -> Option<u32> {
        self.has_place(seat).then(|| self.seats.id(seat.place)).flatten()
    }

    /// Whoever sat here doesn't any more: its handle.
    pub(super) fn leave(&mut self, seat: Seat) -> Option<u32> {
        self.has_place(seat).then(|| self.seats.remove(seat.place)).flatten()
    }

    /// Whether a seat's place is one of these.
    const fn has_place(&self, seat: Seat) -> bool {
        seat.incarnation >= self.since
    }

    /// What a breaker claims, if there is room for that. Places are given by what policies said when they were loaded; another
    /// component may want more for them.
    fn claim(&self, name: impl FnOnce() -> Arc<str>, policy: Known, saved: Option<&Saved>) -> Result<Claim, Taking> {
        let claim = Claim::of(policy.breaker_bytes).or_snapshot(saved.map_or(0, |saved| saved.bytes.len()));
        let (bytes, max) = (self.seats.with(claim), self.instance.breakers_bytes_max());
        if bytes <= max {
            return Ok(claim);
        }
        let message = format!(
            "with full windows it and the {} breakers beside it would take up to {bytes} bytes, snapshots included, of \
             {max} that they may have: `component_memory_bytes_max` sets the bound",
            self.seats.count(),
        );
        Err(Taking::Refused(ComponentFailure::BreakerRefused { breaker: name(), message }))
    }

    /// Seats a breaker, from its snapshot where there is one that the component takes: its handle, its place, and whether it
    /// was.
    pub(super) fn take(&mut self, cell: &Cell, guest: Guest<'_>, now: Time) -> Result<(u32, u32, bool), Taking> {
        let name = || guest.name();
        let policy = self.policy(name, &guest.who.policy)?;
        let claim = self.claim(name, policy, cell.last_saved())?;
        if let Some(saved) = cell.last_saved() {
            match self.restore(policy, saved, now)? {
                Ok(id) => return Ok((id, self.seats.add(guest, id, claim), true)),
                Err(reason) => {
                    tracing::error!(breaker = %name(), %reason, "a snapshot was refused; the breaker starts afresh");
                }
            }
        }
        let whole = guest.who.name(guest.key);
        let (seed, salt) = (beginning(&whole), guest.who.salt);
        let made = self.instance.call(|guest, store| guest.call_create(store, policy.id, seed, salt, now.nanos()))?;
        match made {
            Ok(id) => Ok((id, self.seats.add(guest, id, claim), false)),
            Err(wit::CreateError::UnknownPolicy) => {
                Err(Taking::Failed(ComponentFailure::Nonsense("a policy that it has just taken is unknown".to_owned())))
            }
            Err(wit::CreateError::TooMany(max)) => Err(Taking::Refused(ComponentFailure::BreakerRefused {
                breaker: name(),
                message: format!("{max} exist, and no more can"),
            })),
            Err(wit::CreateError::Other(message)) => {
                Err(Taking::Refused(ComponentFailure::BreakerRefused { breaker: name(), message }))
            }
        }
    }

    pub(super) fn restore(
        &mut self,
        policy: Known,
        saved: &Saved,
        now: Time,
    ) -> Result<Result<u32, RestoreError>, Taking> {
        let away = span_nanos(now.saturating_since(saved.at));
        let made =
            self.instance.call(|guest, store| guest.call_restore(store, policy.id, &saved.bytes, now.nanos(), away));
        Ok(made.map_err(Taking::FailedAtSnapshot)?.map_err(restore_error))
    }

    /// Moves every breaker that sits here to `next`. `now` is the latest time that any was called with. The old one's failure,
    /// if it fails at that: it can't be entered again.
    ///
    /// # Errors
    /// Where the new one fails, or has no room for a breaker.
    pub(super) fn hand_over(
        &mut self,
        next: &mut Self,
        now: Time,
        replaced: &mut Replaced,
    ) -> Result<Option<ComponentFailure>, ComponentFailure> {
        next.seats = self.seats.successor();
        let mut seated = self.seats.iter();
        while let Some(old) = seated.next() {
            let snapshot = self.instance.call(|guest, store| guest.call_snapshot(store, old.id, now.nanos()));
            let bytes = match snapshot {
                Ok(Some(bytes)) => bytes,
                Ok(None) => {
                    replaced.lost.push(old.name());
                    continue;
                }
                // Which may be why it is replaced.
                Err(failure) => {
                    replaced.lost.extend([old.name()].into_iter().chain(seated.map(|old| old.name())));
                    return Ok(Some(failure));
                }
            };
            let saved = Saved { bytes: bytes.into(), at: now };
            match next.take_over(&old, &saved, now) {
                Ok(Ok(())) => replaced.restored.push(old.name()),
                Ok(Err(reason)) => replaced.refused.push((old.name(), reason)),
                Err(failure) => return Err(failure),
            }
        }
        Ok(None)
    }

    /// Makes another instance's breaker from what that has just saved. Where this component refuses it: why.
    fn take_over(
        &mut self,
        old: &Occupant<'_>,
        saved: &Saved,
        now: Time,
    ) -> Result<Result<(), String>, ComponentFailure> {
        let failed = |taking| match taking {
            Taking::Refused(failure) | Taking::Failed(failure) | Taking::FailedAtSnapshot(failure) => failure,
        };
        let policy = match self.policy(|| old.name(), old.policy()) {
            Ok(policy) => policy,
            Err(Taking::Refused(failure)) => return Ok(Err(failure.to_string())),
            Err(taking) => return Err(failed(taking)),
        };
        let claim = self.claim(|| old.name(), policy, Some(saved)).map_err(failed)?;
        let restored = self.restore(policy, saved, now).map_err(failed)?;
        Ok(restored.map(|id| self.seats.bring(old, id, claim)).map_err(|reason| reason.to_string()))
    }
}

pub(super) fn restore_error(error: wit::RestoreError) -> RestoreError {
    match error {
        wit::RestoreError::UnknownPolicy => RestoreError::Other("its policy isn't known".to_owned()),
        wit::RestoreError::TooMany(max) => RestoreError::Other(format!("{max} breakers exist, and no more can")),
        wit::RestoreError::NotASnapshot => RestoreError::NotASnapshot,
        wit::RestoreError::UnknownVersion(version) => RestoreError::UnknownVersion(version),
        wit::RestoreError::Corrupt(message) => RestoreError::Corrupt(message),
        wit::RestoreError::PolicyDiffers(fingerprint) => RestoreError::PolicyDiffers(fingerprint),
        wit::RestoreError::Other(message) => RestoreError::Other(message),
    }
}
