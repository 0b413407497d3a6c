//! What all handles of a breaker share: as little as can be, since there may be a million breakers.

use std::mem::Discriminant;
use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use ecow::EcoString;
use once_cell::race::OnceBox;
use parking_lot::Mutex;

use super::leased::{Leased, Leasing};
use super::{FailureMode, Kin};
use crate::bindings::breaker as wit;
use crate::component::{Cell, Guest};
use crate::condition::Held;
use crate::error::{ComponentFailure, Refusal, Rejected};
use crate::metrics::Tallies;
use crate::types::{Event, State};

/// A breaker: as small as can be, since there may be a million. What its kin share it has by [`Kin`], which it acts as.
pub(crate) struct Shared {
    pub(crate) kin: Arc<Kin>,
    /// Within its family; the whole name, where it has none.
    pub(crate) key: EcoString,
    pub(crate) inner: Mutex<Inner>,
    pub(super) leased: Leased,
    told: OnceBox<Told>,
}

/// What there is to tell of a breaker that did something worth telling.
#[derive(Default)]
struct Told {
    /// The whole name, from when it was first wanted.
    name: OnceLock<Arc<str>>,
    /// As of the last event.
    trip_count: AtomicU64,
}

/// What the breaker's lock guards. It is held for a call of the component, never for a guarded call.
pub(crate) struct Inner {
    pub(crate) cell: Cell,
    pub(super) rare: Option<Box<Rare>>,
}

/// What most breakers don't have.
pub(super) struct Rare {
    pub(super) leasing: Leasing,
    pub(super) conditions: Held,
    /// Events of the operation under way.
    pub(super) outbox: Vec<Event>,
    /// How the component failed at the last operation, if it did.
    pub(super) failing: Option<Discriminant<ComponentFailure>>,
}

impl Inner {
    pub(super) fn has_conditions(&self) -> bool {
        self.rare.as_ref().is_some_and(|rare| !rare.conditions.is_empty())
    }

    pub(super) fn leasing(&mut self) -> Option<&mut Leasing> {
        self.rare.as_mut().map(|rare| &mut rare.leasing)
    }
}

impl Inner {
    /// Frees what has room for what most don't have, where there is nothing.
    pub(super) fn forget_nothing(&mut self) {
        let is_nothing = |rare: &Rare| {
            let Rare { leasing, conditions, outbox, failing } = rare;
            !leasing.is_lent() && conditions.is_empty() && outbox.is_empty() && failing.is_none()
        };
        if self.rare.as_deref().is_some_and(is_nothing) {
            self.rare = None;
        }
    }
}

impl Rare {
    pub(super) fn new(conditions: Held) -> Box<Self> {
        Box::new(Self { leasing: Leasing::default(), conditions, outbox: Vec::new(), failing: None })
    }

    /// Of a breaker that had none yet.
    pub(super) fn of(rare: &mut Option<Box<Self>>) -> &mut Self {
        rare.get_or_insert_with(|| Self::new(Held::empty()))
    }
}

/// A million idle keys are a million of these, with 8 bytes for their references and 8 of the allocator.
const _: () = assert!(size_of::<Shared>() <= 112);

impl Deref for Shared {
    type Target = Kin;

    fn deref(&self) -> &Kin {
        &self.kin
    }
}

impl Shared {
    pub(super) fn new(kin: &Arc<Kin>, key: EcoString, cell: Cell, conditions: Held) -> Self {
        let rare = (!conditions.is_empty()).then(|| Rare::new(conditions));
        Self {
            kin: Arc::clone(kin),
            key,
            inner: Mutex::new(Inner { cell, rare }),
            leased: Leased::default(),
            told: OnceBox::new(),
        }
    }

    /// Where its calls are counted.
    #[inline(always)]
    pub(super) fn tallies(&self) -> &Tallies {
        self.leased.tallies().unwrap_or_else(|| &self.meters.tallies)
    }

    pub(crate) fn known_state(&self) -> State {
        self.leased.state()
    }

    /// Its whole name. A key's is put together when it is first wanted.
    pub(crate) fn name(&self) -> &Arc<str> {
        self.told().name.get_or_init(|| self.who.name(&self.key).into())
    }

    fn told(&self) -> &Told {
        self.told.get_or_init(Box::default)
    }

    pub(super) fn trip_count(&self) -> u64 {
        self.told.get().map_or(0, |told| told.trip_count.load(Ordering::Relaxed))
    }

    pub(super) fn set_trip_count(&self, trip_count: u64) {
        if trip_count != self.trip_count() {
            self.told().trip_count.store(trip_count, Ordering::Relaxed);
        }
    }

    /// Who it is to the component.
    pub(super) fn guest(&self) -> Guest<'_> {
        Guest { who: &self.kin.who, key: &self.key }
    }

    /// Takes note of a state that a restored breaker has.
    pub(crate) fn note(&self, state: State, trip_count: u64) {
        let old = self.known_state();
        self.leased.set_state(state);
        self.set_trip_count(trip_count);
        self.meters.changed(old, state, false);
    }

    pub(super) fn rejected(&self, rejection: wit::Rejection) -> Rejected {
        let wit::Rejection { state, reason, trip_count, retry_after } = rejection;
        let refusal = self.refusal(State::from_wit(state), reason.map(Into::into), trip_count);
        Rejected::of_nanos(refusal, retry_after)
    }

    pub(super) fn refusal(&self, state: State, reason: Option<Arc<str>>, trip_count: u64) -> Refusal {
        Refusal { breaker: Arc::clone(self.name()), state, reason, trip_count, component_failure: None }
    }

    /// Where the registry fails closed: the refusal.
    pub(super) fn refused_by_failure(&self, failure: ComponentFailure) -> Option<Rejected> {
        if self.home.failure_mode == FailureMode::Open {
            return None;
        }
        let retry_after = match &failure {
            ComponentFailure::Resting { rest, .. } => Some(*rest),
            _ => None,
        };
        let reason = Some(failure.to_string().into());
        let refusal = self.refusal(self.known_state(), reason, self.trip_count());
        Some(Rejected::new(Refusal { component_failure: Some(failure), ..refusal }, retry_after))
    }
}
