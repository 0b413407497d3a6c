//! A breaker: a handle that any thread may hold, clone and call.

mod kin;
mod late;
mod leased;
mod operate;
mod permit;
mod raw;
mod reporter;
mod retire;
mod settled;
mod shared;
mod standing;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ecow::EcoString;
use softfuse_lease::Admission;

pub(crate) use kin::{Home, Kin, Lendings, Lent};
pub use late::LateScores;
pub(crate) use leased::Admitted;
use leased::Asked;
pub(crate) use permit::Debtor;
pub use permit::Permit;
use permit::UNGUARDED;
pub use raw::RawPermit;
pub use reporter::{Reported, Reporter};
pub use settled::Settled;
pub(crate) use shared::Shared;
use shared::{Inner, Rare};

use crate::bindings::breaker as wit;
use crate::component::Cell;
use crate::condition::Held;
use crate::error::{ComponentFailure, Rejected};
use crate::metrics::Count;
use crate::policy::Policy;
use crate::text::shortened;
use crate::types::{CircuitStatus, OperatorState, State, StateChange, Time, span_nanos};

/// What happens to calls while the breaker component fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FailureMode {
    /// They are admitted, unguarded. A breaker that is broken then harms nobody; it is the default.
    #[default]
    Open,
    /// They are refused, with [`Refusal::component_failure`](crate::Refusal::component_failure) set.
    Closed,
}

/// A circuit breaker. Cheap to clone; all clones are one breaker. [`Registry`](crate::Registry) makes them.
///
/// Each method that reads the clock has a twin that is handed the time instead, `..._at`, for replay, tests and benches.
#[derive(Clone)]
pub struct Breaker(pub(crate) triomphe::Arc<Shared>);

impl Breaker {
    pub(crate) fn new(kin: &Arc<Kin>, key: EcoString, cell: Cell, conditions: Held) -> Self {
        kin.meters.appeared(State::Closed);
        Self(triomphe::Arc::new(Shared::new(kin, key, cell, conditions)))
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        self.0.name()
    }

    /// Its policy.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        self.0.policy()
    }

    /// Its registry's clock, now.
    #[must_use]
    #[inline]
    pub fn now(&self) -> Time {
        self.0.home.clock.now()
    }

    /// The same; none by a clock that panics.
    #[inline]
    pub(crate) fn now_unless_it_panics(&self) -> Option<Time> {
        self.0.home.clock.now_unless_it_panics()
    }

    /// The state as of the last change: what costs nothing to ask. An open circuit whose period has passed is open until
    /// somebody calls; [`is_open`](Self::is_open) says whether a call would be refused.
    #[must_use]
    pub fn state(&self) -> State {
        self.0.known_state()
    }

    /// All that there is to know of it. Asking changes nothing.
    ///
    /// # Errors
    /// Where the component fails.
    pub fn status(&self) -> Result<CircuitStatus, ComponentFailure> {
        self.status_at(self.now())
    }

    /// [`status`](Self::status), as of `now`.
    ///
    /// # Errors
    /// Where the component fails.
    pub fn status_at(&self, now: Time) -> Result<CircuitStatus, ComponentFailure> {
        let now = self.0.leased.seen(now);
        let status = self.0.ask(now, "status", |guest, store, id| guest.call_status(store, id, now.nanos()))?;
        Ok(CircuitStatus::from_wit(status))
    }

    /// The refusal that a call would get now, if any. It consumes no probe and counts nothing. Where the component fails,
    /// it is as the registry's failure mode says.
    #[must_use]
    pub fn would_refuse(&self) -> Option<Rejected> {
        self.would_refuse_at(self.now())
    }

    /// [`would_refuse`](Self::would_refuse), as of `now`.
    #[must_use]
    pub fn would_refuse_at(&self, now: Time) -> Option<Rejected> {
        let now = self.0.leased.seen(now);
        let asked =
            self.0.plain(now, |seated| seated.ask(|guest, store, id| guest.call_would_refuse(store, id, now.nanos())));
        match asked {
            Ok(rejection) => rejection.map(|rejection| self.0.rejected(rejection)),
            Err(failure) => self.0.refused_by_failure(failure),
        }
    }

    /// Whether a call would be refused now. It consumes no probe.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.would_refuse().is_some()
    }

    /// [`is_open`](Self::is_open), as of `now`.
    #[must_use]
    pub fn is_open_at(&self, now: Time) -> bool {
        self.would_refuse_at(now).is_some()
    }

    /// Closes the circuit: trip count 0, windows fresh, an operator's state ended.
    ///
    /// # Errors
    /// Where the component fails.
    pub fn reset(&self) -> Result<Option<StateChange>, ComponentFailure> {
        self.reset_at(self.now())
    }

    /// [`reset`](Self::reset), at `now`.
    ///
    /// # Errors
    /// Where the component fails.
    pub fn reset_at(&self, now: Time) -> Result<Option<StateChange>, ComponentFailure> {
        let now = self.0.leased.seen(now);
        self.0.change(now, |guest, store, id| guest.call_reset(store, id, now.nanos()))
    }

    /// Puts the circuit into an operator's state, until [`reset`](Self::reset). `None` where it is in that state already.
    ///
    /// # Errors
    /// Where the component fails.
    pub fn set_operator_state(&self, state: OperatorState) -> Result<Option<StateChange>, ComponentFailure> {
        self.set_operator_state_at(state, self.now())
    }

    /// [`set_operator_state`](Self::set_operator_state), at `now`.
    ///
    /// # Errors
    /// Where the component fails.
    pub fn set_operator_state_at(
        &self,
        state: OperatorState,
        now: Time,
    ) -> Result<Option<StateChange>, ComponentFailure> {
        let now = self.0.leased.seen(now);
        self.0.change(now, |guest, store, id| guest.call_set_operator_state(store, id, state.to_wit(), now.nanos()))
    }

    /// Opens the circuit for a reason of the caller's own, of which 1,024 bytes are kept, for `open_for`, or as long as the policy says. An open period
    /// is extended, never shortened. `None` where the state stays.
    ///
    /// # Errors
    /// Where the component fails.
    pub fn trip(&self, reason: &str, open_for: Option<Duration>) -> Result<Option<StateChange>, ComponentFailure> {
        self.trip_at(reason, open_for, self.now())
    }

    /// [`trip`](Self::trip), at `now`.
    ///
    /// # Errors
    /// Where the component fails.
    pub fn trip_at(
        &self,
        reason: &str,
        open_for: Option<Duration>,
        now: Time,
    ) -> Result<Option<StateChange>, ComponentFailure> {
        let (now, open_for) = (self.0.leased.seen(now), open_for.map(span_nanos));
        let reason = shortened(reason);
        self.0.change(now, |guest, store, id| guest.call_trip(store, id, &reason, open_for, now.nanos()))
    }

    /// The whole state as bytes, for [`Registry::restore`](crate::Registry::restore), in another process perhaps. A host's
    /// own conditions are not in it.
    ///
    /// # Errors
    /// Where the component fails.
    pub fn snapshot(&self) -> Result<Vec<u8>, ComponentFailure> {
        self.snapshot_at(self.now())
    }

    /// [`snapshot`](Self::snapshot), as of `now`.
    ///
    /// # Errors
    /// Where the component fails.
    pub fn snapshot_at(&self, now: Time) -> Result<Vec<u8>, ComponentFailure> {
        let now = self.0.leased.seen(now);
        self.0.ask(now, "snapshot", |guest, store, id| guest.call_snapshot(store, id, now.nanos()))
    }

    /// Asks for the right to one call.
    ///
    /// # Errors
    /// The refusal.
    #[inline(always)]
    pub fn permit(&self) -> Result<Permit<'_>, Rejected> {
        self.permit_at(self.now())
    }

    /// [`permit`](Self::permit), at `now`.
    ///
    /// # Errors
    /// The refusal.
    #[inline(always)]
    pub fn permit_at(&self, now: Time) -> Result<Permit<'_>, Rejected> {
        match self.admitted(now) {
            Some(admitted) => {
                let (raw, incarnation) = admitted.granted();
                Ok(Permit::new(self, raw, incarnation, now))
            }
            None => match self.granted_or_refused(now) {
                Ok((raw, incarnation)) => Ok(Permit::new(self, raw, incarnation, now)),
                Err(rejected) => Err(rejected),
            },
        }
    }

    /// A call for which nobody need be asked, as most are.
    #[inline(always)]
    pub(crate) fn admitted(&self, now: Time) -> Option<Admitted<'_>> {
        self.0.leased.admitted(now)
    }

    /// What a permit is made of: itself, and the incarnation in which it was granted. Apart from most calls; a permit isn't made
    /// before both are known, so that it needn't be moved out of a result that has room for a refusal.
    #[inline(never)]
    pub(crate) fn granted_or_refused(&self, now: Time) -> Result<(u64, u64), Rejected> {
        match self.0.leased.admit(now) {
            (Admission::Admitted(permit), incarnation) => Ok((permit, incarnation)),
            (Admission::Refused { now: at }, _) => match self.0.leased.rejected(at) {
                Some(rejected) => Err(rejected),
                None => self.ask_for_permit(now),
            },
            (Admission::Ask, _) => self.ask_for_permit(now),
        }
    }

    #[cold]
    fn ask_for_permit(&self, now: Time) -> Result<(u64, u64), Rejected> {
        let now = self.0.leased.seen(now);
        let asked = self.0.operate(Asked::Permit, now, |seated| {
            let answer = seated.ask(|guest, store, id| guest.call_before_call(store, id, now.nanos()))?;
            self.0.leased.note(now);
            match answer {
                Ok(wit::Admission { permit, event }) => {
                    // Under the breaker's lock it is known exactly; the first probe's event has it saved in any case.
                    if self.0.known_state() == State::HalfOpen {
                        // Saved at once: its number must not be given again if the component fails.
                        seated.cell().due = true;
                    }
                    Ok((Ok((permit, seated.cell().incarnation())), event))
                }
                Err(wit::Refusal::Rejected(rejection)) => Ok((Err(rejection), None)),
                Err(wit::Refusal::UnknownBreaker) => Err(seated.nonsense("a breaker that it made is unknown to it")),
                Err(wit::Refusal::Other(text)) => Err(seated.nonsense(&format!("no permit and no rejection: {text}"))),
            }
        });
        let rejected = match asked {
            Ok((Ok(granted), _)) => return Ok(granted),
            Ok((Err(rejection), _)) => self.0.rejected(rejection),
            Err(failure) => match self.0.refused_by_failure(failure) {
                Some(rejected) => rejected,
                None => {
                    self.0.meters.tallies.count(Count::Unguarded, 1);
                    return Ok((UNGUARDED, 0));
                }
            },
        };
        self.0.meters.tallies.count(Count::Rejected, 1);
        Err(rejected)
    }
}

impl fmt::Debug for Breaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Breaker").field("name", self.name()).field("state", &self.state()).finish_non_exhaustive()
    }
}
