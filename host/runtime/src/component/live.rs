//! An instance at work: takes policies and breakers in, from snapshots where there are some, and hands them over to its
//! successor.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use lru::LruCache;

use super::Instance;
use super::cell::{Cell, Saved};
use crate::bindings::breaker as wit;
use crate::error::{ComponentFailure, RestoreError};
use crate::policy::Policy;
use crate::types::{Time, span_nanos};

/// Compiled policies that an instance keeps; beyond, the least recently used is compiled again when it is needed.
const POLICIES_MAX: NonZeroUsize = NonZeroUsize::new(256).expect("it isn't zero");

/// What a hot upgrade did with the breakers that were at work.
#[derive(Debug, Default)]
pub(crate) struct Replaced {
    /// Names of those that came along with their state.
    pub(crate) restored: Vec<Arc<str>>,
    /// Names of those whose snapshots the new component refuses, and why: they start afresh.
    pub(crate) refused: Vec<(Arc<str>, String)>,
}

/// An instance at work, its policies, and who sits in it.
pub(super) struct Live {
    pub(super) instance: Instance,
    pub(super) policies: LruCache<u64, u32>,
    /// Who sits here, for a hot upgrade.
    pub(super) seated: HashMap<u64, Occupant>,
    /// What the windows of those who sit here take when they are full.
    windows_bytes: u64,
    /// It failed while it was handed over, and can't be entered again.
    pub(super) dead: bool,
}

impl Live {
    pub(super) fn new(instance: Instance) -> Self {
        Self { instance, policies: LruCache::new(POLICIES_MAX), seated: HashMap::new(), windows_bytes: 0, dead: false }
    }
}

/// What the slot knows of a breaker that sits in it.
pub(super) struct Occupant {
    pub(super) id: u32,
    pub(super) name: Arc<str>,
    pub(super) policy: Policy,
    pub(super) last_now: Arc<AtomicI64>,
}

/// Why a breaker got no seat.
pub(super) enum Taking {
    /// The component said no. It is at work still.
    Refused(ComponentFailure),
    /// The component failed.
    Failed(ComponentFailure),
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
            && let Some((_, old)) = self.policies.push(uid, info.id)
            && old != info.id
        {
            self.instance.call(|guest, store| guest.call_drop_policy(store, old))?;
        }
        Ok(loaded)
    }

    pub(super) fn policy_id(&mut self, name: &Arc<str>, policy: &Policy) -> Result<u32, Taking> {
        if let Some(&id) = self.policies.get(&policy.uid()) {
            return Ok(id);
        }
        match self.load_policy(policy.uid(), policy.text())? {
            Ok(info) => Ok(info.id),
            Err(problems) => Err(Taking::Refused(ComponentFailure::PolicyRefused {
                breaker: Arc::clone(name),
                message: problems.first().map_or_else(String::new, |problem| problem.message.clone()),
            })),
        }
    }

    /// Seats somebody for whom there is room.
    pub(super) fn seat(&mut self, uid: u64, occupant: Occupant) {
        self.windows_bytes = self.windows_bytes.saturating_add(occupant.policy.info().breaker_bytes);
        self.seated.insert(uid, occupant);
    }

    /// Whoever sat here, and doesn't any more.
    pub(super) fn leave(&mut self, uid: u64) -> Option<Occupant> {
        let occupant = self.seated.remove(&uid)?;
        self.windows_bytes = self.windows_bytes.saturating_sub(occupant.policy.info().breaker_bytes);
        Some(occupant)
    }

    /// An instance that runs out of memory fails for all who sit there, so what may fill it is refused beforehand.
    fn check_room(&self, name: &Arc<str>, policy: &Policy) -> Result<(), Taking> {
        let (bytes, max) = (policy.info().breaker_bytes, self.instance.bounds().windows_bytes_max());
        if self.windows_bytes.saturating_add(bytes) <= max {
            return Ok(());
        }
        let message = format!(
            "its windows take up to {bytes} bytes, and those of the {} breakers beside it take up to {} of {max}: \
             `component_memory_bytes_max` sets the bound",
            self.seated.len(),
            self.windows_bytes
        );
        Err(Taking::Refused(ComponentFailure::BreakerRefused { breaker: Arc::clone(name), message }))
    }

    /// Makes the breaker, from its snapshot where there is one that the component takes.
    pub(super) fn take(&mut self, cell: &Cell, now: Time) -> Result<(u32, bool), Taking> {
        self.check_room(&cell.name, &cell.policy)?;
        let policy = self.policy_id(&cell.name, &cell.policy)?;
        if let Some(saved) = &cell.saved {
            match self.restore(policy, saved, now)? {
                Ok(id) => return Ok((id, true)),
                Err(reason) => {
                    tracing::error!(breaker = %cell.name, %reason, "a snapshot was refused; the breaker starts afresh");
                }
            }
        }
        let made =
            self.instance.call(|guest, store| guest.call_create(store, policy, &cell.name, cell.salt, now.nanos()))?;
        match made {
            Ok(id) => Ok((id, false)),
            Err(wit::CreateError::UnknownPolicy) => {
                Err(Taking::Failed(ComponentFailure::Nonsense("a policy that it has just taken is unknown".to_owned())))
            }
            Err(wit::CreateError::TooMany(max)) => Err(Taking::Refused(ComponentFailure::BreakerRefused {
                breaker: Arc::clone(&cell.name),
                message: format!("{max} exist, and no more can"),
            })),
            Err(wit::CreateError::Other(message)) => {
                Err(Taking::Refused(ComponentFailure::BreakerRefused { breaker: Arc::clone(&cell.name), message }))
            }
        }
    }

    pub(super) fn restore(
        &mut self,
        policy: u32,
        saved: &Saved,
        now: Time,
    ) -> Result<Result<u32, RestoreError>, Taking> {
        let away = span_nanos(now.saturating_since(saved.at));
        let made =
            self.instance.call(|guest, store| guest.call_restore(store, policy, &saved.bytes, now.nanos(), away))?;
        Ok(made.map_err(restore_error))
    }

    /// Moves every breaker that sits here to `next`.
    pub(super) fn hand_over(&mut self, next: &mut Self, replaced: &mut Replaced) -> Result<(), ComponentFailure> {
        for (uid, seated) in &self.seated {
            let now = Time::from_nanos(seated.last_now.load(Ordering::Relaxed));
            let snapshot = self.instance.call(|guest, store| guest.call_snapshot(store, seated.id, now.nanos()));
            let bytes = match snapshot {
                Ok(Some(bytes)) => bytes,
                Ok(None) => continue,
                // The old one fails, which may be why it is replaced. The breakers keep the snapshots that they have.
                Err(_) => {
                    self.dead = true;
                    break;
                }
            };
            let saved = Saved { bytes: bytes.into(), at: now };
            let moved = match next.policy_id(&seated.name, &seated.policy) {
                Ok(policy) => next.restore(policy, &saved, now),
                Err(Taking::Refused(failure)) => {
                    replaced.refused.push((Arc::clone(&seated.name), failure.to_string()));
                    continue;
                }
                Err(failed) => Err(failed),
            };
            match moved {
                Ok(Ok(id)) => {
                    let entry = Occupant {
                        id,
                        name: Arc::clone(&seated.name),
                        policy: seated.policy.clone(),
                        last_now: Arc::clone(&seated.last_now),
                    };
                    next.seat(*uid, entry);
                    replaced.restored.push(Arc::clone(&seated.name));
                }
                Ok(Err(reason)) => replaced.refused.push((Arc::clone(&seated.name), reason.to_string())),
                Err(Taking::Refused(failure) | Taking::Failed(failure)) => return Err(failure),
            }
        }
        Ok(())
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
